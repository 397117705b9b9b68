"""What must not change a result, not by one bit: the batch, the place in it, chunks, memory layout, order, threads."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from tests.support.packed import forward_packed, pack
from tests.support.variants import (
    MODES,
    VARIANTS,
    Mode,
    Problem,
    Variant,
    all_variants,
    assert_matches,
    assert_same,
    both_dtypes,
    make_problem,
    output_tuple,
    some_variants,
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


@pytest.mark.parametrize("inputs", [3, 400])
@both_dtypes
@all_variants
def test_long_sequence_does_not_depend_on_internal_time_chunks(variant, dtype, inputs, isa):
    """300 steps in one call, against the same steps in uneven pieces: the hoisted input projection works in chunks, and
    within them in blocks of rows, about 100 of wide ones.
    """
    problem = make_problem(variant, hidden=9, inputs=inputs, batch=2, steps=300, dtype=dtype)
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


# ---------------------------------------------------------------------------------- packed weights, sessions, threads

PACKINGS = (
    {"dtype": "float32"},
    {"dtype": "float64"},
    {"dtype": "bfloat16"},
    {"dtype": "bfloat16_weights"},
    {"dtype": "int8"},
    {"fast_activations": True},
)
all_packings = pytest.mark.parametrize("packing", PACKINGS, ids=lambda p: p.get("dtype", "fast"))
low_packings = pytest.mark.parametrize("packing", PACKINGS[2:], ids=lambda p: p.get("dtype", "fast"))


def packed_problem(
    variant: Variant, packing: dict[str, Any], mode: Mode = MODES[0], **sizes: int
) -> tuple[Problem, Any]:
    dtype = "float64" if packing.get("dtype") == "float64" else "float32"
    problem = make_problem(variant, **sizes, mode=mode, dtype=dtype)
    return problem, pack(problem, **packing)


@low_packings
@all_variants
def test_row_does_not_depend_on_its_batch_in_low_precision(variant, packing, isa):
    problem, packed = packed_problem(variant, packing, **SIZES)
    whole = forward_packed(problem, packed)
    order = np.random.default_rng(0).permutation(SIZES["batch"])
    for rows in ([0], [22], order, order[:2], order[:7]):
        part = {name: problem.arrays[name][:, rows] for name in ("x", *variant.states)}
        assert_same(forward_packed(Problem(variant, part, {}), packed), [a[:, rows] for a in whole])


@pytest.mark.parametrize("reverse", [False, True])
@low_packings
@some_variants
def test_lengths_are_separate_shorter_runs_in_low_precision(variant, packing, reverse, isa):
    problem, packed = packed_problem(variant, packing, MODES[2], **SIZES)
    y, *final = forward_packed(problem, packed, reverse=reverse)
    for row, length in enumerate(problem.run["lengths"]):
        part = {name: problem.arrays[name][:, row : row + 1] for name in variant.states}
        part["x"] = problem.arrays["x"][:length, row : row + 1]
        alone = forward_packed(Problem(variant, part, {}), packed, reverse=reverse)
        assert_same(alone, (y[:length, row : row + 1], *(a[:, row : row + 1] for a in final)))
        assert not y[length:, row].any()


@low_packings
@some_variants
def test_batch_first_is_a_transposition_in_low_precision(variant, packing, isa):
    problem, packed = packed_problem(variant, packing, **SIZES)
    y, *final = forward_packed(problem, packed)
    turned = Problem(variant, {**problem.arrays, "x": problem.arrays["x"].swapaxes(0, 1).copy()}, {"batch_first": True})
    assert_same(forward_packed(turned, packed), (y.swapaxes(0, 1), *final))


@pytest.mark.parametrize("batch", [1, 5])
@all_packings
@all_variants
def test_session_gives_the_bits_of_one_call(variant, packing, batch, isa):
    """In steps and runs of any length; 90 steps are more than a session computes ahead."""
    problem, packed = packed_problem(variant, packing, hidden=37, inputs=5, batch=batch, steps=90)
    whole = forward_packed(problem, packed)
    session = fastrnn.Session(packed, batch)
    states = [problem.arrays[name][0] for name in variant.states]
    session.state = tuple(states) if variant.cell == "lstm" else states[0]
    rng = np.random.default_rng(batch)
    x, pieces, t = problem.arrays["x"], [], 0
    while t < len(x):
        n = min(int(rng.choice([0, 1, 1, 2, 16, 17, 40])), len(x) - t)
        pieces.append(session.step(x[t])[None] if n == 1 else session.run(x[t : t + n]))
        t += n
    h, c = session.state if variant.cell == "lstm" else (session.state, None)
    assert_same((np.concatenate(pieces), h[None], *([] if c is None else [c[None]])), whole)


# Enough work for threads to be asked (csrc/core/layer/forward_threads.cc, kWorthThreads), in both ways of cutting
# it: units, where 4 threads have fewer than 16 rows and a step is worth sharing, in more than one chunk of steps; else
# rows.
UNITS = {
    "rnn": {"hidden": 330, "steps": 140},
    "gru": {"hidden": 205, "steps": 75},
    "lstm": {"hidden": 171, "steps": 75},
}
ROWS = {"rnn": {"hidden": 97, "steps": 33}, "gru": {"hidden": 61, "steps": 21}, "lstm": {"hidden": 61, "steps": 17}}
CUTS = {"units": (UNITS, {"inputs": 7, "batch": 3}), "rows": (ROWS, {"inputs": 19, "batch": 37})}
both_cuts = pytest.mark.parametrize("cut", CUTS)
ragged = Mode("lengths+reverse", lengths=True, reverse=True)


def sizes_for(cut: str, variant: Variant) -> dict[str, int]:
    per_cell, common = CUTS[cut]
    return {**per_cell[variant.cell], **common}


def check_threads(problem: Problem, packed: Any) -> None:
    alone = forward_packed(problem, packed, threads=1)
    for threads in (2, 3, 4):
        assert_same(forward_packed(problem, packed, threads=threads), alone)


@pytest.mark.parametrize("mode", [MODES[0], ragged], ids=lambda mode: mode.id)
@both_cuts
@all_variants
def test_threads_do_not_change_the_result(variant, cut, mode, isa):
    check_threads(*packed_problem(variant, {"dtype": "float32"}, mode, **sizes_for(cut, variant)))


@pytest.mark.parametrize("packing", PACKINGS[1:], ids=lambda p: p.get("dtype", "fast"))
@both_cuts
@some_variants
def test_threads_do_not_change_the_result_of_any_dtype(variant, cut, packing, isa):
    check_threads(*packed_problem(variant, packing, ragged, **sizes_for(cut, variant)))


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_rows_that_end_beside_a_chunk(training, isa):
    """Threads that share units work in chunks of some 26 steps. A row may end with one, or the step before or after:
    rows of every length below 61 are tried, beside one that goes on.
    """
    lstm = next(v for v in VARIANTS if v.id == "lstm-none")
    problem = make_problem(lstm, hidden=171, inputs=7, batch=7, steps=60, dtype="float32")
    for shortest in range(1, 60, 6):
        lengths = np.array([60, *range(shortest, shortest + 6)])
        alone, together = (
            tuple(problem.forward(fastrnn, lengths=lengths, training=training, threads=n))[:3] for n in (1, 2)
        )
        assert_same(together, alone)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_threads_do_not_change_a_long_result(dtype):
    """More than 10 ms of work is cut in rows that are computed in place."""
    lstm = next(v for v in VARIANTS if v.cell == "lstm")
    check_threads(*packed_problem(lstm, {"dtype": dtype}, ragged, hidden=200, inputs=60, batch=64, steps=70))


@pytest.mark.parametrize("mode", [MODES[0], ragged], ids=lambda mode: mode.id)
@both_cuts
@all_variants
def test_threads_do_not_change_training(variant, cut, mode, isa):
    """Forward and backward: threads share the elements of a gradient; the sum behind an element is never split."""
    check_training(make_problem(variant, **sizes_for(cut, variant), mode=mode, dtype="float32"))


@both_cuts
@some_variants
def test_threads_do_not_change_training_in_float64(variant, cut, isa):
    check_training(make_problem(variant, **sizes_for(cut, variant), mode=MODES[2], dtype="float64"))


def check_training(problem: Problem) -> None:
    *outputs, cache = problem.forward(fastrnn, training=True, threads=1)
    gradients = problem.backward(fastrnn, cache)
    backward = problem.variant.function(fastrnn, "backward")
    for threads in (2, 3, 4):
        *others, other_cache = problem.forward(fastrnn, training=True, threads=threads)
        assert_same(others, outputs)
        assert_same(backward(cache=other_cache, **problem.cotangents, threads=threads), gradients)
    without = backward(cache=cache, **problem.cotangents, need_dx=False, threads=2)
    assert_same(without, gradients._replace(x=None))
