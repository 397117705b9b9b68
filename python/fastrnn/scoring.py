"""Scoring in bulk: one object that goes to worker processes as a path, and is a model there."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ._core import Model, Session
from ._typing import Array

__all__ = ["Scorer"]

_AT_ONCE = 1 << 16  # steps of all sequences that are computed side by side: a long one may make no large array of many


class Scorer:
    """Runs a model's file over sequences, in whatever process it is called.

    Pickled it is no more than its arguments. Each process reads the file at the first call, once for all its scorers of
    that file and dtype, and again if the file has changed. It computes in one thread: workers are many.

    Args:
        path: a file as `fastrnn.Model.load` takes it, of layers that need no step but those so far.
        dtype: what the weights are kept in: "float32", "bfloat16", "bfloat16_weights" or "int8".
        batch: how many sequences are computed side by side at most, those of like lengths together. It changes no
            result.
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
        """Return the outputs of sequences (T, I), each of a T of its own, in their order.

        A sequence may also be the row (T * I,) of its numbers, step after step, as a column of a table holds it.

        Returns:
            (T, O) float32 for each, or (O,) with `last`.

        Raises:
            TypeError: a sequence is not of numbers.
            ValueError: a sequence has another shape, or with `last` no steps; or the file holds no such model.
            OSError: the file cannot be read.
        """
        model = _load(self.path, self.dtype, os.stat(self.path).st_mtime_ns)
        arrays = [self._steps(model, index, sequence) for index, sequence in enumerate(sequences)]
        results = [np.empty((0, model.output_size), np.float32) for _ in arrays]
        for bucket in self._buckets([len(array) for array in arrays]):
            lengths = [len(arrays[index]) for index in bucket]
            if len(bucket) == 1:
                y = Session(model).run(arrays[bucket[0]][:, np.newaxis])  # keeps no layer's output as a whole
            else:
                x = np.zeros((lengths[-1], len(bucket), model.input_size), np.float32)
                for row, index in enumerate(bucket):
                    x[: lengths[row], row] = arrays[index]
                y = model.forward(x, lengths, threads=1)
            for row, (index, steps) in enumerate(zip(bucket, lengths, strict=True)):
                results[index] = (y[steps - 1, row] if self.last else y[:steps, row]).copy()
        return results

    def _steps(self, model: Model, index: int, sequence: Any) -> Array:
        """A sequence as an array (T, I)."""
        array = np.asarray(sequence)
        try:
            array = array.astype(np.float32, casting="unsafe" if array.dtype == object else "same_kind", copy=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"sequences: expected numbers, got dtype {array.dtype} at index {index}") from error
        if array.ndim == 1 and array.size % model.input_size == 0:
            array = array.reshape(-1, model.input_size)
        if array.ndim != 2 or array.shape[1] != model.input_size:
            raise ValueError(f"sequences: expected (T, {model.input_size}), got {array.shape} at index {index}")
        if self.last and not len(array):
            raise ValueError(f"sequences: expected at least one step where last=True, got none at index {index}")
        return array

    def _buckets(self, lengths: list[int]) -> Iterator[list[int]]:
        """The indices of sequences to be computed side by side, the shortest first, without those of no steps."""
        bucket: list[int] = []
        for index in sorted((index for index, steps in enumerate(lengths) if steps), key=lengths.__getitem__):
            if len(bucket) == self.batch or (bucket and (len(bucket) + 1) * lengths[index] > _AT_ONCE):
                yield bucket
                bucket = []
            bucket.append(index)
        if bucket:
            yield bucket


@functools.lru_cache(maxsize=8)
def _load(path: str, dtype: str, changed: int) -> Model:
    """The model of a file that was changed at that time."""
    model = Model.load(path, dtype)
    Session(model)  # says which layer needs a later step, if there is one
    return model
