"""Who may connect, what one client may take, and what the log says of it."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest

pytest.importorskip("aiohttp", reason="the service's extra is not installed: pip install '.[serve]'")
import aiohttp

from fastrnn.serve.access import Account, read_tokens
from fastrnn.serve.metrics import Metrics
from tests.support.served import HANDSHAKE, alone, options, running, x_of


async def status_of(session: aiohttp.ClientSession, url: str, **more: object) -> int:
    """Of a WebSocket's handshake."""
    try:
        async with session.ws_connect(url, **more):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


def test_tokens_origins_and_clients(tmp_path):
    (tmp_path / "tokens").write_text("# who may come\nann  secret\nbob hush\n\n")
    words = ["--token-file", tmp_path / "tokens", "--origin", "https://a.example", "--client-streams", "2"]
    with running(*map(str, words)) as server:
        url = f"{server.url}/stream"

        async def main() -> None:
            ann, bob = ({"Authorization": f"Bearer {token}"} for token in ("secret", "hush"))
            async with aiohttp.ClientSession() as session:
                assert await status_of(session, url) == 401
                assert await status_of(session, url, headers={"Authorization": "Bearer hushh"}) == 401
                assert await status_of(session, f"{url}?token=secret") == 101
                for origin, status in (("https://a.example", 101), (server.url, 101), ("https://b.example", 403)):
                    assert await status_of(session, url, headers={**ann, "Origin": origin}) == status
                first, _ = [await session.ws_connect(url, headers=ann) for _ in range(2)]
                assert await status_of(session, url, headers=ann) == 429
                assert await status_of(session, url, headers=bob) == 101
                await first.close()
                while await status_of(session, url, headers=ann) == 429:  # its place is free when it is gone
                    await asyncio.sleep(0.01)
                for page, status in (("health", 200), ("ready", 200), ("models", 401), ("metrics", 401)):
                    async with session.get(f"{server.url}/{page}") as response:
                        assert response.status == status, page
                async with session.get(f"{server.url}/models", headers=bob) as response:
                    assert response.status == 200

        asyncio.run(main())
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert [line["event"] for line in lines][:2] == ["model loaded", "started"]
    assert {"ann", "bob"} <= {line.get("client") for line in lines if line["event"] == "stream opened"}
    refused = [(line["level"], line["status"]) for line in lines if line["event"] == "refused"]
    assert refused[:3] == [("warning", 401), ("warning", 401), ("warning", 403)]
    assert "secret" not in json.dumps(lines)


@options(client_steps=20, max_steps=30)
def test_a_client_that_is_too_fast_is_slowed_down(server):
    async def main() -> None:
        x = x_of(30)
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/stream") as socket:
            begin = time.monotonic()
            for right in alone(x, x):
                await socket.send_bytes(x.tobytes())
                assert await socket.receive_bytes(timeout=20) == right
            assert time.monotonic() - begin > 1.9  # 60 steps, of which a second's may come at once

    asyncio.run(main())


def test_the_pace_of_an_account():
    account = Account("a")
    assert [account.delay(10, 100.0, now) for now in (5.0, 5.0)] == [0.0, 0.0]
    assert account.delay(100, 100.0, 5.0) == pytest.approx(0.2)
    assert account.delay(1, 100.0, 9.0) == 0.0


def test_a_proxy_is_believed_that_is_named():
    for words, expected in (((), "127.0.0.1"), (("--proxy", "127.0.0.1"), "10.1.2.3")):
        with running(*words) as server:

            async def main(url: str = server.url) -> None:
                headers = {"X-Forwarded-For": "1.1.1.1, 10.1.2.3"}
                async with aiohttp.ClientSession() as session:
                    assert await status_of(session, f"{url}/stream", headers=headers) == 101

            asyncio.run(main())
            text = server.log.read_text()
        opened = [json.loads(line) for line in text.splitlines() if '"stream opened"' in line]
        assert [line["client"] for line in opened] == [expected]


@options()
def test_what_is_no_handshake_is_refused(server):
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            good = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            for more in ({}, {"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Version": "8"}):
                async with session.get(f"{server.url}/stream", headers=good | more) as response:
                    assert response.status == 400
            assert await status_of(session, f"{server.url}/stream?model=other") == 404
            assert await status_of(session, f"{server.url}/stream?id=a%20b") == 400
            assert await status_of(session, f"{server.url}/stream?modell=lstm") == 400
            async with session.ws_connect(f"{server.url}/stream", compress=15) as socket:  # not agreed to
                await socket.send_bytes(x_of(1).tobytes())
                assert await socket.receive_bytes(timeout=20) == alone(x_of(1))[0]
            async with session.get(f"{server.url}/nothing") as response:
                assert response.status == 404

    asyncio.run(main())


def test_headers_that_are_no_text_are_refused(tmp_path):
    """Bytes that are not UTF-8, and an origin that is no address, were HTTP 500."""
    (tmp_path / "tokens").write_text("ann secret\n")
    with running("--token-file", str(tmp_path / "tokens"), "--origin", "https://a.example") as server:
        for line, status in (
            (b"Authorization: Bearer \xff\xfe", 401),
            (b"Origin: http://[", 403),
            (b"Origin: \xff", 403),
        ):
            with socket.create_connection(server.address, timeout=20) as client:
                client.sendall(HANDSHAKE[:-2] + line + b"\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 %d" % status, line
        assert '"error"' not in server.log.read_text()


@options()
def test_what_is_no_http_is_a_line_of_the_log(server):
    """It was a traceback for each, among the errors."""
    for data in (b"\x16\x03\x01\x00\xc8\x01\x00\x00\r\n\r\n", HANDSHAKE.replace(b"GET /", b"GET http://[/")):
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(data)
            assert client.recv(1 << 10).split()[1] == b"400"
    log = server.log.read_text()
    assert "Traceback" not in log
    lines = [json.loads(line) for line in log.splitlines() if "no request of HTTP" in line]
    assert {(line["level"], line["client"]) for line in lines} <= {("warning", "127.0.0.1")}
    assert lines


def test_a_token_file_is_read_strictly(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("ann secret word\n")
    with pytest.raises(ValueError, match="line 1: expected a name and a token, got 3 words"):
        read_tokens(str(path))


def test_the_text_of_metrics():
    metrics = Metrics()
    metrics.refused.add(label='a "b"')
    for seconds in (0.003, 0.5, 9.0):
        metrics.seconds.observe(seconds, "m")
    lines = metrics.text().splitlines()
    assert 'fastrnn_refused_total{reason="a \\"b\\""} 1' in lines
    assert "fastrnn_states_stored_total 0" in lines
    buckets = [line.split()[-1] for line in lines if line.startswith("fastrnn_chunk_seconds_bucket")]
    assert buckets == ["0"] * 3 + ["1"] * 7 + ["2"] * 2 + ["3"]
    assert "# TYPE fastrnn_chunk_seconds histogram" in lines
    assert 'fastrnn_chunk_seconds_sum{model="m"} 9.503' in lines
