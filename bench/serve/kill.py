"""Streams that survive their servers: an instance is killed again and again, every answer held to a session's.

python -m bench.serve.kill                      # two instances on one Redis, 300 streams, 20 times kill -9
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn
from bench.serve.load import random_model
from bench.serve.programs import RedisServer, free_port, wait_for_port
from fastrnn.cli._console import at_least_1, number_over_0
from fastrnn.serve import Client, StreamLost
from fastrnn.serve.run import event_loop


class Instance:
    """A server on a port of its own, which can be killed and started again."""

    def __init__(self, model: str, store: str, options: argparse.Namespace) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "fastrnn", "serve", model, "--port", str(self.port), "--store", store]
        self.command += ["--store-steps", str(options.store_steps), "--log-level", "error"]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process, seconds=60)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Tally:
    """What came of all streams."""

    answered: int = 0
    mismatched: int = 0
    lost: list[str] = field(default_factory=list)
    behind: float = 0.0  # seconds that the latest answer came behind its time, in this round
    last: list[float] = field(default_factory=list)  # when each stream was answered last


async def stream(
    number: int, client: Client, x: Any, right: Any, pace: float, start: float, tally: Tally, stop: asyncio.Event
) -> None:
    """A chunk when it is due, or when the one before was answered, if that is later; until there are no more."""
    clock = time.perf_counter
    try:
        async with client:
            for step in range(len(x)):
                if (early := start + step * pace - clock()) > 0:
                    await asyncio.sleep(early)
                if stop.is_set():
                    return
                y = await client.run(x[step : step + 1])
                tally.last[number] = clock()
                tally.answered += 1
                tally.mismatched += y.tobytes() != right[step].tobytes()
    except StreamLost as error:
        tally.lost.append(str(error))


async def run(options: argparse.Namespace, model: str, instances: list[Instance]) -> dict[str, Any]:
    pace, clock = options.chunk_ms / 1e3, time.perf_counter
    chunks = round(options.kills * (options.seconds + 20) / pace)  # more than there is time for
    made = []
    for seed in range(min(options.sequences, options.streams)):
        x = np.random.default_rng(seed).standard_normal((chunks, fastrnn.Model.load(model).input_size), np.float32)
        made.append((x, fastrnn.Session(fastrnn.Model.load(model)).run(x[:, None])[:, 0]))
    tally, stop, urls = Tally(last=[0.0] * options.streams), asyncio.Event(), [one.url for one in instances]
    clients = [Client(urls if k % 2 else urls[::-1]) for k in range(options.streams)]
    start = clock() + 2
    tasks = [
        asyncio.create_task(stream(k, one, *made[k % len(made)], pace, start + pace * k / len(clients), tally, stop))
        for k, one in enumerate(clients)
    ]
    back = []
    await asyncio.sleep(2 + options.seconds)
    for kill in range(options.kills):
        one = instances[kill % len(instances)]
        one.process.kill()
        begin = clock()
        while min(tally.last) <= begin and not tally.lost and clock() < begin + 20:
            await asyncio.sleep(0.005)
        back.append(max(tally.last) - begin if tally.lost else clock() - begin)
        await asyncio.to_thread(one.end)
        await asyncio.to_thread(one.start)
        await asyncio.sleep(options.seconds)
    stop.set()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait(tasks, timeout=60)
    late = [task for task in tasks if not task.done()]
    return {
        "answered": tally.answered,
        "lost": tally.lost + ["no answer in time"] * len(late),
        "mismatched": tally.mismatched,
        "reconnections": sum(client.reconnections for client in clients),
        "all_back_after_seconds": [round(seconds, 3) for seconds in back],
        "worst_seconds": round(max(back), 3),
        "median_seconds": round(float(np.median(back)), 3),
    }


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--streams", type=at_least_1, default=300)
    add("--kills", type=at_least_1, default=20)
    add("--seconds", type=number_over_0, default=1.0, help="of quiet before each kill, all instances running")
    add("--chunk-ms", type=number_over_0, default=32, help="between the chunks of a stream, of one step each")
    add("--store-steps", type=at_least_1, default=32)
    add("--sequences", type=at_least_1, default=10, help="different ones; streams take them in turn")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object; the exit status is 1 when something was lost or mismatched."""
    options = arguments(argv)
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        model = random_model(f"{folder}/lstm.safetensors")
        instances = [Instance(model, redis.url, options) for _ in range(2)]
        try:
            for one in instances:
                one.start()
            result = event_loop().run_until_complete(run(options, model, instances))
        finally:
            for one in instances:
                one.end()
    load = {"load": [round(number, 1) for number in os.getloadavg()], "cores": len(os.sched_getaffinity(0))}
    print(json.dumps(result | {"streams": options.streams, "kills": options.kills} | load, indent=1))
    return 1 if result["lost"] or result["mismatched"] else 0


if __name__ == "__main__":
    sys.exit(main())
