"""TCP connections: how many there may be, and how long one may take for a request or for reading its answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

BUFFER_BYTES = 1 << 14  # Linux doubles it, for its own use


@dataclass
class Limits:
    """What a connection may take. Seconds, but for `connections`."""

    connections: int  # at once; who comes then gets HTTP 503
    header_seconds: float  # for a whole request, from the connection or from the answer before
    stall_seconds: float  # that answers may lie here unread


class Connections(web.Server):
    """All connections of a server, which it makes for `asyncio.loop.create_server`."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], limits: Limits) -> None:
        seconds = limits.header_seconds
        # aiohttp cuts off who has sent no whole request after the first, and a body that nobody reads after the second.
        # A client that sends headers without an end takes 64 * 4096 bytes at most.
        more = {"keepalive_timeout": seconds, "lingering_time": seconds, "max_headers": 64}
        super().__init__(handler, access_log=None, max_line_size=4096, max_field_size=4096, **more)
        self.limits = limits
        self.transports: dict[web.RequestHandler, asyncio.Transport] = {}

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return super().__call__() if len(self.transports) < self.limits.connections else Refusal()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.transports[handler] = transport

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.transports.pop(handler, None)

    async def cut_off_stalled(self) -> None:
        """Cuts off, until it is cancelled, those for whom answers lay here at every look for `stall_seconds`."""
        clock = asyncio.get_running_loop().time
        unread: dict[asyncio.Transport, float] = {}  # since when
        while True:
            await asyncio.sleep(min(1.0, self.limits.stall_seconds / 4))
            now = clock()
            full = [transport for transport in self.transports.values() if transport.get_write_buffer_size()]
            unread = {transport: unread.get(transport, now) for transport in full}
            for transport, since in unread.items():
                if now - since > self.limits.stall_seconds:
                    transport.abort()

    def cut_off_all(self) -> None:
        for transport in list(self.transports.values()):
            transport.abort()


class Refusal(asyncio.Protocol):
    """A connection too many: it is told so, and closed, without a look at what it wants."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        text = b"503: too many connections\n"
        head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        transport.write(head.encode() % len(text) + text)
        transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Its connections inherit the kernel's buffers, of kilobytes rather than megabytes: who does
    not read is noticed soon, and one read brings no more than some milliseconds' work."""
    listening = socket.create_server((host, port), backlog=128)
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        listening.setsockopt(socket.SOL_SOCKET, buffer, BUFFER_BYTES)
    return listening
