"""Streams that outlive their connection and their model's file: the client, the store in memory, hot reload."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastrnn

pytest.importorskip("aiohttp", reason="the service's extra is not installed: pip install '.[serve]'")
import aiohttp

from fastrnn.serve import Client, StreamLost
from fastrnn.serve.metrics import Metrics
from fastrnn.serve.models import MOST_OLD, Models
from fastrnn.serve.saver import Saver
from fastrnn.serve.settings import Settings
from fastrnn.serve.store import Kept, Memory, StoreError
from tests.support.served import closed, model_file, options, running, session_on, x_of


def cut(client: Client) -> None:
    """The connection breaks, without a word."""
    assert client._socket is not None
    client._socket._response.connection.transport.abort()


@options(store_steps=4, max_steps=8)
def test_a_stream_goes_on_behind_a_break(server):
    async def main() -> None:
        x = x_of(60)
        outputs, at = [], 0
        async with Client(server.url, "lstm") as stream:
            for steps in (1, 3, 8, 2, 1, 20, 5, 20):
                outputs.append(await stream.run(x[at : at + steps]))
                at += steps
                assert stream.position == at
                assert at - stream.stored < 4 + 2 * 8
                if steps != 2:
                    cut(stream)
            assert stream.reconnections == 6  # of seven breaks the last is never noticed
        np.testing.assert_array_equal(np.concatenate(outputs), session_on(x))

    asyncio.run(main())


@options(store_steps=4, max_steps=8)
def test_an_answer_that_did_not_arrive_is_given_again(server):
    """The server has computed the chunk, and stored the state behind it, but for the client that never happened."""

    async def main() -> None:
        x = x_of(12)
        url = f"{server.url}/stream?id=one"
        async with aiohttp.ClientSession() as session:
            first = await session.ws_connect(url)
            assert json.loads(await first.receive_str())["position"] == 0
            for at in (0, 4, 8):
                await first.send_bytes(x[at : at + 4].tobytes())
                head = (await first.receive_bytes(timeout=20))[:16]
                assert int.from_bytes(head[:8], "little") == at + 4
                assert int.from_bytes(head[8:], "little") <= at
            await first.close()
            while True:  # until the server has seen that it is gone
                second = await session.ws_connect(url)
                position = json.loads(await second.receive_str())["position"]
                assert position <= 8  # never behind a chunk whose answer may be lost
                if position == 8:
                    break
                await second.close()
            await second.send_bytes(x[8:].tobytes())
            answer = await second.receive_bytes(timeout=20)
            assert answer[16:] == session_on(x)[8:].tobytes()

    asyncio.run(main())


@options(store_steps=1000)
def test_the_caller_may_use_its_buffer_again(server):
    """What is sent again behind a break is what was sent first; it was whatever the buffer held by then."""

    async def main() -> None:
        x, buffer, outputs = x_of(12), np.empty((2, 128), np.float32), []
        async with Client(server.url) as stream:
            for at in range(0, 12, 2):
                buffer[:] = x[at : at + 2]
                outputs.append(await stream.run(buffer))
            cut(stream)
            buffer[:] = x[:2]
            await stream.run(buffer)
            assert stream.reconnections == 1
            outputs.append(await stream.run(buffer))
        right = session_on(np.concatenate([x, x[:2], x[:2]]))
        np.testing.assert_array_equal(np.concatenate(outputs), np.delete(right, [12, 13], axis=0))

    asyncio.run(main())


@options(store_steps=4, max_steps=8)
def test_a_call_that_is_cancelled_was_never_made(server):
    """The next one was given its answer."""

    async def main() -> None:
        x = x_of(12)
        async with Client(server.url) as stream:
            outputs = [await stream.run(x[:4])]
            server.process.send_signal(signal.SIGSTOP)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(stream.run(np.ones((4, 128), np.float32)), 0.05)
            server.process.send_signal(signal.SIGCONT)
            assert stream.position == 4
            outputs.append(await stream.run(x[4:8]))
            np.testing.assert_array_equal(outputs[1], session_on(x)[4:8])
            # Calls of several tasks take turns.
            outputs += await asyncio.gather(stream.run(x[8:10]), stream.run(x[10:]))
        np.testing.assert_array_equal(np.concatenate(outputs), session_on(x))

    asyncio.run(main())


def test_who_ends_every_connection_is_left():
    """A server that takes connections and closes them was tried for ever, without a pause."""
    web = aiohttp.web

    async def main() -> None:
        tries = 0

        async def answer(request: web.BaseRequest) -> web.WebSocketResponse:
            nonlocal tries
            tries += 1
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            about = {"position": 0, "version": "v", "input_size": 3, "output_size": 3, "max_steps": 8}
            await socket.send_json(about)
            await socket.close()
            return socket

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}", patience=0.3, answer_seconds=0.2) as stream:
            with pytest.raises(StreamLost, match="no answer for"):
                await stream.run(np.zeros((1, 3)))
        await runner.cleanup()
        assert tries < 20

    asyncio.run(main())


@options(store_steps=1000)
def test_a_server_that_does_not_answer_is_left(server):
    """It is stopped, so that nothing breaks, also while it is sent what it lacks."""

    async def main() -> None:
        x = x_of(12)
        async with Client(server.url, answer_seconds=0.3) as stream:
            outputs = [await stream.run(x[:4]), await stream.run(x[4:8])]
            cut(stream)
            exchange, stopped = stream._exchange, []

            async def stop_first(chunk: Any) -> Any:
                if not stopped and stream.reconnections:  # the first chunk of what it lacks
                    stopped.append(server.process.send_signal(signal.SIGSTOP))
                    asyncio.get_running_loop().call_later(0.45, server.process.send_signal, signal.SIGCONT)
                return await exchange(chunk)

            stream._exchange = stop_first  # type: ignore[method-assign]
            outputs.append(await stream.run(x[8:]))
            assert stopped
            assert stream.reconnections >= 2
        np.testing.assert_array_equal(np.concatenate(outputs), session_on(x))

    asyncio.run(main())


@options()
def test_a_stream_has_one_connection(server):
    async def main() -> None:
        async with Client(server.url, identity="one") as first:
            await first.run(x_of(40))
            async with Client(server.url, identity="one"):
                with pytest.raises(StreamLost, match="4409: the stream goes on at another connection"):
                    await first.run(x_of(1000))

    asyncio.run(main())


def test_a_client_says_what_is_wrong():
    with running("--max-steps", "4") as server:

        async def main() -> None:
            for more, text in (
                ({"model": "other"}, "HTTP 404: there is no such model; there are lstm$"),
                ({"identity": "a b"}, "HTTP 400: id: expected 1 to 64 letters"),
            ):
                with pytest.raises(StreamLost, match=text):
                    await Client(server.url, **more).__aenter__()
            async with Client(server.url, patience=0.1) as stream:
                for x in (np.zeros((2, 3)), np.zeros((0, 128)), np.zeros(128)):
                    with pytest.raises(ValueError, match=r"x: expected \(T, 128\) with T >= 1, got "):
                        await stream.run(x)
                assert (await stream.run(x_of(9))).shape == (9, 128)
                server.process.kill()
                with pytest.raises(StreamLost, match=r"no connection for 0\.1 s; http://.*: Cannot connect to host"):
                    await stream.run(x_of(1))

        asyncio.run(main())


def test_a_changed_file_is_served_beside_the_old_one(tmp_path):
    path = tmp_path / "a.safetensors"
    shutil.copy(model_file(), path)
    words = ("--reload-seconds", "0.05")
    with running(*words, "--store-steps", "1", models=(f"a={path}", f"b={model_file()}")) as server:

        async def wait_for(version: Callable[[str], bool]) -> dict[str, Any]:
            async with aiohttp.ClientSession() as session:
                while True:
                    async with session.get(f"{server.url}/models") as response:
                        about = await response.json()
                    if version(about["a"]["version"]):
                        return dict(about["a"])
                    await asyncio.sleep(0.02)

        async def main() -> None:
            x, old = x_of(20), await wait_for(bool)
            async with Client(server.url, "a") as stream, Client(server.url, "b") as other:
                first = await stream.run(x[:10])
                await other.run(x[:10])
                path.write_bytes(b"no model")
                while '"model not loaded"' not in server.log.read_text():
                    await asyncio.sleep(0.02)
                trained = fastrnn.Sequential([fastrnn.Input((None, 5)), fastrnn.GRU(7, return_sequences=True)])
                pytest.importorskip("safetensors")
                trained.save(path)
                new = await wait_for(lambda version: version != old["version"])
                assert (new["input_size"], new["output_size"]) == (5, 7)
                cut(stream)  # and comes back to the old one
                second = await stream.run(x[10:])
                assert stream.reconnections == 1
                np.testing.assert_array_equal(np.concatenate([first, second]), session_on(x))
                np.testing.assert_array_equal(await other.run(x[10:]), session_on(x)[10:])
            async with Client(server.url, "a") as stream:
                x = np.ones((3, 5), np.float32)
                expected = fastrnn.Session(trained).run(x[:, None])[:, 0]
                np.testing.assert_array_equal(await stream.run(x), expected)

        asyncio.run(main())


@options(store_steps=1000, idle_seconds=0.3)
def test_an_idle_stream_comes_back(server):
    async def main() -> None:
        x = x_of(3)
        async with aiohttp.ClientSession() as session, Client(server.url, identity="one") as stream:
            outputs = [await stream.run(x[k : k + 1]) for k in range(2)]
            async with session.ws_connect(f"{server.url}/stream") as beside:
                assert (await closed(beside))[0] == 1008
            outputs.append(await stream.run(x[2:]))
            np.testing.assert_array_equal(np.concatenate(outputs), session_on(x))
            assert stream.reconnections >= 1
            assert stream.stored >= 1  # of the end that was the last chunk's begin

    asyncio.run(main())


class Owner:
    """A stream, for the saver."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def saved(self, position: int) -> None:
        self.told.append(position)

    def taken_over(self) -> None:
        self.told.append("taken over")


class Failing(Memory):
    """A store that does not answer the first times."""

    failures = 2

    async def save(self, states: list[tuple[str, Kept]]) -> list[bool]:
        if self.failures:
            self.failures -= 1
            raise StoreError("no answer")
        return await super().save(states)


def test_the_saver_tries_again_and_writes_the_newest():
    async def main() -> None:
        store, metrics = Failing(60.0), Metrics()
        saver, one, two = Saver(store, metrics), Owner(), Owner()
        kept = await store.open("a", "v")
        running = asyncio.create_task(saver.run())
        saver.put(one, "a", Kept(kept.owner, 1, "v", b"1"))
        await asyncio.sleep(0.05)
        saver.put(one, "a", Kept(kept.owner, 2, "v", b"2"))
        saver.put(two, "a", Kept("of before", 9, "v", b"9"))
        assert not await saver.flush(0.01)
        assert await saver.flush(20)
        assert (one.told, two.told) == ([2], ["taken over"])
        assert (await store.open("a", "v")).state == b"2"
        assert (metrics.stored.values[""], metrics.store_failures.values[""]) == (1, 2)
        running.cancel()

    asyncio.run(main())


def test_the_log_says_once_that_the_store_does_not_answer(caplog):
    async def main() -> None:
        store = Failing(60.0)
        store.failures = 10**9
        saver = Saver(store, Metrics())
        saver.put(Owner(), "a", Kept("", 1, "v", b"1"))
        running = asyncio.create_task(saver.run())
        while saver.metrics.store_failures.values[""] < 3:
            await asyncio.sleep(0.01)
        store.failures = 0
        assert await saver.flush(20)
        running.cancel()

    caplog.set_level("INFO", "fastrnn.serve")
    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "the store does not answer",
        "the store answers again",
    ]


def test_a_write_that_arrives_late_changes_nothing():
    async def main() -> None:
        store = Memory(60.0)
        owner = (await store.open("a", "v")).owner
        for position in (9, 5):
            assert await store.save([("a", Kept(owner, position, "v", b"%d" % position))]) == [True]
        kept = await store.open("a", "v")
        assert (kept.position, kept.state) == (9, b"9")

    asyncio.run(main())


def test_old_versions_of_a_file_are_few(tmp_path):
    """A file that is written again and again kept memory for all streams of each, and one put back was loaded anew."""

    async def main() -> None:
        path = tmp_path / "a.safetensors"
        models = Models(Settings(models={"a": str(path)}, capacity=1), Metrics())
        seen = []
        for number in [*range(MOST_OLD + 3), MOST_OLD]:
            layer = {"cell": "rnn", "w_ih": np.full((1, 1), number, np.float32), "w_hh": np.eye(1, dtype=np.float32)}
            fastrnn.io.save_layers(path, [layer])
            await models.load("a")
            seen.append(models.current["a"])
        assert seen[-1] is seen[MOST_OLD]
        slot = await seen[0].engine.open()
        models.drop_old(0.0)
        assert models.old == [one for one in seen if one not in (seen[1], seen[-1])]
        assert len(models.old) == MOST_OLD + 1
        await seen[0].engine.close(slot)
        models.drop_old(0.0)
        assert len(models.old) == MOST_OLD
        models.stop()

    asyncio.run(main())


def test_memory_forgets(monkeypatch):
    async def main() -> None:
        store = Memory(60.0)
        kept = await store.open("a", "v")
        assert (kept.position, kept.state) == (0, None)
        assert await store.save([("a", Kept(kept.owner, 5, "v", b"5"))]) == [True]
        again = await store.open("a", "v")
        assert (again.position, again.state) == (5, b"5")
        assert again.owner != kept.owner
        monkeypatch.setattr("fastrnn.serve.store.MOST", 2)
        for key in "bc":
            await store.open(key, "v")
        assert (await store.open("a", "v")).state is None
        store.keep_seconds = -1.0
        assert (await store.open("c", "v")).state is None

    asyncio.run(main())
