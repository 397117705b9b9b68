"""The service: a WebSocket for each stream, and pages.

A message is a chunk of float32, little-endian, (T, I); its answer is one message, (T, O). Close codes: 1002 not a
WebSocket's frames, 1003 a text, 1007 not whole steps, 1008 idle, 1009 too long, 1011 it cannot be computed, 1012 the
server stops, 4409 the stream goes on at another connection. No room, or no longer: HTTP 503, before the handshake. Who
does not read is cut off without a word: connections.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import socket
from itertools import islice
from pathlib import Path
from typing import Any

from aiohttp import web

from .._core import FullError
from .access import REASON, Access, Account, Refused
from .frames import TEXT, accept_key, frame
from .log import event
from .metrics import Metrics
from .models import Models, Version
from .saver import Saver
from .settings import Settings
from .store import Store, StoreError
from .stream import Keeping, Stream

POLICY = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'"
SHOWN = 100  # streams on the page
PARAMETERS = {"id", "model", "token"}  # of a stream
IDENTITY = re.compile(r"[\w-]{1,64}", re.ASCII)


class Service:
    """The pages, and the connections that are streams."""

    def __init__(self, settings: Settings, models: Models, store: Store, metrics: Metrics, access: Access) -> None:
        self.settings, self.models, self.store, self.metrics = settings, models, store, metrics
        self.access, self.saver = access, Saver(store, metrics)
        self.streams: dict[Stream, Version] = {}
        self.draining = False
        self.pages = {
            "/stream": self.stream,
            "/": self.show_page,
            "/page.js": self.show_page,
            "/status": self.show_status,
            "/models": self.show_models,
            "/metrics": self.show_metrics,
            "/health": self.show_health,
            "/ready": self.show_ready,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """A request of HTTP."""
        page = self.pages.get(request.path)
        if page is None or request.method not in ("GET", "HEAD"):
            return web.Response(text=f"404: expected GET of one of {', '.join(self.pages)}\n", status=404)
        try:
            response = await page(request)
        except Refused as refusal:
            response = self._refuse(request, refusal.status, refusal.reason)
        response.force_close()  # one request for each connection, so that none queue up in it
        return response

    def _refuse(self, request: web.BaseRequest, status: int, reason: str) -> web.Response:
        self.metrics.refused.add(label=reason)
        event(logging.WARNING, "refused", reason=reason, status=status, client=self.access.address(request))
        headers = {REASON: reason} | ({"Retry-After": "1"} if status in (429, 503) else {})
        headers |= {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return web.Response(text=f"{status}: {reason}\n", status=status, headers=headers)

    async def stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """A connection from its beginning to its end."""
        account = self.access.enter(self.access.check(request))
        try:
            return await self._admit(request, account)
        finally:
            account.streams -= 1

    async def _admit(self, request: web.BaseRequest, account: Account) -> web.StreamResponse:
        accept = _accepted(request)
        if not request.query.keys() <= PARAMETERS:
            raise Refused(400, f"expected no parameters but {', '.join(sorted(PARAMETERS))}")
        name, identity = request.query.get("model", next(iter(self.models.current))), request.query.get("id")
        if identity is not None and not IDENTITY.fullmatch(identity):
            raise Refused(400, "id: expected 1 to 64 letters, digits, - and _")
        version = self.models.find(name)
        if version is None:
            raise Refused(404, f"there is no such model; there are {', '.join(self.models.current)}")
        if self.draining:
            raise Refused(503, "the server stops")
        key = f"fastrnn:{name}:{identity}"
        try:
            kept = None if identity is None else await self.store.open(key, version.version)
            version = self.models.find(name, kept.version) if kept else version
            if version is None:
                raise Refused(409, "the model is not the one that the stream began with")
            slot = await version.engine.open(kept.state if kept else None)
        except StoreError as error:
            self.saver.failed(error)
            raise Refused(503, "the store does not answer") from None
        except FullError:
            raise Refused(503, "all streams are taken") from None
        except ValueError:
            raise Refused(409, "what is stored is no state of the model") from None
        stream = None
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}
        response = web.StreamResponse(status=101, headers=headers)
        response.force_close()
        try:
            with contextlib.suppress(ConnectionError):  # the client is gone
                await response.prepare(request)
            if request.transport is not None:
                s, engine = self.settings, version.engine
                # By then a state is on its way to the store, whose arrival lets the stream go on.
                most = max(s.unstored_bytes // (4 * engine.inputs), s.store_steps + 2 * s.max_steps)
                keeping = Keeping(self.saver, key, kept, version.version, s.store_steps, most) if kept else None
                stream = self._begin(request.protocol, version, slot, account, keeping)
                await stream.closed
        finally:
            await version.engine.close(slot)
            version.last = asyncio.get_running_loop().time()
            if stream is not None:
                self._end(stream)
        return response

    def _begin(self, protocol: Any, version: Version, slot: int, account: Account, keeping: Keeping | None) -> Stream:
        name, seconds = version.name, self.metrics.seconds
        rate = self.settings.client_steps
        stream = Stream(
            protocol.transport, version.engine, slot, account, rate, keeping, lambda took: seconds.observe(took, name)
        )
        stream.draining = self.draining
        self.streams[stream] = version
        self.metrics.open.add(label=name)
        event(logging.INFO, "stream opened", model=name, client=account.name, position=stream.position)
        if keeping is not None:
            hello = {"model": name, "position": stream.position, "unstored_steps": keeping.most, **version.about}
            protocol.transport.write(frame(TEXT, json.dumps(hello).encode()))
        protocol.stream = stream
        protocol.set_parser(stream)
        return stream

    def _end(self, stream: Stream) -> None:
        version = self.streams.pop(stream)
        stream.keep()
        code = str(stream.code or 1006)
        self.metrics.open.add(-1, version.name)
        self.metrics.closed.add(label=code)
        seconds = round(stream.loop.time() - stream.begun, 3)
        about = {"model": version.name, "client": stream.account.name, "code": code, "seconds": seconds}
        event(logging.INFO, "stream closed", **about, steps=stream.position - stream.first, position=stream.position)

    async def close_idle(self) -> None:
        """Closes, until it is cancelled, streams that sent nothing for too long."""
        seconds, clock = self.settings.idle_seconds, asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(min(1.0, seconds / 4))
            now = clock()
            for stream in list(self.streams):
                if not stream.busy and stream.last < now - seconds:
                    stream.close(1008, f"idle for {seconds:g} seconds")
            self.access.sweep(now)

    async def drain(self) -> None:
        """Refuses new streams, answers the chunks that came, stores all states and closes all streams with 1012."""
        self.draining = True
        end = asyncio.get_running_loop().time() + self.settings.drain_seconds
        for stream in self.streams:
            stream.draining = True
            stream.keep()  # so that another instance finds the state
        await self.saver.flush(min(1.0, self.settings.drain_seconds))
        for stream in self.streams:
            if stream.held or not stream.busy:  # else it is closed after its answer
                stream.close(1012, "the server stops")
        while self.streams and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)

    async def show_page(self, request: web.BaseRequest) -> web.Response:
        """The page for browsers. It holds no secret: what takes a token it asks of /status and /stream."""
        name, kind = ("page.html", "text/html") if request.path == "/" else ("page.js", "text/javascript")
        text = Path(__file__).with_name(name).read_text(encoding="utf-8")
        return web.Response(text=text, content_type=kind, headers={"Content-Security-Policy": POLICY})

    async def show_status(self, request: web.BaseRequest) -> web.Response:
        """What the page shows, as JSON: models, the newest streams, and counts of latencies between bounds."""
        self.access.check(request)
        now, metrics = asyncio.get_running_loop().time(), self.metrics
        streams = [
            {
                "model": version.name,
                "client": stream.account.name,
                "seconds": round(now - stream.begun),
                "steps": stream.position - stream.first,
                "stored": stream.stored if stream.keeping else None,
            }
            for stream, version in islice(reversed(self.streams.items()), SHOWN)
        ]
        models = {
            name: {
                **version.about,
                "streams": int(metrics.open.values.get(name, 0)),
                "steps": int(metrics.steps.values.get(name, 0)),
            }
            for name, version in self.models.current.items()
        }
        status: dict[str, Any] = {
            "instance": f"{socket.gethostname()}, process {os.getpid()}",
            "draining": self.draining,
        }
        status |= {"models": models, "count": len(self.streams), "streams": streams}
        return web.json_response(status | {"bounds": metrics.seconds.bounds, "latency": metrics.seconds.counts})

    async def show_models(self, request: web.BaseRequest) -> web.Response:
        self.access.check(request)
        return web.json_response({name: version.about for name, version in self.models.current.items()})

    async def show_metrics(self, request: web.BaseRequest) -> web.Response:
        self.access.check(request)
        text = self.metrics.text()
        return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def show_health(self, request: web.BaseRequest) -> web.Response:
        """Whether the process is alive."""
        return web.Response(text="ok\n")

    async def show_ready(self, request: web.BaseRequest) -> web.Response:
        """Whether it takes new streams."""
        return web.Response(text="503: the server stops\n", status=503) if self.draining else web.Response(text="ok\n")


def _accepted(request: web.BaseRequest) -> str:
    """What a WebSocket's handshake is answered with; Refused with 400 if it is none."""
    headers = request.headers
    if headers.get("Upgrade", "").lower() == "websocket" and headers.get("Sec-WebSocket-Version") == "13":
        with contextlib.suppress(ValueError):
            return accept_key(headers.get("Sec-WebSocket-Key", ""))
    raise Refused(400, "expected a WebSocket of version 13")
