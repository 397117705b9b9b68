"""A stream of ``fastrnn serve`` that outlives its connection, its server, and the machine that the server ran on."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import ssl
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import aiohttp
import numpy as np

from .._typing import Array
from .access import REASON
from .stream import TAKEN_OVER

__all__ = ["Client", "StreamLost"]

TLS_SECONDS = 0.25  # aiohttp says that a TLS connection is closed up to so long before it is
_REFUSALS = {400, 401, 403, 404}  # statuses for which another try is of no use
_BREAKS = (aiohttp.ClientError, OSError, asyncio.TimeoutError, TypeError)  # TypeError: aiohttp's, for a closed socket
_ENDS = {1002, 1003, 1007, 1009, 1011, TAKEN_OVER}  # close codes for which another try is of no use


class StreamLost(RuntimeError):
    """The stream cannot go on: its state is gone, or nobody answered in time, or it may not connect."""


class Client:
    """A stream that goes on where it was when its connection breaks, at the same server or at another one.

    It keeps what it sent and the server has not stored yet. After a break it connects again, is told from which step on
    the new server needs that, sends it again, and leaves out the answers that it had. So its outputs have the bits of
    one `fastrnn.Session` over all chunks, whatever became of the servers.

    What it keeps is bounded by the server, which takes no more chunks while the store is too far behind
    (`about["unstored_steps"]`, from ``fastrnn serve --unstored-bytes``).

    Use it as ``async with Client(...) as stream: y = await stream.run(x)``.

    Args:
        urls: of the service, as "http://127.0.0.1:8000", or of several instances, which are tried in turn.
        model: its name; None for the first that the service has.
        token: where the service wants one.
        identity: up to 64 letters, digits, - and _; whoever knows it can take the stream over. None: a random one.
        answer_seconds: after which a server that does not answer is given up.
        patience: seconds for which it tries to reach a server, or to have a chunk answered, before it gives up.
        ssl: whom an https URL trusts; None: what the machine does.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        model: str | None = None,
        *,
        token: str | None = None,
        identity: str | None = None,
        answer_seconds: float = 10.0,
        patience: float = 60.0,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        self.identity = secrets.token_urlsafe(16) if identity is None else identity
        self.answer_seconds, self.patience = answer_seconds, patience
        self.position = self.stored = 0  # steps answered; steps whose state is in the store
        self.reconnections = 0
        # The model: input_size, output_size, max_steps, dtype, version; and how far the store may be behind.
        self.about: dict[str, Any] = {}
        self._query = {"id": self.identity} | ({} if model is None else {"model": model})
        self._ssl: Any = True if ssl is None else ssl
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Chunks after `stored`, to be sent again after a break, each with its first step. They are copies: the caller
        # may write the next chunk where the last one was.
        self._kept: deque[tuple[int, bytes]] = deque()
        self._turn = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession()
        try:
            await self._connect()
        except BaseException:
            await self._session.close()
            raise
        self.position = self.stored
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._drop()
        await self._session.close()
        if any(url.startswith("https:") for url in self.urls):
            await asyncio.sleep(TLS_SECONDS)

    async def _drop(self) -> None:
        """Closes what is left of a connection."""
        if self._socket is not None:
            socket, self._socket = self._socket, None
            await socket.close()

    async def run(self, x: Any) -> Array:
        """The outputs (T, O) of the stream's next steps x (T, I), float32, T >= 1. Several calls take turns.

        A call that is cancelled, or raises, leaves the stream where `position` says: the next one goes on from there.

        Raises:
            ValueError: x has another shape.
            StreamLost: the stream cannot go on.
        """
        x = np.ascontiguousarray(x, "<f4")
        inputs, most = self.about["input_size"], self.about["max_steps"]
        if x.ndim != 2 or x.shape[1] != inputs or not len(x):
            raise ValueError(f"x: expected (T, {inputs}) with T >= 1, got {x.shape}")
        async with self._turn:
            return np.concatenate([await self._step(x[at : at + most].tobytes()) for at in range(0, len(x), most)])

    def _steps(self, chunk: bytes) -> int:
        return len(chunk) // (4 * int(self.about["input_size"]))

    async def _step(self, chunk: bytes) -> Array:
        """One message and its answer, through as many connections as it takes."""
        clock, begin, pause = asyncio.get_running_loop().time, self.position, 0.0
        start, end = clock(), begin + self._steps(chunk)
        self._kept.append((begin, chunk))
        try:
            while True:
                try:
                    answer = await self._exchange(chunk)
                    break
                except _BREAKS as error:
                    if clock() - start > self.patience + self.answer_seconds:
                        raise StreamLost(f"{', '.join(self.urls)}: no answer for {clock() - start:.0f} s") from error
                    await asyncio.sleep(pause)
                    pause = min(2 * pause + 0.01, 0.5)
                    await self._recover()
            if self.position != end:
                raise StreamLost(f"expected the answer to step {end}, got {self.position}")
        except BaseException:  # the chunk counts as never sent, and its answer may come yet, so not on this connection
            self._kept.pop()
            self.position = begin
            await self._drop()
            raise
        while self._kept and self._kept[0][0] + self._steps(self._kept[0][1]) <= self.stored:
            self._kept.popleft()
        return answer

    async def _exchange(self, chunk: bytes) -> Array:
        if self._socket is None:
            raise ConnectionError
        await self._socket.send_bytes(chunk)
        message = await self._socket.receive(timeout=self.answer_seconds)
        if message.type is not aiohttp.WSMsgType.BINARY:
            if self._socket.close_code in _ENDS:
                raise StreamLost(f"the server ended it with {self._socket.close_code}: {message.extra}")
            raise ConnectionError
        data = message.data
        self.position = int.from_bytes(data[:8], "little")
        self.stored = max(self.stored, int.from_bytes(data[8:16], "little"))
        return np.frombuffer(data, "<f4", offset=16).reshape(self._steps(chunk), -1)

    async def _recover(self) -> None:
        """Connects again, and sends what the server lacks, up to the last chunk, which is for `_step`."""
        before = self.position
        version, size = self.about["version"], 4 * self.about["input_size"]
        self.urls.append(self.urls.pop(0))
        begin = await self._connect()
        self.reconnections += 1
        first, last = self._kept[0][0], self._kept[-1][0]
        if self.about["version"] != version:
            raise StreamLost(f"expected the model's version {version}, got {self.about['version']}")
        if not first <= begin <= last:
            raise StreamLost(f"expected a state of step {first} to {last}, got one of step {begin}")
        missing = b"".join(chunk for _, chunk in self._kept)[(begin - first) * size : (last - first) * size]
        most = size * self.about["max_steps"]
        try:
            for at in range(0, len(missing), most):  # cut anew: results do not depend on the cuts
                await self._exchange(missing[at : at + most])
        except _BREAKS:
            await self._drop()  # `_step` tries again, on a new connection
        self.position = before

    async def _connect(self) -> int:
        """A connection, after as many tries as there is patience for; at which step the server's state is."""
        assert self._session is not None
        await self._drop()
        clock = asyncio.get_running_loop().time
        begin, pause = clock(), 0.01
        while True:
            url = self.urls[0]
            try:
                self._socket = await self._session.ws_connect(
                    f"{url.rstrip('/')}/stream",
                    params=self._query,
                    headers=self._headers,
                    ssl=self._ssl,
                    max_msg_size=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
                self.about = json.loads(await self._socket.receive_str(timeout=self.answer_seconds))
                self.stored = max(self.stored, self.about["position"])
                return int(self.about["position"])
            except aiohttp.WSServerHandshakeError as error:
                if error.status in _REFUSALS:
                    raise StreamLost(f"{url}: HTTP {_told(error)}") from error
                reason: BaseException = error
                why = f"HTTP {_told(error)}"
            except _BREAKS as error:
                reason, why = error, str(error) or type(error).__name__
            await self._drop()
            if clock() - begin > self.patience:
                raise StreamLost(
                    f"{', '.join(self.urls)}: no connection for {self.patience:g} s; {url}: {why}"
                ) from reason
            self.urls.append(self.urls.pop(0))
            await asyncio.sleep(pause * (0.5 + random.random()))  # at random, so that not all clients come at once
            pause = min(2 * pause, 0.5)


def _told(error: aiohttp.WSServerHandshakeError) -> str:
    """A refusal's status, and why, where the service said it."""
    reason = (error.headers or {}).get(REASON)
    return f"{error.status}: {reason}" if reason else str(error.status)
