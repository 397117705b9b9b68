"""examples/serve/haproxy.cfg before two instances: TLS, addresses, and streams that outlive their instance."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.tree import ROOT

pytest.importorskip("aiohttp", reason="the service's extra is not installed: pip install '.[serve]'")
pytest.importorskip("redis", reason="the service's extra is not installed: pip install '.[serve]'")
for program in ("haproxy", "redis-server", "openssl"):
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program}: apt-get install {program}", allow_module_level=True)

import aiohttp

from bench.serve.programs import RedisServer, free_port, wait_for_port
from fastrnn.serve import Client
from fastrnn.serve.client import TLS_SECONDS
from tests.support.served import Served, running, side_by_side

pytestmark = pytest.mark.full


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[list[Served]]:
    """Two of them, with a Redis."""
    with RedisServer(tmp_path) as redis:
        words = ("--store", redis.url, "--store-steps", "4", "--proxy", "127.0.0.1", "--idle-seconds", "20")
        with running(*words) as one, running(*words) as two:
            yield [one, two]


@pytest.fixture
def proxy(instances: list[Served], tmp_path: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Its URL, and who trusts it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=fastrnn"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "fastrnn.pem").write_text(certificate.read_text() + key.read_text())
    text, port = (ROOT / "examples" / "serve" / "haproxy.cfg").read_text(), free_port()
    changes = {"bind :443": f"bind 127.0.0.1:{port}", "/etc/haproxy/fastrnn.pem": str(tmp_path / "fastrnn.pem")}
    changes |= {f"127.0.0.1:{8001 + k}\n": f"127.0.0.1:{one.address[1]}\n" for k, one in enumerate(instances)}
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "haproxy.cfg").write_text(text)
    subprocess.run(["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")], check=True, capture_output=True)
    process = subprocess.Popen(["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")])
    try:
        wait_for_port(port, process)
        yield f"https://127.0.0.1:{port}", ssl.create_default_context(cafile=str(certificate))
    finally:
        process.kill()
        process.wait()


def opened(server: Served) -> list[Any]:
    """What its log says of streams that began there."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    return [line for line in lines if line["event"] == "stream opened"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_streams_outlive_their_instance(proxy, instances, how):
    url, trust = proxy

    def shared_out() -> None:
        assert [len(opened(one)) for one in instances] == [3, 3]  # the fewest get the next

    async def main() -> None:
        streams = [Client(url, ssl=trust, answer_seconds=20) for _ in range(6)]
        await side_by_side(streams, 30, {0: shared_out, 15: lambda: instances[0].process.send_signal(how)})
        assert sum(stream.reconnections for stream in streams) == 3
        assert len(opened(instances[1])) == 6
        instances[0].process.wait(20)

    asyncio.run(main())


def test_pages_and_addresses(proxy, instances):
    url, trust = proxy

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            for page in ("", "/ready", "/models"):
                async with session.get(url + page, ssl=trust) as response:
                    assert response.status == 200
            async with session.ws_connect(f"{url}/stream", ssl=trust, headers={"X-Forwarded-For": "10.0.0.1"}):
                pass
        await asyncio.sleep(TLS_SECONDS)

    asyncio.run(main())
    assert [line["client"] for one in instances for line in opened(one)] == ["127.0.0.1"]
