"""Models by name. A file that changes is loaded beside the model that it was, which its streams keep."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._core import Model, current_isa
from ..interop import load
from ..model import Sequential
from .engine import Engine
from .log import event
from .metrics import Metrics
from .settings import Settings

MOST_OLD = 8  # versions of a model that are kept though no stream has them open


def read(path: str, dtype: str) -> tuple[Model, str]:
    """The model of a file, and its version: two that have the same give the same bits.

    A .safetensors of fastrnn is read as `fastrnn.Model.load` does, any other file as `fastrnn.interop.load`.
    """
    data = Path(path).read_bytes()  # an OSError names the path
    version = hashlib.sha256(f"{dtype} {current_isa()} ".encode() + data).hexdigest()[:16]
    if path.lower().endswith(".safetensors"):
        return Model.load(data, dtype), version
    if dtype != "float32":
        raise ValueError(f"dtype: expected float32 with {path}, got {dtype}; 'fastrnn convert' makes it a .safetensors")
    model = load(path)
    return model.to_native() if isinstance(model, Sequential) else model, version


@dataclass
class Version:
    """A model as it was loaded once, with an engine of its own."""

    name: str
    version: str
    engine: Engine
    running: asyncio.Task[None]
    last: float  # when a stream last ended, or it was replaced
    about: dict[str, Any] = field(default_factory=dict)

    def stop(self) -> None:
        self.running.cancel()
        self.engine.stop()


class Models:
    """All models; of each the newest version, and older ones that streams still use or may come back to."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.current: dict[str, Version] = {}
        self.old: list[Version] = []
        self._ended: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
        self._seen: dict[str, tuple[int, int, int]] = {}

    async def load_all(self) -> None:
        """Loads every model; raises the error of the first that cannot be loaded."""
        for name in self.settings.models:
            await self.load(name)

    async def load(self, name: str) -> None:
        """Loads a model's file; new streams get it from then on."""
        path, s, loop = self.settings.models[name], self.settings, asyncio.get_running_loop()
        self._seen[name] = _stamp(path)
        model, version = await asyncio.to_thread(read, path, s.dtype)
        if not model.stepwise:
            raise ValueError(
                f"{path}: expected a model that runs step by step, got one that needs whole sequences, as both "
                "directions, a mean over time or a centred convolution do ('fastrnn inspect' shows its layers)"
            )
        before = self.current.get(name)
        if before is not None and before.version == version:
            return
        self.metrics.loaded.add(label=name)
        one = next((one for one in self.old if (one.name, one.version) == (name, version)), None)
        if one is None:
            one = self._begin(name, version, model)
        else:  # a file that was put back
            self.old.remove(one)
        if before is not None:
            before.last = loop.time()
            self.old.append(before)
        self.current[name] = one
        event(logging.INFO, "model loaded", model=name, path=path, **one.about)

    def _begin(self, name: str, version: str, model: Model) -> Version:
        s, loop = self.settings, asyncio.get_running_loop()
        engine = Engine(model, s.capacity, s.max_steps, s.deadline_ms / 1e3)

        def count(streams: int, steps: int) -> None:
            self.metrics.batch.observe(streams, name)
            self.metrics.steps.add(steps, name)

        engine.on_batch = count
        running = asyncio.create_task(engine.run())
        running.add_done_callback(self._ended.put_nowait)
        about: dict[str, Any] = {"input_size": engine.inputs, "output_size": engine.outputs, "max_steps": s.max_steps}
        about |= {"dtype": s.dtype, "version": version}
        return Version(name, version, engine, running, loop.time(), about)

    async def failed(self) -> None:
        """Waits for an engine to fail, which is a bug, and raises its error."""
        while True:
            running = await self._ended.get()
            if not running.cancelled():
                running.result()

    def find(self, name: str, version: str | None = None) -> Version | None:
        """A model's newest version, or the one that is asked for; None if there is none."""
        current = self.current.get(name)
        if version is None or current is None or version == current.version:
            return current
        return next((one for one in self.old if (one.name, one.version) == (name, version)), None)

    async def watch(self) -> None:
        """Loads what has changed, and drops what nobody can come back to, until it is cancelled."""
        while True:
            await asyncio.sleep(self.settings.reload_seconds or 1.0)
            if self.settings.reload_seconds:
                for name, path in self.settings.models.items():
                    await self._look(name, path)
            self.drop_old(asyncio.get_running_loop().time() - self.settings.keep_seconds)

    def drop_old(self, limit: float) -> None:
        """Drops versions that no stream has open: all that were last used before `limit`, and all but the newest few,
        each of which has memory for as many streams as the model may have."""
        for name in self.settings.models:
            unused = [one for one in self.old if one.name == name and not one.engine.open_streams]
            unused.sort(key=lambda one: one.last, reverse=True)
            for place, one in enumerate(unused):
                if place >= MOST_OLD or one.last < limit:
                    self.old.remove(one)
                    one.stop()
                    event(logging.INFO, "model dropped", model=one.name, version=one.version)

    async def _look(self, name: str, path: str) -> None:
        try:
            if _stamp(path) != self._seen[name]:
                await self.load(name)
        except Exception as error:  # whatever a reader raises; the old model goes on
            if not isinstance(error, FileNotFoundError):  # a file that is replaced is missing for a moment
                event(logging.ERROR, "model not loaded", model=name, path=path, error=str(error))

    def stop(self) -> None:
        for one in [*self.current.values(), *self.old]:
            one.stop()


def _stamp(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino
