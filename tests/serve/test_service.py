"""The service, in a process of its own: answers, limits, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable

import pytest

import fastrnn

pytest.importorskip("aiohttp", reason="the service's extra is not installed: pip install '.[serve]'")
import aiohttp

from fastrnn.serve.connections import Connections, Handler
from fastrnn.serve.engine import Engine, Request
from fastrnn.serve.settings import Settings
from tests.support.served import HANDSHAKE, I, O, alone, closed, model, model_file, never_reading, options, x_of


@options(max_steps=4, deadline_ms=20)
def test_streams_of_unlike_chunks_get_their_own_answers(server):
    async def client(session: aiohttp.ClientSession, number: int) -> None:
        chunks = [x_of(1 + (number + k) % 4, 10 * number + k) for k in range(5)]
        async with session.ws_connect(f"{server.url}/stream") as socket:
            for x, right in zip(chunks, alone(*chunks), strict=True):
                await socket.send_bytes(x.tobytes())
                assert await socket.receive_bytes(timeout=20) == right

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(client(session, number) for number in range(7)))
            async with session.get(f"{server.url}/metrics") as response:
                text = await response.text()
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        steps = sum(1 + (number + k) % 4 for number in range(7) for k in range(5))
        for line in (
            'fastrnn_streams_open{model="lstm"} 0',
            f'fastrnn_steps_total{{model="lstm"}} {steps}',
            'fastrnn_chunk_seconds_count{model="lstm"} 35',
        ):
            assert line in text.splitlines()

    asyncio.run(main())


@options(capacity=2, max_steps=4)
def test_it_says_what_is_too_much(server):
    url = f"{server.url}/stream"

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
            async with session.get(f"{server.url}/metrics") as response:
                lines = (await response.text()).splitlines()
            assert 'fastrnn_refused_total{reason="all streams are taken"} 1' in lines
            async with session.get(f"{server.url}/models") as response:
                about = (await response.json())["lstm"]
            assert len(about.pop("version")) == 16
            assert about == {"input_size": I, "output_size": O, "max_steps": 4, "dtype": "float32"}

    asyncio.run(main())


@options(deadline_ms=60_000)
def test_idle_and_stuck_clients_delay_nobody(server):
    """Idle streams, and a client that never reads and so can send no more, hold up no batch."""

    async def main() -> None:
        x = x_of(1)
        async with aiohttp.ClientSession() as session:
            one, *_ = [await session.ws_connect(f"{server.url}/stream") for _ in range(3)]
            with never_reading(server):
                for right in alone(x, x, x):
                    await one.send_bytes(x.tobytes())
                    assert await one.receive_bytes(timeout=20) == right

    asyncio.run(main())


@options(capacity=2, stall_seconds=0.5)
def test_who_never_reads_loses_its_place(server):
    async def main() -> None:
        x = x_of(1)
        with never_reading(server), never_reading(server):
            async with aiohttp.ClientSession() as session:
                socket = None
                for _ in range(200):
                    with contextlib.suppress(aiohttp.WSServerHandshakeError):  # 503
                        socket = await session.ws_connect(f"{server.url}/stream")
                        break
                    await asyncio.sleep(0.1)
                assert socket is not None
                await socket.send_bytes(x.tobytes())
                assert await socket.receive_bytes(timeout=20) == alone(x)[0]

    asyncio.run(main())
    [line, *_] = [json.loads(line) for line in server.log.read_text().splitlines() if '"cut off"' in line]
    assert (line["reason"], line["client"]) == ("read nothing for 0.5 seconds", "127.0.0.1")


class Written:
    """A connection's transport: how many bytes are unread at each look."""

    def __init__(self, sizes: Iterable[int], handler: Handler | None = None) -> None:
        self.sizes, self.handler, self.aborted = iter(sizes), handler, False

    def get_write_buffer_size(self) -> int:
        if self.handler is not None:
            self.handler.emptied += 1
        return next(self.sizes)

    def get_extra_info(self, name: str) -> str:
        return name

    def abort(self) -> None:
        self.aborted = True


def test_who_reads_slowly_keeps_its_place():
    """Who reads little by little, or is always one answer behind, was cut off as if it did not read."""

    async def main() -> None:
        connections = Connections(None, Settings(stall_seconds=0.2))
        handlers = [connections() for _ in range(4)]
        stuck, empty = Written(itertools.repeat(9)), Written(itertools.repeat(0))
        slow, behind = Written(itertools.count(10**9, -1)), Written(itertools.repeat(9), handlers[3])
        transports = [stuck, empty, slow, behind]
        connections.transports = dict(zip(handlers, transports, strict=True))
        looking = asyncio.create_task(connections.cut_off_stalled())
        while not stuck.aborted and not looking.done():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert not looking.done()
        assert [one.aborted for one in (slow, behind, empty)] == [False] * 3
        looking.cancel()

    asyncio.run(main())


@options(capacity=2, connections=3, header_seconds=0.5)
def test_half_a_request_and_too_many_connections(server):
    def connect() -> socket.socket:
        return socket.create_connection(server.address, timeout=20)

    with connect() as silent, connect() as half, connect() as body:
        half.sendall(HANDSHAKE[:-2])
        body.sendall(b"POST /models HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
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
def test_hundreds_may_come_while_it_is_busy(server):
    server.process.send_signal(signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        for _ in range(300):  # the kernel answers them, or lets them try again and again
            stack.enter_context(socket.create_connection(server.address, timeout=20))
        server.process.send_signal(signal.SIGCONT)


@options()
def test_pings_are_answered_up_to_a_limit(server):
    async def main() -> None:
        x = x_of(1)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/stream", autoping=False) as socket,
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


@options(idle_seconds=0.5)
def test_who_is_silent_is_closed(server):
    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/stream") as socket:
            assert await closed(socket) == (1008, "idle for 0.5 seconds")

    asyncio.run(main())


@options(deadline_ms=300)
def test_who_leaves_while_computed_for_disturbs_nobody(server):
    async def main() -> None:
        x = x_of(2)
        async with aiohttp.ClientSession() as session:
            leaving, staying, waiting = [await session.ws_connect(f"{server.url}/stream") for _ in range(3)]
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
        engine = Engine(model(), capacity=3, max_steps=1, deadline=0.2)
        running = asyncio.create_task(engine.run())
        leaving, staying, third = [await engine.open() for _ in range(3)]
        x, answers = x_of(1), asyncio.Queue()
        engine.answered(third)  # the batch waits for its next chunk
        for slot in (leaving, staying):
            engine.push(Request(slot, x.tobytes(), 1, slot == staying, lambda *answer: answers.put_nowait(answer)))
        await asyncio.sleep(0)
        await engine.close(leaving)
        answer, state = await asyncio.wait_for(answers.get(), 20)
        assert answer == alone(x)[0]
        assert state == fastrnn.Session(model()).get_state()
        assert (engine.open_streams, answers.empty()) == (2, True)
        running.cancel()
        engine.stop()

    asyncio.run(main())


@options(deadline_ms=1000)
def test_it_answers_what_is_due_before_it_stops(server):
    async def main() -> None:
        x = x_of(1)
        async with aiohttp.ClientSession() as session:
            due, idle = [await session.ws_connect(f"{server.url}/stream") for _ in range(2)]
            await idle.send_bytes(x.tobytes())
            assert await idle.receive_bytes(timeout=20) == alone(x)[0]
            await due.send_bytes(x.tobytes())  # waits for the next one of the other
            await asyncio.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            assert await closed(idle) == (1012, "the server stops")
            assert await due.receive_bytes(timeout=20) == alone(x)[0]
            assert await closed(due) == (1012, "the server stops")
            with pytest.raises(aiohttp.ClientError):
                await session.ws_connect(f"{server.url}/stream")

    asyncio.run(main())
    assert server.process.wait(20) == 0


@options()
def test_a_port_that_is_taken_is_an_error_and_no_more(server):
    """It left its engines behind, of which Python complained."""
    words = [model_file(), "--port", str(server.address[1])]
    done = subprocess.run(
        [sys.executable, "-m", "fastrnn", "serve", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "error: arguments --host and --port: " in done.stderr
    assert "destroyed" not in done.stderr


@options(drain_seconds=0.5)
def test_it_stops_in_the_time_it_promises_with_clients_that_do_not_read(server):
    with never_reading(server), never_reading(server):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0  # this once took two minutes
