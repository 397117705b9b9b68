"""The backward functions: against finite differences of the forward functions, and against the reference."""

from __future__ import annotations

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
    assert_gradcheck,
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
COUPLED = pytest.mark.parametrize("variant", [v for v in VARIANTS if "coupled" in v.id], ids=lambda v: v.id)


@all_modes
@all_variants
def test_gradients_match_finite_differences(variant, mode, isa):
    """Every element of every input and parameter; H = 9 is a full vector and a remainder in every float64 kernel."""
    sizes = {"hidden": 9, "inputs": 2, "batch": 3, "steps": 3}
    assert_gradcheck(make_problem(variant, **sizes, mode=mode), fastrnn, tol=1e-6)


@pytest.mark.parametrize("hidden", HIDDEN, ids="H{}".format)
@all_modes
@both_dtypes
@all_variants
def test_backward_matches_reference(variant, dtype, mode, hidden, isa):
    for inputs, batch, steps in SIZES:
        check_backward(variant, dtype, mode, hidden=hidden, inputs=inputs, batch=batch, steps=steps)


@both_dtypes
@all_variants
def test_backward_of_many_rows_matches_reference(variant, dtype, isa):
    """More rows of time and batch than the 512 that are folded into the gradients of the weights at once."""
    check_backward(variant, dtype, MODES[0], hidden=5, inputs=3, batch=9, steps=60)


@all_modes
@some_variants
def test_backward_in_segments_matches_reference(variant, mode, isa):
    """Its steps come in three segments, each going on from the gradients of the one after it."""
    check_backward(variant, "float32", mode, hidden=5, inputs=3, batch=30, steps=40)


def check_backward(variant, dtype, mode, **sizes):
    problem, _, expected = expected_results(variant, mode, **sizes)
    problem = problem.astype(dtype)
    *_, cache = problem.forward(fastrnn, training=True)
    actual = problem.backward(fastrnn, cache)
    assert {g.dtype for g in actual if g is not None} == {np.dtype(dtype)}
    assert_matches(actual, expected, tolerance(dtype, **sizes), f"{sizes}")


@all_variants
def test_float32_error_is_at_most_twice_that_of_numpy(variant, isa):
    """As for the forward functions; the longest sum is that of a weight gradient, over all steps and rows."""
    problem = make_problem(variant, hidden=64, inputs=16, batch=8, steps=50, dtype="float32")

    def gradients(module, **more):
        *_, cache = problem.forward(module, training=True, **more)
        return problem.backward(module, cache)

    exact, plain = gradients(reference), gradients(reference, dtype="float32")
    for name, a, p, e in zip(exact._fields, gradients(fastrnn), plain, exact, strict=True):
        if e is not None:
            assert relative_error(a, e) <= 2 * relative_error(p, e), name


@pytest.mark.parametrize(
    ("variant", "only"),
    [
        pytest.param(v, name, id=f"{v.id}-{name}")
        for v in VARIANTS
        for name in ("dy", "dh_n", "dc_n", None)
        if name != "dc_n" or v.cell == "lstm"
    ],
)
def test_cotangents_left_out_are_zero(variant, only, isa):
    problem = make_problem(variant, **MIDDLE, mode=MODES[2])
    *_, cache = problem.forward(fastrnn, training=True)
    backward = variant.function(fastrnn, "backward")
    zeros = {name: np.zeros_like(a) for name, a in problem.cotangents.items()}
    given = {only: problem.cotangents[only]} if only else {}
    actual, expected = backward(**{"dy": None, **given}, cache=cache), backward(**{**zeros, **given}, cache=cache)
    assert_same(actual, expected)
    assert any(g is not None and g.any() for g in actual) == (only is not None)


@both_dtypes
@all_variants
def test_cache_can_be_used_twice(variant, dtype, isa):
    problem = make_problem(variant, **MIDDLE, mode=MODES[2], dtype=dtype)
    _, *final, cache = problem.forward(fastrnn, training=True)
    first = problem.backward(fastrnn, cache)
    for array in (*final, *(g for g in first if g is not None)):  # these belong to the caller (y is lent to the cache)
        array[...] = 0
    kept = problem.backward(fastrnn, cache)
    *_, fresh = problem.forward(fastrnn, training=True)
    assert_same(kept, problem.backward(fastrnn, fresh))


@some_variants
def test_cache_does_not_follow_changes_of_weights_and_states(variant, isa):
    """An optimiser updates weights in place, a stateful layer its state. (x and y stay the caller's, as documented.)"""
    problem = make_problem(variant, **MIDDLE)
    *_, cache = problem.forward(fastrnn, training=True)
    expected = problem.backward(fastrnn, cache)
    for name, array in problem.arrays.items():
        if name != "x":
            array[...] = 7
    assert_same(problem.backward(fastrnn, cache), expected)


@COUPLED
def test_coupled_forget_rows_have_zero_gradient(variant, isa):
    problem = make_problem(variant, **MIDDLE)
    *_, cache = problem.forward(fastrnn, training=True)
    grads = problem.backward(fastrnn, cache)._asdict()
    for name in problem.parameters():
        forget = grads[name][1] if name == "w_peep" else grads[name][MIDDLE["hidden"] : 2 * MIDDLE["hidden"]]
        assert not forget.any(), name
        assert grads[name].any(), name


@some_variants
def test_padding_has_no_gradient_and_no_influence(variant, isa):
    """NaN in x and dy beyond the lengths: 0 * NaN is NaN, so a kernel that multiplies padding away would show it."""
    for mode in (MODES[2], MODES[4]):
        problem = make_problem(variant, **MIDDLE, mode=mode)
        *_, cache = problem.forward(fastrnn, training=True)
        expected = problem.backward(fastrnn, cache)
        beyond = np.arange(MIDDLE["steps"])[:, np.newaxis] >= problem.run["lengths"]
        beyond = beyond.T if mode.batch_first else beyond
        problem.arrays["x"][beyond] = np.nan
        problem.cotangents["dy"][beyond] = np.nan
        *_, cache = problem.forward(fastrnn, training=True)
        actual = problem.backward(fastrnn, cache)
        assert_same(actual, expected)
        assert not actual.x[beyond].any()


@pytest.mark.parametrize(("hidden", "inputs", "steps"), [(33, 3, 5), (150, 140, 2)], ids=["small", "blocks of k"])
@both_dtypes
@all_variants
def test_gradient_of_a_row_does_not_depend_on_its_batch(variant, dtype, hidden, inputs, steps, isa):
    problem = make_problem(variant, hidden=hidden, inputs=inputs, batch=11, steps=steps, dtype=dtype)
    *outputs, cache = problem.forward(fastrnn, training=True)
    whole = problem.backward(fastrnn, cache)._asdict()
    per_row = ("x", *variant.states)
    for row in (0, 4, 10):
        rows = slice(row, row + 1)
        part = {n: problem.arrays[n][:, rows] for n in per_row}
        *own, cache = problem.forward(fastrnn, training=True, **part)
        assert_same(own, [a[:, rows] for a in outputs])
        cotangents = {name: a[:, rows] for name, a in problem.cotangents.items()}
        one = variant.function(fastrnn, "backward")(cache=cache, **cotangents)._asdict()
        for name in per_row:
            np.testing.assert_array_equal(one[name], whole[name][:, rows], err_msg=name)
