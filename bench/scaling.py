"""What a larger machine would do, by a model of cost that is checked on this one: ``python -m bench.scaling``.

Each part takes its coefficients from some measurements, predicts others, and prints both. The last part puts in what
you ask for. docs/scaling.md says what the formulas are and what came out.

    pip install 'fastrnn[mpi,serve]'                           # and redis-server, for the writes
    python -m bench.scaling
    python -m bench.scaling --parts streams plan --streams 1e6 --chunk-ms 32 --server-us 37 --store-steps 32
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import fastrnn

from .machine import facts

ROOT = Path(__file__).resolve().parent.parent
STEPS, INPUTS, UNITS, ROWS = 100, 64, 256, 64  # of the training: T, I, H, and the rows of a rank
WIDTH = 4 * UNITS * (INPUTS + UNITS + 2) + UNITS + 1  # its gradients
FSYNC = ("everysec", "always")


# --------------------------------------------------------------------------------------------------------- the formulas


def sum_traffic(width: int, ranks: int, shards: int, pieces: int) -> tuple[int, int, int]:
    """Messages and bytes that a rank sends in a step, and the numbers that it adds: `fastrnn.distributed.MPI()`.

    The gradients of each of its shards go to the ranks, which add a part of them each and send the sum to the others. A
    piece that several ranks add is sent to each of them.
    """
    own = shards // ranks
    parts = [[width * n // of for n in range(of + 1)] for of in (pieces, ranks)]
    met = sum(
        max(a, c) < min(b, d)
        for a, b in itertools.pairwise(parts[0])
        for c, d in itertools.islice(itertools.pairwise(parts[1]), 1, None)
    )
    return own * met + ranks - 1, 4 * width * (own + 1) * (ranks - 1) // ranks, width * shards // ranks


def stream_flops(cell_gates: int, inputs: int, units: int) -> int:
    """Of a step of a stream: the matrix products."""
    return 2 * cell_gates * units * (inputs + units)


def state_bytes(units: Sequence[int], states: int = 2) -> int:
    """Of a stream's state in float32, an LSTM having two vectors a layer."""
    return 4 * states * sum(units)


# -------------------------------------------------------------------------------------------------------- the measuring


def best(work: Callable[[], object], seconds: float) -> float:
    """The least time of a call: what others take of the machine is not ours."""
    work()
    took, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        took = min(took, time.perf_counter() - begin)
    return took


def rank_sum(width: int, shards: int, pieces: int) -> float:
    """Seconds of a sum of gradients without anything to compute beside it."""
    from fastrnn.distributed import MPI

    group = MPI(shards=shards)
    cuts = [width * piece // pieces for piece in range(pieces + 1)]
    slices = [slice(a, b) for a, b in itertools.pairwise(cuts)][::-1]
    own = range(shards * group.rank // group.size, shards * (group.rank + 1) // group.size)
    weights = [1.0] * shards

    def step() -> None:
        added = group.begin_sum(slices, "float32")
        for shard in own:
            added.row(shard)[...] = 1
            for number in range(pieces):
                added.ready(shard, number, 1.0)
        assert added.total(weights, None)[0] == shards

    # As often on all ranks.
    took = []
    for _ in range(100):
        group.exchange(None)
        begin = time.perf_counter()
        step()
        took.append(time.perf_counter() - begin)
    return min(took)


def rank_train(rows: int, shards: int) -> float:
    """Seconds of a step of training, `rows` of each rank."""
    from fastrnn.callbacks import LambdaCallback
    from fastrnn.distributed import MPI

    group = MPI(shards=shards)
    rows *= group.size
    x = np.random.default_rng(0).standard_normal((rows, STEPS, INPUTS), dtype=np.float32)
    model = fastrnn.Sequential([fastrnn.LSTM(UNITS), fastrnn.Dense(1)])
    model.compile("adam", "mse")
    times: list[float] = []
    told = LambdaCallback(on_train_batch_end=lambda *_: times.append(time.perf_counter()))
    model.fit(x, x[:, 0, :1], rows, 12, verbose=0, distributed=group, threads=1, callbacks=told)
    return min(np.diff(times)) if group.rank == 0 else 0.0


RANK_WORK: dict[str, Callable[..., float]] = {"sum": rank_sum, "train": rank_train}


def ranks(count: int, work: str, *numbers: int) -> float:
    """Seconds that rank 0 of a job found."""
    mpirun = shutil.which("mpirun", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if mpirun is None:
        raise SystemExit("training: expected mpirun (pip install 'fastrnn[mpi]'), got none")
    options = ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", str(count)]
    command = [mpirun, *options, sys.executable, "-m", "bench.scaling", "--rank", work, *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return float(max(done.stdout.split(), key=float))


def row(what: str, predicted: float, measured: float, unit: str) -> None:
    print(f"| {what} | {predicted:.4g} {unit} | {measured:.4g} {unit} | {measured / predicted:.2f} |", flush=True)


def training() -> dict[str, float]:
    """Seconds of a message, a byte, an added number, and of the computing of a rank."""
    small, large = 1 << 10, 1 << 20
    add = ranks(1, "sum", large, 12, 4) / (12 * large)
    message = ranks(2, "sum", small, 12, 4) / sum_traffic(small, 2, 12, 4)[0]
    sent, size, numbers = sum_traffic(large, 2, 12, 4)
    byte = max(0.0, ranks(2, "sum", large, 12, 4) - add * numbers - message * sent) / size
    found = {"add": add, "byte": byte, "message": message}
    for width, shards, pieces in ((1 << 19, 12, 4), (1 << 19, 4, 2)):
        sent, size, numbers = sum_traffic(width, 2, shards, pieces)
        predicted = message * sent + byte * size + add * numbers
        name = f"sum of {width >> 10}Ki gradients, 2 ranks, {shards} shards"
        row(name, predicted * 1e3, ranks(2, "sum", width, shards, pieces) * 1e3, "ms")
    found["compute"] = ranks(1, "train", ROWS, 1)
    sixth = ranks(1, "train", ROWS, 6)
    sent, size, numbers = sum_traffic(WIDTH, 2, 12, 2)
    visible = message * sent / 6 + byte * size / 6 + add * numbers  # a sixth: the last of six shards
    row(f"step of 2 ranks, {ROWS} rows each", (sixth + visible) * 1e3, ranks(2, "train", ROWS, 12) * 1e3, "ms")
    return found


def pool_step(units: int, streams: int, seconds: float) -> float:
    """Seconds of a step of all streams of a pool, in one thread; LSTM of 40 inputs."""
    random = np.random.default_rng(0)
    shapes = ((4 * units, 40), (4 * units, units), (4 * units,), (4 * units,))
    weights = fastrnn.pack_lstm(*(random.standard_normal(shape, np.float32) * 0.05 for shape in shapes))
    pool = fastrnn.StreamPool(weights, capacity=streams)
    names = np.array([pool.open() for _ in range(streams)])
    x = random.standard_normal((streams, 40), np.float32)
    return best(lambda: pool.step(names, x), seconds)


def streams() -> dict[str, float]:
    """Multiply-adds a second of a pool on one core."""
    rate = 256 * stream_flops(4, 40, 128) / pool_step(128, 256, 1.0)
    for units, count in ((128, 64), (256, 256), (64, 1024)):
        predicted = count * stream_flops(4, 40, units) / rate
        row(f"step of {count} streams, LSTM {units}", predicted * 1e6, pool_step(units, count, 1.0) * 1e6, "us")
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(pool_step, (128, 128), (256, 256), (0.1, 0.1)))
        both = list(pool.map(pool_step, (128, 128), (256, 256), (1.5, 1.5)))
    row("streams a second of 2 cores, LSTM 128", 2 * rate / stream_flops(4, 40, 128), sum(256 / t for t in both), "")
    return {"flops": rate}


def redis() -> dict[str, float]:
    """Seconds of a stored state, and of its bytes, by the writes of the service: 256 states at once."""
    from fastrnn.serve.store import MOST_AT_ONCE, Kept, make_store

    async def write(url: str, size: int) -> float:
        store, state = make_store(url, 600), os.urandom(size)
        took = []
        for turn in range(80):
            batch = [(f"{turn % 8}-{n}", Kept("owner", turn, "v", state)) for n in range(MOST_AT_ONCE)]
            begin = time.perf_counter()
            assert all(await store.save(batch))
            took.append(time.perf_counter() - begin)
        await store.close()
        return float(np.quantile(took[8:], 0.25)) / MOST_AT_ONCE

    found = {}
    for fsync in FSYNC:
        with tempfile.TemporaryDirectory() as folder:
            options = ["--port", "0", "--unixsocket", f"{folder}/s", "--dir", folder, "--appendonly", "yes"]
            server = subprocess.Popen(
                ["redis-server", *options, "--appendfsync", fsync, "--save", ""], stdout=subprocess.DEVNULL
            )
            try:
                while not os.path.exists(f"{folder}/s"):
                    time.sleep(0.02)
                times = {size: asyncio.run(write(f"unix://{folder}/s", size)) for size in (1024, 4096, 8192)}
            finally:
                server.kill()
                server.wait()
        byte = max(0.0, times[8192] - times[1024]) / (8192 - 1024)
        write_ = times[1024] - 1024 * byte
        row(f"state of 4 KiB stored, {fsync}", (write_ + 4096 * byte) * 1e6, times[4096] * 1e6, "us")
        found |= {f"write_{fsync}": write_, f"byte_{fsync}": byte}
    return found


# --------------------------------------------------------------------------------------------------------- what it says


def plan(found: dict[str, float], given: argparse.Namespace) -> None:
    """Print the larger machines, with what of the coefficients is there."""
    print("\n| asked | answer |\n|---|---|")

    def line(asked: str, answer: str) -> None:
        print(f"| {asked} | {answer} |")

    count = given.cores
    for nodes in (1, given.nodes) if "compute" in found else ():
        sent, size, numbers = sum_traffic(WIDTH, count, count, 2)
        seconds = sent * found["message"] + size * found["byte"]
        if nodes > 1:
            away = size * (1 - 1 / nodes) * count / nodes  # from a node to the others
            seconds = max(seconds, away / (given.network_gb * 1e9) + sent * given.network_us * 1e-6)
        visible = seconds + numbers * found["add"]
        times = count * found["compute"] / (visible + found["compute"])
        line(f"{count} ranks on {nodes} node(s), LSTM {UNITS}, {ROWS} rows each",
             f"{sent} messages and {size / 1e6:.1f} MB of a rank a step, {visible * 1e3:.1f} ms beside "
             f"{found['compute'] * 1e3:.0f} ms: {times:.0f} times one rank")  # fmt: skip
    chunks = given.streams * 1e3 / given.chunk_ms
    line(f"{given.streams:.0f} streams, {given.chunk_steps} step(s) every {given.chunk_ms:g} ms, LSTM {given.units}",
         f"{chunks / 1e6:.2f} million chunks a second")  # fmt: skip
    if "flops" in found:
        cores = chunks * given.chunk_steps * stream_flops(4, 40, given.units) / found["flops"]
        line("the engine alone", f"{given.streams / cores:.0f} streams a core, {cores:.0f} cores")
    # The measured service has chunks of one step; each further one costs what the engine takes.
    step = stream_flops(4, 40, given.units) / found["flops"] if "flops" in found else 0.0
    each = given.chunk_ms / (given.server_us / 1e3 + (given.chunk_steps - 1) * step * 1e3)
    line(
        f"a service of {given.server_us:g} us a chunk of one step",
        f"{each:.0f} streams a core, {given.streams / each:.0f} cores",
    )
    line(f"so {given.cores} cores, and {given.nodes} such nodes, hold",
         f"{each * given.cores:.0f}, and {each * given.cores * given.nodes:.0f} streams")  # fmt: skip
    size, writes = state_bytes([given.units]), chunks * given.chunk_steps / given.store_steps
    line(f"states of {size} bytes, every {given.store_steps} steps",
         f"{writes:.0f} writes and {writes * size / 1e6:.0f} MB a second")  # fmt: skip
    for fsync in FSYNC if "write_always" in found else ():
        each = found[f"write_{fsync}"] + size * found[f"byte_{fsync}"]
        line(f"Redis, appendfsync {fsync}", f"{1 / each:.0f} writes a second of one, {writes * each:.0f} of them")


PARTS: dict[str, Callable[[], dict[str, float]]] = {"training": training, "streams": streams, "redis": redis}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, predict and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, "plan"], default=[*PARTS, "plan"])
    parser.add_argument("--cores", type=int, default=64, help="of a machine, and ranks of a job (%(default)s)")
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--network-gb", type=float, default=1.25, help="GB/s of a node's network (%(default)s)")
    parser.add_argument("--network-us", type=float, default=5, help="of a message over it (%(default)s)")
    parser.add_argument("--streams", type=float, default=1e6)
    parser.add_argument("--units", type=int, default=128, help="of their LSTM (%(default)s)")
    parser.add_argument("--chunk-ms", type=float, default=32)
    parser.add_argument("--chunk-steps", type=int, default=1)
    parser.add_argument("--server-us", type=float, default=37, help="of the service a chunk, by bench.serve.load")
    parser.add_argument("--store-steps", type=int, default=32, help="of `fastrnn serve` (%(default)s)")
    parser.add_argument("--rank", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.rank:
        print(RANK_WORK[given.rank[0]](*map(int, given.rank[1:])))
        return 0
    known = facts([])
    print(f"{known['cpu']}, {known['isa']}, {known['cores_usable']} cores, load {known['load_before']}\n")
    print("| what | predicted | measured | ratio |\n|---|---|---|---|")
    found: dict[str, float] = {}
    for part in PARTS:
        if part in given.parts:
            found |= PARTS[part]()
    if "plan" in given.parts:
        plan(found, given)
    print("\ncoefficients, in seconds or per second: " + json.dumps({k: float(f"{v:.3g}") for k, v in found.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
