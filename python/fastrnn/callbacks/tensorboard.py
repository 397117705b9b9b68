"""TensorBoard, through a writer that exists: tensorboardX's, or PyTorch's."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from .base import Callback, Logs

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Write the figures of training for TensorBoard, under the names that Keras gives them.

    "train" and "validation" are two runs below the folder: ``tensorboard --logdir logs`` shows "epoch_loss" and the
    metrics of both in one chart each. Needs `pip install 'fastrnn[tensorboard]'` (tensorboardX), or torch and
    tensorboard.

    Args:
        log_dir: the folder.
        histogram_freq: write histograms of all weights every so many epochs; 0 for none.
        update_freq: "epoch", "batch", or a number: write the loss and metrics so far every so many batches, too.

    Raises:
        ImportError: no writer is installed.
        ValueError: a frequency that is none.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> board = fastrnn.callbacks.TensorBoard("logs")
        >>> history = model.fit(x, y, verbose=0, callbacks=board)
    """

    def __init__(
        self, log_dir: str | os.PathLike[str] = "logs", histogram_freq: int = 0, update_freq: str | int = "epoch"
    ) -> None:
        super().__init__()
        if histogram_freq < 0:
            raise ValueError(f"histogram_freq: expected a number >= 0, got {histogram_freq!r}")
        if update_freq not in ("epoch", "batch") and not (isinstance(update_freq, int) and update_freq > 0):
            raise ValueError(f"update_freq: expected 'epoch', 'batch' or a number > 0, got {update_freq!r}")
        self.log_dir, self.histogram_freq, self.update_freq = os.fspath(log_dir), histogram_freq, update_freq
        self._every: int = update_freq if isinstance(update_freq, int) else {"epoch": 0, "batch": 1}[update_freq]
        self._batches = 0
        self._writers: dict[str, Any] = {}
        self._make = _writer()

    def _write(self, run: str, name: str, value: float, step: int) -> None:
        if run not in self._writers:
            self._writers[run] = self._make(os.path.join(self.log_dir, run))
        self._writers[run].add_scalar(name, value, step)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Write the figures so far, if it is time."""
        self._batches += 1
        if self._every and self._batches % self._every == 0:
            for name, value in (logs or {}).items():
                self._write("train", f"batch_{name}", value, self._batches)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the figures of the epoch, and the histograms."""
        for name, value in (logs or {}).items():
            if isinstance(value, (int, float)):
                run = "validation" if name.startswith("val_") else "train"
                self._write(run, f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for parameter in self.model.parameters():
                self._writers["train"].add_histogram(parameter.name, parameter.value, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def _writer() -> Callable[[str], Any]:
    for module in ("tensorboardX", "torch.utils.tensorboard"):
        try:
            found: Callable[[str], Any] = importlib.import_module(module).SummaryWriter
        except ImportError:
            continue
        return found
    raise ImportError(
        "TensorBoard needs a writer: pip install 'fastrnn[tensorboard]' (tensorboardX), or torch and tensorboard"
    )
