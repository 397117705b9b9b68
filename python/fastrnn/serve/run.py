"""From the start of an instance to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from dataclasses import asdict
from typing import Any

from . import log
from .access import Access
from .connections import BACKLOG, Connections, allow_files, listen
from .metrics import Metrics
from .models import Models
from .service import Service
from .settings import Settings
from .store import make_store


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Prints the address that it listens on.

    Raises:
        ValueError, OSError, ImportError: what it was told cannot be done: a model that is none, a port in use.
    """
    settings.connections = allow_files(settings.connections)
    if settings.capacity > settings.connections:
        raise ValueError(f"capacity: expected at most {settings.connections} connections, got {settings.capacity}")
    log.start(settings.log_level)
    event_loop().run_until_complete(serve(settings))


async def serve(settings: Settings) -> None:
    """Runs an instance. To stop, it refuses new connections, drains its streams (`Service.drain`) and ends."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    metrics = Metrics()
    models, store = Models(settings, metrics), make_store(settings.store, settings.keep_seconds)
    service = Service(settings, models, store, metrics, Access(settings))
    try:
        await models.load_all()
        listening = listen(settings.host, settings.port)
    except BaseException:
        models.stop()
        await asyncio.sleep(0)  # the engines end
        raise
    for ending in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(ending, stop.set)
    connections = Connections(service.answer, settings)
    server = await loop.create_server(connections, sock=listening, backlog=BACKLOG)
    address = f"{settings.host}:{listening.getsockname()[1]}"
    log.event(logging.INFO, "started", address=address, pid=os.getpid(), **_told(settings))
    print(f"listening on {address}", flush=True)
    work = (models.watch(), models.failed(), service.saver.run(), service.close_idle(), connections.cut_off_stalled())
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(one) for one in (*work, stop.wait())]
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    log.event(logging.INFO, "stopping", streams=len(service.streams))
    server.close()
    await service.drain()
    connections.cut_off_all()
    for _ in range(100):  # a second at most: the last streams hand their states to the store
        if not service.streams:
            break
        await asyncio.sleep(0.01)
    stored = await service.saver.flush(2.0)
    models.stop()
    await store.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for other in others:
        other.cancel()
    if others:
        await asyncio.wait(others, timeout=1)
    log.event(logging.INFO, "stopped", all_stored=stored)
    for task in ended:
        task.result()  # raises what the work ended with, if it was not a signal


def _told(settings: Settings) -> dict[str, object]:
    """The settings for the log; a URL of a store may hold a password."""
    return {name: value for name, value in asdict(settings).items() if name not in ("store", "host", "port")}


def event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop, which takes half the time, or Python's own where uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
