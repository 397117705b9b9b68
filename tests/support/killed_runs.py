"""Runs that are killed at random moments and resumed: their weights have to be those of an unbroken run.

    python -m tests.support.killed_runs --kills 50
    python -m tests.support.killed_runs --kills 50 --command-line

A child trains with shuffling, dropout in every kind of layer, callbacks and a checkpoint after every batch; SIGKILL
ends it somewhere, within the writing of a file more often than not. After each kill all checkpoints are read. A run
that comes to its end is compared to the last bit, with its history and its log, and the next one begins.

With --command-line the child is `fastrnn train` on a table, with two layers, dropout between them and an order of its
own for each epoch, begun without --resume and gone on with it; a checkpoint is written after every batch.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn import GRU, LSTM, Bidirectional, Checkpoints, Dense, Dropout, Sequential, TimeDistributed, cli
from fastrnn.callbacks import CSVLogger, EarlyStopping, ReduceLROnPlateau
from fastrnn.cli import _report, _unfinished
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


def in_a_child(work: Callable[[], None]) -> int:
    """Fork a process that does it; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


# -- fastrnn train ----------------------------------------------------------------------------------------------------

TABLE = ["train", "table.csv", "--sequence", "id", "--target", "kind", "--cell", "gru", "--layers", "2"]
TABLE += ["--units", "8", "--dropout", "0.3", "--batch-size", "8", "--patience", "1000", "--quiet"]


def write_table(path: Path) -> None:
    """Sequences of 4 to 9 steps, whose sum has a sign."""
    lines = ["id,a,b,kind"]
    for k in range(90):
        steps = rng.standard_normal((4 + k % 6, 2))
        lines += [f"s{k},{a:.6f},{b:.6f},{'up' if steps.sum() > 0 else 'down'}" for a, b in steps]
    path.write_text("\n".join(lines) + "\n")


def train_by_command(folder: Path, epochs: int, resume: bool = True) -> None:
    """`fastrnn train`; leave `result.npz` and `log.csv` in `folder`. With `resume` it goes on where there is a run."""
    os.chdir(folder)
    if not Path("table.csv").exists():
        os.symlink(folder.parent / "table.csv", "table.csv")
    _unfinished.SECONDS = 0.0 if resume else 1e9
    _report._draw = lambda result, folder: ["none.png"]  # pictures take longer than the training
    begun = any(Path().glob("model-checkpoints/checkpoint-*.npz"))
    # --force: killed when the command was done and `result.npz` was not there, it begins anew.
    words = [*TABLE, "--epochs", str(epochs), "--resume" if begun else "--force"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        status = cli.main(words)
    if status:
        raise SystemExit(status)
    weights = fastrnn.load_model("model.npz", compile=False).get_weights()
    os.replace("model-report/history.csv", "log.csv")
    np.savez("part.npz", **{f"w{k}": w for k, w in enumerate(weights)})
    os.replace("part.npz", "result.npz")


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
    parser.add_argument("--command-line", action="store_true", help="kill `fastrnn train`")
    options = parser.parse_args()
    checkpoints = "model-checkpoints" if options.command_line else "checkpoints"

    def start(folder: Path, seed: int, resume: bool = True) -> int:
        if options.command_line:
            return in_a_child(lambda: train_by_command(folder, options.epochs, resume))
        return in_a_child(lambda: train(folder, options.epochs, seed, resume))

    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        write_table(home / "table.csv")
        for run in ("unbroken", "timed"):
            (home / run).mkdir()
            begin = time.perf_counter()
            if os.waitpid(start(home / run, 1, resume=run == "timed"), 0)[1]:
                raise SystemExit(f"the run {run} failed")
        took = time.perf_counter() - begin
        compare(home / "timed", home / "unbroken")
        kills = runs = read = 0
        while kills < options.kills or (home / f"run{runs}").exists():
            folder = home / f"run{runs}"
            folder.mkdir(exist_ok=True)
            child = start(folder, seed=100 + kills)
            if kills < options.kills:
                time.sleep(moments.uniform(0, took / 2))
                os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            for path in Checkpoints(folder / checkpoints).files():
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
