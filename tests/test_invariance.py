"""What must not change a result, not by one bit: batch size and place in it, chunking, memory layout, order in time."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from variants import (
    MODES,
    VARIANTS,
    all_variants,
    assert_matches,
    assert_same,
    both_dtypes,
    make_problem,
    output_tuple,
    tolerance,
)

# More rows than any row tile and its remainder, more units than two vectors of any width and a remainder.
SIZES = {"hidden": 37, "inputs": 5, "batch": 23, "steps": 6}
settings = hypothesis.settings(max_examples=60, deadline=None, derandomize=True)


@both_dtypes
@all_variants
def test_row_does_not_depend_on_its_batch(variant, dtype, isa):
    """Alone, among few, and at another place: a service must give a client the same answer at any load."""
    problem = make_problem(variant, **SIZES, dtype=dtype)
    whole = problem.forward(fastrnn)
    order = np.random.default_rng(0).permutation(SIZES["batch"])
    picks = [order, *([row] for row in (0, 5, 22)), order[:2], order[:3], order[:4], order[:6], order[:7], order[:13]]
    for rows in picks:
        part = {name: problem.arrays[name][:, rows] for name in ("x", *variant.states)}
        assert_same(problem.forward(fastrnn, **part), [a[:, rows] for a in whole])


@pytest.mark.parametrize("chunk", [1, 2, 4])
@both_dtypes
@all_variants
def test_chunking_does_not_change_the_result(variant, dtype, chunk, isa):
    """A sequence cut in pieces with the state carried over is the sequence in one piece."""
    problem = make_problem(variant, **SIZES, dtype=dtype)
    whole = problem.forward(fastrnn)
    states = {name: problem.arrays[name] for name in variant.states}
    pieces = []
    for t in range(0, SIZES["steps"], chunk):
        y, *final = problem.forward(fastrnn, x=problem.arrays["x"][t : t + chunk], **states)
        pieces.append(y)
        states = dict(zip(variant.states, final, strict=True))
    assert_same((np.concatenate(pieces), *final), whole)


@both_dtypes
@all_variants
def test_long_sequence_does_not_depend_on_internal_time_chunks(variant, dtype, isa):
    """300 steps in one call, against the same steps in uneven pieces: the hoisted input projection works in chunks."""
    problem = make_problem(variant, hidden=9, inputs=3, batch=2, steps=300, dtype=dtype)
    whole = problem.forward(fastrnn)
    states = {name: problem.arrays[name] for name in variant.states}
    pieces = []
    for x in np.split(problem.arrays["x"], [1, 8, 77, 206]):
        y, *final = problem.forward(fastrnn, x=x, **states)
        pieces.append(y)
        states = dict(zip(variant.states, final, strict=True))
    assert_same((np.concatenate(pieces), *final), whole)


@pytest.mark.parametrize("reverse", [False, True])
@all_variants
def test_lengths_are_separate_shorter_runs(variant, reverse, isa):
    problem = make_problem(variant, **SIZES, mode=MODES[2], dtype="float32")
    y, *final = problem.forward(fastrnn, reverse=reverse)
    for row, length in enumerate(problem.run["lengths"]):
        one = {name: problem.arrays[name][:, row : row + 1] for name in variant.states}
        x = problem.arrays["x"][:length, row : row + 1]
        alone = problem.forward(fastrnn, x=x, lengths=None, reverse=reverse, **one)
        assert_same(alone, (y[:length, row : row + 1], *(a[:, row : row + 1] for a in final)))
        assert not y[length:, row].any()


@both_dtypes
@all_variants
def test_reverse_is_flipping_in_time(variant, dtype, isa):
    problem = make_problem(variant, **SIZES, dtype=dtype)
    y, *final = problem.forward(fastrnn, x=problem.arrays["x"][::-1].copy())
    assert_same(problem.forward(fastrnn, reverse=True), (y[::-1], *final))


@all_variants
def test_batch_first_is_a_transposition(variant, isa):
    problem = make_problem(variant, **SIZES, dtype="float32")
    y, *final = problem.forward(fastrnn)
    x = problem.arrays["x"].swapaxes(0, 1).copy()
    assert_same(problem.forward(fastrnn, x=x, batch_first=True), (y.swapaxes(0, 1), *final))


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.id.startswith("lstm-none")], ids=lambda v: v.id)
def test_peephole_output_means_nothing_without_peepholes(variant):
    problem = make_problem(variant, **SIZES)
    assert_same(problem.forward(fastrnn, peephole_output="previous"), problem.forward(fastrnn))


@st.composite
def relaid(draw: st.DrawFn, array: Any) -> Any:
    """The same values in another memory layout: reversed or stepped axes, transposed storage, an odd offset."""
    axes = draw(st.permutations(range(array.ndim)))
    strides = [draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in axes]
    offset = draw(st.integers(0, 3))
    between = np.nan if array.dtype.kind == "f" else -1  # a value read from between the elements would show
    storage = np.full(
        [offset + array.shape[a] * abs(s) for a, s in zip(axes, strides, strict=True)], between, array.dtype
    )
    spread = storage[tuple(slice(offset, None, abs(s)) for s in strides)]
    view = spread[tuple(slice(None, None, 1 if s > 0 else -1) for s in strides)].transpose(np.argsort(axes))
    assert view.shape == array.shape
    view[...] = array
    return view


@settings
@hypothesis.given(data=st.data())
def test_memory_layout_does_not_change_the_result(data):
    """Every array argument, forward and backward, in any strided layout: a copy at most, never another number."""
    draw = data.draw
    variant, mode = draw(st.sampled_from(VARIANTS)), draw(st.sampled_from(MODES))
    sizes = {name: draw(st.integers(1, 9)) for name in ("hidden", "inputs", "batch", "steps")}
    problem = make_problem(variant, **sizes, mode=mode, dtype=draw(st.sampled_from(["float32", "float64"])))
    *expected, cache = problem.forward(fastrnn, training=True)
    expected_grads = problem.backward(fastrnn, cache)
    for arrays in (problem.arrays, problem.cotangents):
        for name in arrays:
            arrays[name] = draw(relaid(arrays[name]), label=name)
    if mode.lengths:
        problem.run["lengths"] = draw(relaid(problem.run["lengths"]), label="lengths")
    *actual, cache = problem.forward(fastrnn, training=True)
    assert_same(actual, expected)
    assert_same(problem.backward(fastrnn, cache), expected_grads)


def unaligned(array: Any, inner: int) -> Any:
    """The same values in records with one byte before them: addresses and strides are no multiples of the item size.

    ``inner`` is how many of the last axes lie in one record, and so are contiguous.
    """
    split = array.ndim - inner
    record = np.dtype([("byte", "u1"), ("values", array.dtype, array.shape[split:])])
    view = np.zeros(array.shape[:split], record)["values"]
    view[...] = array
    return view


@pytest.mark.parametrize("inner", [0, 1])
@both_dtypes
@all_variants
def test_unaligned_arrays_do_not_change_the_result(variant, dtype, inner, isa):
    problem = make_problem(variant, **SIZES, dtype=dtype)
    *expected, cache = problem.forward(fastrnn, training=True)
    expected_grads = problem.backward(fastrnn, cache)
    for arrays in (problem.arrays, problem.cotangents):
        arrays.update({name: unaligned(array, inner) for name, array in arrays.items()})
    assert not problem.arrays["x"].flags.aligned
    *actual, cache = problem.forward(fastrnn, training=True)
    assert_same(actual, expected)
    assert_same(problem.backward(fastrnn, cache), expected_grads)


@settings
@hypothesis.given(
    variant=st.sampled_from(VARIANTS),
    mode=st.sampled_from(MODES),
    dtype=st.sampled_from(["float32", "float64"]),
    hidden=st.integers(1, 70),
    inputs=st.integers(0, 40),
    batch=st.integers(0, 40),
    steps=st.integers(0, 12),
)
def test_any_shape_matches_the_reference(variant, mode, dtype, hidden, inputs, batch, steps):
    sizes = {"hidden": hidden, "inputs": inputs, "batch": batch, "steps": steps}
    problem = make_problem(variant, **sizes, mode=mode, dtype=dtype)
    *outputs, cache = problem.forward(fastrnn, training=True)
    *expected, expected_cache = problem.forward(reference, training=True)
    tol = tolerance(dtype, **sizes)
    names = output_tuple(variant, reference)
    assert_matches(names(*outputs), names(*expected), tol, "outputs")
    assert_matches(problem.backward(fastrnn, cache), problem.backward(reference, expected_cache), tol, "gradients")
