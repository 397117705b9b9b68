"""Micro-batches: chunks of many streams are gathered for a few milliseconds and computed together on one StreamPool."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastrnn


@dataclass
class Request:
    """A chunk x (T, I) of one stream; `answer` becomes the bytes of y (T, O)."""

    stream: int
    x: Any
    answer: asyncio.Future[bytes]


class Engine:
    """Streams on one pool. A batch waits for the streams that were answered less than `deadline` seconds ago, which may
    be about to send again, but no longer than `deadline` after the first of its chunks came. A stream that has been
    silent for longer, because it is idle or does not read its answers, delays nobody. A stream has one chunk at a time
    in the engine.

    The pool is for one thread at a time: a lock gives it to the executor for a batch, which computes without the GIL,
    and in between to the event loop, where streams join and leave.
    """

    def __init__(self, weights: Any, capacity: int, max_steps: int, deadline: float) -> None:
        self.inputs, self.max_steps, self.deadline = int(weights.input_size), max_steps, deadline
        self.on_batch: Callable[[int, int], None] = lambda streams, steps: None  # called with their numbers
        self.open_streams = 0
        self._pool = fastrnn.StreamPool(weights, capacity, queue=max_steps)
        self._lock = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, "batches")
        self._pending: list[Request] = []
        self._first = 0.0  # when the first of them came
        self._answered: dict[int, float] = {}  # when streams that may be about to send were answered; oldest first
        self._some, self._all = asyncio.Event(), asyncio.Event()

    async def open(self) -> int:
        """A new stream. fastrnn.FullError when there is no room."""
        async with self._lock:
            stream = self._pool.open()
            self.open_streams += 1
            return stream

    async def close(self, stream: int) -> None:
        """Ends a stream; what it waits for is never answered."""
        async with self._lock:
            self._pending = [request for request in self._pending if request.stream != stream]
            self._answered.pop(stream, None)
            self._pool.close(stream)
            self.open_streams -= 1
            self._notice()

    def answered(self, stream: int) -> None:
        """To be called when a stream's answer has left: from now on it may send its next chunk."""
        self._answered[stream] = asyncio.get_running_loop().time()

    async def compute(self, stream: int, x: Any) -> bytes:
        """y (T, O) of the stream's next chunk x (T, I), 1 <= T <= max_steps, as bytes."""
        loop = asyncio.get_running_loop()
        if not self._pending:
            self._first = loop.time()
        request = Request(stream, x, loop.create_future())
        self._pending.append(request)
        self._answered.pop(stream, None)
        self._notice()
        return await request.answer

    def _notice(self) -> None:
        if self._pending:
            self._some.set()
        if not self._answered:
            self._all.set()

    def _patience(self) -> float:
        """Seconds that the batch may still wait for others."""
        now = asyncio.get_running_loop().time()
        for stream, answered in list(self._answered.items()):
            if answered + self.deadline > now:
                break
            del self._answered[stream]
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
                batch, self._pending = self._pending, []
                self._some.clear()
                if not batch:
                    continue
                self.on_batch(len(batch), sum(len(request.x) for request in batch))
                answers: list[Any]
                try:
                    answers = await loop.run_in_executor(self._executor, self._compute, batch)
                except Exception as error:  # to those who wait, rather than to no one
                    answers = [error] * len(batch)
            for request, answer in zip(batch, answers, strict=True):
                if request.answer.done():  # its client is gone
                    continue
                if isinstance(answer, Exception):
                    request.answer.set_exception(answer)
                else:
                    request.answer.set_result(answer)
            await asyncio.sleep(0)  # those who wait send the answers now, and call `answered`

    def _compute(self, batch: list[Request]) -> list[bytes]:
        """In the executor: chunks of one length are pushed and pulled in one call."""
        lengths: dict[int, list[int]] = defaultdict(list)
        for place, request in enumerate(batch):
            lengths[len(request.x)].append(place)
        streams = {steps: np.array([batch[p].stream for p in places]) for steps, places in lengths.items()}
        for steps, places in lengths.items():
            self._pool.push(streams[steps], np.stack([batch[p].x for p in places], axis=1))
        while self._pool.advance():
            pass
        answers = [b""] * len(batch)
        for steps, places in lengths.items():
            y = np.ascontiguousarray(self._pool.pull(streams[steps], steps).swapaxes(0, 1))
            for place, rows in zip(places, y, strict=True):
                answers[place] = rows.tobytes()
        return answers
