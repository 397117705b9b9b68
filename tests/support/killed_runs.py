"""Runs of `fit` that are killed at random moments and resumed: their weights have to be those of an unbroken run.

    python -m tests.support.killed_runs --kills 50

A child trains with shuffling, dropout in every kind of layer, callbacks and a checkpoint after every batch; SIGKILL
ends it somewhere, within the writing of a file more often than not. After each kill all checkpoints are read. A run
that comes to its end is compared to the last bit, with its history and its log, and the next one begins.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn import GRU, LSTM, Bidirectional, Checkpoints, Dense, Dropout, Sequential, TimeDistributed
from fastrnn.callbacks import CSVLogger, EarlyStopping, ReduceLROnPlateau
from fastrnn.training.checkpoints import _read

rng = np.random.default_rng(0)
X = rng.standard_normal((90, 6, 3)).astype(np.float32)
Y = rng.integers(0, 3, 90)


def made() -> Sequential:
    """A model with everything that draws."""
    model = Sequential([
        LSTM(8, return_sequences=True, dropout=0.2, recurrent_dropout=0.1, zoneout_h=0.1),
        Dropout(0.3),
        TimeDistributed(Dropout(0.1)),
        Bidirectional(GRU(5, dropout=0.1, weight_dropout=0.1)),
        Dropout(0.1),
        Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def train(folder: Path, epochs: int, seed: int, resume: bool = True) -> None:
    """Train, or go on; leave `result.npz` and `log.csv` in `folder`. The seed is that of a process which goes on."""
    checkpoints = Checkpoints(folder / "checkpoints", every=1) if resume else None
    # What a resumed process draws by itself must not matter.
    fastrnn.set_random_seed(seed if checkpoints is not None and checkpoints.files() else 1)
    model = made()
    history = model.fit(
        X, Y, batch_size=16, epochs=epochs, validation_split=0.2, verbose=0, resume=checkpoints,
        callbacks=[
            EarlyStopping(patience=100, restore_best_weights=True),
            ReduceLROnPlateau(patience=1, factor=0.7),
            CSVLogger(folder / "log.csv"),
        ],
    ).history  # fmt: skip
    arrays = {f"w{k}": w for k, w in enumerate(model.get_weights())}
    np.savez(folder / "part.npz", **arrays, **{name: np.array(values) for name, values in history.items()})
    os.replace(folder / "part.npz", folder / "result.npz")


def in_a_child(folder: Path, epochs: int, seed: int, resume: bool = True) -> int:
    """Fork a process that trains; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        train(folder, epochs, seed, resume)
        code = 0
    finally:
        os._exit(code)


def compare(folder: Path, unbroken: Path) -> None:
    """SystemExit unless both have the same bits and the same log."""
    with np.load(unbroken / "result.npz") as expected, np.load(folder / "result.npz") as got:
        assert sorted(expected) == sorted(got)
        different = [name for name in expected if not np.array_equal(expected[name], got[name])]
    if different:
        raise SystemExit(f"a resumed run differs in {', '.join(different)}")
    if (folder / "log.csv").read_text() != (unbroken / "log.csv").read_text():
        raise SystemExit("a resumed run has another log")


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=None, help="of the moments; None for others each time")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for run in ("unbroken", "timed"):
            (home / run).mkdir()
            begin = time.perf_counter()
            if os.waitpid(in_a_child(home / run, options.epochs, 1, resume=run == "timed"), 0)[1]:
                raise SystemExit(f"the run {run} failed")
        took = time.perf_counter() - begin
        compare(home / "timed", home / "unbroken")
        kills = runs = read = 0
        while kills < options.kills or (home / f"run{runs}").exists():
            folder = home / f"run{runs}"
            folder.mkdir(exist_ok=True)
            child = in_a_child(folder, options.epochs, seed=100 + kills)
            if kills < options.kills:
                time.sleep(moments.uniform(0, took / 2))
                os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            for path in Checkpoints(folder / "checkpoints").files():
                _read(path)  # ValueError if it is damaged
                read += 1
            if os.WIFSIGNALED(status):
                kills += 1
            elif status:
                raise SystemExit("a run failed")
            else:
                compare(folder, home / "unbroken")
                runs += 1
        print(f"{kills} kills, {runs} runs resumed to the bits of the unbroken one, {read} checkpoints read")


if __name__ == "__main__":
    sys.exit(main())
