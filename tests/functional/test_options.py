"""Every option of the cells and of a run, alone and in random combinations, on every instruction set.

tests/support/options.py has the cases. Gradients are held against finite differences of the forward functions and,
like the results, against the reference, which tests/reference holds against the equations.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from tests.support.options import COMBINATIONS, GATED, SINGLES, Case, expected_case, make_case
from tests.support.packed import forward_packed, pack
from tests.support.variants import (
    GATES,
    Problem,
    assert_gradcheck,
    assert_matches,
    assert_same,
    both_dtypes,
    make_problem,
    output_tuple,
    scaled_error,
    tolerance,
)

CASES = (*SINGLES, *COMBINATIONS)
MIDDLE = {"hidden": 17, "inputs": 5, "batch": 7, "steps": 6}
# Enough work for three threads, which calls of less than 100 us do not get.
LARGE = {"hidden": 37, "inputs": 5, "batch": 41, "steps": 12}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
every_combination = pytest.mark.parametrize("case", COMBINATIONS, ids=lambda c: c.id)


def training_run(problem: Problem, **more: object) -> tuple[tuple[object, ...], object]:
    """Outputs and gradients."""
    *outputs, cache = problem.forward(fastrnn, training=True, **more)
    return tuple(outputs), problem.backward(fastrnn, cache)


@every_case
def test_gradients_match_finite_differences(case, isa):
    """Every element of every input and parameter; H = 9 is a full vector and a remainder in every float64 kernel.

    Without truncation, which finite differences do not see; the next test has it.
    """
    problem = make_case(case, hidden=9, inputs=2, batch=3, steps=4)
    problem.run.pop("truncate", None)
    assert_gradcheck(problem, fastrnn, tol=1e-6)


@both_dtypes
@every_case
def test_matches_reference(case, dtype, isa):
    for hidden in (1, 3, 17, 33):
        sizes = {"hidden": hidden, "inputs": 5, "batch": 4, "steps": 6}
        exact, inferred, trained, grads = expected_case(case, **sizes)
        problem, where, tol = exact.astype(dtype), f"{sizes}", tolerance(dtype, **sizes)
        actual = problem.forward(fastrnn)
        *outputs, cache = problem.forward(fastrnn, training=True)
        actual_grads = problem.backward(fastrnn, cache)
        assert {a.dtype for a in (*actual, *outputs, *actual_grads) if a is not None} == {np.dtype(dtype)}
        assert_matches(actual, inferred, tol, f"inference, {where}")
        assert_matches(output_tuple(case, fastrnn)(*outputs), trained, tol, f"training, {where}")
        assert_matches(actual_grads, grads, tol, f"gradients, {where}")


@both_dtypes
@pytest.mark.parametrize("case", [c for c in CASES if not c.has_random], ids=lambda c: c.id)
def test_training_does_not_change_the_result(case, dtype, isa):
    problem = make_case(case, **MIDDLE, dtype=dtype)
    assert_same(training_run(problem)[0], problem.forward(fastrnn))


@pytest.mark.parametrize("inputs", [0, 3])
@pytest.mark.parametrize("case", [c for c in COMBINATIONS if ("batch_sizes", True) not in c.run], ids=lambda c: c.id)
def test_nothing_to_do(case, inputs, isa):
    """No step, no row, no input: no error, and the states come back."""
    for batch, steps in ((3, 0), (0, 3)):
        problem = make_case(case, hidden=5, inputs=inputs, batch=batch, steps=steps)
        (y, *final), grads = training_run(problem)
        assert y.size == 0
        for name, state in zip(case.states, final, strict=True):
            np.testing.assert_array_equal(state, problem.arrays.get(name, np.zeros_like(state)))
        for name, d in zip(case.states, list(problem.cotangents.values())[1:], strict=True):
            np.testing.assert_array_equal(grads._asdict()[name], d)
        assert not any(grads._asdict()[name].any() for name in problem.parameters())


@every_combination
def test_cache_can_be_used_twice_and_inputs_stay(case, isa):
    problem = make_case(case, **MIDDLE)
    before = make_case(case, **MIDDLE)
    *_, cache = problem.forward(fastrnn, training=True)
    assert_same(problem.backward(fastrnn, cache), problem.backward(fastrnn, cache))
    for name, value in (*before.arrays.items(), *before.run.items()):
        np.testing.assert_array_equal({**problem.arrays, **problem.run}[name], value)


# -------------------------------------------------------------------------------------------------- not by a single bit


@every_combination
def test_threads_do_not_change_a_bit(case, isa):
    problem = make_case(case, **LARGE, dtype="float32")
    *one, cache = problem.forward(fastrnn, training=True, threads=1)
    inferred, backward = problem.forward(fastrnn, threads=1), case.function(fastrnn, "backward")
    grads = backward(cache=cache, **problem.cotangents, threads=1)
    for threads in (2, 3):
        assert_same(problem.forward(fastrnn, threads=threads), inferred)
        *many, cache = problem.forward(fastrnn, training=True, threads=threads)
        assert_same(many, one)
        assert_same(backward(cache=cache, **problem.cotangents, threads=threads), grads)


def first_rows(problem: Problem, rows: int) -> Problem:
    """The problem with the first rows of its batch alone; its masks are theirs, as a mask depends on the row."""
    first, run = problem.run.get("batch_first", False), dict(problem.run)

    def cut(name: str, a: np.ndarray) -> np.ndarray:
        if "batch_sizes" in problem.run and name in ("x", "dy"):
            return a[packed_rows(problem) < rows]
        return a[:rows] if first and name in ("x", "dy", "mask", "reset_mask") else a[:, :rows]

    for name in {"mask", "reset_mask"}.intersection(run):
        run[name] = np.ascontiguousarray(cut(name, run[name]))
    if "lengths" in run:
        run["lengths"] = run["lengths"][:rows]
    if "batch_sizes" in run:
        run["batch_sizes"] = np.minimum(run["batch_sizes"], rows)
    per_row = {"x", *problem.variant.states}
    arrays = {name: cut(name, a) if name in per_row else a for name, a in problem.arrays.items()}
    return Problem(problem.variant, arrays, run, {name: cut(name, a) for name, a in problem.cotangents.items()})


def packed_rows(problem: Problem) -> np.ndarray:
    """The row of the batch of each row of packed data."""
    return np.concatenate([np.arange(n) for n in problem.run["batch_sizes"]])


@both_dtypes
@every_combination
def test_a_row_does_not_depend_on_the_rows_behind_it(case, dtype, isa):
    problem = make_case(case, **{**MIDDLE, "batch": 11}, dtype=dtype)
    (y, *final), grads = training_run(problem)
    for rows in (1, 2, 5):
        part = first_rows(problem, rows)
        outputs, part_grads = training_run(part)
        if "batch_sizes" in part.run:
            keep = packed_rows(problem) < rows
            expected, expected_dx = y[keep], grads.x[keep]
        elif "batch_first" in part.run:
            expected, expected_dx = y[:rows], grads.x[:rows]
        else:
            expected, expected_dx = y[:, :rows], grads.x[:, :rows]
        assert_same(outputs, (expected, *(a[:, :rows] for a in final)))
        np.testing.assert_array_equal(part_grads.x, expected_dx)
        for name in case.states:
            np.testing.assert_array_equal(getattr(part_grads, name), getattr(grads, name)[:, :rows], err_msg=name)


@pytest.mark.parametrize("every", [1, 2, 3, 100])
@both_dtypes
@every_combination
def test_checkpoints_change_nothing(case, dtype, every, isa):
    problem = make_case(case, **MIDDLE, dtype=dtype)
    problem.run.pop("checkpoint_every", None)
    outputs, grads = training_run(problem)
    actual, actual_grads = training_run(problem, checkpoint_every=every)
    assert_same(actual, outputs)
    assert_matches(actual_grads, grads, tolerance(dtype, **MIDDLE), f"checkpoint_every={every}")


# -------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("unit", range(4))
def test_masks_are_philox_words(unit, isa):
    """Random123's known answer for a counter and a key of zeros: a word at the threshold is kept, one below is not."""
    word = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)[unit]
    x, w_ih, w_hh = np.ones((1, 1, 4)), np.eye(4), np.zeros((4, 4))
    for threshold, kept in ((word, True), (word + 1, False)):
        rate = threshold / 2**32
        y = fastrnn.rnn_forward(x, w_ih, w_hh, activation="identity", dropout=rate, seed=0, training=True)[0]
        assert y[0, 0, unit] == (1 / (1 - rate) if kept else 0)


@pytest.mark.parametrize("case", [c for c in SINGLES if c.has_random], ids=lambda c: c.id)
def test_masks_follow_the_seed(case, isa):
    problem = make_case(case, **MIDDLE)
    first, second = training_run(problem), training_run(problem)
    assert_same((*first[0], *first[1]), (*second[0], *second[1]))
    other = problem.forward(fastrnn, training=True, seed=3)[0]
    assert (other != first[0][0]).any()
    fresh = [problem.forward(fastrnn, training=True, seed=None)[0] for _ in range(2)]
    assert (fresh[0] != fresh[1]).any()


@pytest.mark.parametrize(
    ("cell", "option"),
    [
        *((cell, option) for cell in GATES for option in ("dropout", "recurrent_dropout")),
        *((cell, "candidate_dropout") for cell in GATED),
    ],
)
def test_dropout_of_a_run_is_for_training_alone(cell, option, isa):
    problem = make_problem(next(c for c in SINGLES if c.id == f"{cell}-plain"), **MIDDLE)
    assert_same(problem.forward(fastrnn, **{option: 0.5}, seed=1), problem.forward(fastrnn))


# ------------------------------------------------------------------------------------------------- packed, and sessions


def inference_options(case: Case) -> Case:
    """The case without what only training knows."""
    weights = tuple((name, value) for name, value in case.options if name != "weight_dropout")
    return Case(case.id, case.cell, weights, case.peephole, case.arrays, case.run, case.omit)


@both_dtypes
@every_case
def test_packed_gives_the_same_bits(case, dtype, isa):
    problem = make_case(inference_options(case), **MIDDLE, dtype=dtype)
    packed = pack(problem)
    assert_same(forward_packed(problem, packed), problem.forward(fastrnn))
    *outputs, cache = forward_packed(problem, packed, training=True)
    expected, grads = training_run(problem)
    assert_same(outputs, expected)
    assert_same(problem.backward(fastrnn, cache), grads)


@pytest.mark.parametrize("case", [c for c in CASES if "weight_dropout" in dict(c.options)], ids=lambda c: c.id)
def test_weights_packed_with_dropout_are_those_of_training(case, isa):
    problem = make_case(case, **MIDDLE)
    packed = pack(problem, seed=problem.run["seed"])
    *outputs, cache = forward_packed(problem, packed, training=True)
    expected, grads = training_run(problem)
    assert_same(outputs, expected)
    assert_same(problem.backward(fastrnn, cache), grads)


@both_dtypes
@every_case
def test_session_gives_the_same_bits(case, dtype, isa):
    plain = Case(case.id, case.cell, inference_options(case).options, case.peephole, case.arrays)
    problem = make_case(plain, **MIDDLE, dtype=dtype)
    y, *final = problem.forward(fastrnn)
    session = fastrnn.Session(pack(problem), MIDDLE["batch"])
    states = tuple(problem.arrays[name][0] for name in case.states)
    session.state = states if len(states) > 1 else states[0]
    x = problem.arrays["x"]
    np.testing.assert_array_equal(session.run(x[:2]), y[:2])
    np.testing.assert_array_equal(np.stack([session.step(x_t) for x_t in x[2:]]), y[2:])
    state = session.state if len(states) > 1 else (session.state,)
    assert_same(state, [a[0] for a in final])


@both_dtypes
@every_case
def test_cell_is_a_sequence_of_one_step(case, dtype, isa):
    plain = Case(case.id, case.cell, case.options, case.peephole, case.arrays)
    problem = make_case(plain, **{**MIDDLE, "steps": 1}, dtype=dtype)
    seed = {} if case.cell == "indrnn" and not case.has_random else {"seed": 5}
    states = {name: problem.arrays[name][0] for name in case.states}
    arguments = {"x": problem.arrays["x"][0], **problem.parameters(), **states, **dict(case.options)}
    actual = case.function(fastrnn, "cell")(**arguments)
    _, *expected = problem.forward(fastrnn)
    assert_same(actual if len(states) > 1 else (actual,), [a[0] for a in expected])
    *trained, cache = case.function(fastrnn, "cell")(**arguments, training=True, **seed)
    _, *expected, expected_cache = problem.forward(fastrnn, training=True, **seed)
    assert_same(trained, [a[0] for a in expected])
    assert_same(problem.backward(fastrnn, cache), problem.backward(fastrnn, expected_cache))


LOW = [c for c in SINGLES if not c.has_random and not c.run and not c.omit]


@pytest.mark.parametrize("dtype", ["bfloat16_weights", "bfloat16", "int8"])
@pytest.mark.parametrize("case", LOW, ids=lambda c: c.id)
def test_low_precision_takes_every_option(case, dtype, isa):
    """With an error like the plain cell's, which is that of the dtype's rounding; training with it is refused."""
    problem = make_case(case, hidden=33, inputs=5, batch=4, steps=3, dtype="float32")
    packed = pack(problem, dtype=dtype)
    bound = {"bfloat16_weights": 0.02, "bfloat16": 0.03, "int8": 0.06}[dtype]
    for a, e in zip(forward_packed(problem, packed), problem.forward(fastrnn), strict=True):
        assert a.dtype == np.float32
        assert scaled_error(a, e) <= bound
    session, states = fastrnn.Session(packed, 4), [problem.arrays[name][0] for name in case.states]
    session.state = tuple(states) if len(states) > 1 else states[0]
    y = np.concatenate([session.run(problem.arrays["x"][:2]), session.step(problem.arrays["x"][2])[np.newaxis]])
    np.testing.assert_array_equal(y, forward_packed(problem, packed)[0])
    with pytest.raises(ValueError, match=r"^training: expected "):
        forward_packed(problem, packed, training=True)
