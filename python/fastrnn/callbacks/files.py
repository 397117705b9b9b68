"""Callbacks that write files: model checkpoints and the epochs' log."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from string import Formatter
from typing import Any, TextIO

from .._file_writing import check_path, check_suffix
from .._log import log
from .._registry import choice_error
from .base import Callback, Logs
from .monitor import Monitor


class ModelCheckpoint(Callback):
    """Save the model as training goes on.

    Args:
        filepath: where; may hold fields, ``"model-{epoch:02d}-{val_loss:.3f}.npz"``: the epoch counted from 1, with
            `save_freq` in batches the batch, and everything in the logs. Ends in .npz or .safetensors. Missing folders
            are made; that files can be made there is found out when training begins.
        monitor, mode: see `EarlyStopping`; used with `save_best_only`.
        verbose: 1 tells.
        save_best_only: save only when the monitored figure has improved.
        save_weights_only: call ``model.save_weights`` in place of ``model.save``.
        save_freq: "epoch", or the number of batches after which to save.
        initial_value_threshold: what the first figure has to improve on.

    Attributes:
        best: the best figure so far.

    Raises:
        ValueError: `filepath` has another suffix, or a brace that is not closed.
        ImportError: it ends in .safetensors, and the package of that name is missing.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> save = fastrnn.callbacks.ModelCheckpoint("best.npz", monitor="loss", save_best_only=True)
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=save)
        >>> fastrnn.load_model("best.npz").output_shape
        (None, 1)
    """

    kept = ("best", "_batches")

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__()
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise choice_error("save_freq", ("epoch", "a number of batches > 0"), save_freq)
        self.filepath = os.fspath(filepath)
        start, has_fields = _before_fields(self.filepath)
        suffix = check_suffix(self.filepath, "filepath")
        # A name like those of the files to come, by which the folder is checked when training begins.
        self._sample = os.path.join(os.path.dirname(start), f"x{suffix}") if has_fields else start
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.monitor = monitor
        self._monitor = Monitor(monitor, mode)
        self.best = self._monitor.worst if initial_value_threshold is None else float(initial_value_threshold)
        self._epoch = 0
        self._batches = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        """Check that files can be made in the folder; of a path with fields, in the last folder before them.

        Raises:
            OSError: they cannot.
        """
        Path(self._sample).parent.mkdir(parents=True, exist_ok=True)
        check_path(self._sample, "filepath")

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Save, if it is time."""
        self._batches += 1
        if isinstance(self.save_freq, int) and self._batches % self.save_freq == 0:
            self._save(logs, batch=batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Save, if it is time."""
        self._epoch = epoch
        if self.save_freq == "epoch":
            self._save(logs)

    def _save(self, logs: Logs, **fields: int) -> None:
        if self.save_best_only:
            current = self._monitor.read(self, logs)
            if current is None or not self._monitor.better(current, self.best):
                return
            self.best = current
        path = self._path({"epoch": self._epoch + 1, **fields, **(logs or {})})
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(str(path))
        log.info("epoch %d: saved %s", self._epoch + 1, path)
        if self.verbose:
            print(f"Epoch {self._epoch + 1}: saved {path}")

    def _path(self, fields: dict[str, Any]) -> Path:
        try:
            return Path(self.filepath.format(**fields))
        except (KeyError, IndexError) as error:
            got = repr(error.args[0]) if isinstance(error, KeyError) else "one without a name"
            raise ValueError(f"filepath: expected fields among {', '.join(sorted(fields))}, got {got}") from None


def _before_fields(template: str) -> tuple[str, bool]:
    """What stands before the first field of a name, and whether there is one."""
    start = ""
    try:
        for text, field, *_ in Formatter().parse(template):
            start += text
            if field is not None:
                return start, True
    except ValueError as error:
        raise ValueError(f"filepath: expected a name with fields in braces, got {template!r}: {error}") from None
    return start, False


class CSVLogger(Callback):
    """Write one row of figures per epoch; each is on the disk before the next epoch begins.

    When a run is resumed, the file gets back the rows of the epochs before.

    Args:
        filename: the file. Its columns are "epoch" (from 0) and the names in the first logs, sorted.
        separator: one character.
        append: go on with an existing file and its columns; a last line torn by a crash is taken off first.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=fastrnn.callbacks.CSVLogger("log.csv"))
        >>> sorted(fastrnn.data.read_csv("log.csv"))
        ['epoch', 'loss']
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._file: TextIO | None = None
        self._columns: list[str] = []

    def on_train_begin(self, logs: Logs = None) -> None:
        """Open the file."""
        self._close()
        self._columns = []
        if self.append and os.path.exists(self.filename):
            _drop_torn_line(self.filename)
            with open(self.filename, newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file, delimiter=self.separator), [])
        # Open until training ends, so no `with`.
        self._file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write a row; a figure that has no column is left out, one that is missing reads NA."""
        if self._file is None:
            raise RuntimeError("CSVLogger: on_epoch_end outside of training")
        figures = {"epoch": epoch, **(logs or {})}
        writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")
        if not self._columns:
            self._columns = ["epoch", *sorted(logs or {})]
            writer.writerow(self._columns)
        writer.writerow([figures.get(name, "NA") for name in self._columns])
        self._sync()

    def on_train_end(self, logs: Logs = None) -> None:
        """Close the file."""
        self._close()

    def get_state(self) -> dict[str, Any]:
        """The text of the file."""
        with open(self.filename, newline="", encoding="utf-8") as file:
            return {"text": file.read(), "columns": self._columns}

    def set_state(self, state: dict[str, Any]) -> None:
        """Write that text again."""
        assert self._file is not None
        self._file.truncate(0)
        self._file.seek(0)
        self._file.write(state["text"])
        self._columns = state["columns"]
        self._sync()

    def _sync(self) -> None:
        """Epochs are long beside a sync, and a log that ends before the crash does not explain it."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _drop_torn_line(filename: str) -> None:
    """Cut the file after its last line end."""
    with open(filename, "rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
