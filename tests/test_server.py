"""The example service, in a process of its own: answers, limits, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn

pytest.importorskip("aiohttp", reason="the server's extra is not installed: pip install '.[server]'")
pytest.importorskip("prometheus_client", reason="the server's extra is not installed: pip install '.[server]'")
import aiohttp

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "server"
I = O = 128  # noqa: E741  # of the model that is served when none is named


def module(name: str) -> Any:
    """A file of the example; they are no package."""
    spec = importlib.util.spec_from_file_location(f"server_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look there
    spec.loader.exec_module(made)
    return made


def model() -> Any:
    return module("models").load(None, "float32")


def x_of(steps: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((steps, I), np.float32)


def alone(*chunks: Any) -> list[bytes]:
    """What a session of its own answers."""
    session = fastrnn.Session(model())
    return [session.run(x[:, None]).tobytes() for x in chunks]


@contextlib.contextmanager
def running(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, str(FOLDER / "server.py"), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield "http://" + process.stdout.readline().split()[-1], process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with running(*request.param) as found:
        yield found


def options(**given: Any) -> Any:
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return pytest.mark.parametrize("server", [words], indirect=True, ids=[""])


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Waits for the other side to close; the code, and the reason."""
    message = await socket.receive(timeout=20)
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra


def test_the_load_generator_finds_nothing_lost_and_nothing_wrong():
    command = [sys.executable, str(FOLDER / "load.py"), "--connections", "6", "--seconds", "2", "--warm-up", "0.5"]
    done = subprocess.run([*command, "--steps", "2", "--sequences", "4"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["sent"], result["not_sent"], result["lost"], result["mismatched"]) == (6 * 62, 0, 0, 0)
    assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["max_ms"]


def test_it_serves_what_was_trained(tmp_path):
    pytest.importorskip("safetensors", reason="reading and writing models needs an extra: pip install '.[io]'")
    layers = fastrnn.layers
    trained = fastrnn.Sequential([layers.Input((None, 5)), fastrnn.GRU(17, return_sequences=True), layers.Dense(3)])
    trained.save(tmp_path / "model.safetensors")
    command = [sys.executable, str(FOLDER / "load.py"), "--model", str(tmp_path / "model.safetensors")]
    more = ["--dtype", "bfloat16", "--connections", "3", "--seconds", "0.5", "--warm-up", "0.1", "--steps", "3"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["sent"] == 3 * 16


@options(dtype="int8")
def test_the_load_generator_sees_what_is_wrong(server):
    """A server with other weights than the generator's."""
    url, process = server
    command = [sys.executable, str(FOLDER / "load.py"), "--url", f"{url}/stream", "--pid", str(process.pid)]
    more = ["--connections", "2", "--seconds", "0.3", "--warm-up", "0.1"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["mismatched"], result["lost"]) == (result["sent"], 0)
    assert result["memory_kib_after"] > 10_000


@options(max_steps=4, deadline_ms=20)
def test_streams_of_unlike_chunks_get_their_own_answers(server):
    async def client(session: aiohttp.ClientSession, number: int) -> None:
        chunks = [x_of(1 + (number + k) % 4, 10 * number + k) for k in range(5)]
        async with session.ws_connect(f"{server[0]}/stream") as socket:
            for x, right in zip(chunks, alone(*chunks), strict=True):
                await socket.send_bytes(x.tobytes())
                assert await socket.receive_bytes(timeout=20) == right

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(client(session, number) for number in range(7)))
            async with session.get(f"{server[0]}/metrics") as response:
                text = await response.text()
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        steps = sum(1 + (number + k) % 4 for number in range(7) for k in range(5))
        for line in ("fastrnn_streams_open 0.0", f"fastrnn_steps_total {steps}.0", "fastrnn_chunk_seconds_count 35.0"):
            assert line in text.splitlines()

    asyncio.run(main())


@options(capacity=2, max_steps=4)
def test_it_says_what_is_too_much(server):
    url = f"{server[0]}/stream"

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            one, two = await session.ws_connect(url), await session.ws_connect(url)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url)
            assert refused.value.status == 503
            assert refused.value.headers is not None
            assert refused.value.headers["Retry-After"] == "1"
            await one.send_bytes(b"\0" * 4 * I * 5)
            assert (await closed(one))[0] == 1009
            await two.send_bytes(b"\0" * (4 * I + 1))
            assert await closed(two) == (1007, "expected steps of 512 bytes, got 513 bytes")
            three = await session.ws_connect(url)
            await three.send_str("hello")
            assert await closed(three) == (1003, "expected a binary message")
            # They left their places to others.
            four, five = await session.ws_connect(url), await session.ws_connect(url)
            x = x_of(4)
            for socket in (four, five):
                await socket.send_bytes(x.tobytes())
                assert await socket.receive_bytes(timeout=20) == alone(x)[0]
                await socket.close()
            async with session.get(f"{server[0]}/metrics") as response:
                lines = (await response.text()).splitlines()
            assert 'fastrnn_streams_refused_total{reason="all streams are taken"} 1.0' in lines
            async with session.get(f"{server[0]}/model") as response:
                assert await response.json() == {
                    "input_size": I, "output_size": O, "max_steps": 4, "dtype": "float32",
                }  # fmt: skip

    asyncio.run(main())


@options(idle_seconds=0.5)
def test_who_is_silent_is_closed(server):
    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{server[0]}/stream") as socket:
            assert await closed(socket) == (1008, "idle for 0.5 seconds")

    asyncio.run(main())


@options(deadline_ms=300)
def test_who_leaves_while_computed_for_disturbs_nobody(server):
    async def main() -> None:
        x = x_of(2)
        async with aiohttp.ClientSession() as session:
            leaving, staying, waiting = [await session.ws_connect(f"{server[0]}/stream") for _ in range(3)]
            await leaving.send_bytes(x.tobytes())
            await staying.send_bytes(x.tobytes())
            leaving._response.connection.transport.abort()
            assert await staying.receive_bytes(timeout=20) == alone(x)[0]
            await waiting.send_bytes(x.tobytes())
            assert await waiting.receive_bytes(timeout=20) == alone(x)[0]

    asyncio.run(main())


def test_a_stream_may_end_while_it_waits():
    async def main() -> None:
        engine = module("engine").Engine(model(), capacity=3, max_steps=1, deadline=0.2)
        running = asyncio.create_task(engine.run())
        leaving, staying, _ = [await engine.open() for _ in range(3)]  # the third keeps the batch waiting
        x = x_of(1)
        waits, stays = (asyncio.create_task(engine.compute(stream, x)) for stream in (leaving, staying))
        await asyncio.sleep(0)
        await engine.close(leaving)
        assert await asyncio.wait_for(stays, 20) == alone(x)[0]
        assert engine.open_streams == 2
        for task in (waits, running):
            task.cancel()

    asyncio.run(main())


@options(deadline_ms=1000)
def test_it_answers_what_is_due_before_it_stops(server):
    url, process = server

    async def main() -> None:
        x = x_of(1)
        async with aiohttp.ClientSession() as session:
            due, idle = [await session.ws_connect(f"{url}/stream") for _ in range(2)]
            await due.send_bytes(x.tobytes())  # waits for the other one, or its deadline
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert await closed(idle) == (1012, "the server stops")
            assert await due.receive_bytes(timeout=20) == alone(x)[0]
            assert await closed(due) == (1012, "the server stops")
            with pytest.raises(aiohttp.ClientError):
                await session.ws_connect(f"{url}/stream")

    asyncio.run(main())
    assert process.wait(20) == 0
