"""Micro-batches: chunks of many streams are gathered for a few milliseconds and computed together on one StreamPool."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .._core import Model, StreamPool


@dataclass(slots=True)
class Request:
    """A chunk of one stream, float32 (T, I) as bytes. `done` is called with the bytes of y (T, O), or what went wrong,
    and with the stream's state before that chunk, if it was asked for."""

    slot: int
    chunk: bytes
    steps: int
    with_state: bool
    done: Callable[[bytes | Exception, bytes | None], None]


class Engine:
    """Streams on one pool. A batch waits for the streams that were answered less than `deadline` seconds ago, which may
    be about to send again, but no longer than `deadline` after the first of its chunks came. A stream that has been
    silent for longer, because it is idle or does not read its answers, delays nobody. A stream has one chunk at a time
    in the engine.

    The pool is for one thread at a time: a lock gives it to the executor for a batch, which computes without the GIL,
    and in between to the event loop, where streams join and leave.
    """

    def __init__(self, model: Model, capacity: int, max_steps: int, deadline: float) -> None:
        self.inputs, self.outputs = model.input_size, model.output_size
        self.max_steps, self.deadline = max_steps, deadline
        self.on_batch: Callable[[int, int], None] = lambda streams, steps: None  # called after each batch
        self.open_streams = 0
        self._pool = StreamPool(model, capacity, queue=max_steps)
        self._lock = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, "batches")
        self._pending: dict[int, Request] = {}  # by slot
        self._first = 0.0  # when the oldest pending request came
        # By slot, the oldest first: when a stream that may soon send again was answered.
        self._answered: dict[int, float] = {}
        self._some, self._all = asyncio.Event(), asyncio.Event()

    async def open(self, state: bytes | None = None) -> int:
        """A new stream's slot, which goes on from a state. FullError when there is no room, ValueError for no state."""
        async with self._lock:
            slot = self._pool.open()
            if state is not None:
                try:
                    self._pool.set_state(slot, state)
                except ValueError:
                    self._pool.close(slot)
                    raise
            self.open_streams += 1
            return slot

    async def close(self, slot: int) -> None:
        """Ends a stream; what it waits for is never answered."""
        async with self._lock:
            self._pending.pop(slot, None)
            self._answered.pop(slot, None)
            self._pool.close(slot)
            self.open_streams -= 1
            self._notice()

    def stop(self) -> None:
        self._executor.shutdown(wait=False)

    def answered(self, slot: int) -> None:
        """To be called when a stream's answer has left: from now on it may send its next chunk."""
        self._answered[slot] = asyncio.get_running_loop().time()

    def push(self, request: Request) -> None:
        """Takes a stream's next chunk, 1 <= T <= max_steps."""
        if not self._pending:
            self._first = asyncio.get_running_loop().time()
        self._pending[request.slot] = request
        self._answered.pop(request.slot, None)
        self._notice()

    def _notice(self) -> None:
        if self._pending:
            self._some.set()
        if not self._answered:
            self._all.set()

    def _patience(self) -> float:
        """Seconds that the batch may still wait for others."""
        now = asyncio.get_running_loop().time()
        for slot, answered in list(self._answered.items()):
            if answered + self.deadline > now:
                break
            del self._answered[slot]
        if not self._answered:
            return 0.0
        newest = next(reversed(self._answered.values()))
        return min(self._first, newest) + self.deadline - now

    async def run(self) -> None:
        """Computes batches until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            if (rest := self._patience()) > 0:
                self._all.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._all.wait(), rest)
            async with self._lock:
                batch, self._pending = list(self._pending.values()), {}
                self._some.clear()
                if not batch:
                    continue
                self.on_batch(len(batch), sum(request.steps for request in batch))
                answers: list[tuple[bytes | Exception, bytes | None]]
                try:
                    answers = await loop.run_in_executor(self._executor, self._compute, batch)
                except Exception as error:  # handed to the requests that wait for the batch
                    answers = [(error, None)] * len(batch)
            for request, answer in zip(batch, answers, strict=True):
                request.done(*answer)

    def _compute(self, batch: list[Request]) -> list[tuple[bytes | Exception, bytes | None]]:
        """In the executor: chunks of one length are pushed and pulled in one call."""
        lengths: dict[int, list[Request]] = defaultdict(list)
        states = {}
        for request in batch:
            lengths[request.steps].append(request)
            if request.with_state:
                states[request.slot] = self._pool.get_state(request.slot)
        slots = {steps: np.array([request.slot for request in group]) for steps, group in lengths.items()}
        for steps, group in lengths.items():
            x = np.frombuffer(b"".join([request.chunk for request in group]), "<f4")
            x = x.reshape(len(group), steps, self.inputs)
            self._pool.push(slots[steps], np.ascontiguousarray(x.swapaxes(0, 1)))
        while self._pool.advance():
            pass
        answers = {}
        for steps, group in lengths.items():
            y = self._pool.pull(slots[steps], steps).swapaxes(0, 1).tobytes()
            size = 4 * steps * self.outputs
            for place, request in enumerate(group):
                answers[request.slot] = y[place * size : (place + 1) * size], states.get(request.slot)
        return [answers[request.slot] for request in batch]
