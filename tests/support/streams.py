"""What the tests of streams share: weights, a model of several cells, and pools held to sessions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.packed import pack
from tests.support.variants import VARIANTS, make_problem

DTYPES = ("float32", "bfloat16", "bfloat16_weights", "int8")
LSTM = next(v for v in VARIANTS if v.id == "lstm-none")
I, H = 3, 17  # noqa: E741  # the names of the documentation
QUEUE = 5


def weights_of(variant: Any = LSTM, dtype: str = "float32", **more: Any) -> Any:
    return pack(make_problem(variant, hidden=H, inputs=I, batch=1, steps=1, dtype="float32"), dtype=dtype, **more)


def stack(dtype: str = "float32") -> fastrnn.Model:
    """A model of three cells of three widths."""
    sizes = ((I, 17), (17, 33), (33, 8))
    variants = [next(v for v in VARIANTS if v.id == name) for name in ("lstm-none", "gru-before", "rnn-tanh")]
    problems = [
        make_problem(v, hidden=hidden, inputs=inputs, batch=1, steps=1, dtype="float32")
        for v, (inputs, hidden) in zip(variants, sizes, strict=True)
    ]
    return fastrnn.Model([pack(problem, dtype=dtype) for problem in problems])


def bits(a: Any) -> bytes:
    return np.ascontiguousarray(a).tobytes()


class Twins:
    """A pool, and beside each of its streams a session that is fed the same."""

    def __init__(self, weights: Any, capacity: int = 6) -> None:
        self.weights = weights
        self.inputs = weights.input_size
        self.pools = [fastrnn.StreamPool(weights, capacity, QUEUE) for _ in range(2)]
        self.alone: dict[tuple[int, int], fastrnn.Session] = {}  # by number of the pool and stream
        self.waiting: dict[tuple[int, int], int] = {}
        self.expected: dict[tuple[int, int], list[bytes]] = {}
        self.closed: set[tuple[int, int]] = set()

    def open(self, pool: int) -> None:
        if len(self.pools[pool]) == self.pools[pool].capacity:
            with pytest.raises(fastrnn.FullError, match="expected room for 1 stream, got 0 of"):
                self.pools[pool].open()
            return
        key = pool, self.pools[pool].open()
        assert key not in self.alone
        assert key not in self.closed
        self.alone[key], self.waiting[key], self.expected[key] = fastrnn.Session(self.weights), 0, []

    def close(self, key: tuple[int, int]) -> None:
        self.pools[key[0]].close(key[1])
        del self.alone[key], self.waiting[key], self.expected[key]
        self.closed.add(key)

    def reset(self, key: tuple[int, int]) -> None:
        self.pools[key[0]].reset(key[1])
        self.alone[key].reset()
        self.waiting[key], self.expected[key] = 0, []

    def push(self, key: tuple[int, int], x: Any) -> None:
        pool, steps = self.pools[key[0]], len(x)
        room = QUEUE - self.waiting[key] - pool.ready(key[1])
        if steps > room:
            with pytest.raises(fastrnn.FullError, match=f"stream {key[1]}: expected at most {room} steps"):
                pool.push(key[1], x)
            return
        pool.push(key[1], x)
        self.waiting[key] += steps
        self.expected[key] += [bits(y) for y in self.alone[key].run(x[:, None])]

    def advance(self, pool: int, most: int | None) -> None:
        ready = [key for key in self.alone if key[0] == pool and self.waiting[key]]
        before = {key: self.pools[pool].waiting(key[1]) for key in ready}
        assert self.pools[pool].runnable == len(ready)
        assert self.pools[pool].advance(most) == min(len(ready), most or len(ready))
        for key in ready:
            self.waiting[key] = self.pools[pool].waiting(key[1])
            assert before[key] - self.waiting[key] in ((1,) if most is None else (0, 1))

    def pull(self, key: tuple[int, int], steps: int | None) -> None:
        pool = self.pools[key[0]]
        ready = pool.ready(key[1])
        y = pool.pull(key[1], steps)
        assert len(y) == (ready if steps is None else min(ready, steps))
        assert y.dtype == np.float32
        assert [bits(row) for row in y] == self.expected[key][: len(y)]
        del self.expected[key][: len(y)]

    def move(self, key: tuple[int, int], to: int) -> None:
        """To another pool, by way of a new session. Nothing may wait: that is not part of the state."""
        while self.waiting[key]:
            self.advance(key[0], None)
        state = self.pools[key[0]].get_state(key[1])
        assert state == self.alone[key].get_state()
        if len(self.pools[to]) == self.pools[to].capacity:
            return
        session = fastrnn.Session(self.weights)
        session.set_state(state)
        self.close(key)
        stream = self.pools[to].open()
        self.pools[to].set_state(stream, session.get_state())
        self.alone[to, stream], self.waiting[to, stream], self.expected[to, stream] = session, 0, []

    def check(self) -> None:
        for key in self.alone:
            pool, stream = self.pools[key[0]], key[1]
            assert stream in pool
            assert (pool.waiting(stream), pool.ready(stream)) == (
                self.waiting[key],
                len(self.expected[key]) - self.waiting[key],
            )
        for pool, stream in self.closed:
            assert stream not in self.pools[pool]
        for number, pool in enumerate(self.pools):
            assert len(pool) == sum(key[0] == number for key in self.alone)
