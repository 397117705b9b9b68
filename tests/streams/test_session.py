"""Session: a stream that keeps its state. That its results are those of one call, test_invariance.py shows."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.packed import forward_packed, pack
from tests.support.sessions import LSTM, RNN, B, H, I, both_dtypes, new_session, problem_of, states_of, zeros
from tests.support.variants import Problem, assert_same, make_problem, some_variants


def test_describes_itself():
    weights = pack(problem_of())
    session = fastrnn.Session(weights, 3)
    assert (session.batch, repr(session.weights)) == (3, repr(weights))
    assert fastrnn.Session(weights).batch == 1
    assert fastrnn.Session(weights, 100).nbytes > session.nbytes > 2 * 3 * H * 4


# ------------------------------------------------------------------------------------------------------------ the state


@both_dtypes
@some_variants
def test_state_begins_and_resets_to_zero(variant, dtype, isa):
    problem = problem_of(variant, dtype=dtype)
    session = new_session(variant, dtype=dtype)
    for state in states_of(session):
        np.testing.assert_array_equal(state, np.zeros((B, H), dtype), strict=True)
    first = session.run(problem.arrays["x"])
    assert all(state.any() for state in states_of(session))
    session.reset()
    assert not any(state.any() for state in states_of(session))
    np.testing.assert_array_equal(session.run(problem.arrays["x"]), first)


@both_dtypes
@some_variants
def test_state_is_what_a_call_ends_with(variant, dtype, isa):
    problem = problem_of(variant, dtype=dtype)
    zeros = Problem(variant, {n: a for n, a in problem.arrays.items() if n not in variant.states}, {})
    _, *final = forward_packed(zeros, pack(problem))
    session = new_session(variant, dtype=dtype)
    session.run(problem.arrays["x"])
    assert_same(states_of(session), [a[0] for a in final])


@both_dtypes
@some_variants
def test_state_moves_a_stream_to_another_session(variant, dtype, isa):
    x = problem_of(variant, dtype=dtype, steps=6).arrays["x"]
    one, other = new_session(variant, dtype=dtype), new_session(variant, dtype=dtype)
    one.run(x[:3])
    other.state = one.state
    assert_same(states_of(other), states_of(one))
    np.testing.assert_array_equal(other.run(x[3:]), one.run(x[3:]))


@both_dtypes
@some_variants
def test_steps_and_runs_take_turns(variant, dtype, isa):
    """Single steps and runs may follow each other in any order: both go on from the same state."""
    x = problem_of(variant, dtype=dtype, steps=9).arrays["x"]
    turns, runs = new_session(variant, dtype=dtype), new_session(variant, dtype=dtype)
    for first, last in ((0, 1), (1, 2), (2, 4), (4, 5), (5, 8), (8, 9)):
        y = turns.step(x[first])[None] if last == first + 1 else turns.run(x[first:last])
        np.testing.assert_array_equal(y, runs.run(x[first:last]))
        assert_same(states_of(turns), states_of(runs))
        turns.state = turns.state


def test_state_is_a_copy():
    session = new_session()
    x = problem_of().arrays["x"]
    session.step(x[0])
    before = session.state
    given = tuple(a.copy() for a in before)
    session.state = given
    for array in (*session.state, *given):
        array[...] = 7
    assert_same(session.state, before)


def test_none_sets_zeros():
    session = new_session()
    h, c = np.ones((2, B, H), np.float32)
    session.state = (h, None)
    assert_same(session.state, (h, np.zeros_like(c)))
    session.state = (None, c)
    assert_same(session.state, (np.zeros_like(h), c))
    session.state = None
    assert_same(session.state, (np.zeros_like(h), np.zeros_like(c)))
    rnn = new_session(RNN)
    rnn.state = h
    rnn.state = None
    assert not rnn.state.any()


def test_a_refused_state_leaves_the_old_one():
    session = new_session()
    h, c = np.ones((2, B, H), np.float32)
    session.state = (h, c)
    with pytest.raises(ValueError, match=r"^c: "):
        session.state = (np.zeros_like(h), c[1:])
    assert_same(session.state, (h, c))


# --------------------------------------------------------------------------------------------------------- step and run


@some_variants
def test_one_stream_takes_vectors(variant, isa):
    x = problem_of(variant, batch=1).arrays["x"]
    flat, rows = new_session(variant, batch=1), new_session(variant, batch=1)
    for x_t in x:
        y = flat.step(x_t[0])
        assert y.shape == (H,)
        np.testing.assert_array_equal(y, rows.step(x_t)[0])


@both_dtypes
def test_rows_are_streams_of_their_own(dtype, isa):
    x = problem_of(dtype=dtype).arrays["x"]
    session, alone = new_session(dtype=dtype), [new_session(batch=1, dtype=dtype) for _ in range(B)]
    for x_t in x:
        np.testing.assert_array_equal(session.step(x_t), [s.step(row) for s, row in zip(alone, x_t, strict=True)])


@both_dtypes
def test_out_receives_y(dtype, isa):
    x = problem_of(dtype=dtype).arrays["x"]
    session, plain = new_session(dtype=dtype), new_session(dtype=dtype)
    out = np.full((B, H), 7, dtype)
    assert session.step(x[0], out=out) is out
    np.testing.assert_array_equal(out, plain.step(x[0]))
    out = np.full((4, B, H), 7, dtype)
    assert session.run(x[1:], out) is out
    np.testing.assert_array_equal(out, plain.run(x[1:]))


@pytest.mark.parametrize("hidden", [H, 200], ids=["keeps the GIL", "lets it go"])
@pytest.mark.parametrize("batch", [1, B])
def test_every_way_to_call_step_is_the_same(hidden, batch):
    """The usual call has a fast path; every other form goes the general way."""
    problem = make_problem(LSTM, hidden=hidden, inputs=I, batch=batch, steps=1, dtype="float32")
    weights, x = pack(problem), problem.arrays["x"][0]

    class Derived(fastrnn.Session):
        pass

    calls = {
        "short": lambda s, out: s.step(x, out),
        "named": lambda s, out: s.step(x, out=out),
        "all named": lambda s, out: s.step(out=out, x=x),
        "new result": lambda s, out: s.step(x),
        "none": lambda s, out: s.step(x, None),
        "strided x": lambda s, out: s.step(np.repeat(x, 2, axis=1)[:, ::2], out),
        "derived": lambda s, out: s.step(x, out),
    }
    results = {}
    for name, call in calls.items():
        session = (Derived if name == "derived" else fastrnn.Session)(weights, batch)
        results[name] = [call(session, np.full((batch, hidden), 7, np.float32)) for _ in range(3)]
    for name, result in results.items():
        np.testing.assert_array_equal(result, results["none"], err_msg=name)


@pytest.mark.parametrize("arguments", [(), (1, 2, 3)])
def test_step_takes_one_argument_or_two(arguments):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        new_session().step(*arguments)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        new_session().step(zeros(B, I), y=zeros(B, H))


def test_results_are_new_arrays():
    session = new_session()
    x = problem_of().arrays["x"]
    first = session.step(x[0])
    kept = first.copy()
    session.step(x[1])[...] = 7
    np.testing.assert_array_equal(first, kept)


def test_strided_x_is_the_same_x():
    x = problem_of().arrays["x"]
    wide = np.full((5, 2 * B, 2 * I), np.nan, np.float32)[:, ::2, ::2]
    wide[...] = x
    session, plain = new_session(), new_session()
    np.testing.assert_array_equal(session.step(wide[0]), plain.step(x[0]))
    np.testing.assert_array_equal(session.run(wide[::-1]), plain.run(x[::-1].copy()))


def test_no_steps():
    session = new_session()
    session.step(np.ones((B, I), np.float32))
    before = session.state
    assert session.run(np.ones((0, B, I), np.float32)).shape == (0, B, H)
    assert_same(session.state, before)


def test_no_inputs(isa):
    problem = make_problem(LSTM, hidden=H, inputs=0, batch=1, steps=3, dtype="float32")
    session = fastrnn.Session(pack(problem))
    session.state = tuple(problem.arrays[name][0] for name in LSTM.states)
    y = np.stack([session.step(np.ones(0, np.float32)) for _ in range(3)])
    np.testing.assert_array_equal(y[:, None], forward_packed(problem, pack(problem)).y)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@some_variants
def test_nan_is_forgotten_with_the_state(variant, dtype, isa):
    """Nothing of a NaN stays in the memory that a session keeps."""
    x = problem_of(variant).arrays["x"]
    session, fresh = new_session(variant, dtype=dtype), new_session(variant, dtype=dtype)
    assert np.isnan(session.run(np.full_like(x, np.nan))).all()
    session.reset()
    np.testing.assert_array_equal(session.run(x), fresh.run(x))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bfloat16_weights", "int8"])
def test_denormals_are_flushed_and_the_callers_mode_kept(dtype, isa):
    tiny = np.float32(1e-40)
    one = np.ones((1, 1), np.float32)
    session = fastrnn.Session(fastrnn.pack_rnn(one, one, activation="identity", dtype=dtype))
    for call in (session.step, lambda x: session.run(x[None])):
        session.state = np.full((1, 1), tiny)
        assert call(np.full((1, 1), tiny)).item() == 0.0
        assert (np.array([tiny]) * np.float32(1)).view(np.uint32)  # compared as numbers, both might count as 0


# --------------------------------------------------------------------------------------------------- threads and memory


def test_a_second_thread_is_refused():
    session = fastrnn.Session(pack(make_problem(LSTM, hidden=128, inputs=I, batch=B, steps=1, dtype="float32")), B)
    x = np.ones((200, B, I), np.float32)
    errors: list[str] = []

    def work() -> None:
        for _ in range(500):  # each takes milliseconds without the GIL, so that two overlap
            if errors:
                return
            try:
                session.run(x)
            except RuntimeError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors
    assert errors[0] == "Session: in use by another thread; give each thread a session of its own"
    session.reset()
    assert not session.state[0].any()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_sessions_in_threads_share_weights(dtype):
    """Eight streams at once, each with its own input."""
    hidden = 96  # a step of this size releases the GIL
    problems = [make_problem(LSTM, hidden=hidden, inputs=I, batch=2, steps=20 + k, dtype="float32") for k in range(8)]
    packed = pack(problems[0], dtype=dtype)
    inputs = [problem.arrays["x"] for problem in problems]
    expected = [fastrnn.lstm_forward(x, packed).y for x in inputs]
    results: list[Any] = [None] * 8
    start = threading.Barrier(8)

    def work(k: int) -> None:
        start.wait()
        session = fastrnn.Session(packed, 2)
        for _ in range(5):
            session.reset()
            results[k] = np.stack([session.step(x_t) for x_t in inputs[k]])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, right in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, right)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory in use")
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_memory_does_not_grow_with_steps(dtype):
    """100,000 steps: a leak of 64 bytes each would be 6 MB."""
    session = new_session(dtype=dtype)
    x, out = np.ones((B, I), np.float32), np.empty((B, H), np.float32)

    def steps(n: int) -> None:
        for _ in range(n):
            session.step(x, out=out)

    steps(1000)
    before = resident_bytes()
    steps(100_000)
    assert resident_bytes() - before < 1 << 20

    tracemalloc.start()
    try:
        steps(10)
        traced, _ = tracemalloc.get_traced_memory()
        steps(2000)
        assert tracemalloc.get_traced_memory()[0] - traced < 2000
    finally:
        tracemalloc.stop()
