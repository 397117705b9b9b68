"""`fastrnn serve` in a process of its own, for the tests of the service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from bench.serve.load import random_model

I = O = 128  # noqa: E741  # of the model that is served when none is named
HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_FOLDER = tempfile.TemporaryDirectory(prefix="fastrnn-served-")


@functools.cache
def model_file() -> str:
    return random_model(str(Path(_FOLDER.name) / "lstm.safetensors"))


@functools.cache
def model() -> fastrnn.Model:
    return fastrnn.Model.load(model_file())


def x_of(steps: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((steps, I), np.float32)


def alone(*chunks: Any) -> list[bytes]:
    """What a session of its own answers."""
    session = fastrnn.Session(model())
    return [session.run(x[:, None]).tobytes() for x in chunks]


def session_on(x: Any) -> Any:
    """What a session of its own answers to all steps x (T, I)."""
    return fastrnn.Session(model()).run(x[:, None])[:, 0]


async def side_by_side(streams: list[Any], steps: int, between: dict[int, Any]) -> None:
    """Clients take steps together, and what happens before some of those; their outputs are those of sessions."""
    inputs = [x_of(steps, seed) for seed in range(len(streams))]
    outputs: list[list[Any]] = [[] for _ in streams]
    for stream in streams:
        await stream.__aenter__()
    for step in range(steps):
        if step in between:
            await asyncio.to_thread(between[step])
        answers = (stream.run(x[step : step + 1]) for stream, x in zip(streams, inputs, strict=True))
        for output, y in zip(outputs, await asyncio.gather(*answers), strict=True):
            output.append(y)
    for stream, output, x in zip(streams, outputs, inputs, strict=True):
        await stream.__aexit__(None, None, None)
        np.testing.assert_array_equal(np.concatenate(output), session_on(x))


class Served:
    """A server that runs: its URL, its process, and the file that its log goes to."""

    def __init__(self, url: str, process: subprocess.Popen[str], log: Path) -> None:
        self.url, self.process, self.log = url, process, log

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)


@contextlib.contextmanager
def running(*options: str, models: tuple[str, ...] = ()) -> Iterator[Served]:
    """A server of the random model, or of others; killed at the end, if it has not ended by then."""
    words = [*(models or [model_file()]), *options]
    words += [] if "--port" in options else ["--port", "0"]
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w") as log:
        command = [sys.executable, "-m", "fastrnn", "serve", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), Path(log.name).read_text()
            yield Served(f"http://{line.split()[-1]}", process, Path(log.name))
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def options(**given: Any) -> Any:
    """Marks a test with the options of its fixture `server`."""
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return pytest.mark.parametrize("server", [words], indirect=True, ids=[""])


@contextlib.contextmanager
def never_reading(server: Served) -> Iterator[None]:
    """A client that sends chunks until there is no room for more, and never reads an answer."""
    x = bytes(4 * 4 * I)
    with socket.create_connection(server.address) as client:
        client.sendall(HANDSHAKE)
        client.settimeout(0.3)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                client.sendall(b"\x82\xff" + struct.pack("!Q", len(x)) + bytes(4) + x)
        yield


async def closed(socket: Any) -> tuple[int | None, str]:
    """Waits for the other side to close; the code, and the reason."""
    message = await socket.receive(timeout=20)
    assert message.type.name == "CLOSE", message
    return message.data, message.extra
