"""Every option of a cell and of a run on the emulated GPU: the CPU's cases against the same reference."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from tests.support.cuda.fake_arrays import FakeArray, fakes, given_back, read
from tests.support.cuda.option_cases import SIZES, check_case, every_case, problem_of
from tests.support.options import SINGLES
from tests.support.variants import Problem, assert_matches, output_tuple, tolerance


@every_case
def test_matches_the_reference(gpu, case):
    check_case(case)


@every_case
def test_arrays_on_the_gpu_match_the_reference(gpu, case):
    problem, _, trained, grads = problem_of(case)
    if case.cell == "slstm":  # several states are not joined on a GPU
        problem = Problem(case, {k: v for k, v in problem.arrays.items() if k not in ("c0", "n0", "m0")}, problem.run)
        *outputs, cache = problem.forward(fastrnn, training=True)
        trained = output_tuple(case, fastrnn)(*outputs)
        dy = np.linspace(-1, 1, outputs[0].size, dtype=np.float32).reshape(outputs[0].shape)
        problem.cotangents["dy"] = dy
        grads = problem.backward(fastrnn, cache)
    tol = 2 * tolerance("float32", **SIZES)
    on_gpu = Problem(case, fakes(problem.arrays), problem.run, fakes(problem.cotangents))
    *outputs, cache = on_gpu.forward(fastrnn, training=True)
    assert_matches(output_tuple(case, fastrnn)(*map(read, outputs)), trained, tol, "training")
    found = on_gpu.backward(fastrnn, cache)
    assert_matches(type(found)(*(None if a is None else read(a) for a in found)), grads, tol, "gradients")
    del outputs, cache, found
    assert given_back({**on_gpu.arrays, **on_gpu.cotangents})


def test_what_a_gpu_does_not_know_is_refused(gpu):
    case = next(case for case in SINGLES if case.id == "lstm-plain")
    problem, *_ = problem_of(case)
    with pytest.raises(ValueError, match="checkpoint_every: expected nothing in training on a GPU, got a value"):
        problem.forward(fastrnn, training=True, device="cuda", checkpoint_every=2)
    x = FakeArray(problem.arrays["x"])
    weights = fastrnn.pack_cuda("slstm", problem.arrays["w_ih"], problem.arrays["w_hh"])
    with pytest.raises(ValueError, match="n0: expected None for arrays on a GPU"):
        fastrnn.slstm_forward(x, weights, n0=FakeArray(problem.arrays["c0"]))
