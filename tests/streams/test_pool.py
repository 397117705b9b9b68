"""StreamPool: many streams in one call, its policy, its errors. test_pool_bits.py has what it computes."""

from __future__ import annotations

import copy
import pickle
import re
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.packed import pack
from tests.support.streams import DTYPES, LSTM, H, I, bits, stack, weights_of
from tests.support.variants import VARIANTS, make_problem

# ---------------------------------------------------------------------------------------------------- many in one call


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 3, 17, 100, 200])
def test_many_streams_step_at_once(count, dtype, isa):
    """From one row to more than any tile of the kernels has and a pool takes at once, in random order."""
    weights = weights_of(dtype=dtype)
    rng = np.random.default_rng(0)
    pool = fastrnn.StreamPool(weights, capacity=count + 2, queue=1)
    streams = rng.permutation(pool.open(count + 2))[:count]
    alone = [fastrnn.Session(weights) for _ in streams]
    out = np.empty((count, H), np.float32)
    for t in range(3):
        x = rng.standard_normal((count, I), np.float32)
        expected = np.stack([s.step(row) for s, row in zip(alone, x, strict=True)])
        y = pool.step(streams, x, out=out if t == 1 else None)
        assert bits(y) == bits(expected)
        assert (y is out) == (t == 1)
    one = rng.standard_normal(I, np.float32)
    assert bits(pool.step(int(streams[0]), one)) == bits(alone[0].step(one))


def test_chunks_of_many_are_time_major():
    weights, rng = weights_of(), np.random.default_rng(0)
    pool = fastrnn.StreamPool(weights, capacity=4)
    streams = pool.open(3)
    x = rng.standard_normal((5, 3, I), np.float32)
    pool.push(streams, x)
    np.testing.assert_array_equal(pool.waiting(streams), [5, 5, 5])
    while pool.advance():
        pass
    np.testing.assert_array_equal(pool.ready(list(streams)), [5, 5, 5])
    expected = fastrnn.lstm_forward(x, weights).y
    np.testing.assert_array_equal(pool.pull(streams), expected[0])
    np.testing.assert_array_equal(pool.pull(streams, 3), expected[1:4])
    np.testing.assert_array_equal(pool.pull(int(streams[1])), expected[4:, 1])


def test_strided_x_is_the_same_x():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 6, 2 * I), np.float32)[:, ::2, ::2]
    one, other = (fastrnn.StreamPool(weights_of(), capacity=3) for _ in range(2))
    results = []
    for pool, values in ((one, x), (other, x.copy())):
        streams = pool.open(3)
        pool.push(streams, values)
        while pool.advance():
            pass
        results.append(pool.pull(streams, 4))
    np.testing.assert_array_equal(*results)


def test_all_or_none():
    """A call that names one stream that cannot take it changes nothing of the others."""
    pool = fastrnn.StreamPool(weights_of(), capacity=4, queue=2)
    a, b, c = (int(s) for s in pool.open(3))
    pool.push(b, np.ones((1, I), np.float32))
    with pytest.raises(fastrnn.FullError):
        pool.push([a, b], np.ones((2, 2, I), np.float32))
    pool.close(c)
    for call in (
        lambda s: pool.push(s, np.ones((2, I), np.float32)),
        lambda s: pool.close(s),
        lambda s: pool.reset(s),
        lambda s: pool.waiting(s),
        lambda s: pool.step(s, np.ones((2, I), np.float32)),
        lambda s: pool.pull(s),
    ):
        with pytest.raises(KeyError, match=f"stream: expected one that is open, got {c}"):
            call([b, c])
    with pytest.raises(fastrnn.FullError, match="expected room for 3 streams, got 2 of 4 free"):
        pool.open(3)
    pool.advance()
    with pytest.raises(ValueError, match=f"stream {a}: expected 1 results, got 0"):
        pool.pull([b, a])
    assert (pool.waiting([a, b]).tolist(), pool.ready([a, b]).tolist(), len(pool)) == ([0, 0], [0, 1], 2)


# -------------------------------------------------------------------------------------------------------------- policy


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_no_stream_waits_longer_than_the_policy_says(most):
    """7 streams with unlike backlogs: each is served once in every ceil(R / most) calls as long as it has work."""
    pool = fastrnn.StreamPool(weights_of(), capacity=8, queue=12)
    streams = [int(s) for s in pool.open(7)]
    for k, stream in enumerate(streams):
        pool.push(stream, np.ones((12 - k, I), np.float32))
    waited = dict.fromkeys(streams, 0)
    while ready := [s for s in streams if pool.waiting(s)]:
        before = {s: pool.waiting(s) for s in ready}
        pool.advance(most)
        for stream in ready:
            waited[stream] = 0 if pool.waiting(stream) < before[stream] else waited[stream] + 1
            assert waited[stream] < -(-7 // most)


def test_a_stream_that_is_not_pulled_does_not_hold_up_others():
    pool = fastrnn.StreamPool(weights_of(), capacity=2, queue=1)
    slow, quick = (int(s) for s in pool.open(2))
    x = np.ones((1, I), np.float32)
    pool.push(slow, x)
    for _ in range(3):
        pool.push(quick, x)
        pool.advance()
        assert len(pool.pull(quick)) == 1
    with pytest.raises(fastrnn.FullError):
        pool.push(slow, x)
    assert len(pool.pull(slow)) == 1
    pool.push(slow, x)


def test_streams_are_told_apart_from_those_before_them():
    pool = fastrnn.StreamPool(weights_of(), capacity=1)
    before = []
    for _ in range(4):
        stream = pool.open()
        assert stream not in before
        assert [s in pool for s in before] == [False] * len(before)
        assert (stream in pool, len(pool)) == (True, 1)
        assert not np.frombuffer(pool.get_state(stream), np.float32, offset=40).any()
        assert pool.waiting(stream) == 0
        pool.push(stream, np.ones((2, I), np.float32))
        pool.advance()
        pool.close(stream)
        before.append(stream)


def test_results_that_go_round_stay_in_their_streams_ring():
    rng = np.random.default_rng(0)
    pool = fastrnn.StreamPool(weights_of(), capacity=3, queue=3)
    streams = pool.open(3)
    alone = [fastrnn.Session(weights_of()) for _ in streams]
    for steps in (2, 3, 1, 3):
        x = rng.standard_normal((steps, 3, I), np.float32)
        pool.push(streams, x)
        while pool.advance():
            pass
        expected = np.stack([session.run(x[:, k : k + 1])[:, 0] for k, session in enumerate(alone)], axis=1)
        np.testing.assert_array_equal(pool.pull(streams, steps), expected)


# -------------------------------------------------------------------------------------------------------------- errors


def zeros(*shape: int, dtype: Any = "float32") -> Any:
    return np.zeros(shape, dtype)


NOT_A_STATE = "state: expected 176 bytes of a stream or of a session with a batch of 1 over such layers, got 8 others"
ERRORS: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("push", (-1, zeros(I)), KeyError, "stream: expected one that is open, got -1"),
    ("push", (2**70, zeros(I)), KeyError, f"stream: expected one that is open, got {2**70}"),
    ("push", (np.int64(-1), zeros(I)), KeyError, "stream: expected one that is open, got -1"),
    ("push", (np.array([2**63], "uint64"), zeros(1, I)), KeyError, f"stream: expected one that is open, got {2**63}"),
    ("push", (np.True_, zeros(I)), TypeError, "streams: expected an int or an integer array, got numpy.bool"),
    ("push", (np.float64(0.5), zeros(I)), TypeError, "streams: expected an int or an integer array, got numpy.float64"),
    ("push", ("a", zeros(1, I)), TypeError, "streams: expected an int or an integer array, got str"),
    ("push", (True, zeros(1, I)), TypeError, "streams: expected an int or an integer array, got bool"),
    ("push", ([0.5], zeros(1, I)), TypeError, "streams: expected an int or an integer array, got list"),
    ("push", ([[1]], zeros(1, I)), ValueError, "streams: expected shape (N,), got (1, 1)"),
    ("push", (0, "0.0"), TypeError, "x: expected an array of numbers, got str"),
    ("push", (0, zeros(I, dtype="float64")), TypeError, "x: expected float32 (the dtype of the weights), got float64"),
    ("push", (0, zeros(4)), ValueError, "x: expected shape (3,), got (4,)"),
    ("push", (0, zeros(2, 4)), ValueError, "x: expected shape (2, 3), got (2, 4)"),
    ("push", (0, zeros(1, 1, 3)), ValueError, "x: expected shape (3,), got (1, 1, 3)"),
    ("push", ([0], zeros(3)), ValueError, "x: expected shape (1, 3), got (3,)"),
    ("push", ([0], zeros(2, 2, 3)), ValueError, "x: expected shape (2, 1, 3), got (2, 2, 3)"),
    ("step", ([0], zeros(1, 3), zeros(1, 3)), ValueError, "out: expected shape (1, 17), got (1, 3)"),
    ("advance", (0,), ValueError, "most: expected 1 or more, got 0"),
    ("advance", (1.5,), TypeError, "most: expected an int, got float"),
    ("pull", (0, -1), ValueError, "steps: expected 0 or more, got -1"),
    ("open", (-1,), ValueError, "count: expected 0 or more, got -1"),
    ("get_state", ([0],), TypeError, "stream: expected an int, got list"),
    ("set_state", (0, b"no state"), ValueError, NOT_A_STATE),
]  # fmt: skip


@pytest.mark.parametrize(("method", "arguments", "error", "message"), ERRORS)
def test_errors_name_the_argument_and_change_nothing(method, arguments, error, message):
    pool = fastrnn.StreamPool(weights_of(), capacity=2)
    stream = pool.open()
    pool.step(stream, np.ones(I, np.float32))
    before = pool.get_state(stream)
    first, *rest = arguments
    if method not in ("advance", "open"):
        first = stream if type(first) is int and first == 0 else [stream] if first == [0] else first
    with pytest.raises(error, match=re.escape(message)):
        getattr(pool, method)(first, *rest)
    assert (pool.get_state(stream), pool.waiting(stream), pool.ready(stream)) == (before, 0, 0)


class Named:
    def __init__(self, stream: int):
        self.stream = stream

    def __index__(self) -> int:
        return int(self.stream)


@pytest.mark.parametrize("kind", [int, np.int64, np.uint64, np.array, Named])
def test_a_stream_is_an_int_of_any_kind(kind):
    pool = fastrnn.StreamPool(weights_of(), capacity=3)
    x = np.ones((2, I), np.float32)
    for stream in map(kind, pool.open(3)):
        assert stream in pool
        pool.push(stream, x)
        pool.advance()
        assert (pool.waiting(stream), pool.ready(stream)) == (1, 1)
        assert pool.pull(stream).shape == (1, H)
        pool.set_state(stream, pool.get_state(stream))
        pool.reset(stream)
        assert pool.step(stream, x[0]).shape == (H,)
        pool.close(stream)
        assert stream not in pool
        with pytest.raises(KeyError, match=f"got {int(stream)}'"):
            pool.push(stream, x)
    assert [1] not in pool
    assert "a" not in pool


def test_ids_are_read_once():
    """Another thread rewrites them while step computes without the GIL."""
    rng = np.random.default_rng(0)
    parameters = (rng.standard_normal(shape, np.float32) for shape in ((1024, I), (1024, 256)))
    weights = fastrnn.pack_lstm(*parameters)
    pool = fastrnn.StreamPool(weights, capacity=100)
    streams = pool.open(100)
    x = rng.standard_normal((100, I), np.float32)
    expected = fastrnn.lstm_forward(x[None], weights).y[0]
    for _ in range(10):
        ids = streams.copy()
        begin = threading.Event()

        def rewrite(ids: Any = ids, begin: threading.Event = begin) -> None:
            begin.wait()
            ids[:] = np.roll(streams, 1)

        thread = threading.Thread(target=rewrite)
        thread.start()
        begin.set()
        y = pool.step(ids, x)
        thread.join()
        assert not pool.ready(streams).any()
        np.testing.assert_array_equal(y, expected)
        pool.reset(streams)


def test_no_stream_takes_no_time():
    pool = fastrnn.StreamPool(weights_of(), capacity=3)
    assert pool.pull([], 2**40).shape == (2**40, 0, H)
    pool.push([], np.zeros((2**40, 0, I), np.float32))


def test_a_stream_is_named_once():
    pool = fastrnn.StreamPool(weights_of(), capacity=3)
    first, second, third = (int(stream) for stream in pool.open(3))
    for named, twice in (([first, first], first), ([first, second, third, second], second)):
        for call in (pool.close, pool.ready, lambda s: pool.push(s, np.ones((len(s), I), np.float32))):
            with pytest.raises(ValueError, match=f"^streams: expected each stream once, got {twice} twice$"):
                call(named)


def test_step_wants_empty_queues():
    pool = fastrnn.StreamPool(weights_of(), capacity=2)
    stream = pool.open()
    x = np.ones(I, np.float32)
    pool.push(stream, x)
    for counts in ("1 steps that wait and 0 results", "0 steps that wait and 1 results"):
        with pytest.raises(ValueError, match=f"^stream {stream}: expected an empty queue, got {counts}$"):
            pool.step(stream, x)
        pool.advance()


@pytest.mark.parametrize("make", [weights_of, stack], ids=["weights", "model"])
def test_a_state_of_another_model_is_refused(make):
    pool = fastrnn.StreamPool(make(), capacity=1)
    stream = pool.open()
    before = pool.get_state(stream)
    other = fastrnn.Session(weights_of(next(v for v in VARIANTS if v.cell == "gru")))
    for state in (other.get_state(), fastrnn.Session(pool.weights, 2).get_state(), before[:-1], before[::-1]):
        with pytest.raises(ValueError, match=r"^state: expected"):
            pool.set_state(stream, state)
    assert pool.get_state(stream) == before
    pool.set_state(stream, fastrnn.Session(pool.weights).get_state())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((zeros(4 * H, I),), TypeError, "weights: expected PackedWeights or a Model, got numpy.ndarray"),
        ((weights_of(dtype="float64"),), TypeError, "weights: expected weights for x of float32, got float64"),
        ((weights_of(), 0), ValueError, "capacity: expected 1..2147483647, got 0"),
        ((weights_of(), 2.0), TypeError, "capacity: expected an int, got float"),
        ((weights_of(), 1, 0), ValueError, "queue: expected 1 or more, got 0"),
    ],
    ids=str,
)
def test_errors_of_the_making(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        fastrnn.StreamPool(*arguments)


@pytest.mark.parametrize(("capacity", "queue"), [(2**31 - 1, 2**40), (1, 2**62), (2**31 - 1, 2**20)])
def test_a_pool_beyond_memory_is_refused(capacity, queue):
    with pytest.raises(MemoryError):
        fastrnn.StreamPool(weights_of(), capacity, queue)


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda f: f.__name__)
def test_a_pool_is_not_copied(act):
    with pytest.raises(TypeError, match=r"^StreamPool: cannot be pickled or copied"):
        act(fastrnn.StreamPool(weights_of(), 1))


def test_full_errors_are_runtime_errors():
    assert issubclass(fastrnn.FullError, RuntimeError)
    assert fastrnn.FullError.__module__ == "fastrnn"


def test_describes_itself():
    weights = weights_of()
    pool = fastrnn.StreamPool(weights)
    assert (pool.capacity, pool.queue, len(pool), pool.runnable, pool.weights) == (1024, 16, 0, 0, weights)
    assert pool.nbytes > 1024 * 16 * (I + H) * 4
    assert "a" not in pool
    assert pool.open(0).shape == (0,)


# --------------------------------------------------------------------------------------------------- threads and memory


def test_a_second_thread_is_refused():
    """advance() releases the GIL: another thread that calls the pool meanwhile gets an error."""
    hidden, count = 128, 200
    weights = pack(make_problem(LSTM, hidden=hidden, inputs=I, batch=1, steps=1, dtype="float32"))
    pool = fastrnn.StreamPool(weights, count, queue=1)
    streams = pool.open(count)
    x = np.ones((count, I), np.float32)
    errors: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not (errors or done.is_set()):
            try:
                pool.ready(streams)
            except RuntimeError as error:
                errors.append(str(error))

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(2000):  # each takes milliseconds without the GIL, so that the two overlap
        if errors:
            break
        try:
            pool.step(streams, x)
        except RuntimeError as error:  # where there is no GIL, this may be the call that is refused
            errors.append(str(error))
    done.set()
    thread.join()
    assert set(errors) == {"StreamPool: in use by another thread; one at a time may use a pool"}
    assert (pool.ready(streams) == 0).all()


def test_memory_does_not_grow_as_streams_come_and_go():
    pool = fastrnn.StreamPool(weights_of(), capacity=8, queue=2)
    x, out = np.ones((8, I), np.float32), np.empty((8, H), np.float32)

    def come_and_go(times: int) -> None:
        for _ in range(times):
            streams = pool.open(8)
            pool.step(streams, x, out=out)
            pool.close(streams)

    come_and_go(10)
    tracemalloc.start()
    try:
        come_and_go(10)
        before, _ = tracemalloc.get_traced_memory()
        come_and_go(1000)
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()
