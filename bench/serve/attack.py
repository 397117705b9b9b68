"""Clients that mean no good beside honest ones, and how a server takes it.

python -m bench.serve.attack                    # a server of its own, 2,000 attackers, 50 honest streams, a minute
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bench.serve.load import (
    Tally,
    connect,
    own_server,
    processor_seconds,
    random_model,
    resident_kib,
    sequences,
    stream,
)
from fastrnn.cli._console import at_least_1, number_over_0
from fastrnn.serve.connections import allow_files
from fastrnn.serve.run import event_loop

HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

FLOODS = 5  # attackers of each kind who send messages as fast as they can: ten thousand of them cost 10 to 20 ms


def frame(opcode: int, data: bytes) -> bytes:
    """A WebSocket frame of a client, whose mask is zeros."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack("!BQ", 0xFF, len(data))
    return bytes([0x80 | opcode]) + size + bytes(4) + data


@dataclass
class Attack:
    """What an attacker sends, once and then again and again; whether it reads; what became of its connections."""

    first: bytes
    again: bytes = b""
    pause: float = 0.0  # seconds before each `again`
    reads: bool = True
    most: int = 10**6  # attackers of this kind
    connections: int = 0
    ended: int = 0  # by the server
    refused: int = 0  # of these, with 503
    longest: float = 0.0  # seconds from connecting to the end

    async def go_on(self, host: str, port: int, again: float) -> None:
        """Until it is cancelled: connects, and again so many seconds after the server has ended the connection."""
        while True:
            start, first = time.monotonic(), b""
            with contextlib.suppress(OSError):
                # A reader of limit 1 reads no more after two bytes.
                reader, writer = await asyncio.open_connection(host, port, limit=1 << 16 if self.reads else 1)
                self.connections += 1
                sending = asyncio.create_task(self.send(writer))
                try:
                    if self.reads:
                        first = await reader.read(1 << 16)
                        while await reader.read(1 << 16):
                            pass
                    else:
                        await sending
                finally:
                    self.longest = max(self.longest, time.monotonic() - start)
                    sending.cancel()
                    writer.transport.abort()
            self.ended += 1
            self.refused += first.startswith(b"HTTP/1.1 503")
            await asyncio.sleep(again)

    async def send(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(self.first)
            while self.again:
                await writer.drain()
                await asyncio.sleep(self.pause)
                writer.write(self.again)

    def report(self) -> dict[str, Any]:
        counts = {"connections": self.connections, "ended": self.ended, "refused": self.refused}
        return counts | {"longest_seconds": round(self.longest, 1)}


def attacks(chunk: bytes) -> dict[str, Attack]:
    page = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    return {
        "silent": Attack(b""),
        "half a request, a byte at a time": Attack(HANDSHAKE[:-2] + b"X: ", b"x", 0.5),
        "half a message": Attack(HANDSHAKE + frame(2, chunk)[:-1]),
        "an idle stream": Attack(HANDSHAKE),
        "chunks, and never reads": Attack(HANDSHAKE, frame(2, chunk), reads=False),
        "pages, and never reads": Attack(b"", page * 100, reads=False),
        "empty chunks, and never reads": Attack(HANDSHAKE, frame(2, b"") * 1000, reads=False, most=FLOODS),
        "pings, and never reads": Attack(HANDSHAKE, frame(9, b"") * 1000, reads=False, most=FLOODS),
    }


async def newcomers(url: str, chunk: bytes, right: bytes, tally: Tally) -> None:
    """Twice a second, until cancelled, one comes, has a chunk answered, and goes. Times are from its first try."""
    async with aiohttp.ClientSession() as client:
        while True:
            start = time.perf_counter()
            async with await connect(client, url) as connection:
                await stream(connection, [(chunk, right)], 0.0, start, tally)
            await asyncio.sleep(0.5)


async def honest(options: argparse.Namespace, url: str, pid: int, duration: float) -> dict[str, Any]:
    """What load.py, in a process of its own, finds; and how much of a core the server took."""
    start, busy = time.monotonic(), processor_seconds(pid)
    command = [sys.executable, "-m", "bench.serve.load", "--url", url, "--model", options.model, "--warm-up", "0.1"]
    command += ["--connections", str(options.connections), "--seconds", str(duration), "--steps", str(options.steps)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    result: dict[str, Any] = json.loads(out)
    return result | {"server_cores": round((processor_seconds(pid) - busy) / (time.monotonic() - start), 2)}


async def run(options: argparse.Namespace, url: str, pid: int) -> dict[str, Any]:
    [[(chunk, right), *_], *_] = sequences(options, 1)
    address, tally = urlsplit(url), Tally()
    kinds = attacks(bytes(len(chunk) // options.steps * options.max_steps))
    kinds = {name: attack for name, attack in kinds.items() if options.kind in name}
    before = await honest(options, url, pid, options.quiet_seconds)
    memory = {"before": resident_kib(pid)}
    each = [attack for n in range(options.attackers) for attack in kinds.values() if n < attack.most]
    host, port = str(address.hostname), int(address.port or 80)
    tasks = [
        asyncio.create_task(attack.go_on(host, port, options.again_seconds)) for attack in each[: options.attackers]
    ]
    tasks.append(asyncio.create_task(newcomers(url, chunk, right, tally)))
    beside = await honest(options, url, pid, options.seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    memory |= {"peak": resident_kib(pid, "VmHWM"), "after": resident_kib(pid)}
    return {
        "alone": before,
        "beside_attackers": beside,
        "newcomers_beside_attackers": tally.report(tally.sent, options.seconds),
        "attackers": {name: attack.report() for name, attack in kinds.items()},
        "memory_kib": memory,
    }


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--attackers", type=at_least_1, default=2000)
    add("--connections", type=at_least_1, default=50, help="honest streams")
    add("--seconds", type=number_over_0, default=60)
    add("--quiet-seconds", type=number_over_0, default=10, help="of the honest streams alone, to compare with")
    add("--steps", type=at_least_1, default=1, help="time steps in an honest chunk")
    add("--max-steps", type=at_least_1, default=16, help="time steps in an attacker's chunk, and the server's limit")
    add("--again-seconds", type=number_over_0, default=10, help="after which one who was cut off comes again")
    add("--kind", default="", help="only attackers with this in their names")
    add("--server", nargs=argparse.REMAINDER, default=[], help="all that follows: more options for the server")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object; the exit status is 1 when an honest client missed something."""
    options = arguments(argv)
    allow_files(options.attackers + 100)
    options.dtype, options.sequences = "float32", 1
    capacity = options.attackers + options.connections + 1
    more = ["--capacity", str(capacity), "--max-steps", str(options.max_steps), *options.server]
    with tempfile.TemporaryDirectory() as folder:
        options.model = random_model(f"{folder}/lstm.safetensors")
        with own_server(options, *more) as (url, pid):
            result = event_loop().run_until_complete(run(options, url, pid))
    print(json.dumps(result, indent=1))
    tallies = [result[name] for name in ("alone", "beside_attackers", "newcomers_beside_attackers")]
    return 1 if any(tally["lost"] or tally["mismatched"] or tally["not_sent"] for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
