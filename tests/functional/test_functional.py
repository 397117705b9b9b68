"""The forward functions: right against the reference on every size, variant, mode, type and instruction set."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from tests.support.variants import (
    HIDDEN,
    MODES,
    SIZES,
    VARIANTS,
    all_modes,
    all_variants,
    assert_matches,
    assert_same,
    both_dtypes,
    expected_results,
    make_problem,
    relative_error,
    some_variants,
    tolerance,
)

MIDDLE = {"hidden": 17, "inputs": 3, "batch": 7, "steps": 5}


@pytest.mark.parametrize("hidden", HIDDEN, ids="H{}".format)
@all_modes
@both_dtypes
@all_variants
def test_forward_matches_reference(variant, dtype, mode, hidden, isa):
    for inputs, batch, steps in SIZES:
        sizes = {"hidden": hidden, "inputs": inputs, "batch": batch, "steps": steps}
        problem, expected, _ = expected_results(variant, mode, **sizes)
        actual = problem.astype(dtype).forward(fastrnn)
        assert {a.dtype for a in actual} == {np.dtype(dtype)}
        assert_matches(actual, expected, tolerance(dtype, **sizes), f"{sizes}")


@all_variants
def test_float32_error_is_at_most_twice_that_of_numpy(variant, isa):
    """Measured against float64 over 50 steps, and relative to what plain NumPy in float32 loses."""
    problem = make_problem(variant, hidden=64, inputs=16, batch=8, steps=50, dtype="float32")
    exact = problem.forward(reference)
    plain = problem.forward(reference, dtype="float32")
    for name, a, p, e in zip(exact._fields, problem.forward(fastrnn), plain, exact, strict=True):
        assert relative_error(a, e) <= 2 * relative_error(p, e), name


@both_dtypes
@all_variants
def test_training_does_not_change_the_result(variant, dtype, isa):
    problem = make_problem(variant, **MIDDLE, mode=MODES[2], dtype=dtype)
    *actual, _ = problem.forward(fastrnn, training=True)
    assert_same(actual, problem.forward(fastrnn))


@both_dtypes
@all_variants
def test_cell_is_a_sequence_of_one_step(variant, dtype, isa):
    problem = make_problem(variant, **{**MIDDLE, "steps": 1}, dtype=dtype)
    _, *expected = problem.forward(fastrnn)
    states = {name: problem.arrays[name][0] for name in variant.states}
    arguments = {"x": problem.arrays["x"][0], **problem.parameters(), **states, **dict(variant.options)}
    state = variant.function(fastrnn, "cell")(**arguments)
    expected = [e[0] for e in expected]
    assert_same(state if variant.cell == "lstm" else (state,), expected)
    *trained, cache = variant.function(fastrnn, "cell")(**arguments, training=True)
    assert_same(trained, expected)
    *_, sequence_cache = problem.forward(fastrnn, training=True)
    assert_same(problem.backward(fastrnn, cache), problem.backward(fastrnn, sequence_cache))


def test_cell_results_are_named():
    problem = make_problem(VARIANTS[-1], **{**MIDDLE, "steps": 1})
    state = fastrnn.lstm_cell(problem.arrays["x"][0], **problem.parameters(), **dict(VARIANTS[-1].options))
    assert state._fields == ("h", "c")
    assert type(state).__name__ == "LSTMState"


@pytest.mark.parametrize("batch_first", [False, True])
@some_variants
def test_out_is_filled_and_returned(variant, batch_first, isa):
    problem = make_problem(variant, **MIDDLE, mode=MODES[4] if batch_first else MODES[2])
    expected = problem.forward(fastrnn)
    out = np.full_like(expected.y, np.nan)
    actual = problem.forward(fastrnn, out=out)
    assert actual.y is out
    assert_same(actual, expected)


@both_dtypes
@some_variants
def test_nothing_behind_y_is_written(variant, dtype, isa):
    """The last row ends with the last unit, wherever in a vector that is."""
    for hidden in range(1, 18):
        problem = make_problem(variant, hidden=hidden, inputs=3, batch=2, steps=2, dtype=dtype)
        projections = [None] if variant.id != "lstm-none" else [None, problem.arrays["w_hh"][:hidden].copy()]
        for w_hr in projections:
            memory = np.full(2 * 2 * hidden + 16, 9, dtype)
            out = memory[:-16].reshape(2, 2, hidden)
            problem.forward(fastrnn, out=out, **({} if w_hr is None else {"w_hr": w_hr}))
            assert (np.abs(out) < 9).all()
            assert (memory[-16:] == 9).all()


@all_variants
def test_inputs_are_not_modified(variant, isa):
    problem = make_problem(variant, **MIDDLE, mode=MODES[2], dtype="float32")
    before = copy.deepcopy((problem.arrays, problem.run, problem.cotangents))
    *_, cache = problem.forward(fastrnn, training=True)
    problem.backward(fastrnn, cache)
    for old, new in zip(before, (problem.arrays, problem.run, problem.cotangents), strict=True):
        for name in old:
            np.testing.assert_array_equal(new[name], old[name], err_msg=name)


@some_variants
def test_read_only_inputs_are_accepted(variant, isa):
    problem = make_problem(variant, **MIDDLE, mode=MODES[2])
    expected = problem.forward(fastrnn)
    for a in (*problem.arrays.values(), *problem.cotangents.values(), problem.run["lengths"]):
        a.flags.writeable = False
    assert_same(problem.forward(fastrnn), expected)
    *_, cache = problem.forward(fastrnn, training=True)
    problem.backward(fastrnn, cache)


@some_variants
def test_results_do_not_share_memory_with_inputs(variant):
    """T = 0 makes h_n equal h0: it must be a copy, or a caller who updates it in place changes his h0."""
    problem = make_problem(variant, **{**MIDDLE, "steps": 0})
    for name, final in zip(variant.states, problem.forward(fastrnn)[1:], strict=True):
        np.testing.assert_array_equal(final, problem.arrays[name])
        assert not np.shares_memory(final, problem.arrays[name])


@pytest.mark.parametrize("integer", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_lengths_of_any_integer_type(integer):
    problem = make_problem(VARIANTS[0], **MIDDLE, mode=MODES[2])
    expected = problem.forward(fastrnn)
    assert_same(problem.forward(fastrnn, lengths=problem.run["lengths"].astype(integer)), expected)


@both_dtypes
@pytest.mark.parametrize(
    ("variant", "poisoned"),
    [pytest.param(v, name, id=f"{v.id}-{name}") for v in VARIANTS for name in ("x", *v.states)],
)
def test_nan_stays_in_its_row(variant, poisoned, dtype, isa):
    """From the step where it enters, every output of that row is NaN; all other rows stay as they were, bit by bit."""
    problem = make_problem(variant, **MIDDLE, dtype=dtype)
    clean = problem.forward(fastrnn)
    row, step = 4, 2 if poisoned == "x" else 0
    bad = problem.arrays[poisoned].copy()
    if poisoned == "x":
        bad[step, row, 1] = np.nan
    else:
        bad[0, row] = np.nan
    actual = problem.forward(fastrnn, **{poisoned: bad})
    assert np.isnan(actual.y[step:, row]).all()
    np.testing.assert_array_equal(actual.y[:step, row], clean.y[:step, row])
    for a, c in zip(actual, clean, strict=True):
        np.testing.assert_array_equal(np.delete(a, row, axis=1), np.delete(c, row, axis=1))
    for final in actual[1:]:
        assert np.isnan(final[:, row]).all()


@both_dtypes
@all_variants
def test_saturated_gates_are_finite(variant, dtype, isa):
    """Pre-activations of 1e4 would overflow a naive exp: gates must come out as 0 and 1, tanh as -1 and 1."""
    problem = make_problem(variant, **MIDDLE, dtype=dtype)
    x = problem.arrays["x"] * np.array(1e4, dtype)
    actual = problem.forward(fastrnn, x=x)
    for a in actual:
        assert np.isfinite(a).all()
    # w_ih x now has an error of eps*1e4, which gates that are not saturated show in full
    assert_matches(actual, problem.forward(reference, x=x), 1e4 * tolerance(dtype, **MIDDLE), variant.id)


@some_variants
def test_padding_is_not_read(variant, isa):
    """What stands in x beyond a row's length may be anything, NaN too, in either direction of time."""
    for mode in (MODES[2], MODES[4]):
        problem = make_problem(variant, **MIDDLE, mode=mode)
        beyond = np.arange(MIDDLE["steps"])[:, np.newaxis] >= problem.run["lengths"]
        x = problem.arrays["x"].copy()
        x[beyond.T if mode.batch_first else beyond] = np.nan
        actual = problem.forward(fastrnn, x=x)
        assert_same(actual, problem.forward(fastrnn))
        assert not actual.y[beyond.T if mode.batch_first else beyond].any()
