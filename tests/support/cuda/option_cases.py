"""The cases of tests/support/options.py on a GPU, emulated or real, against the same reference."""

from __future__ import annotations

from typing import Any

import pytest

import fastrnn
from tests.support.options import COMBINATIONS, SINGLES, Case, expected_case
from tests.support.variants import Problem, assert_matches, output_tuple, tolerance

SIZES = {"hidden": 17, "inputs": 5, "batch": 4, "steps": 6}
# Checkpoints change no result, and a GPU has none: the cases run without them.
CASES = (*SINGLES, *COMBINATIONS)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)


def problem_of(case: Case) -> tuple[Problem, Any, Any, Any]:
    exact, inferred, trained, grads = expected_case(case, **SIZES)
    problem = exact.astype("float32")
    problem.run.pop("checkpoint_every", None)
    return problem, inferred, trained, grads


def check_case(case: Case) -> None:
    problem, inferred, trained, grads = problem_of(case)
    # The GPU's exp and tanh are the C library's here; the order of sums is another than the CPU's.
    tol = 2 * tolerance("float32", **SIZES)
    assert_matches(problem.forward(fastrnn, device="cuda"), inferred, tol, "inference")
    *outputs, cache = problem.forward(fastrnn, training=True, device="cuda")
    assert_matches(output_tuple(case, fastrnn)(*outputs), trained, tol, "training")
    assert_matches(problem.backward(fastrnn, cache), grads, tol, "gradients")
