"""TCP connections: how many there may be, and how long one may take for a request or for reading its answers."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .access import Account
from .log import event
from .settings import Settings

OWN_FILES = 64  # besides the connections
# All come at once when another instance has died, and who finds the queue full tries again a second later.
BACKLOG = 4096
BUFFER_BYTES = 1 << 14  # Linux doubles it, for its own use


class Writer(Protocol):
    account: Account

    def written(self) -> None:
        """Called when all that was written has been sent."""


class Handler(web.RequestHandler):
    """A connection. A stream on it is told when all that was written has been sent."""

    stream: Writer | None = None
    emptied = 0  # how often all that was written had been sent

    def resume_writing(self) -> None:
        self.emptied += 1
        super().resume_writing()
        if self.stream is not None:
            self.stream.written()

    def log_exception(self, *words: Any, **more: Any) -> None:
        """What comes from a client and is no HTTP is a line of the log; only what is wrong here has a traceback."""
        error = more.get("exc_info")
        if isinstance(error, HttpProcessingError):
            reason = f"no request of HTTP: {error.message}".splitlines()[0][:200]
            event(logging.WARNING, "refused", reason=reason, status=error.code, client=str(words[-1]))
        else:
            super().log_exception(*words, **more)


class Connections(web.Server):
    """All connections of a server, which it makes for `asyncio.loop.create_server`."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], settings: Settings) -> None:
        seconds = settings.header_seconds
        super().__init__(handler)
        # aiohttp cuts off who has sent no whole request after the first, and a body that nobody reads after the second.
        # A client that sends headers without an end takes 64 * 4096 bytes at most.
        self.options: dict[str, Any] = {
            "access_log": None, "max_line_size": 4096, "max_field_size": 4096, "max_headers": 64,
            "keepalive_timeout": seconds, "lingering_time": seconds, "loop": asyncio.get_running_loop(),
        }  # fmt: skip
        self.most, self.stall_seconds = settings.connections, settings.stall_seconds
        self.transports: dict[Handler, asyncio.Transport] = {}

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return Handler(self, **self.options) if len(self.transports) < self.most else Refusal()

    def connection_made(self, handler: Handler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.transports[handler] = transport

    def connection_lost(self, handler: Handler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.transports.pop(handler, None)

    async def cut_off_stalled(self) -> None:
        """Until it is cancelled, cuts off clients that have read nothing of their answers for `stall_seconds`."""
        clock = asyncio.get_running_loop().time
        unread: dict[Handler, tuple[int, int, float]] = {}  # how often it was emptied, its bytes, and since when
        while True:
            await asyncio.sleep(min(1.0, self.stall_seconds / 4))
            now, before, unread = clock(), unread, {}
            for handler, transport in list(self.transports.items()):
                size = transport.get_write_buffer_size()
                if not size:
                    continue
                emptied, least, since = before.get(handler, (handler.emptied, size, now))
                if handler.emptied != emptied or size < least:  # slow, but it reads
                    since = now
                unread[handler] = handler.emptied, size, since
                if now - since > self.stall_seconds:
                    name = handler.stream.account.name if handler.stream else str(transport.get_extra_info("peername"))
                    reason = f"read nothing for {self.stall_seconds:g} seconds"
                    event(logging.WARNING, "cut off", reason=reason, client=name, unread_bytes=size)
                    transport.abort()

    def cut_off_all(self) -> None:
        for transport in list(self.transports.values()):
            transport.abort()


class Refusal(asyncio.Protocol):
    """A connection beyond the limit: it is told so and closed; its request is not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        text = b"503: too many connections\n"
        head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        transport.write(head.encode() % len(text) + text)
        transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Its connections inherit the kernel's buffers, of kilobytes rather than megabytes: who does
    not read is noticed soon, and one read brings no more than some milliseconds' work."""
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise OSError(f"arguments --host and --port: {error}") from error
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        listening.setsockopt(socket.SOL_SOCKET, buffer, BUFFER_BYTES)
    return listening


def allow_files(connections: int) -> int:
    """As many connections, or the most that the limit on open files of the process can be raised to."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = connections + OWN_FILES
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return min(connections, files - OWN_FILES)
