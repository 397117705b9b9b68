"""PackedWeights: the same result as the plain arrays, immutable, and safe to share between threads."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.packed import forward_packed, pack
from tests.support.variants import (
    HIDDEN,
    MODES,
    VARIANTS,
    all_modes,
    all_variants,
    assert_same,
    both_dtypes,
    make_problem,
    some_variants,
)

MIDDLE = {"hidden": 33, "inputs": 3, "batch": 7, "steps": 5}


@pytest.mark.parametrize("hidden", HIDDEN, ids="H{}".format)
@all_modes
@both_dtypes
@all_variants
def test_packed_gives_the_same_bits(variant, dtype, mode, hidden, isa):
    problem = make_problem(variant, **{**MIDDLE, "hidden": hidden}, mode=mode, dtype=dtype)
    assert_same(forward_packed(problem, pack(problem)), problem.forward(fastrnn))


@all_variants
def test_packed_cell_gives_the_same_bits(variant, isa):
    problem = make_problem(variant, **{**MIDDLE, "steps": 1})
    x, *states = problem.arrays["x"][0], *(problem.arrays[name][0] for name in variant.states)
    named = dict(zip(variant.states, states, strict=True))
    cell = variant.function(fastrnn, "cell")
    plain = cell(x, **problem.parameters(), **named, **dict(variant.options))
    packed = cell(x, pack(problem), **named)
    assert_same(packed if variant.cell == "lstm" else (packed,), plain if variant.cell == "lstm" else (plain,))


@both_dtypes
@all_variants
def test_packed_describes_itself(variant, dtype, isa):
    problem = make_problem(variant, **MIDDLE, dtype=dtype)
    packed = pack(problem)
    assert (packed.cell, packed.input_size, packed.hidden_size) == (variant.cell, 3, 33)
    assert np.dtype(packed.dtype) == dtype
    assert packed.isa == isa
    assert packed.nbytes >= problem.arrays["w_hh"].nbytes
    assert dict(variant.options).items() <= dict(packed.options).items()


@both_dtypes
@some_variants
def test_pack_dtype_converts(variant, dtype, isa):
    """float64 weights packed for float32 are the float32 weights, and the other way round."""
    other = {"float32": "float64", "float64": "float32"}[dtype]
    problem = make_problem(variant, **MIDDLE, dtype=dtype)
    packed = pack(problem.astype(other), dtype=dtype)
    assert np.dtype(packed.dtype) == dtype
    assert_same(forward_packed(problem, packed), problem.forward(fastrnn))


@some_variants
def test_packed_does_not_follow_changes_of_the_weights(variant, isa):
    problem = make_problem(variant, **MIDDLE)
    expected = problem.forward(fastrnn)
    packed = pack(problem)
    for array in problem.parameters().values():
        array[...] = 7
    assert_same(forward_packed(problem, packed), expected)


@pytest.mark.parametrize("attribute", ["cell", "input_size", "hidden_size", "dtype", "isa", "nbytes", "options"])
def test_packed_is_immutable(attribute):
    packed = pack(make_problem(VARIANTS[0], **MIDDLE))
    with pytest.raises((AttributeError, TypeError)):
        setattr(packed, attribute, getattr(packed, attribute))


def test_changing_the_options_given_out_changes_nothing():
    problem = make_problem(VARIANTS[1], **MIDDLE)
    packed = pack(problem)
    expected = forward_packed(problem, packed)
    with contextlib.suppress(TypeError):  # a read-only mapping is as good as a copy
        packed.options["activation"] = "identity"
    assert packed.options["activation"] == "relu"
    assert_same(forward_packed(problem, packed), expected)


@some_variants
def test_packed_any_size_after_packing(variant, isa):
    """One packing serves every batch and length, growing and shrinking, and remembers nothing of the calls before."""
    packed = pack(make_problem(variant, **MIDDLE))
    for batch, steps in ((1, 1), (33, 5), (2, 9), (0, 3), (3, 0), (64, 2), (1, 1)):
        problem = make_problem(variant, **{**MIDDLE, "batch": batch, "steps": steps})
        problem.arrays.update(make_problem(variant, **MIDDLE).parameters())
        assert_same(forward_packed(problem, packed), problem.forward(fastrnn))


@both_dtypes
@some_variants
def test_threads_share_one_packing(variant, dtype, isa):
    """Eight threads, each with its own input, start together and call over and over on the same weights."""
    problems = [make_problem(variant, **{**MIDDLE, "batch": 1 + k}, mode=MODES[2], dtype=dtype) for k in range(8)]
    weights = problems[0].parameters()
    for problem in problems:
        problem.arrays.update(weights)
    packed = pack(problems[0])
    expected = [problem.forward(fastrnn) for problem in problems]
    results: list[list[Any]] = [[] for _ in problems]
    start = threading.Barrier(len(problems))

    def work(k: int) -> None:
        start.wait()
        for _ in range(20):
            results[k].append(forward_packed(problems[k], packed))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, right in zip(results, expected, strict=True):
        assert len(result) == 20  # a thread that died of an exception would leave fewer
        for one in result:
            assert_same(one, right)


@some_variants
def test_threads_share_one_cache(variant, isa):
    problem = make_problem(variant, **MIDDLE)
    *_, cache = problem.forward(fastrnn, training=True)
    expected = problem.backward(fastrnn, cache)
    results: list[Any] = []

    def work() -> None:
        results.extend(problem.backward(fastrnn, cache) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    for result in results:
        assert_same(result, expected)
