"""The service: a WebSocket for each stream, /metrics for Prometheus, /model and /health for clients.

A message is a chunk of float32, little-endian, (T, I); its answer is one message, (T, O). Close codes: 1003 a text,
1007 not whole steps, 1008 idle, 1009 too long, 1012 the server stops. No room, or no longer: HTTP 503, before the
handshake. Who does not read is cut off without a word: connections.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web
from engine import Engine
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

import fastrnn


class Metrics:
    """What /metrics shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        to = {"registry": self.registry}
        self.open = Gauge("fastrnn_streams_open", "Streams that are open.", **to)
        self.refused = Counter("fastrnn_streams_refused", "Connections answered with 503.", ["reason"], **to)
        self.closed = Counter("fastrnn_streams_closed", "Connections closed, by code.", ["code"], **to)
        self.steps = Counter("fastrnn_steps", "Time steps computed.", **to)
        sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
        self.batch = Histogram("fastrnn_batch_streams", "Streams in a batch.", buckets=sizes, **to)
        times = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512)
        self.seconds = Histogram("fastrnn_chunk_seconds", "From a chunk's arrival to its answer.", buckets=times, **to)

    def count_batch(self, streams: int, steps: int) -> None:
        self.batch.observe(streams)
        self.steps.inc(steps)


CLOSE_SECONDS = 2.0  # that a client has to answer our close
PINGS = 100  # that a client may send before its next chunk


class Connection:
    """One client, its stream, and whether an answer to it is due."""

    def __init__(self, request: web.BaseRequest, socket: web.WebSocketResponse, stream: int) -> None:
        self.request, self.socket, self.stream = request, socket, stream
        self.busy, self.last = False, time.monotonic()
        self.code: int | None = None  # with which it is closed

    async def close(self, code: int, reason: str) -> None:
        """Says why it ends. Who does not read leaves no room to say so, and is cut off by Connections later."""
        if self.code is None:
            self.code = code
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.socket.close(code=code, message=reason.encode()), CLOSE_SECONDS)

    async def dismiss(self, code: int, reason: str) -> None:
        """Says why, and reads no more: what comes before the client agreed to a close would have to be looked at."""
        self.code = code
        await self.socket.send_frame(code.to_bytes(2, "big") + reason.encode(), WSMsgType.CLOSE)
        if self.request.transport is not None:
            self.request.transport.close()
        await self.socket.close()  # sees that there is nothing to close


class Service:
    """The pages, and the connections that are streams."""

    def __init__(self, engine: Engine, idle_seconds: float, drain_seconds: float, about: dict[str, Any]) -> None:
        self.engine, self.about = engine, about
        self.idle_seconds, self.drain_seconds = idle_seconds, drain_seconds
        self.metrics = Metrics()
        engine.on_batch = self.metrics.count_batch
        self.connections: set[Connection] = set()
        self.draining = False
        self.pages = {
            "/stream": self.stream,
            "/metrics": self.show_metrics,
            "/model": self.show_model,
            "/health": self.show_health,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """A request of HTTP."""
        page = self.pages.get(request.path)
        if page is None or request.method not in ("GET", "HEAD"):
            return web.Response(text=f"404: expected GET of one of {', '.join(self.pages)}\n", status=404)
        response = await page(request)
        response.force_close()  # a page for a connection: requests cannot queue up in one
        return response

    async def stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """A connection from its beginning to its end."""
        if self.draining:
            return self.refuse("the server stops")
        try:
            stream = await self.engine.open()
        except fastrnn.FullError:
            return self.refuse("all streams are taken")
        limit = 4 * self.engine.inputs * self.engine.max_steps + 1  # what reaches it is closed with 1009
        # The bytes of floats hardly shrink: no compression. writer_limit: an answer waits where the one before it lies.
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=limit, timeout=CLOSE_SECONDS, autoping=False, writer_limit=0
        )
        connection = Connection(request, socket, stream)
        self.connections.add(connection)
        self.metrics.open.inc()
        try:
            with contextlib.suppress(ConnectionError):  # the client is gone
                request.protocol.pause_reading()  # what comes too early waits where it is
                await socket.prepare(request)
                request.protocol.resume_reading()
                await self.serve(connection)
        finally:
            if (error := socket.exception()) is not None:
                error.__traceback__ = None  # holds the connection, and all that it sent, in a cycle
            self.connections.discard(connection)
            self.metrics.open.dec()
            self.metrics.closed.labels(str(connection.code or socket.close_code)).inc()
            await self.engine.close(stream)
        return socket

    def refuse(self, reason: str) -> web.Response:
        self.metrics.refused.labels(reason).inc()
        return web.Response(text=f"503: {reason}\n", status=503, headers={"Retry-After": "1"})

    async def serve(self, connection: Connection) -> None:
        """Answers chunks until one side closes."""
        request, socket, engine = connection.request, connection.socket, self.engine
        bytes_per_step, pings = 4 * engine.inputs, 0
        async for message in socket:
            data = message.data
            if message.type in (WSMsgType.PING, WSMsgType.PONG):
                pings += 1
                if pings > PINGS:  # thousands come in one read, and aiohttp does not count them as bytes that wait
                    await connection.dismiss(1008, f"more than {PINGS} pings without a chunk")
                    return
                if message.type is WSMsgType.PING:
                    await socket.pong(data)
                continue
            pings, start = 0, time.monotonic()
            connection.last = start
            if message.type is not WSMsgType.BINARY:
                await connection.dismiss(1003, "expected a binary message")
                return
            steps, rest = divmod(len(data), bytes_per_step)
            if steps == 0 or rest:
                reason = f"expected steps of {bytes_per_step} bytes, got {len(data)} bytes"
                await connection.dismiss(1007, reason)
                return
            connection.busy = True
            request.protocol.pause_reading()  # what it sends meanwhile waits in its own machine, and is bounded there
            y = await engine.compute(connection.stream, np.frombuffer(data, "<f4").reshape(steps, -1))
            await socket.send_bytes(y)
            engine.answered(connection.stream)
            connection.busy = False
            request.protocol.resume_reading()
            self.metrics.seconds.observe(time.monotonic() - start)
            if self.draining:
                await connection.close(1012, "the server stops")

    async def close_idle(self) -> None:
        """Closes, until it is cancelled, connections that sent nothing for too long."""
        while True:
            await asyncio.sleep(min(1.0, self.idle_seconds / 4))
            limit = time.monotonic() - self.idle_seconds
            idle = [c for c in self.connections if not c.busy and c.last < limit]
            await asyncio.gather(*(c.close(1008, f"idle for {self.idle_seconds:g} seconds") for c in idle))

    async def drain(self) -> None:
        """Refuses who comes, answers what was taken up, and closes everyone with 1012; `drain_seconds` at most."""
        self.draining = True
        end = time.monotonic() + self.drain_seconds
        closing = [asyncio.create_task(c.close(1012, "the server stops")) for c in self.connections if not c.busy]
        while self.connections and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for task in closing:
            task.cancel()

    async def show_metrics(self, request: web.BaseRequest) -> web.Response:
        text = generate_latest(self.metrics.registry)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def show_model(self, request: web.BaseRequest) -> web.Response:
        return web.json_response(self.about)

    async def show_health(self, request: web.BaseRequest) -> web.Response:
        return self.refuse("the server stops") if self.draining else web.Response(text="ok\n")
