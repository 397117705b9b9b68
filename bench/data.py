"""What `fastrnn.data` gains and holds: batches by length against padded ones, and training on more than memory.

    python -m bench.data lengths
    python -m bench.data memory --gigabytes 10 --limit-mb 500

The second runs under a limit of the process' memory, all of it, code and libraries included, and fails if that does not
suffice.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

import fastrnn
from fastrnn.data import BatchesByLength, WindowStream, pad_sequences

FEATURES = 40


def lengths(count: int, units: int, epochs: int) -> None:
    """An epoch over sequences of log-normal lengths, as utterances and sentences have."""
    rng = np.random.default_rng(0)
    steps = np.clip(rng.lognormal(3.6, 0.7, count), 4, 400).astype(int)
    sequences = [rng.standard_normal((n, FEATURES), np.float32) for n in steps]
    y = rng.integers(0, 2, count).astype(np.float32)
    ours = BatchesByLength(sequences, y, 32, seed=0)
    padded = pad_sequences(sequences, dtype="float32", padding="post")
    unsorted = BatchesByLength(sequences, y, 32, seed=0, pool=1)
    print(f"{count} sequences of 4 to {steps.max()} steps, {steps.mean():.0f} on average; GRU {units}, batches of 32")
    shares = {
        "all padded to the longest": 1 - steps.mean() / padded.shape[1],
        "batches padded to their longest": unsorted.padded_share,
        "batches by length": ours.padded_share,
    }
    times: dict[str, list[float]] = {name: [] for name in shares}
    models = {name: _model(units) for name in shares}
    for _ in range(epochs + 1):  # the first one warms up
        for name, given in zip(shares, ((padded, y), (unsorted,), (ours,)), strict=True):
            start = time.perf_counter()
            models[name].fit(*given, verbose=0)
            times[name].append(time.perf_counter() - start)
    for name, share in shares.items():
        print(f"{name:>32}: {share:4.0%} padding, {np.median(times[name][1:]):.2f} s an epoch")


def memory(gigabytes: float, limit_mb: int) -> None:
    """Train on a series of so many gigabytes, which a generator gives in parts, under a limit of memory."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 2**20, limit_mb * 2**20))
    rows = 50_000
    parts = int(gigabytes * 1e9 / (rows * FEATURES * 4))

    def series() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        for _ in range(parts):
            yield np.cumsum(rng.standard_normal((rows, FEATURES), np.float32), axis=0) / np.float32(rows**0.5)

    stream = WindowStream(series, 100, stride=100, target=0, batch_size=256, mix=4, seed=0)
    model = fastrnn.Sequential([fastrnn.SimpleRNN(16), fastrnn.Dense(1)])
    model.compile("adam", "mse")
    start = time.perf_counter()
    loss = model.fit(stream, verbose=0).history["loss"][0]
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{parts * rows * FEATURES * 4 / 1e9:.1f} GB in {took:.0f} s, loss {loss:.3g}, peak {peak:.0f} MB")
    if peak > limit_mb:
        raise SystemExit(f"more than {limit_mb} MB")


def _model(units: int) -> fastrnn.Sequential:
    model = fastrnn.Sequential([fastrnn.Masking(), fastrnn.GRU(units), fastrnn.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("lengths")
    one.add_argument("--count", type=int, default=2000)
    one.add_argument("--units", type=int, default=64)
    one.add_argument("--epochs", type=int, default=3)
    two = commands.add_parser("memory")
    two.add_argument("--gigabytes", type=float, default=10)
    two.add_argument("--limit-mb", type=int, default=500)
    args = parser.parse_args()
    if args.command == "lengths":
        lengths(args.count, args.units, args.epochs)
    else:
        memory(args.gigabytes, args.limit_mb)


if __name__ == "__main__":
    main()
