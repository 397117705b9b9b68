"""The example service, in a process of its own: answers, limits, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.tree import ROOT

pytest.importorskip("aiohttp", reason="the server's extra is not installed: pip install '.[server]'")
pytest.importorskip("prometheus_client", reason="the server's extra is not installed: pip install '.[server]'")
import aiohttp

FOLDER = ROOT / "examples" / "server"
I = O = 128  # noqa: E741  # of the model that is served when none is named
HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


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


def address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


@contextlib.contextmanager
def never_reading(url: str) -> Iterator[None]:
    """A client that sends chunks until there is no room for more, and never reads an answer."""
    x = bytes(4 * 4 * I)
    with socket.create_connection(address(url)) as client:
        client.sendall(HANDSHAKE)
        client.settimeout(0.3)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                client.sendall(b"\x82\xff" + struct.pack("!Q", len(x)) + bytes(4) + x)
        yield


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


@options(deadline_ms=60_000)
def test_idle_and_stuck_clients_delay_nobody(server):
    """Idle streams, and a client that never reads and so can send no more, hold up no batch."""

    async def main() -> None:
        x = x_of(1)
        async with aiohttp.ClientSession() as session:
            one, *_ = [await session.ws_connect(f"{server[0]}/stream") for _ in range(3)]
            with never_reading(server[0]):
                for right in alone(x, x, x):
                    await one.send_bytes(x.tobytes())
                    assert await one.receive_bytes(timeout=20) == right

    asyncio.run(main())


@options(capacity=2, stall_seconds=0.5)
def test_who_never_reads_loses_its_place(server):
    async def main() -> None:
        x = x_of(1)
        with never_reading(server[0]), never_reading(server[0]):
            async with aiohttp.ClientSession() as session:
                socket = None
                for _ in range(200):
                    with contextlib.suppress(aiohttp.WSServerHandshakeError):  # 503
                        socket = await session.ws_connect(f"{server[0]}/stream")
                        break
                    await asyncio.sleep(0.1)
                assert socket is not None
                await socket.send_bytes(x.tobytes())
                assert await socket.receive_bytes(timeout=20) == alone(x)[0]

    asyncio.run(main())


@options(capacity=2, connections=3, header_seconds=0.5)
def test_half_a_request_and_too_many_connections(server):
    def connect() -> socket.socket:
        return socket.create_connection(address(server[0]), timeout=20)

    with connect() as silent, connect() as half, connect() as body:
        half.sendall(HANDSHAKE[:-2])
        body.sendall(b"POST /model HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        with connect() as late:
            assert late.recv(12) == b"HTTP/1.1 503"
        assert body.recv(12) == b"HTTP/1.1 404"
        for one in (silent, half, body):
            with contextlib.suppress(ConnectionError):
                while one.recv(1 << 16):
                    pass
        with connect() as late:
            late.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert late.recv(12) == b"HTTP/1.1 200"


@options()
def test_pings_are_answered_up_to_a_limit(server):
    async def main() -> None:
        x = x_of(1)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server[0]}/stream", autoping=False) as socket,
        ):
            for right in alone(x, x):
                for number in range(100):
                    await socket.ping(b"%d" % number)
                    assert (await socket.receive(timeout=20)).data == b"%d" % number
                await socket.send_bytes(x.tobytes())
                assert await socket.receive_bytes(timeout=20) == right
            for _ in range(101):
                await socket.ping()
            for _ in range(100):
                assert (await socket.receive(timeout=20)).type is aiohttp.WSMsgType.PONG
            assert await closed(socket) == (1008, "more than 100 pings without a chunk")

    asyncio.run(main())


def test_a_small_attack():
    """As examples/server/README.md says it, with fewer attackers, who want more places than there are."""
    command = [sys.executable, str(FOLDER / "attack.py"), "--attackers", "48", "--connections", "4", "--seconds", "2"]
    command += ["--quiet-seconds", "0.2", "--again-seconds", "0.5", "--server"]
    command += ["--capacity", "24", "--connections", "50"]
    command += ["--stall-seconds", "0.5", "--header-seconds", "0.5", "--idle-seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    for name in ("alone", "beside_attackers", "newcomers_beside_attackers"):
        tally = result[name]
        assert tally["sent"] > 0, name
        assert (tally["not_sent"], tally["lost"], tally["mismatched"]) == (0, 0, 0), name
    assert len(result["attackers"]) == 8
    for name, attack in result["attackers"].items():
        assert attack["ended"] > attack["refused"], name
    assert result["memory_kib"]["peak"] - result["memory_kib"]["before"] < 100 << 10
    assert done.stderr == ""


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
            await waiting.send_bytes(x.tobytes())  # the batches wait for its next one
            first, second = alone(x, x)
            assert await waiting.receive_bytes(timeout=20) == first
            await leaving.send_bytes(x.tobytes())
            await staying.send_bytes(x.tobytes())
            leaving._response.connection.transport.abort()
            assert await staying.receive_bytes(timeout=20) == alone(x)[0]
            await waiting.send_bytes(x.tobytes())
            assert await waiting.receive_bytes(timeout=20) == second

    asyncio.run(main())


def test_a_stream_may_end_while_it_waits():
    async def main() -> None:
        engine = module("engine").Engine(model(), capacity=3, max_steps=1, deadline=0.2)
        running = asyncio.create_task(engine.run())
        leaving, staying, third = [await engine.open() for _ in range(3)]
        x = x_of(1)
        engine.answered(third)  # the batch waits for its next chunk
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
            await idle.send_bytes(x.tobytes())
            assert await idle.receive_bytes(timeout=20) == alone(x)[0]
            await due.send_bytes(x.tobytes())  # waits for the next one of the other
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert await closed(idle) == (1012, "the server stops")
            assert await due.receive_bytes(timeout=20) == alone(x)[0]
            assert await closed(due) == (1012, "the server stops")
            with pytest.raises(aiohttp.ClientError):
                await session.ws_connect(f"{url}/stream")

    asyncio.run(main())
    assert process.wait(20) == 0


@options(drain_seconds=0.5)
def test_it_stops_in_the_time_it_promises_with_clients_that_do_not_read(server):
    url, process = server
    with never_reading(url), never_reading(url):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0  # this once took two minutes


def test_a_bad_option_is_answered_with_one_line():
    bad = [
        ("server", "--port 99999", "argument --port: expected 0 to 65535, got 99999"),
        ("server", "--deadline-ms -1", "argument --deadline-ms: expected 0 to 1e+06, got -1"),
        ("server", "--idle-seconds nan", "argument --idle-seconds: expected 0.001 to 1e+06, got nan"),
        ("server", "--capacity many", "argument --capacity: invalid int value: 'many'"),
        ("server", "--capacity 5 --connections 4", "argument --capacity: expected at most 4 connections, got 5"),
        ("server", "--dtype float31", "argument --dtype: invalid choice: 'float31' (choose from "),
        ("server", "--model nothing.npz", "the model: nothing.npz: expected a file that can be read, got: "),
        ("server", "--host 256.0.0.1", "arguments --host and --port: "),
        ("server", "--prot 1", "unrecognized arguments: --prot 1"),
        ("load", "--seconds 0", "argument --seconds: expected 0.001 to 1e+06, got 0"),
        ("attack", "--attackers 0", "argument --attackers: expected 1 to 1e+06, got 0"),
    ]
    code = (
        "import importlib, sys\nfor name, words in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    try: importlib.import_module(name).main(words.split())\n"
        "    except SystemExit as end: print(end.code)\n"
    )
    words = [word for name, options, _ in bad for word in (name, options)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=FOLDER, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["2"] * len(bad)
    for line, (name, _, text) in zip(done.stderr.splitlines(), bad, strict=True):
        assert line.startswith(f"{name}.py: error: {text}")


@options()
def test_the_client_of_the_readme(server):
    [code] = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    assert "http://127.0.0.1:8000/stream" in code
    names: dict[str, Any] = {}
    exec(code.replace("http://127.0.0.1:8000", server[0]), names)
    assert names["y"].tobytes() == alone(names["x"])[0]
