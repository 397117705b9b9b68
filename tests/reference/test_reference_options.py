"""The reference with every option: finite differences, equations written out again, and detours to the same result."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fastrnn import reference
from fastrnn.reference import random
from tests.support.options import ACTIVATIONS, COMBINATIONS, GATED, SEED, SINGLES, Case, make_case
from tests.support.variants import GATES, Problem, assert_gradcheck, assert_same, make_problem

SMALL = {"hidden": 3, "inputs": 2, "batch": 3, "steps": 3}
MIDDLE = {"hidden": 5, "inputs": 3, "batch": 4, "steps": 7}
CASES = (*SINGLES, *COMBINATIONS)
PLAIN = {cell: Case(cell, cell) for cell in GATES}
EXACT = {"rtol": 1e-12, "atol": 1e-13}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
every_cell = pytest.mark.parametrize("cell", GATES)
reversing = pytest.mark.parametrize("reverse", [False, True])


def trained(problem, **more):
    """Outputs and gradients."""
    *outputs, cache = problem.forward(reference, training=True, **more)
    return outputs, problem.backward(reference, cache)


def assert_close(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, **EXACT)


@every_case
def test_gradients_match_finite_differences(case):
    problem = make_case(case, **SMALL)
    problem.run.pop("truncate", None)
    assert_gradcheck(problem, reference, tol=1e-6)


@every_case
def test_float32_stays_float32_and_is_close(case):
    problem = make_case(case, **MIDDLE)
    outputs, grads = trained(problem, dtype="float32")
    exact, exact_grads = trained(problem)
    for a, e in zip((*outputs, *grads), (*exact, *exact_grads), strict=True):
        if e is not None:
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, e, rtol=0, atol=2e-5 * max(1, np.abs(e).max(initial=0)))


# --------------------------------------------------------------------------------------------------------- random masks


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known answers that come with Random123
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_known_answers(counter, key, expected):
    assert " ".join(f"{word:08x}" for word in reference.philox4x32(counter, key)) == expected


KINDS = ["dropout", "recurrent_dropout", "candidate_dropout", "zoneout_h", "zoneout_c", "weight_dropout"]


@pytest.mark.parametrize(("number", "kind"), [*enumerate(KINDS), (6, "between_layers")])
def test_masks_are_the_words_of_their_places(number, kind):
    kept = random.kept((7 << 32) + 5, 3, kind, 0.3, np.array([4, 1]), 6, t=9)
    words = [reference.philox4x32([[u // 4, row, 9, 3 * 8 + number] for u in range(6)], (5, 7)) for row in (4, 1)]
    expected = [[word[u % 4] >= math.floor(0.3 * 2**32) for u, word in enumerate(row)] for row in words]
    np.testing.assert_array_equal(kept, expected)


def test_a_word_at_the_threshold_is_kept():
    """The first word of the first known answer above."""
    for word, expected in ((0x6627E8D5, True), (0x6627E8D6, False)):
        assert random.kept(0, 0, "dropout", word / 2**32, np.arange(1), 1)[0, 0] == expected


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_the_mean(rate):
    mask = reference.dropout(SEED, 0, "dropout", rate, np.arange(100), 1000, np.dtype("float64"))
    assert set(np.unique(mask)) == {0.0, 1 / (1 - rate)}
    assert (mask > 0).mean() == pytest.approx(1 - rate, abs=0.005)


def test_no_seed_is_a_fresh_one():
    problem = make_problem(PLAIN["rnn"], **MIDDLE)
    results = [problem.forward(reference, training=True, dropout=0.5)[0] for _ in range(2)]
    assert (results[0] != results[1]).any()


# ---------------------------------------------------------------------------------------------------------- activations


FORMULAS = {
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "relu": lambda x: max(x, 0),
    "linear": lambda x: x,
    "identity": lambda x: x,
    "leaky_relu": lambda x, alpha=0.01: x if x > 0 else alpha * x,
    "elu": lambda x, alpha=1.0: x if x > 0 else alpha * (math.exp(x) - 1),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "softsign": lambda x: x / (1 + abs(x)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "hard_sigmoid": lambda x, alpha=0.2, beta=0.5: min(max(alpha * x + beta, 0), 1),
    "scaled_tanh": lambda x, alpha=1.0, beta=1.0: alpha * math.tanh(beta * x),
    "thresholded_relu": lambda x, alpha=1.0: x if x > alpha else 0,
    "affine": lambda x, alpha=1.0, beta=0.0: alpha * x + beta,
    "exponential": math.exp,
}


@pytest.mark.parametrize("choice", [*ACTIVATIONS, "identity", "thresholded_relu", ("hard_sigmoid", 0.5)], ids=str)
def test_activations_by_their_formulas(choice):
    """Through a network of one unit; its gradient to x is the slope. No name is left out."""
    assert FORMULAS.keys() == reference.ACTIVATIONS.keys()
    name, *parameters = (choice,) if isinstance(choice, str) else choice
    f = FORMULAS[name]
    one = np.ones((1, 1))
    for x in (-4.0, -1.2, -0.3, 0.05, 0.2, 1.7, 3.0):
        y, _, cache = reference.rnn_forward(np.full((1, 1, 1), x), one, 0 * one, activation=choice, training=True)
        assert y[0, 0, 0] == pytest.approx(f(x, *parameters), rel=1e-12, abs=1e-15)
        slope = (f(x + 1e-6, *parameters) - f(x - 1e-6, *parameters)) / 2e-6
        assert reference.rnn_backward(np.ones((1, 1, 1)), cache).x[0, 0, 0] == pytest.approx(slope, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ({"activation": "foo"}, "activation"), ({"activation": ("elu", 1.0, 2.0)}, "activation"),
        ({"activation": ("elu", 0.0)}, "activation"), ({"activation": ("thresholded_relu", -1.0)}, "activation"),
        ({"clip": 0.0}, "clip"), ({"zoneout_h": 1.0}, "zoneout_h"), ({"truncate": 0}, "truncate"),
        ({"checkpoint_every": 0}, "checkpoint_every"), ({"training": True, "seed": -1}, "seed"),
        ({"mask": np.ones((1, 1), bool), "lengths": [1]}, "mask"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_values_of_options_are_errors(call, named):
    one = np.ones((1, 1))
    with pytest.raises(ValueError, match=f"^{named}: expected "):
        reference.rnn_forward(np.ones((1, 1, 1)), one, one, **call)


@every_cell
def test_unknown_options_are_errors(cell):
    with pytest.raises(TypeError, match=rf"^{cell}_forward: unknown keyword 'foo'$"):
        make_problem(PLAIN[cell], **SMALL).forward(reference, foo=1)


# -------------------------------------------------------------------------------------- which steps run, and in between


@reversing
@every_cell
def test_a_masked_step_is_left_out(cell, reverse):
    """Row by row, the steps that are not masked are a shorter sequence."""
    problem = make_case(Case("m", cell, run=(("mask", True), ("reverse", reverse))), **MIDDLE)
    mask = problem.run["mask"]
    y, *final = problem.forward(reference)
    zeroed = problem.forward(reference, zero_output_for_mask=True).y
    for b in range(mask.shape[1]):
        there = mask[:, b]
        rows = {name: problem.arrays[name][:, b : b + 1] for name in problem.variant.states}
        short, *short_final = problem.forward(reference, x=problem.arrays["x"][there, b : b + 1], mask=None, **rows)
        assert_close([y[there, b], *(f[:, b : b + 1] for f in final)], [short[:, 0], *short_final])
        assert_close([zeroed[there, b]], [short[:, 0]])
        assert not zeroed[~there, b].any()
        latest = np.zeros(y.shape[2])
        for t in range(len(y))[:: -1 if reverse else 1]:
            latest = y[t, b] if there[t] else latest
            np.testing.assert_array_equal(y[t, b], latest)


@reversing
@every_cell
def test_a_reset_begins_another_sequence(cell, reverse):
    """Row by row, the pieces between the flags are sequences of their own; only the first to run has the states given.

    The last to run has the final state. Flags beyond a row's length mean nothing.
    """
    run = (("reset_mask", True), ("lengths", True), ("reverse", reverse))
    problem = make_case(Case("r", cell, run=run), **MIDDLE)
    flags, (y, *final) = problem.run["reset_mask"], problem.forward(reference)
    for b, length in enumerate(problem.run["lengths"]):
        rows = {name: problem.arrays[name][:, b : b + 1] for name in problem.variant.states}
        cuts = [t for t in range(length) if flags[t, b]]
        edges = sorted({0, length, *cuts})
        pieces = list(itertools.pairwise(edges))[:: -1 if reverse else 1]
        state = rows
        for first, end in pieces:
            begins = (end in cuts) if reverse else (first in cuts)
            state = dict.fromkeys(rows) if begins else state
            piece, *after = problem.forward(
                reference, x=problem.arrays["x"][first:end, b : b + 1], lengths=None, reset_mask=None, **state
            )
            assert_close([y[first:end, b]], [piece[:, 0]])
            state = dict(zip(rows, after, strict=True))
        assert_close([f[:, b : b + 1] for f in final], list(state.values()))


@reversing
@every_cell
def test_packed_data_is_a_batch_with_lengths(cell, reverse):
    """With every kind of dropout on: the row of the batch is the same, and so are the masks."""
    more = {"seed": 3, "dropout": 0.3, "recurrent_dropout": 0.3, "reverse": reverse}
    more |= {"candidate_dropout": 0.3} if cell in GATED else {}
    problem = make_problem(PLAIN[cell], **MIDDLE)
    lengths = np.array([7, 5, 5, 2])
    sizes = (np.arange(7)[:, np.newaxis] < lengths).sum(axis=1)
    there = np.arange(4) < sizes[:, np.newaxis]
    (y, *final), grads = trained(problem, lengths=lengths, **more)
    arrays, cotangents = problem.arrays, problem.cotangents
    arrays, cotangents = {**arrays, "x": arrays["x"][there]}, {**cotangents, "dy": cotangents["dy"][there]}
    packed = Problem(PLAIN[cell], arrays, {}, cotangents)
    (packed_y, *packed_final), packed_grads = trained(packed, batch_sizes=sizes, **more)
    assert_same([packed_y, *packed_final], [y[there], *final])
    assert_same(packed_grads[1:], grads[1:])
    np.testing.assert_array_equal(packed_grads.x, grads.x[there])


@pytest.mark.parametrize(
    "case", [c for c in CASES if not {"batch_first", "batch_sizes"}.intersection(dict(c.run))], ids=lambda c: c.id
)
def test_batch_first_is_a_transposition(case):
    problem = make_case(case, **MIDDLE)
    turned = {n: problem.run[n].T for n in ("mask", "reset_mask") if n in problem.run}
    arrays = {**problem.arrays, "x": problem.arrays["x"].swapaxes(0, 1)}
    cotangents = {**problem.cotangents, "dy": problem.cotangents["dy"].swapaxes(0, 1)}
    first = Problem(case, arrays, {**problem.run, **turned, "batch_first": True}, cotangents)
    ((y, *final), grads), ((y_first, *final_first), grads_first) = trained(problem), trained(first)
    assert_same([y_first.swapaxes(0, 1), *final_first], [y, *final])
    assert_same([grads_first.x.swapaxes(0, 1), *grads_first[1:]], grads)


@every_cell
def test_checkpoints_and_a_late_truncation_change_nothing(cell):
    problem = make_problem(PLAIN[cell], **MIDDLE)
    outputs, grads = trained(problem)
    for more in ({"checkpoint_every": 2}, {"truncate": 7}, {"truncate": 100}):
        actual, actual_grads = trained(problem, **more)
        assert_same((*actual, *actual_grads), (*outputs, *grads))


@pytest.mark.parametrize("k", [1, 3])
@reversing
@every_cell
def test_truncation_cuts_into_runs_that_share_states_alone(cell, reverse, k):
    """Pieces of k steps in running order, each from the state the one before ended with; their gradients add up.

    The gradients to the final states reach the last piece alone, and those of the initial ones come from the first.
    """
    problem = make_problem(PLAIN[cell], **MIDDLE)
    outputs, grads = trained(problem, truncate=k, reverse=reverse)
    steps = MIDDLE["steps"]
    spans = [slice(max(steps - s - k, 0), steps - s) if reverse else slice(s, s + k) for s in range(0, steps, k)]
    states = {name: problem.arrays[name] for name in problem.variant.states}
    total, first = {}, None
    for n, span in enumerate(spans):
        last = n == len(spans) - 1
        cotangents = {name: d if last else 0 * d for name, d in problem.cotangents.items()}
        cotangents["dy"] = problem.cotangents["dy"][span]
        piece = Problem(PLAIN[cell], {**problem.arrays, **states, "x": problem.arrays["x"][span]}, {}, cotangents)
        (y, *final), piece_grads = trained(piece, reverse=reverse)
        assert_close([outputs[0][span], grads.x[span]], [y, piece_grads.x])
        states = dict(zip(problem.variant.states, final, strict=True))
        first = first or piece_grads
        for name in problem.parameters():
            total[name] = total.get(name, 0) + getattr(piece_grads, name)
    for name, d in total.items():
        np.testing.assert_allclose(getattr(grads, name), d, **EXACT)
    for name in problem.variant.states:
        np.testing.assert_allclose(getattr(grads, name), getattr(first, name), **EXACT)


@pytest.mark.parametrize("place", ["lengths", "mask"])
def test_truncation_counts_the_steps_of_a_row(place):
    """Not those of the batch: a row that begins late in running order, or was masked, is cut at its own k-th step."""
    problem = make_problem(PLAIN["lstm"], **MIDDLE)
    mask = np.random.default_rng(0).random((7, 4)) < 0.7
    lengths = np.array([7, 5, 3, 0])
    there = mask if place == "mask" else np.arange(7)[:, np.newaxis] < lengths
    more = {"mask": mask, "zero_output_for_mask": True} if place == "mask" else {"lengths": lengths}
    grads = trained(problem, reverse=True, truncate=2, **more)[1]
    for b in range(4):
        rows = slice(b, b + 1)
        one = {n: a[:, rows] if n in ("x", "h0", "c0") else a for n, a in problem.arrays.items()}
        cotangents = {n: d[:, rows] for n, d in problem.cotangents.items()}
        one["x"], cotangents["dy"] = one["x"][there[:, b]], cotangents["dy"][there[:, b]]
        alone = trained(Problem(PLAIN["lstm"], one, {}, cotangents), reverse=True, truncate=2)[1]
        assert_close([grads.x[there[:, b], rows], grads.h0[:, rows]], [alone.x, alone.h0])
