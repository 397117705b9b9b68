"""The options inside of a cell and the further cells in the reference: the equations written out a second time."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import reference
from fastrnn.reference import random
from tests.support.options import GATED, SEED, Case, make_case
from tests.support.variants import GATES, assert_same, make_problem

MIDDLE = {"hidden": 5, "inputs": 3, "batch": 4, "steps": 7}
ONE = {**MIDDLE, "steps": 1}
PLAIN = {cell: Case(cell, cell) for cell in GATES}
RESETS = tuple(Case(reset, "gru", (("reset", reset),)) for reset in ("before", "output"))
FLOAT64 = np.dtype("float64")
EXACT = {"rtol": 1e-12, "atol": 1e-13}
every_cell = pytest.mark.parametrize("cell", GATES)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def trained(problem, **more):
    """Outputs and gradients."""
    *outputs, cache = problem.forward(reference, training=True, **more)
    return outputs, problem.backward(reference, cache)


def layer_norm(v, eps=1e-5):
    return (v - v.mean(axis=-1, keepdims=True)) / np.sqrt(v.var(axis=-1, keepdims=True) + eps)


def parts(problem):
    """x of the first step, states, and both products W x and R h without their biases."""
    a = problem.arrays
    x, h = a["x"][0], a["h0"][0]
    return a, h, x @ a["w_ih"].T, h @ a["w_hh"].T


# ------------------------------------------------------------------------------------------------------ further cells


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_indrnn(activation):
    problem = make_problem(PLAIN["indrnn"], **ONE)
    a, h = problem.arrays, problem.arrays["h0"][0]
    pre = a["x"][0] @ a["w_ih"].T + a["b_ih"] + a["w_hh"] * h + a["b_hh"]
    expected = np.tanh(pre) if activation == "tanh" else np.maximum(pre, 0)
    np.testing.assert_allclose(problem.forward(reference, activation=activation).y[0], expected, **EXACT)


def test_indrnn_is_an_rnn_with_a_diagonal_matrix():
    problem = make_problem(PLAIN["indrnn"], **MIDDLE)
    outputs, grads = trained(problem)
    diagonal = {**problem.arrays, "w_hh": np.diag(problem.arrays["w_hh"])}
    *expected, cache = reference.rnn_forward(**diagonal, training=True)
    expected_grads = reference.rnn_backward(cache=cache, **problem.cotangents)
    for e, o in zip(expected, outputs, strict=True):
        np.testing.assert_allclose(o, e, **EXACT)
    np.testing.assert_allclose(grads.w_hh, np.diag(expected_grads.w_hh), **EXACT)
    np.testing.assert_allclose(grads.x, expected_grads.x, **EXACT)


def test_mgu():
    problem = make_problem(PLAIN["mgu"], **ONE)
    a, h, wx, rh = parts(problem)
    n_ = slice(5, None)
    f = sigmoid((wx + a["b_ih"] + rh + a["b_hh"])[:, :5])
    n = np.tanh(wx[:, n_] + a["b_ih"][n_] + (f * h) @ a["w_hh"][n_].T + a["b_hh"][n_])
    np.testing.assert_allclose(problem.forward(reference).y[0], (1 - f) * h + f * n, **EXACT)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exp"])
def test_slstm_is_its_unstabilised_equations(forget_gate):
    """From zero states m drops out: c' = f*c + e^a_i*z, n' = f*n + e^a_i, h' = o*c'/n'; m is the log of its scale."""
    problem = make_problem(PLAIN["slstm"], **MIDDLE)
    zero = dict.fromkeys(("h0", "c0", "n0", "m0"))
    y, h_n, c_n, n_n, m_n = problem.forward(reference, forget_gate=forget_gate, **zero)
    a = problem.arrays
    h = c = n = np.zeros((4, 5))
    for t, x in enumerate(a["x"]):
        pre = x @ a["w_ih"].T + a["b_ih"] + h @ a["w_hh"].T + a["b_hh"]
        a_i, a_f, a_z, a_o = np.split(pre, 4, axis=1)
        f = np.exp(a_f) if forget_gate == "exp" else sigmoid(a_f)
        c, n = f * c + np.exp(a_i) * np.tanh(a_z), f * n + np.exp(a_i)
        h = sigmoid(a_o) * c / n
        np.testing.assert_allclose(y[t], h, **EXACT)
    np.testing.assert_allclose(h_n[0], h, **EXACT)
    np.testing.assert_allclose(c_n[0] * np.exp(m_n[0]), c, rtol=1e-11)
    np.testing.assert_allclose(n_n[0] * np.exp(m_n[0]), n, rtol=1e-11)


def test_slstm_stabiliser_keeps_enormous_gates_finite():
    problem = make_problem(PLAIN["slstm"], **MIDDLE)
    x = 1e5 * problem.arrays["x"]
    for forget_gate in ("sigmoid", "exp"):
        outputs, grads = trained(problem, x=x, forget_gate=forget_gate)
        assert all(np.isfinite(a).all() for a in (*outputs, *grads))


def test_slstm_takes_the_larger_scale_and_that_of_the_input_where_nothing_is_remembered():
    problem = make_problem(PLAIN["slstm"], **ONE)
    a, _, wx, rh = parts(problem)
    a_i, a_f, _, _ = np.split(wx + a["b_ih"] + rh + a["b_hh"], 4, axis=1)
    kept = np.log(sigmoid(a_f)) + a["m0"][0]
    assert ((kept > a_i).any(), (kept < a_i).any()) == (True, True)
    np.testing.assert_allclose(problem.forward(reference).m_n[0], np.maximum(kept, a_i), **EXACT)
    empty = problem.forward(reference, n0=None)
    np.testing.assert_allclose(empty.m_n[0], a_i, **EXACT)
    np.testing.assert_allclose(empty.n_n[0], 1, **EXACT)


# ------------------------------------------------------------------------------------------------- inside of the cells


def test_lstm_with_everything_elementwise():
    case = Case("everything", "lstm", peephole="diagonal", arrays=("w_hr",))
    problem = make_case(case, **ONE)
    a, h, wx, rh = parts(problem)
    c, p = a["c0"][0], a["w_peep"]
    a_i, a_f, a_g, a_o = np.split(wx + a["b_ih"] + rh + a["b_hh"], 4, axis=1)

    def gate(v):
        return np.clip(0.3 * np.clip(v, -0.15, 0.15) + 0.4, 0, 1)

    i, f = gate(a_i + p[0] * c), gate(a_f + p[1] * c + 0.5)
    g = np.clip(a_g, -0.15, 0.15) / (1 + np.abs(np.clip(a_g, -0.15, 0.15)))
    c_new = np.clip(f * c + i * g, -0.2, 0.2)
    o = gate(a_o + p[2] * c_new)
    h_new = np.clip((o * np.maximum(c_new, 0)) @ a["w_hr"].T, -0.05, 0.05)
    actual = problem.forward(
        reference, activation="softsign", recurrent_activation=("hard_sigmoid", 0.3, 0.4), output_activation="relu",
        clip=0.15, cell_clip=0.2, forget_bias=0.5, proj_clip=0.05, zoneout_h=0.25, zoneout_c=0.4,
    )  # fmt: skip
    np.testing.assert_allclose(actual.h_n[0], h + 0.75 * (h_new - h), **EXACT)
    np.testing.assert_allclose(actual.c_n[0], c + 0.6 * (c_new - c), **EXACT)
    assert ((np.abs(h_new) == 0.05).any(), (np.abs(c_new) == 0.2).any()) == (True, True)


def test_output_activation_is_that_of_the_candidate_unless_given():
    problem = make_problem(PLAIN["lstm"], **MIDDLE)
    same = problem.forward(reference, activation="softsign", output_activation="softsign")
    assert_same(problem.forward(reference, activation="softsign"), same)
    assert (problem.forward(reference, activation="softsign", output_activation="tanh").y != same.y).any()


def test_a_projection_by_the_identity_is_none():
    problem = make_problem(PLAIN["lstm"], **MIDDLE)
    outputs, grads = trained(problem)
    projected, projected_grads = trained(problem, w_hr=np.eye(5))
    for a, e in zip(projected, outputs, strict=True):
        np.testing.assert_allclose(a, e, **EXACT)
    np.testing.assert_allclose(projected_grads.w_hh, grads.w_hh, **EXACT)


@pytest.mark.parametrize("cell_norm", [False, True])
def test_lstm_normalised(cell_norm):
    case = Case("norm", "lstm", arrays=("ln_ih", "ln_hh", *["ln_c"] * cell_norm))
    problem = make_case(case, **ONE)
    a, _, wx, rh = parts(problem)
    pre = layer_norm(wx) * a["ln_ih"] + a["b_ih"] + layer_norm(rh) * a["ln_hh"] + a["b_hh"]
    i, f, g, o = np.split(pre, 4, axis=1)
    c = sigmoid(f) * a["c0"][0] + sigmoid(i) * np.tanh(g)
    s = layer_norm(c) * a["ln_c"][0] + a["ln_c"][1] if cell_norm else c
    actual = problem.forward(reference)
    np.testing.assert_allclose(actual.h_n[0], sigmoid(o) * np.tanh(s), **EXACT)
    np.testing.assert_allclose(actual.c_n[0], c, **EXACT)


@pytest.mark.parametrize("reset", ["after", "before", "output"])
def test_gru_normalised(reset):
    problem = make_case(Case("norm", "gru", arrays=("ln_ih", "ln_hh")), **ONE)
    a, h, wx, rh = parts(problem)
    rz, n_ = slice(0, 10), slice(10, 15)
    eps = 0.01

    def side(v, part, gain, bias):
        return layer_norm(v, eps) * a[gain][part] + a[bias][part]

    r, z = np.split(sigmoid(side(wx[:, rz], rz, "ln_ih", "b_ih") + side(rh[:, rz], rz, "ln_hh", "b_hh")), 2, axis=1)
    q = side((r * h) @ a["w_hh"][n_].T if reset == "before" else rh[:, n_], n_, "ln_hh", "b_hh")
    n = np.tanh(side(wx[:, n_], n_, "ln_ih", "b_ih") + (r * q if reset == "after" else q))
    expected = (1 - z) * h + r * n if reset == "output" else (1 - z) * n + z * h
    np.testing.assert_allclose(problem.forward(reference, reset=reset, norm_eps=eps).y[0], expected, **EXACT)


def test_rnn_normalised():
    problem = make_case(Case("norm", "rnn", arrays=("ln_hh",)), **ONE)
    a, _, wx, rh = parts(problem)
    expected = np.tanh(layer_norm(wx + rh) * a["ln_hh"] + a["b_ih"] + a["b_hh"])
    np.testing.assert_allclose(problem.forward(reference).y[0], expected, **EXACT)


# ------------------------------------------------------------------------------------------------------------- dropout


@every_cell
def test_dropout_of_x_is_another_x(cell):
    problem = make_problem(PLAIN[cell], **MIDDLE)
    mask = reference.dropout(SEED, 2, "dropout", 0.4, np.arange(4), 3, FLOAT64)
    outputs, grads = trained(problem, dropout=0.4, seed=SEED, stream=2)
    expected, expected_grads = trained(problem, x=problem.arrays["x"] * mask)
    assert_same(outputs, expected)
    assert_same(grads[1:], expected_grads[1:])
    np.testing.assert_array_equal(grads.x, expected_grads.x * mask)


@pytest.mark.parametrize("case", [*PLAIN.values(), *RESETS], ids=lambda c: c.id)
def test_recurrent_dropout_of_one_row_is_another_w_hh(case):
    """Its columns are dropped; that is so for R (r*h) and R (f*h) too."""
    problem = make_problem(case, **{**MIDDLE, "batch": 1})
    mask = reference.dropout(SEED, 0, "recurrent_dropout", 0.4, np.arange(1), 5, FLOAT64)[0]
    outputs, grads = trained(problem, recurrent_dropout=0.4, seed=SEED)
    expected, expected_grads = trained(problem, w_hh=problem.arrays["w_hh"] * mask)
    for a, e in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(a, e, **EXACT)
    np.testing.assert_allclose(grads.w_hh, expected_grads.w_hh * mask, **EXACT)
    np.testing.assert_allclose(grads.h0, expected_grads.h0, **EXACT)


@pytest.mark.parametrize("cell", [cell for cell in GATES if cell != "indrnn"])
def test_weight_dropout_is_another_w_hh(cell):
    problem = make_problem(PLAIN[cell], **MIDDLE)
    rows = len(problem.arrays["w_hh"])
    mask = reference.dropout(SEED, 0, "weight_dropout", 0.4, np.arange(rows), 5, FLOAT64)
    outputs, grads = trained(problem, weight_dropout=0.4, seed=SEED)
    expected, expected_grads = trained(problem, w_hh=problem.arrays["w_hh"] * mask)
    assert_same(outputs, expected)
    np.testing.assert_array_equal(grads.w_hh, expected_grads.w_hh * mask)
    assert_same(problem.forward(reference, weight_dropout=0.4, seed=SEED), problem.forward(reference))


@pytest.mark.parametrize("case", [*(PLAIN[c] for c in GATED), *RESETS], ids=lambda c: c.id)
def test_candidate_dropout_mixes_with_no_candidate(case):
    """c' and h' are linear in d(g), d(n): between a relu that is nowhere open, and the plain step."""
    problem = make_problem(case, **ONE)
    mask = reference.dropout(SEED, 0, "candidate_dropout", 0.4, np.arange(4), 5, FLOAT64)
    closed = problem.arrays["b_ih"].copy()
    gates = GATES[case.cell]
    closed.reshape(gates, 5)[2 if case.cell == "lstm" else gates - 1] = -100
    without = problem.forward(reference, activation="relu", b_ih=closed)[-1]
    plain = problem.forward(reference, activation="relu")[-1]
    *_, dropped, _ = problem.forward(reference, activation="relu", candidate_dropout=0.4, seed=SEED, training=True)
    np.testing.assert_allclose(dropped, without + mask * (plain - without), **EXACT)
    assert (plain != without).any()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", [cell for cell in GATES if cell != "slstm"])
def test_zoneout_keeps_units_in_training(cell, reverse):
    """At each step a unit is as before, or as a step without zoneout makes it; t is the time whatever the order."""
    problem = make_problem(PLAIN[cell], **MIDDLE)
    more = {"zoneout_h": 0.4} | ({"zoneout_c": 0.3} if cell == "lstm" else {})
    y, *final = problem.forward(reference, training=True, seed=SEED, reverse=reverse, **more)[:-1]
    states = {name: problem.arrays[name] for name in problem.variant.states}
    for t in range(7)[:: -1 if reverse else 1]:
        _, *plain = problem.forward(reference, x=problem.arrays["x"][t : t + 1], **states)
        _, *mean = problem.forward(reference, x=problem.arrays["x"][t : t + 1], **states, **more)
        for (name, old), new, average in zip(states.items(), plain, mean, strict=True):
            rate = more[f"zoneout_{name[0]}"]
            np.testing.assert_allclose(average, old + (1 - rate) * (new - old), **EXACT)
            kept = random.kept(SEED, 0, f"zoneout_{name[0]}", rate, np.arange(4), 5, t)
            states = {**states, name: np.where(kept, new, old)}
        np.testing.assert_allclose(y[t], states["h0"][0], **EXACT)
    for f, state in zip(final, states.values(), strict=True):
        np.testing.assert_allclose(f, state, **EXACT)
