"""Several instances with one Redis: streams that go on at another one, whatever is killed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn

pytest.importorskip("aiohttp", reason="the service's extra is not installed: pip install '.[serve]'")
pytest.importorskip("redis", reason="the service's extra is not installed: pip install '.[serve]'")
if shutil.which("redis-server") is None:
    pytest.skip("there is no redis-server: apt-get install redis-server", allow_module_level=True)

import aiohttp

from bench.serve.programs import RedisServer
from fastrnn.serve import Client, StreamLost
from fastrnn.serve.store import Kept, Redis, StoreError, make_store
from tests.support.served import Served, closed, running, session_on, side_by_side, x_of


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def instance(redis: RedisServer, *more: str, **models: Any) -> Any:
    return running("--store", redis.url, "--store-steps", "4", "--max-steps", "8", *more, **models)


async def streams_go_on(urls: list[str], between: dict[int, Any], clients: int = 5, steps: int = 24) -> list[Client]:
    """Streams that begin at different instances, and what happens before some of their steps."""
    streams = [Client(urls[k % len(urls) :] + urls[: k % len(urls)], answer_seconds=20) for k in range(clients)]
    await side_by_side(streams, steps, between)
    return streams


def end(server: Served, how: signal.Signals) -> None:
    server.process.send_signal(how)
    server.process.wait(20)


def test_an_instance_is_killed_and_one_ends(redis):
    with instance(redis) as one, instance(redis) as two, instance(redis) as three:
        between = {7: lambda: end(one, signal.SIGKILL), 15: lambda: end(two, signal.SIGTERM)}
        streams = asyncio.run(streams_go_on([one.url, two.url, three.url], between))
        assert [stream.reconnections for stream in streams] == [2, 1, 0, 2, 1]
        assert all(stream.stored > 0 for stream in streams)
        assert two.process.returncode == 0
        assert '"all_stored": true' in two.log.read_text()


def test_redis_is_killed_and_comes_back(redis):
    with instance(redis) as one, instance(redis) as two:

        def back() -> None:
            redis.start()
            end(one, signal.SIGKILL)

        streams = asyncio.run(streams_go_on([one.url, two.url], {9: redis.kill, 17: back}))
        assert sum(stream.reconnections for stream in streams) >= 3
        assert '"the store does not answer"' in two.log.read_text()


def test_redis_hangs(redis):
    """Streams go on, new ones are refused in time, and nothing is stored twice or not at all afterwards."""
    with instance(redis) as one:

        async def main() -> None:
            assert redis.process is not None
            x = x_of(1000)
            async with Client(one.url) as stream:
                outputs = [await stream.run(x[:8])]
                redis.process.send_signal(signal.SIGSTOP)
                outputs.append(await stream.run(x[8:40]))
                before = stream.stored
                with pytest.raises(StreamLost, match="no connection") as error:
                    await Client(one.url, patience=0.1).__aenter__()
                assert "503" in str(error.value.__cause__)
                assert stream.stored == before
                redis.process.send_signal(signal.SIGCONT)
                at = 40
                while stream.stored == before:
                    outputs.append(await stream.run(x[at : at + 1]))
                    at += 1
                    await asyncio.sleep(0.2)
            np.testing.assert_array_equal(np.concatenate(outputs), session_on(x)[:at])

        asyncio.run(main())


def test_chunks_wait_for_a_store_that_is_too_far_behind(redis):
    """A client kept chunks without a bound while Redis was down."""
    with instance(redis, "--unstored-bytes", "1") as one:  # the least: --store-steps and two chunks

        async def main() -> None:
            x = x_of(80)
            async with Client(one.url, answer_seconds=60) as stream:
                assert stream.about["unstored_steps"] == 20
                outputs, at = [await stream.run(x[:8])], 8
                await asyncio.to_thread(redis.kill)
                while True:
                    waiting = asyncio.create_task(stream.run(x[at : at + 1]))
                    if not (await asyncio.wait([waiting], timeout=1))[0] and at - stream.stored >= 20:
                        break
                    outputs.append(await waiting)
                    at += 1
                assert at - stream.stored == 20
                await asyncio.to_thread(redis.start)
                outputs += [await waiting, await stream.run(x[at + 1 :])]
                assert stream.reconnections == 0
            np.testing.assert_array_equal(np.concatenate(outputs), session_on(x))

        asyncio.run(main())


def test_a_chunk_that_waits_for_the_store_delays_no_end(redis):
    with instance(redis, "--unstored-bytes", "1", "--drain-seconds", "60") as one:

        async def main() -> None:
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{one.url}/stream?id=one") as socket:
                await socket.receive_str()
                await asyncio.to_thread(redis.kill)
                for _ in range(3):
                    await socket.send_bytes(x_of(8).tobytes())
                for _ in range(2):
                    await socket.receive_bytes(timeout=20)
                one.process.send_signal(signal.SIGTERM)
                assert (await closed(socket))[0] == 1012
            assert await asyncio.to_thread(one.process.wait, 30) == 0

        asyncio.run(main())
        assert '"all_stored": false' in one.log.read_text()


def test_the_log_says_early_what_is_wrong_with_redis(redis):
    with socket.create_connection(("127.0.0.1", redis.port), timeout=20) as client:
        client.sendall(b"CONFIG SET requirepass right\r\n")
        assert client.recv(5) == b"+OK\r\n"
    with running("--store", f"redis://:wrong@127.0.0.1:{redis.port}/0") as one:
        end = time.monotonic() + 20
        while "the store" not in (log := one.log.read_text()) and time.monotonic() < end:
            time.sleep(0.02)
    assert '"the store does not answer"' in log
    assert "password" in log
    assert "wrong@" not in log


def test_what_is_no_state_is_refused(redis):
    """And takes no place, of which there is one."""
    with instance(redis, "--capacity", "1") as one:

        async def main() -> None:
            store = Redis(redis.url, 60.0)
            async with Client(one.url, identity="one") as stream:
                version = stream.about["version"]
            kept = await store.open("fastrnn:lstm:one", version)
            assert await store.save([("fastrnn:lstm:one", Kept(kept.owner, 5, version, b"no state"))]) == [True]
            with pytest.raises(StreamLost, match="no connection") as error:
                await Client(one.url, identity="one", patience=0.1).__aenter__()
            assert "409" in str(error.value.__cause__)
            await store._redis.set("fastrnn:lstm:two", "no hash")
            with pytest.raises(StreamLost, match="no connection"):
                await Client(one.url, identity="two", patience=0.1).__aenter__()
            async with Client(one.url) as stream:
                await stream.run(x_of(1))
            await store.close()

        asyncio.run(main())


def test_what_redis_lost_is_an_error(redis):
    with instance(redis) as one:

        async def main() -> None:
            async with Client(one.url) as stream:
                while stream.stored == 0:  # the next answer after it is stored says so
                    await stream.run(x_of(8))
                await asyncio.to_thread(redis.kill)
                for file in (redis.folder / "appendonlydir").iterdir():
                    file.unlink()
                await asyncio.to_thread(redis.start)
                assert stream._socket is not None
                stream._socket._response.connection.transport.abort()
                with pytest.raises(StreamLost, match=r"expected a state of step [0-9]+ to [0-9]+, got one of step 0"):
                    await stream.run(x_of(1))

        asyncio.run(main())


def test_another_version_is_an_error(redis, tmp_path):
    """Instances of unlike files never mix their bits."""
    layer = [{"cell": "rnn", "w_ih": np.eye(128, dtype=np.float32), "w_hh": np.eye(128, dtype=np.float32)}]
    other = tmp_path / "lstm.safetensors"
    fastrnn.io.save_layers(other, layer)
    with instance(redis) as one, instance(redis, models=(f"lstm={other}",)) as two:

        async def main() -> None:
            async with Client(one.url, identity="one") as stream:
                await stream.run(x_of(3))
                with pytest.raises(StreamLost, match=r"no connection for 0\.1 s") as error:
                    await Client(two.url, identity="one", patience=0.1).__aenter__()
                assert "409" in str(error.value.__cause__)
                await stream.run(x_of(3))

        asyncio.run(main())


@pytest.mark.parametrize("url", ["redis://:secret@host:port/0", "redis://:secret@host:1/zero", "file:x"])
def test_what_is_no_address_of_a_store_is_refused(url):
    """A number that is none was the database 0."""
    with pytest.raises(ValueError, match=r"store: expected .*redis://host:port/number, got") as error:
        make_store(url, 60.0)
    assert "secret" not in str(error.value)


def test_a_state_has_one_owner(redis):
    async def main() -> None:
        one, two = (Redis(redis.url, 60.0) for _ in range(2))
        first = await one.open("fastrnn:a:1", "v")
        assert (first.position, first.version, first.state) == (0, "v", None)
        assert await one.save([("fastrnn:a:1", Kept(first.owner, 5, "v", b"\0\xff"))]) == [True]
        second = await two.open("fastrnn:a:1", "w")
        assert (second.position, second.version, second.state) == (5, "v", b"\0\xff")
        states = [("fastrnn:a:1", Kept(owner, 9, "v", b"9")) for owner in (first.owner, second.owner)]
        assert await one.save([*states, ("fastrnn:a:2", Kept("new", 1, "v", b"1"))]) == [False, True, True]
        late = [("fastrnn:a:1", Kept(second.owner, 7, "v", b"7"))]  # a write that was given up, and arrives now
        assert await two.save(late) == [True]
        assert (await two.open("fastrnn:a:1", "v")).position == 9
        assert 50 < await two._redis.ttl("fastrnn:a:1") <= 60
        await asyncio.to_thread(redis.kill)
        with pytest.raises(StoreError):
            await one.open("fastrnn:a:1", "v")
        await asyncio.to_thread(redis.start)  # has what it answered, but no script
        assert await one.save([("fastrnn:a:2", Kept("new", 2, "v", b"2"))]) == [True]
        assert (await one.open("fastrnn:a:1", "v")).state == b"9"
        for store in (one, two):
            await store.close()

    asyncio.run(main())
