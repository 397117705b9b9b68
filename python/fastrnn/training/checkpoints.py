"""Checkpoints of a run of `fit`: a folder of files, each of which is whole and has all that the run needs to go on."""

from __future__ import annotations

import json
import math
import os
import re
import time
from typing import Any

import numpy as np

from .._file_reading import read_npz
from .._file_writing import check_path, write_file
from .._hints import warn
from .._log import log
from .._typing import Array
from ..layers.base import check_size

__all__ = ["Checkpoints"]

_VERSION = 1
_HEADER = "fastrnn.checkpoint"
_NAME = re.compile(r"checkpoint-(\d+)-(\d+)\.npz")


class Checkpoints:
    """Where `fit(resume=...)` keeps how far it is, and how often.

    A file `checkpoint-EPOCH-BATCH.npz` says what comes next: epoch and batch, counted from 0. It has the weights, the
    optimizer's state, the place in the order of the examples and in the masks of dropout, the states of callbacks and
    of stateful layers, and the history. It is written under another name, synced to the disk and renamed: whenever the
    process is killed, each file is whole.

    Args:
        folder: made if it is not there. Of one run: a run that finds a checkpoint in it goes on from the newest.
        every: also write after so many batches of an epoch; None: at the end of each epoch alone.
        keep: how many of the newest are kept.
        seconds: leave out those that would be written sooner after another, so that short epochs or batches do not wait
            for the disk; 0: none.

    Example:
        >>> fastrnn.Checkpoints("run", every=100).files()
        []
    """

    def __init__(
        self, folder: str | os.PathLike[str], every: int | None = None, keep: int = 3, seconds: float = 0.0
    ) -> None:
        self.folder = os.fspath(folder)
        self.every = None if every is None else check_size(every, "every")
        self.keep = check_size(keep, "keep")
        if not isinstance(seconds, (int, float)) or not seconds >= 0:
            raise ValueError(f"seconds: expected a number of at least 0, got {seconds!r}")
        self.seconds = seconds
        self._written = -math.inf

    def __repr__(self) -> str:
        seconds = f", seconds={self.seconds}" if self.seconds else ""
        return f"Checkpoints({self.folder!r}, every={self.every}, keep={self.keep}{seconds})"

    def due(self, batch: int) -> bool:
        """Whether one is to be written now: `batch` is the next one of the epoch, 0 at the end of an epoch."""
        if batch and (self.every is None or batch % self.every):
            return False
        return time.monotonic() - self._written >= self.seconds

    def files(self) -> list[str]:
        """The paths of the checkpoints, the oldest first."""
        found = [(int(match[1]), int(match[2]), name) for name in self._names() if (match := _NAME.fullmatch(name))]
        return [os.path.join(self.folder, name) for _, _, name in sorted(found)]

    def _names(self) -> list[str]:
        return os.listdir(self.folder) if os.path.isdir(self.folder) else []

    def prepare(self) -> None:
        """Make the folder and find out whether files can be made in it. OSError if not."""
        os.makedirs(self.folder, exist_ok=True)
        check_path(os.path.join(self.folder, "checkpoint.npz"), "resume")

    def newest(self) -> dict[str, Any] | None:
        """What the newest readable checkpoint holds; None where there is none.

        One that cannot be read is left out with a warning: the disk has damaged it.

        Raises:
            ValueError: if there are checkpoints, and none can be read: nothing is begun anew in silence.
        """
        files = self.files()
        for path in reversed(files):
            try:
                return _read(path)
            except ValueError as error:
                warn(f"{error}; the checkpoint before it is taken", RuntimeWarning)
        if files:
            raise ValueError(f"resume: expected a readable checkpoint in {self.folder}, got {len(files)} damaged ones")
        return None

    def write(self, epoch: int, batch: int, state: dict[str, Any]) -> None:
        """Write a checkpoint and remove those that are too old.

        Raises:
            OSError: if it cannot be written; those before it stay as they are.
            TypeError: for something in `state` that a file cannot hold.
        """
        path = os.path.join(self.folder, f"checkpoint-{epoch:06d}-{batch:08d}.npz")
        arrays: dict[str, Array] = {}
        text = json.dumps({"format_version": _VERSION, "state": _encode(state, "", arrays)})
        entries: dict[str, Any] = {_HEADER: np.array(text), **arrays}
        write_file(path, lambda file: np.savez(file, **entries))
        self._written = time.monotonic()
        log.info("checkpoint %s", path)
        for old in self.files()[: -self.keep]:
            os.unlink(old)


def _read(path: str) -> dict[str, Any]:
    header, arrays = read_npz(path, _HEADER)
    try:
        content = json.loads(header or "")
        version = content["format_version"]
        if version != _VERSION:
            raise ValueError(f"format_version: expected {_VERSION}, got {version!r}")
        state: dict[str, Any] = _decode(content["state"], arrays)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not a readable checkpoint: {error}") from error
    return state


def _encode(value: Any, place: str, arrays: dict[str, Array]) -> Any:
    """`value` as what JSON has, its arrays put into `arrays` under the names of their places."""
    if isinstance(value, dict):
        return {str(key): _encode(item, f"{place}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{place}/{index}", arrays) for index, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
        arrays[place] = np.asarray(value)
        return {"array": place} if isinstance(value, np.ndarray) else {"scalar": place}
    raise TypeError(f"checkpoint: expected numbers, texts and arrays, got {type(value).__name__} at {place[1:]}")


def _decode(value: Any, arrays: dict[str, Array]) -> Any:
    """What `_encode` was given; arrays are new ones."""
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"array"}:
        return arrays[value["array"]].copy()
    if value.keys() == {"scalar"}:
        return arrays[value["scalar"]][()]
    return {key: _decode(item, arrays) for key, item in value.items()}
