"""How `fit` tells how far it is: a bar on a terminal, one line per epoch everywhere else.

The bar is tqdm's, if that is installed (``pip install fastrnn[progress]``); without it, and wherever the output goes
to a file, a pipe or a notebook, one line is written at the end of each epoch. Nothing is ever written over in a log.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
import time
from typing import Any, TextIO

from .base import Callback, Logs

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """Show loss, metrics, samples per second and the remaining time.

    `params` (see `Callback.set_params`) give "epochs", "steps" per epoch (None if unknown), "samples" per epoch (None
    if unknown) and "verbose": 0 nothing, 1 or "auto" a bar per epoch, 2 one line per epoch, as Keras.

    Args:
        file: where to write; None is the `sys.stdout` of the moment training begins.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        super().__init__()
        self._file = file
        self._out: TextIO = sys.stdout
        self._bar: Any = None
        self._tqdm: Any = None

    def on_train_begin(self, logs: Logs = None) -> None:
        """Decide between bar, lines and silence."""
        self._out = sys.stdout if self._file is None else self._file
        self._train_start = time.perf_counter()
        self._first_epoch: int | None = None
        verbose = self.params.get("verbose", 1)
        self._verbose = 1 if verbose == "auto" else int(verbose)
        self._tqdm = None
        if self._verbose == 1 and self._out.isatty():
            with contextlib.suppress(ImportError):
                self._tqdm = importlib.import_module("tqdm").tqdm

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Start the clock, and the bar."""
        if self._first_epoch is None:
            self._first_epoch = epoch
        self._epoch_start = time.perf_counter()
        self._batches = 0
        if self._tqdm is not None:
            self._bar = self._tqdm(
                total=self.params.get("steps"), desc=self._title(epoch), unit="batch", file=self._out, leave=False,
                dynamic_ncols=True, mininterval=0.1,
            )  # fmt: skip

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Move the bar."""
        self._batches += 1
        if self._bar is not None:
            # refresh=False leaves it to tqdm to draw at most ten times a second.
            self._bar.set_postfix_str(self._status(logs, time.perf_counter() - self._epoch_start), refresh=False)
            self._bar.update(1)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Put the bar away and write the epoch's line."""
        self._close()
        if not self._verbose:
            return
        now = time.perf_counter()
        took = now - self._epoch_start
        parts = [self._title(epoch), f"{took:.1f}s", self._status(logs, took)]
        first = epoch if self._first_epoch is None else self._first_epoch
        left = int(self.params.get("epochs") or 0) - epoch - 1
        if left > 0 and not getattr(self.model, "stop_training", False):
            parts.append(f"ETA {duration((now - self._train_start) / (epoch - first + 1) * left)}")
        print(" - ".join(p for p in parts if p), file=self._out, flush=True)

    def on_train_end(self, logs: Logs = None) -> None:
        """Put the bar away, if training ended within an epoch."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _title(self, epoch: int) -> str:
        epochs = self.params.get("epochs")
        return f"Epoch {epoch + 1}/{epochs}" if epochs else f"Epoch {epoch + 1}"

    def _status(self, logs: Logs, seconds: float) -> str:
        parts = []
        samples, steps = self.params.get("samples"), self.params.get("steps")
        if samples and seconds > 0:
            share = self._batches / steps if steps else 1.0
            parts.append(f"{samples * share / seconds:,.0f} samples/s")
        for name, value in (logs or {}).items():
            parts.append(f"{name}: {number(value)}")
        return " - ".join(parts)


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
