"""Scoring in bulk: one object that goes to worker processes as a path, and is a model there."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ._core import Model, Session
from ._typing import Array

__all__ = ["Scorer"]


class Scorer:
    """Runs a model's file over sequences, in whatever process it is called.

    Pickled it is no more than its arguments. Each process reads the file at the first call, once for all its scorers of
    that file and dtype, and again if the file has changed. It computes in one thread: workers are many.

    Args:
        path: a file as `fastrnn.Model.load` takes it, of layers that need no step but those so far.
        dtype: what the weights are kept in: "float32", "bfloat16", "bfloat16_weights" or "int8".
        batch: how many sequences are computed side by side, those of like lengths together. It changes no result.
        last: return the output of the last step alone.

    Raises:
        ValueError: batch is no number of at least 1. The file is looked at when it is needed.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4, return_sequences=True)])
        >>> model.save("scored.safetensors")
        >>> scorer = fastrnn.Scorer("scored.safetensors")
        >>> [y.shape for y in scorer([np.ones((5, 3), np.float32), np.ones((2, 3), np.float32)])]
        [(5, 4), (2, 4)]
    """

    def __init__(
        self, path: str | os.PathLike[str], dtype: str = "float32", *, batch: int = 64, last: bool = False
    ) -> None:
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise ValueError(f"batch: expected an integer of at least 1, got {batch!r}")
        self.path = os.path.abspath(path)
        self.dtype = dtype
        self.batch = int(batch)
        self.last = last

    def __repr__(self) -> str:
        return f"Scorer({self.path!r}, {self.dtype!r}, batch={self.batch}, last={self.last})"

    def __call__(self, sequences: Iterable[Any]) -> list[Array]:
        """Return the outputs of sequences (T, I), each of a T of its own and at least one step, in their order.

        A sequence may also be the row (T * I,) of its numbers, step after step, as a column of a table holds it.

        Returns:
            (T, O) float32 for each, or (O,) with `last`.

        Raises:
            ValueError: a sequence has another shape, or the file holds no such model.
            OSError: the file cannot be read.
        """
        model = _load(self.path, self.dtype, os.stat(self.path).st_mtime_ns)
        arrays = [np.asarray(sequence, np.float32) for sequence in sequences]
        for index, array in enumerate(arrays):
            if array.ndim == 1 and array.size % model.input_size == 0:
                arrays[index] = array = array.reshape(-1, model.input_size)
            if array.ndim != 2 or not len(array) or array.shape[1] != model.input_size:
                raise ValueError(f"sequences: expected (T, {model.input_size}), got {array.shape} at index {index}")
        results: list[Array] = [np.empty(0, np.float32)] * len(arrays)
        order = sorted(range(len(arrays)), key=lambda index: len(arrays[index]))
        for start in range(0, len(order), self.batch):
            group = order[start : start + self.batch]
            # Zeros behind a sequence's end are computed and cut off: no step depends on a later one.
            x = np.zeros((len(arrays[group[-1]]), len(group), model.input_size), np.float32)
            for row, index in enumerate(group):
                x[: len(arrays[index]), row] = arrays[index]
            y = Session(model, batch=len(group)).run(x)
            for row, index in enumerate(group):
                steps = len(arrays[index])
                results[index] = (y[steps - 1, row] if self.last else y[:steps, row]).copy()
        return results


@functools.lru_cache(maxsize=8)
def _load(path: str, dtype: str, changed: int) -> Model:
    """The model of a file that was changed at that time."""
    return Model.load(path, dtype)
