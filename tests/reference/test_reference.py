"""The NumPy reference is right: finite differences, cases worked out by hand, and equivalences between its options."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fastrnn import reference
from tests.support.variants import MODES, VARIANTS, all_modes, all_variants, assert_gradcheck, assert_same, make_problem

SMALL = {"hidden": 3, "inputs": 2, "batch": 4, "steps": 4}
EXACT = 1e-13  # two float64 orders of the same few operations
BY_ID = {v.id: v for v in VARIANTS}


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


@all_modes
@all_variants
def test_gradients_match_finite_differences(variant, mode):
    assert_gradcheck(make_problem(variant, **SMALL, mode=mode), reference, tol=1e-8)


@all_variants
def test_cell_gradients_match_finite_differences(variant):
    problem = make_problem(variant, **{**SMALL, "steps": 1})
    x, *states = problem.arrays["x"][0], *(problem.arrays[s][0] for s in variant.states)
    arguments = {**problem.parameters(), **dict(variant.options)}
    *_, cache = variant.function(reference, "cell")(
        x, **arguments, **dict(zip(variant.states, states, strict=True)), training=True
    )
    *_, expected_cache = problem.forward(reference, training=True)
    assert_same(problem.backward(reference, cache), problem.backward(reference, expected_cache))


# One unit, one input, one step, T = B = I = H = 1: every number below is written out from the papers' equations.
X, H0, C0 = 0.7, -0.4, 0.3


def scalars(*values: float) -> np.ndarray:
    return np.array(values)[:, np.newaxis]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("tanh", math.tanh(0.5 * X + 0.1 - 0.25 * H0 + 0.2)),
        ("sigmoid", sigmoid(0.5 * X + 0.1 - 0.25 * H0 + 0.2)),
        ("identity", 0.5 * X + 0.1 - 0.25 * H0 + 0.2),
        ("relu", 0.5 * X + 0.1 - 0.25 * H0 + 0.2),
    ],
)
def test_rnn_by_hand(activation, expected):
    h = reference.rnn_cell(
        [[X]], scalars(0.5), scalars(-0.25), np.array([0.1]), np.array([0.2]), np.array([[H0]]), activation=activation
    )
    assert h[0, 0] == pytest.approx(expected, rel=EXACT)


def test_relu_is_zero_below_zero():
    h, cache = reference.rnn_cell([[-X]], scalars(0.5), scalars(0.0), activation="relu", training=True)
    assert h[0, 0] == 0
    assert reference.rnn_backward(np.ones((1, 1, 1)), cache).x == 0


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("peephole_output", ["current", "previous"])
def test_lstm_by_hand(peephole_output, coupled):
    w_ih, w_hh, b = (0.5, -0.6, 0.7, 0.8), (0.1, 0.2, -0.3, 0.4), (0.01, 0.02, 0.03, 0.04)
    p_i, p_f, p_o = 0.9, -0.8, 0.6
    a_i, a_f, a_g, a_o = (w * X + r * H0 + b for w, r, b in zip(w_ih, w_hh, b, strict=True))
    i = sigmoid(a_i + p_i * C0)
    f = 1 - i if coupled else sigmoid(a_f + p_f * C0)
    c = f * C0 + i * math.tanh(a_g)
    o = sigmoid(a_o + p_o * (c if peephole_output == "current" else C0))
    state = reference.lstm_cell(
        [[X]], scalars(*w_ih), scalars(*w_hh), np.array(b), None, np.array([[H0]]), np.array([[C0]]),
        w_peep=scalars(p_i, p_f, p_o), peephole_output=peephole_output, coupled=coupled,
    )  # fmt: skip
    assert state.c[0, 0] == pytest.approx(c, rel=EXACT)
    assert state.h[0, 0] == pytest.approx(o * math.tanh(c), rel=EXACT)


@pytest.mark.parametrize("reset", ["after", "before", "output"])
def test_gru_by_hand(reset):
    w, u, b_ih, b_hh = (0.5, -0.6, 0.7), (0.1, 0.2, -0.3), (0.01, 0.02, 0.03), (-0.04, 0.05, 0.06)
    r = sigmoid(0.5 * X + 0.01 + 0.1 * H0 - 0.04)
    z = sigmoid(-0.6 * X + 0.02 + 0.2 * H0 + 0.05)
    expected = {
        "after": (1 - z) * math.tanh(0.7 * X + 0.03 + r * (-0.3 * H0 + 0.06)) + z * H0,
        "before": (1 - z) * math.tanh(0.7 * X + 0.03 - 0.3 * (r * H0) + 0.06) + z * H0,
        "output": (1 - z) * H0 + r * math.tanh(0.7 * X + 0.03 - 0.3 * H0 + 0.06),
    }[reset]
    h = reference.gru_cell(
        [[X]], scalars(*w), scalars(*u), np.array(b_ih), np.array(b_hh), np.array([[H0]]), reset=reset
    )
    assert h[0, 0] == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("coupled", ["", "-coupled"])
@pytest.mark.parametrize("output", ["current", "previous"])
def test_full_peepholes_with_diagonal_matrices_are_diagonal_peepholes(output, coupled):
    problem = make_problem(BY_ID[f"lstm-diagonal-{output}{coupled}"], **SMALL)
    diagonal = problem.arrays["w_peep"]
    *result, cache = problem.forward(reference, training=True)
    *result_full, cache_full = problem.forward(
        reference, training=True, w_peep=np.array([np.diag(p) for p in diagonal])
    )
    for a, b in zip(result, result_full, strict=True):
        np.testing.assert_allclose(a, b, rtol=EXACT, atol=EXACT)
    grads, grads_full = problem.backward(reference, cache), problem.backward(reference, cache_full)
    np.testing.assert_allclose(np.einsum("gkk->gk", grads_full.w_peep), grads.w_peep, rtol=EXACT, atol=EXACT)


def test_zero_peepholes_are_no_peepholes():
    problem = make_problem(BY_ID["lstm-none"], **SMALL)
    expected = problem.forward(reference)
    for shape, output in itertools.product([(3, 3), (3, 3, 3)], ["current", "previous"]):
        actual = problem.forward(reference, w_peep=np.zeros(shape), peephole_output=output)
        assert_same(actual, expected)


@pytest.mark.parametrize("kind", ["none", "diagonal-current", "full-previous"])
def test_coupled_ignores_the_rows_of_f(kind):
    problem = make_problem(BY_ID[f"lstm-{kind}-coupled"], **SMALL)
    expected = problem.forward(reference)
    f_rows = slice(3, 6)
    changed = {name: a.copy() for name, a in problem.parameters().items()}
    for name, a in changed.items():
        a[1 if name == "w_peep" else f_rows] = 1e3
    assert_same(problem.forward(reference, **changed), expected)
    *_, cache = problem.forward(reference, training=True)
    grads = problem.backward(reference, cache)._asdict()
    for name in changed:
        assert not grads[name][1 if name == "w_peep" else f_rows].any()


@pytest.mark.parametrize("reverse", [False, True])
@all_variants
def test_lengths_are_separate_shorter_runs(variant, reverse):
    problem = make_problem(variant, **SMALL, mode=MODES[2])
    lengths = problem.run["lengths"]
    y, *final = problem.forward(reference, reverse=reverse)
    for row, length in enumerate(lengths):
        one = {name: problem.arrays[name][:, row : row + 1] for name in variant.states}
        x = problem.arrays["x"][:length, row : row + 1]
        y_row, *final_row = problem.forward(reference, x=x, lengths=None, reverse=reverse, **one)
        np.testing.assert_allclose(y[:length, row : row + 1], y_row, rtol=EXACT, atol=EXACT)
        assert not y[length:, row].any()
        for a, b in zip(final, final_row, strict=True):
            np.testing.assert_allclose(a[:, row : row + 1], b, rtol=EXACT, atol=EXACT)


@all_variants
def test_reverse_is_flipping_in_time(variant):
    problem = make_problem(variant, **SMALL)
    y, *final = problem.forward(reference, reverse=True)
    y_flipped, *final_flipped = problem.forward(reference, x=problem.arrays["x"][::-1])
    np.testing.assert_array_equal(y, y_flipped[::-1])
    np.testing.assert_array_equal(final, final_flipped)


@all_variants
def test_batch_first_is_a_transposition(variant):
    problem = make_problem(variant, **SMALL)
    y, *final = problem.forward(reference)
    y_first, *final_first = problem.forward(reference, x=problem.arrays["x"].swapaxes(0, 1), batch_first=True)
    np.testing.assert_array_equal(y, y_first.swapaxes(0, 1))
    np.testing.assert_array_equal(final, final_first)


@all_variants
def test_float32_stays_float32_and_is_close(variant):
    problem = make_problem(variant, **SMALL)
    *result, cache = problem.forward(reference, dtype="float32", training=True)
    grads = [g for g in problem.backward(reference, cache) if g is not None]
    assert {a.dtype for a in (*result, *grads)} == {np.dtype("float32")}
    for a, b in zip(result, problem.forward(reference), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_sigmoid_saturates_without_warning():
    a = np.array([-np.inf, -1e4, -750.0, -30.0, 0.0, 30.0, 1e4, np.inf, np.nan])
    with np.errstate(all="raise", under="ignore"):
        values = reference.sigmoid(a)
    np.testing.assert_allclose(values[:8], [0, 0, 0, math.exp(-30), 0.5, 1, 1, 1], rtol=1e-12, atol=1e-320)
    assert np.isnan(values[8])


@pytest.mark.parametrize(
    ("forward", "option"),
    [("rnn_forward", "activation"), ("gru_forward", "reset"), ("lstm_forward", "peephole_output")],
)
def test_unknown_options_are_errors(forward, option):
    with pytest.raises(ValueError, match=f"^{option}: expected one of .*, got 'foo'$"):
        getattr(reference, forward)(np.zeros((1, 1, 1)), scalars(1.0), scalars(1.0), **{option: "foo"})
