"""Load for `fastrnn serve`: many streams at the pace of sound, every answer held to the solo result, bit by bit.

python -m bench.serve.load                      # starts a server of its own: 300 connections, a minute
python -m bench.serve.load --url http://127.0.0.1:8000/stream --pid 1234 --model vad.safetensors
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

import fastrnn
from fastrnn.cli._console import at_least_1, number_over_0
from fastrnn.serve.run import event_loop
from fastrnn.serve.settings import DTYPES

ANSWER_SECONDS = 10.0  # after which a chunk counts as lost
CONNECT_SECONDS = 60.0  # for which who is refused tries again


@dataclass
class Tally:
    """What came of the chunks. Times are from when a chunk was due, so that waiting to be sent counts too."""

    sent: int = 0
    lost: int = 0
    mismatched: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def report(self, wanted: int, took: float) -> dict[str, Any]:
        times = np.percentile(self.seconds, [50, 99, 100]) * 1e3 if self.seconds else [None] * 3
        return {
            "sent": self.sent,
            "not_sent": wanted - self.sent,
            "lost": self.lost,
            "mismatched": self.mismatched,
            **{name: t and round(float(t), 3) for name, t in zip(("p50_ms", "p99_ms", "max_ms"), times, strict=True)},
            "chunks_per_second": round(self.sent / took, 1),
            "failures": sorted(set(self.failed))[:5],
        }


def random_model(path: str) -> str:
    """Writes an LSTM 128 to 128 with the same random weights each time: the size of silero-vad's, which takes one step
    for each 32 ms of sound."""
    rng = np.random.default_rng(0)
    shapes = {"w_ih": (4 * 128, 128), "w_hh": (4 * 128, 128), "b_ih": (4 * 128,), "b_hh": (4 * 128,)}
    weights = {name: rng.uniform(-0.09, 0.09, shape).astype(np.float32) for name, shape in shapes.items()}
    fastrnn.io.save_layers(path, [{"cell": "lstm", **weights}])
    return path


def sequences(options: argparse.Namespace, chunks: int) -> list[list[tuple[bytes, bytes]]]:
    """Chunks and their right answers: each sequence run by a session of its own, with none beside it."""
    model = fastrnn.Model.load(options.model, options.dtype)
    made = []
    for seed in range(min(options.sequences, options.connections)):
        rng = np.random.default_rng(seed)
        session = fastrnn.Session(model)
        sequence = []
        for _ in range(chunks):
            x = rng.standard_normal((options.steps, 1, model.input_size), np.float32)
            sequence.append((x.tobytes(), session.run(x).tobytes()))
        made.append(sequence)
    return made


async def connect(client: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    """A connection to the stream; tries again while there is no room."""
    end = time.perf_counter() + CONNECT_SECONDS
    while True:
        try:
            return await client.ws_connect(url, max_msg_size=0)
        except (aiohttp.ClientError, OSError):
            if time.perf_counter() > end:
                raise
        await asyncio.sleep(0.1)


async def stream(
    connection: aiohttp.ClientWebSocketResponse,
    sequence: list[tuple[bytes, bytes]],
    pace: float,
    start: float,
    tally: Tally,
    skip: int = 0,
) -> None:
    """Sends each chunk when it is due, or when the one before it was answered, if that is later."""
    clock = time.perf_counter
    for number, (chunk, right) in enumerate(sequence):
        due = start + number * pace
        if (early := due - clock()) > 0:
            await asyncio.sleep(early)
        tally.sent += 1
        try:
            await connection.send_bytes(chunk)
            answer = await connection.receive_bytes()
        except (aiohttp.ClientError, OSError, TypeError) as error:  # TypeError: it was closed
            tally.lost += 1
            tally.failed.append(f"{type(error).__name__}: {error}, {connection.close_code}")
            return
        tally.seconds.append(clock() - due)
        tally.mismatched += answer[skip:] != right


async def load(options: argparse.Namespace, url: str, made: list[Any], seconds: float) -> dict[str, Any]:
    """All connections at once for so many seconds; they begin spread over the first chunk's time."""
    tally, pace = Tally(), options.chunk_ms / 1e3
    chunks = max(1, round(seconds / pace))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        names = [f"?id={secrets.token_hex(8)}" if options.store else "" for _ in range(options.connections)]
        connections = [await connect(client, url + name) for name in names]
        skip = 0
        if options.store:  # the server says what it knows of each; answers begin with two positions
            skip = 16
            for connection in connections:
                await connection.receive_str()
        start = time.perf_counter() + 0.2
        streams = [
            stream(connection, made[k % len(made)][:chunks], pace, start + pace * k / len(connections), tally, skip)
            for k, connection in enumerate(connections)
        ]
        tasks = [asyncio.ensure_future(one) for one in streams]
        _, late = await asyncio.wait(tasks, timeout=seconds * options.patience + ANSWER_SECONDS)
        for task in late:
            task.cancel()
            tally.lost += 1
            tally.failed.append("no answer in time")
        took = time.perf_counter() - start
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for connection in connections:
            await connection.close()
    return tally.report(chunks * len(connections), took)


def processor_seconds(pid: int) -> float:
    """Of a process so far, by Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int, what: str = "VmRSS") -> int:
    """Memory of a process, by Linux; VmHWM is the most it ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


@contextlib.contextmanager
def own_server(options: argparse.Namespace, *more: str) -> Iterator[tuple[str, int]]:
    """A server on a free port, with `more` options; ends with SIGTERM, as a service is ended."""
    command = [sys.executable, "-m", "fastrnn", "serve", options.model, "--port", "0", "--dtype", options.dtype]
    command += ["--capacity", str(options.connections), "--max-steps", str(options.steps)]
    command += ["--log-level", "error", *more]
    command += ["--store", options.store] if getattr(options, "store", None) else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if getattr(options, "apart", False):
        first, *_, last = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid, {first})
        os.sched_setaffinity(0, {last})
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        yield f"http://{address}/stream", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(30) != 0:
            raise SystemExit(f"the server ended with {process.returncode}")


def run(options: argparse.Namespace, url: str, pid: int | None) -> dict[str, Any]:
    chunks = max(1, round(max(options.seconds, options.warm_up) * 1e3 / options.chunk_ms))
    made = sequences(options, chunks)
    memory = [] if pid is None else [resident_kib(pid)]
    result: dict[str, Any] = {}
    for seconds in (options.warm_up, options.seconds):
        busy, own = 0.0 if pid is None else processor_seconds(pid), time.process_time()
        loop = event_loop()
        result = loop.run_until_complete(load(options, url, made, seconds))
        loop.close()
        result["own_processor_us_per_chunk"] = round((time.process_time() - own) / result["sent"] * 1e6, 1)
        if pid is not None:
            result["server_processor_us_per_chunk"] = round((processor_seconds(pid) - busy) / result["sent"] * 1e6, 1)
            time.sleep(1)  # until the last connections are closed
            memory.append(resident_kib(pid))
    if pid is not None:
        growth = memory[2] / memory[1] - 1
        names = ("memory_kib_at_start", "memory_kib_before", "memory_kib_after")
        result |= dict(zip(names, memory, strict=True)) | {"memory_growth": round(growth, 4)}
    return result


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--url", help="of a server that runs; without it, one is started, and stopped at the end")
    add("--pid", type=at_least_1, help="of that server, to watch its memory")
    add("--connections", type=at_least_1, default=300)
    add("--seconds", type=number_over_0, default=60)
    add("--chunk-ms", type=number_over_0, default=32, help="between the chunks of a stream")
    add("--steps", type=at_least_1, default=1, help="time steps in a chunk")
    add("--model", help="a .safetensors, the server's; without it, a random LSTM 128 to 128")
    add("--dtype", choices=DTYPES, default="float32")
    add("--sequences", type=at_least_1, default=50, help="different ones; connections take them in turn")
    add("--warm-up", type=number_over_0, default=5, help="seconds of the same load before memory is read")
    add(
        "--store", metavar="URL", help="streams have IDs, and a server of its own keeps them there: memory, redis://..."
    )
    add("--apart", action="store_true", help="the server on the first core, this process on the last")
    add("--patience", type=number_over_0, default=4, help="times as long as it should take, then give up")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object; the exit status is 1 when something was lost or mismatched."""
    options = arguments(argv)
    with tempfile.TemporaryDirectory() as folder:
        options.model = options.model or random_model(f"{folder}/lstm.safetensors")
        if options.url:
            result = run(options, options.url, options.pid)
        else:
            with own_server(options) as (url, pid):
                result = run(options, url, pid)
    result |= {"connections": options.connections, "load": [round(number, 1) for number in os.getloadavg()]}
    print(json.dumps(result, indent=1))
    return 1 if result["lost"] or result["mismatched"] or result["not_sent"] else 0


if __name__ == "__main__":
    sys.exit(main())
