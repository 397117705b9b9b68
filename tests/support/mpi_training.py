"""What test_distributed_mpi.py has every rank of a job run: `mpirun -n N python mpi_training.py TASK [FOLDER]`.

Rank 0 prints what came of it. The file is run by its path and imports nothing of the tests.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import signal
import sys
import time
from typing import Any

import numpy as np

import fastrnn
from fastrnn import GRU, LSTM, Bidirectional, Dense, Dropout, Masking, Sequential
from fastrnn.callbacks import Callback, EarlyStopping
from fastrnn.distributed import MPI
from fastrnn.optimizers import Adam
from fastrnn.training import gradient_row

PATIENCE = float(os.environ.get("PATIENCE", "600"))
GROUP = MPI(timeout=PATIENCE)
X = np.random.default_rng(0).standard_normal((25, 6, 3), dtype=np.float32)
Y = (X.sum(axis=(1, 2)) > 0).astype(np.float32)
gradient_row.LEAST = 200  # so that the gradients of these small models are in several pieces
LENGTHS = np.random.default_rng(1).integers(1, 7, len(X))
PADDED = np.where((np.arange(6) < LENGTHS[:, None])[..., None], X, 0.0).astype(np.float32)


def random_model() -> Any:
    """Everything that draws, a penalty, clipping; the seed of the ranks differs, so that they have to agree on one."""
    fastrnn.set_random_seed(5 if GROUP.rank == 0 else 100 + GROUP.rank)
    first = LSTM(8, return_sequences=True, recurrent_dropout=0.2, dropout=0.1, kernel_regularizer="l2")
    model = Sequential([first, Dropout(0.3), Bidirectional(GRU(5, zoneout_h=0.1)), Dense(1, activation="sigmoid")])
    model.compile(Adam(0.01, clipnorm=0.5), "binary_crossentropy", ["accuracy", "auc"])
    return model


def digest(model: Any, history: Any = None) -> str:
    state = b"".join(w.tobytes() for w in model.get_weights())
    state += repr(sorted((history.history if history else {}).items())).encode()
    return hashlib.sha256(state).hexdigest()[:16]


def bits() -> dict[str, str]:
    """51 steps of batches of 12, 12 and 1 rows, fewer than shards; the validation is of 7 rows."""
    model = random_model()
    validation = (X[:7], Y[:7])
    history = model.fit(X, Y, 12, 17, verbose=0, validation_data=validation, distributed=GROUP, threads=1)
    return {"random": digest(model, history), f"rank {GROUP.rank}": digest(model)}


def masked(group: Any = None) -> Any:
    """A model without draws, of sequences of several lengths with weights, after a few steps."""
    fastrnn.set_random_seed(7)
    model = Sequential([Masking(), LSTM(6, return_sequences=True, bias_regularizer="l2"), Dense(2)])
    model.compile("sgd", "mse", ["mae"], weighted_metrics=[fastrnn.metrics.get("mse")])
    target = np.stack([PADDED.sum(-1), PADDED[..., 0]], -1)
    weight = np.linspace(0.5, 2, len(X))
    history = model.fit(PADDED, target, 10, 3, verbose=0, sample_weight=weight, distributed=group, threads=1)
    return model, history


def against_alone() -> dict[str, float]:
    """How far a run in shards is from one that knows of none."""
    (alone, first), (model, second) = masked(), masked(GROUP)
    weights = zip(alone.get_weights(), model.get_weights(), strict=True)
    logs = [np.abs(np.subtract(first.history[k], second.history[k])).max() for k in first.history]
    return {"weights": max(float(np.abs(a - b).max()) for a, b in weights), "logs": float(max(logs))}


def plain_sum() -> dict[str, float]:
    """The same by exact=False."""
    (alone, _), (model, _) = masked(), masked(MPI(exact=False))
    weights = zip(alone.get_weights(), model.get_weights(), strict=True)
    return {"weights": max(float(np.abs(a - b).max()) for a, b in weights)}


def stopped() -> dict[str, str]:
    """A callback of rank 0 ends the run and puts earlier weights back."""
    model = random_model()
    stopping = EarlyStopping("loss", patience=0, min_delta=10.0, restore_best_weights=True)
    history = model.fit(X, Y, 12, 9, verbose=0, callbacks=stopping, distributed=GROUP, threads=1)
    return {f"rank {GROUP.rank}": f"{len(history.epoch)} {digest(model)}"}


def resumed(folder: str, epochs: str) -> dict[str, str]:
    model = random_model()
    history = model.fit(X, Y, 12, int(epochs), verbose=0, distributed=GROUP, resume=folder, threads=1)
    return {"random": digest(model, history)}


def again() -> dict[str, str]:
    """A fit that ends in the middle of a step, on all ranks; one after it; one with a group of its own."""

    def fails(y_true: Any, y_pred: Any) -> Any:
        raise OSError("no space left")

    broken, told = MPI(), []
    atexit.unregister(broken._end)  # which would end the job: it cannot know that the others have met with the error
    model = random_model()
    model.compile("adam", "binary_crossentropy", [fails])
    for _ in range(2):
        try:
            model.fit(X, Y, 12, 1, verbose=0, distributed=broken, threads=1)
        except (OSError, RuntimeError) as error:
            told.append(f"{error}")
    model = random_model()
    model.fit(X, Y, 12, 2, verbose=0, distributed=MPI(), threads=1)
    return {f"rank {GROUP.rank}": f"{told}", "weights": digest(model)}


def timed(steps: str = "10", shards: str = "12") -> dict[str, str]:
    """Rows a second of an LSTM 256 at T = 100 with 64 rows a rank, a thread each, and what the exchange of it takes."""
    rows = 64 * GROUP.size
    x = np.random.default_rng(0).standard_normal((rows, 100, 64), dtype=np.float32)
    found = {}
    for name, group in (("exact", MPI(shards=int(shards))), ("exact=False", MPI(exact=False))):
        spent = [0.0]

        def clocked(owner: Any, *names: str, spent: list[float] = spent) -> Any:
            """`owner`, the time in its methods being added up."""

            def call(method: Any, *values: Any) -> Any:
                begin = time.perf_counter()
                result = method(*values)
                spent[0] += time.perf_counter() - begin
                return result

            vars(owner).update({name: functools.partial(call, getattr(owner, name)) for name in names})
            return owner

        model = Sequential([LSTM(256), Dense(1)])
        model.compile("adam", "mse")
        model.fit(x, x[:, 0, :1], rows, 1, verbose=0, distributed=group, threads=1)
        clocked(group, "exchange", "begin_sum")
        begin_sum = group.begin_sum

        def begun(*values: Any, begin_sum: Any = begin_sum, clocked: Any = clocked) -> Any:
            found = begin_sum(*values)
            return found if "total" in vars(found) else clocked(found, "ready", "total")  # it is the same in each step

        group.begin_sum = begun
        begin = time.perf_counter()
        model.fit(x, x[:, 0, :1], rows, int(steps), verbose=0, distributed=group, threads=1)
        took = time.perf_counter() - begin
        found[name] = f"{rows * int(steps) / took:.0f} rows/s, {100 * spent[0] / took:.1f}% in exchange and waiting"
    return found if GROUP.rank == 0 else {}


def tell_the_time() -> None:
    print(f"ends at {time.time()}", file=sys.stderr, flush=True)


class _Ends(Callback):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2 and self.how == "raise":
            tell_the_time()
            raise OSError("no space left")


def _batches(how: str) -> Any:
    for number in range(100):
        if number == 5 and GROUP.rank == GROUP.size - 1:
            tell_the_time()
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            if how == "error":
                raise LookupError("a file is gone")
            if how == "exit":
                sys.exit(3)
        yield X, Y


def ends(how: str) -> dict[str, str]:
    """One rank does not get to the end."""
    model = random_model()
    model.build((None, None, 3))
    batches = _batches(how)
    group = MPI(exact=False, timeout=PATIENCE) if how == "stop" else GROUP
    model.fit(batches, epochs=9, steps_per_epoch=3, verbose=0, callbacks=_Ends(how), distributed=group, threads=1)
    return {"random": "went on"}


def killed_at(place: str, folder: str, how: str = "KILL") -> dict[str, str]:
    """The last rank, or rank 0 where that alone is there, gets a signal at a place of a run that writes checkpoints."""
    model = random_model()

    def strike(owner: Any, name: str, at: int) -> None:
        method, calls = getattr(owner, name), iter(range(10**6))

        def call(*values: Any, **named: Any) -> Any:
            if next(calls) == at:
                tell_the_time()
                os.kill(os.getpid(), getattr(signal, f"SIG{how}"))
            return method(*values, **named)

        setattr(owner, name, call)

    last = GROUP.rank == GROUP.size - 1
    if place == "sum" and last:  # its own pieces are on their way, and those of the others
        begin_sum = GROUP.begin_sum

        def begun(*values: Any) -> Any:
            found = begin_sum(*values)
            if "total" not in vars(found):  # it is the same in each step
                strike(found, "total", 7)
            return found

        GROUP.begin_sum = begun  # type: ignore[method-assign]
    elif place == "validation" and last:
        strike(fastrnn.training.sharding.Shards, "test_step", 3)
    elif place == "checkpoint" and GROUP.rank == 0:
        strike(np, "savez", 2)
    elif place == "half a checkpoint" and GROUP.rank == 0:
        strike(os, "replace", 2)
    history = model.fit(
        X, Y, 12, 6, verbose=0, validation_data=(X[:7], Y[:7]), distributed=GROUP, resume=folder, threads=1
    )
    return {"random": digest(model, history)}


def unlike(what: str) -> dict[str, str]:
    """The last rank has something else than the others."""
    last = GROUP.rank == GROUP.size - 1
    model = random_model()
    if what == "model" and last:
        model = Sequential([LSTM(9, return_sequences=True), *model.layers[1:]])
        model.compile(Adam(0.01, clipnorm=0.5), "binary_crossentropy", ["accuracy", "auc"])
    x = X[:20] if what == "rows" and last else X
    y = 1 - Y if what == "targets" and last else Y
    if what in ("batches", "ends early"):
        model.build((None, None, 3))
        rows = 5 if last and what == "batches" else 6
        count = 2 if last and what == "ends early" else 3
        model.fit([(X[:rows], Y[:rows])] * count, epochs=2, verbose=0, distributed=GROUP, threads=1)
    else:
        model.fit(x, y[: len(x)], 12, 2, verbose=0, distributed=GROUP, threads=1)
    return {"random": "went on"}


TASKS = (bits, against_alone, plain_sum, stopped, resumed, again, timed, ends, killed_at, unlike)

if __name__ == "__main__":
    task = {f.__name__: f for f in TASKS}[sys.argv[1]]
    for results in GROUP.exchange(task(*sys.argv[2:])):
        if GROUP.rank == 0:
            for name, value in results.items():
                print(f"{name}: {value}")
