"""How `fit`, `evaluate` and `predict` tell how far they are: a bar on a terminal, one line at the end everywhere else.

The bar is tqdm's where that is installed (``pip install fastrnn[progress]``), else a plain one. Nothing is ever written
over in a file, a pipe or a notebook.
"""

from __future__ import annotations

import importlib
import math
import shutil
import sys
import time
from typing import Any, Protocol, TextIO

from .._log import log
from .._registry import choice_error
from .base import Callback, Logs

__all__ = ["Progress", "ProgressBar"]


class Progress:
    """One pass over data: `advance` after every batch, `finish` at the end, `close` in any case.

    Args:
        title: what is going on.
        steps, samples: of the pass, None if unknown.
        verbose: 0 nothing, 1 a bar on a terminal and a line at the end, 2 the line alone.
        out: where to write; None is `sys.stdout`.
    """

    def __init__(
        self, title: str, steps: int | None, samples: int | None, verbose: int, out: TextIO | None = None
    ) -> None:
        self.title, self.steps, self.samples, self.verbose = title, steps, samples, verbose
        self._out = sys.stdout if out is None else out
        self._start = time.perf_counter()
        self._batches = 0
        self._bar: _Bar | None = None
        if verbose == 1 and self._out.isatty():
            self._bar = _bar(title, steps, self._out)

    def advance(self, logs: Logs = None) -> None:
        """Move on by one batch; `logs` are the figures so far."""
        self._batches += 1
        if self._bar is not None:
            self._bar.advance(self._status(logs))

    def finish(self, logs: Logs = None, note: str = "") -> None:
        """Put the bar away and write the line."""
        self.close()
        if self.verbose:
            took = f"{time.perf_counter() - self._start:.1f}s"
            print(" - ".join(p for p in (self.title, took, self._status(logs), note) if p), file=self._out, flush=True)

    def close(self) -> None:
        """Put the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _status(self, logs: Logs) -> str:
        parts = []
        seconds = time.perf_counter() - self._start
        if self.samples and seconds > 0:
            share = self._batches / self.steps if self.steps else 1.0
            parts.append(f"{self.samples * share / seconds:,.0f} samples/s")
        parts += [f"{name}: {number(value)}" for name, value in (logs or {}).items()]
        return " - ".join(parts)


class ProgressBar(Callback):
    """Show loss, metrics, samples per second and the remaining time of `fit`, or of an `evaluate` by itself.

    `params` (see `Callback.set_params`) give "epochs" (not there for `evaluate`), "steps" per pass (None if unknown),
    "samples" per pass (None if unknown) and "verbose": 0 nothing, 1 or "auto" a bar per epoch, 2 one line per epoch,
    as Keras.

    Args:
        file: where to write; None is the `sys.stdout` of the moment training begins.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        super().__init__()
        self._file = file
        self._progress: Progress | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        """Start the clock."""
        self._train_start = time.perf_counter()
        self._first_epoch: int | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Show that the epoch begins."""
        if self._first_epoch is None:
            self._first_epoch = epoch
        epochs = self.params.get("epochs")
        self._begin(f"Epoch {epoch + 1}/{epochs}" if epochs else f"Epoch {epoch + 1}")

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.advance(logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Put the bar away and write the epoch's line."""
        first = epoch if self._first_epoch is None else self._first_epoch
        left = int(self.params.get("epochs") or 0) - epoch - 1
        note = ""
        if left > 0 and not getattr(self.model, "stop_training", False):
            note = f"ETA {duration((time.perf_counter() - self._train_start) / (epoch - first + 1) * left)}"
        self._finish(logs, note)

    def on_train_end(self, logs: Logs = None) -> None:
        """Put the bar away, if training ended within an epoch."""
        if self._progress is not None:
            self._progress.close()

    def on_test_begin(self, logs: Logs = None) -> None:
        """Show that an evaluation begins, unless it is one of `fit`, whose epoch's line has its figures."""
        if "epochs" not in self.params:
            self._begin("Evaluate")

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Move the bar."""
        if "epochs" not in self.params and self._progress is not None:
            self._progress.advance(logs)

    def on_test_end(self, logs: Logs = None) -> None:
        """Put the bar away and write the evaluation's line."""
        if "epochs" not in self.params:
            self._finish(logs)

    def _begin(self, title: str) -> None:
        verbose = level(self.params.get("verbose", 1), auto=1)
        self._progress = Progress(title, self.params.get("steps"), self.params.get("samples"), verbose, self._file)

    def _finish(self, logs: Logs, note: str = "") -> None:
        if self._progress is not None:
            self._progress.finish(logs, note)
            self._progress = None


def level(verbose: object, auto: int) -> int:
    """Return `verbose` as 0, 1 or 2, where "auto" means `auto`. ValueError for anything else."""
    if isinstance(verbose, str) and verbose == "auto":
        return auto
    if not isinstance(verbose, int) or verbose not in (0, 1, 2):
        raise choice_error("verbose", ("auto", "0", "1", "2"), verbose)
    return int(verbose)


def number(value: object) -> str:
    """Return a figure for display: 4 decimals, scientific where those would hide it."""
    if not isinstance(value, (int, float)) and not hasattr(value, "__float__"):
        return str(value)
    x = float(value)
    return f"{x:.4f}" if x == 0 or not math.isfinite(x) or 1e-3 <= abs(x) < 1e6 else f"{x:.3e}"


def duration(seconds: float) -> str:
    """Return ``8s``, ``2:05`` or ``1:02:05``."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}" if m else f"{s}s"


# -- bars --------------------------------------------------------------------------------------------------------------


class _Bar(Protocol):
    def advance(self, status: str) -> None: ...
    def close(self) -> None: ...


def _bar(title: str, steps: int | None, out: TextIO) -> _Bar:
    try:
        return _TqdmBar(importlib.import_module("tqdm").tqdm, title, steps, out)
    except ImportError:
        log.debug("no tqdm: %s has the plain bar; pip install fastrnn[progress]", title)
        return _PlainBar(title, steps, out)


class _TqdmBar:
    def __init__(self, tqdm: Any, title: str, steps: int | None, out: TextIO) -> None:
        self._bar = tqdm(
            total=steps, desc=title, unit="batch", file=out, leave=False, dynamic_ncols=True, mininterval=0.1
        )

    def advance(self, status: str) -> None:
        # refresh=False leaves it to tqdm to draw at most ten times a second.
        self._bar.set_postfix_str(status, refresh=False)
        self._bar.update(1)

    def close(self) -> None:
        self._bar.close()


class _PlainBar:
    """``Epoch 1/3 [=====>     ] 12/25 - 8s left - loss: 0.5321``, on one line that is written over."""

    WIDTH = 20
    INTERVAL = 0.1  # seconds between two drawings

    def __init__(self, title: str, steps: int | None, out: TextIO) -> None:
        self._title, self._steps, self._out = title, steps, out
        self._done = self._length = 0
        self._start = time.perf_counter()
        self._draw("")

    def advance(self, status: str) -> None:
        self._done += 1
        if time.perf_counter() - self._drawn >= self.INTERVAL:
            self._draw(status)

    def close(self) -> None:
        self._write("")
        self._out.write("\r")
        self._out.flush()

    def _draw(self, status: str) -> None:
        self._drawn = time.perf_counter()
        parts = [f"{self._title} {self._done}"]
        if self._steps:
            filled = min(self.WIDTH, self.WIDTH * self._done // self._steps)
            bar = f"{'=' * filled}>".ljust(self.WIDTH)[: self.WIDTH]
            parts = [f"{self._title} [{bar}] {self._done}/{self._steps}"]
            if self._done:
                left = (self._drawn - self._start) / self._done * max(0, self._steps - self._done)
                parts.append(f"{duration(left)} left")
        self._write(" - ".join([*parts, status] if status else parts))

    def _write(self, line: str) -> None:
        """Write over the line that is there; one that would not fit is cut, for a second line stays for ever."""
        line = line[: max(1, shutil.get_terminal_size().columns - 1)]
        self._out.write("\r" + line.ljust(self._length))
        self._out.flush()
        self._length = len(line)
