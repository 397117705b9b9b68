"""The service: a WebSocket for each stream, /metrics for Prometheus, /model and /health for clients.

A message is a chunk of float32, little-endian, (T, I); its answer is one message, (T, O). Close codes: 1003 a text,
1007 not whole steps, 1008 idle, 1009 too long, 1012 the server stops. No room, or no longer: HTTP 503, before the
handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
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


class Connection:
    """One client, its stream, and whether an answer to it is due."""

    def __init__(self, socket: web.WebSocketResponse, stream: int) -> None:
        self.socket, self.stream = socket, stream
        self.busy, self.last = False, time.monotonic()

    async def close(self, code: int, reason: str) -> None:
        await self.socket.close(code=code, message=reason.encode())


class Service:
    """The application, and its connections."""

    def __init__(self, engine: Engine, idle_seconds: float, drain_seconds: float, about: dict[str, Any]) -> None:
        self.engine, self.about = engine, about
        self.idle_seconds, self.drain_seconds = idle_seconds, drain_seconds
        self.metrics = Metrics()
        engine.on_batch = self.metrics.count_batch
        self.connections: set[Connection] = set()
        self.draining = False
        self.app = web.Application()
        self.app.add_routes(
            [
                web.get("/stream", self.stream),
                web.get("/metrics", self.show_metrics),
                web.get("/model", self.show_model),
                web.get("/health", self.show_health),
            ]
        )
        self.app.cleanup_ctx.append(self.tasks)
        self.app.on_shutdown.append(self.drain)

    async def tasks(self, app: web.Application) -> AsyncIterator[None]:
        """What runs beside the connections."""
        tasks = [asyncio.create_task(self.engine.run()), asyncio.create_task(self.close_idle())]
        yield
        for task in tasks:
            task.cancel()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """A connection from its beginning to its end."""
        if self.draining:
            return self.refuse("the server stops")
        try:
            stream = await self.engine.open()
        except fastrnn.FullError:
            return self.refuse("all streams are taken")
        limit = 4 * self.engine.inputs * self.engine.max_steps + 1  # what reaches it is closed with 1009
        # The bytes of floats hardly shrink: no compression.
        socket = web.WebSocketResponse(compress=False, max_msg_size=limit, timeout=2.0)
        connection = Connection(socket, stream)
        self.connections.add(connection)
        self.metrics.open.inc()
        try:
            await socket.prepare(request)
            await self.serve(connection)
        finally:
            self.connections.discard(connection)
            self.metrics.open.dec()
            self.metrics.closed.labels(str(socket.close_code)).inc()
            await self.engine.close(stream)
        return socket

    def refuse(self, reason: str) -> web.Response:
        self.metrics.refused.labels(reason).inc()
        return web.Response(text=f"503: {reason}\n", status=503, headers={"Retry-After": "1"})

    async def serve(self, connection: Connection) -> None:
        """Answers chunks until one side closes."""
        socket, engine, bytes_per_step = connection.socket, self.engine, 4 * self.engine.inputs
        async for message in socket:
            data = message.data
            start = connection.last = time.monotonic()
            if message.type is not WSMsgType.BINARY:
                await connection.close(1003, "expected a binary message")
                return
            steps, rest = divmod(len(data), bytes_per_step)
            if steps == 0 or rest:
                await connection.close(1007, f"expected steps of {bytes_per_step} bytes, got {len(data)} bytes")
                return
            connection.busy = True
            y = await engine.compute(connection.stream, np.frombuffer(data, "<f4").reshape(steps, -1))
            with contextlib.suppress(ConnectionError):  # the client is gone; the next message says so
                await socket.send_bytes(y)
            connection.busy = False
            self.metrics.seconds.observe(time.monotonic() - start)
            if self.draining:
                await connection.close(1012, "the server stops")

    async def close_idle(self) -> None:
        """Closes connections that sent nothing for too long."""
        while True:
            await asyncio.sleep(min(1.0, self.idle_seconds / 4))
            limit = time.monotonic() - self.idle_seconds
            idle = [c for c in self.connections if not c.busy and c.last < limit]
            await asyncio.gather(*(c.close(1008, f"idle for {self.idle_seconds:g} seconds") for c in idle))

    async def drain(self, app: web.Application) -> None:
        """Refuses who comes, answers what was taken up, and closes everyone with 1012."""
        self.draining = True
        end = time.monotonic() + self.drain_seconds
        idle = [c for c in self.connections if not c.busy]
        await asyncio.gather(*(c.close(1012, "the server stops") for c in idle))
        while self.connections and time.monotonic() < end:
            await asyncio.sleep(0.01)

    async def show_metrics(self, request: web.Request) -> web.Response:
        text = generate_latest(self.metrics.registry)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def show_model(self, request: web.Request) -> web.Response:
        return web.json_response(self.about)

    async def show_health(self, request: web.Request) -> web.Response:
        return self.refuse("the server stops") if self.draining else web.Response(text="ok\n")
