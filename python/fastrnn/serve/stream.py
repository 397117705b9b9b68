"""A stream: one WebSocket connection, from frame to answer, without a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from .access import Account
from .engine import Engine, Request
from .frames import BINARY, CLOSE, PING, PONG, FrameError, Frames, close_frame, frame
from .saver import Saver
from .store import Kept

TAKEN_OVER = 4409  # the close code of a stream that goes on at another connection
CLOSE_SECONDS = 2.0  # that a client has to answer our close
PINGS = 100  # that a client may send before its next chunk


@dataclass
class Keeping:
    """How a stream that can go on elsewhere is kept.

    What is stored is the state before a chunk: the chunk tells that the answers before it have arrived. So a client can
    get again whatever it has not got.
    """

    saver: Saver
    key: str
    kept: Kept  # the state with which the stream was opened
    version: str
    every: int  # steps
    most: int  # steps that may be answered and not stored: a client keeps their chunks
    before: tuple[int, bytes] | None = None  # the last chunk: the position, and the state


class Stream:
    """What aiohttp calls a parser: it is given what comes once the handshake is done.

    A chunk at a time is in the engine. What comes meanwhile waits in a buffer, of no more than one read, and then in
    the client's own machine. An answer that does not fit into the kernel's buffer keeps the stream busy until it does.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        engine: Engine,
        slot: int,
        account: Account,
        rate: float | None,
        keeping: Keeping | None,
        observe: Callable[[float], None],
    ) -> None:
        self.transport, self.engine, self.slot, self.account = transport, engine, slot, account
        self.rate, self.keeping, self.observe = rate, keeping, observe
        loop = self.loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()  # done when the connection is lost
        self.code: int | None = None  # the code with which this side closes it
        self.busy, self.begun = False, loop.time()
        self.last = self.begun  # when a chunk came
        self.position = self.stored = keeping.kept.position if keeping else 0
        self.first = self.position  # the step at which it began on this connection
        self._frames = Frames(4 * engine.inputs * engine.max_steps)
        self._pings, self._steps = 0, 0  # pings since the last chunk; steps of this chunk
        self._writing, self._paused, self._asked = False, False, self.stored
        self._held: Request | None = None  # a chunk that waits for the store
        self.draining = False
        transport.set_write_buffer_limits(0)  # 0: `written` is called once everything has been sent

    # What aiohttp calls.

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._frames.feed(data)
        if not self.busy:
            self._read()
        elif not self._paused:
            self._paused = True
            self.transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def written(self) -> None:
        """Called by the connection when its buffer is empty again."""
        if self._writing and not self.closed.done():
            self._answered()

    # From a frame to its answer.

    def _read(self) -> None:
        while not self.busy and not self.transport.is_closing():
            try:
                message = self._frames.next()
            except FrameError as error:
                self.dismiss(error.code, error.reason)
                return
            if message is None:
                if self._paused:
                    self._paused = False
                    self.transport.resume_reading()
                return
            opcode, data = message
            if opcode == CLOSE:
                self._agree(data)
            elif opcode in (PING, PONG):
                self._pings += 1
                if self._pings > PINGS:  # thousands come in one read
                    self.dismiss(1008, f"more than {PINGS} pings without a chunk")
                elif opcode == PING:
                    self.transport.write(frame(PONG, data))
            elif self.code is not None:
                pass  # ignored: this side has asked to close
            elif opcode != BINARY:
                self.dismiss(1003, "expected a binary message")
            else:
                self._take(data)

    def _take(self, chunk: bytes) -> None:
        steps, rest = divmod(len(chunk), 4 * self.engine.inputs)
        if steps == 0 or rest:
            reason = f"expected steps of {4 * self.engine.inputs} bytes, got {len(chunk)} bytes"
            self.dismiss(1007, reason)
            return
        self.busy, self._pings, self._steps, self.last = True, 0, steps, self.loop.time()
        request = Request(self.slot, chunk, steps, self.keeping is not None, self._done)
        if self._too_far_ahead():
            self._held = request  # until `saved`
        else:
            self._at_its_rate(request)

    def _too_far_ahead(self) -> bool:
        """Whether this chunk would leave the client with more to keep than it was told."""
        return self.keeping is not None and self.position + self._steps - self.stored > self.keeping.most

    @property
    def held(self) -> bool:
        """Whether its chunk waits for the store: nothing has been made of it."""
        return self._held is not None

    def _at_its_rate(self, request: Request) -> None:
        delay = 0.0 if self.rate is None else self.account.delay(request.steps, self.rate, self.loop.time())
        if delay:
            self.loop.call_later(delay, self._push, request)
        else:
            self._push(request)

    def _push(self, request: Request) -> None:
        if not self.closed.done():
            self.engine.push(request)

    def _done(self, answer: bytes | Exception, state: bytes | None) -> None:
        if isinstance(answer, Exception):
            self.busy = False
            self.dismiss(1011, "it cannot be computed")
            return
        if self.keeping is not None and state is not None:
            self.keeping.before = self.position, state
            if self.position - self._asked >= self.keeping.every:
                self.keep()
        self.position += self._steps
        if self.closed.done() or self.transport.is_closing():
            return
        if self.keeping is None:
            self.transport.write(frame(BINARY, answer))
        else:
            head = self.position.to_bytes(8, "little") + self.stored.to_bytes(8, "little")
            self.transport.write(frame(BINARY, head, answer))
        if self.transport.get_write_buffer_size():
            self._writing = True
        else:
            self._answered()

    def _answered(self) -> None:
        self.busy = self._writing = False
        self.engine.answered(self.slot)
        self.observe(self.loop.time() - self.last)
        if self.draining:
            self.close(1012, "the server stops")
        self._read()

    # The store.

    def keep(self) -> None:
        """Hands the state before the last chunk to the store, if that has not got it."""
        keeping = self.keeping
        if keeping is not None and keeping.before is not None and keeping.before[0] > self._asked:
            self._asked, state = keeping.before
            kept = Kept(keeping.kept.owner, self._asked, keeping.version, state)
            keeping.saver.put(self, keeping.key, kept)

    def saved(self, position: int) -> None:
        self.stored = max(self.stored, position)
        if self._held is not None and self.code is None and not self._too_far_ahead():
            request, self._held = self._held, None
            self._at_its_rate(request)

    def taken_over(self) -> None:
        self.close(TAKEN_OVER, "the stream goes on at another connection")

    # The end.

    def close(self, code: int, reason: str) -> None:
        """Says why it ends. Who does not agree in time is cut off."""
        if self.code is None and not self.transport.is_closing():
            self.code = code
            self.transport.write(close_frame(code, reason))
            self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def dismiss(self, code: int, reason: str) -> None:
        """Says why, and reads no more: what comes before the client agreed to a close would have to be looked at."""
        if self.code is None:
            self.code = code
            self.transport.write(close_frame(code, reason))
        self.transport.close()

    def _agree(self, data: bytes) -> None:
        if self.code is None:
            self.code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
            self.transport.write(frame(CLOSE, data[:2]))
        self.transport.close()
