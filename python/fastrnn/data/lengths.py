"""Batches of sequences whose lengths are alike, so that little is padded and little is computed for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array, DTypeLike
from .arrays import pad_sequences

__all__ = ["BatchesByLength"]


class BatchesByLength:
    """Batches of ragged sequences for `fit` and `evaluate`, each padded at its end to its own longest one.

    The examples are shuffled, pools of `pool` batches are sorted by length and cut, and the batches are shuffled: each
    epoch has other batches, and the lengths within one hardly differ. A model needs ``Masking(mask_value=value)`` in
    front.

        batches = BatchesByLength(sequences, labels, batch_size=32)
        model.fit(batches, epochs=10)

    Args:
        sequences: N arrays (T_n, ...), equal beyond the first axis, or one array (N, T, ...).
        y: N targets; or, for a target per step, N arrays (T_n, ...), which are padded with zeros.
        batch_size: examples of a batch; the last may be smaller.
        sample_weight: (N,), or None.
        shuffle: False keeps one order, the shortest sequences first.
        seed: of the order; an integer or None.
        value: what sequences are padded with.
        dtype: of the batches.
        pool: how many batches are sorted together. A large one pads less and mixes less.

    Attributes:
        order: the examples' numbers in the order of this epoch.
        padded_share: the share of the steps of this epoch that are padding.

    Raises:
        ValueError: no sequences, one without a step, or targets or weights of another number.

    Example:
        >>> x, y = [np.ones((n, 1)) for n in (2, 3, 9)], np.zeros(3)
        >>> batches = fastrnn.data.BatchesByLength(x, y, batch_size=2, shuffle=False)
        >>> [batches[k][0].shape for k in range(len(batches))]
        [(2, 3, 1), (1, 9, 1)]
    """

    def __init__(
        self,
        sequences: Any,
        y: Any = None,
        batch_size: int = 32,
        sample_weight: Any = None,
        *,
        shuffle: bool = True,
        seed: int | None = None,
        value: float = 0.0,
        dtype: DTypeLike = "float32",
        pool: int = 50,
    ) -> None:
        for name, number in (("batch_size", batch_size), ("pool", pool)):
            if number < 1:
                raise ValueError(f"{name}: expected a number >= 1, got {number!r}")
        whole = isinstance(sequences, np.ndarray) and sequences.dtype != object
        self._sequences: Any = sequences if whole else [np.asarray(s) for s in sequences]
        self.lengths: Array = np.array([len(s) for s in self._sequences], dtype=np.intp)
        if not len(self.lengths):
            raise ValueError("sequences: expected at least one, got none")
        if not self.lengths.all():
            raise ValueError(f"sequences: expected at least one step in each, got none at {self.lengths.argmin()}")
        if not whole:
            first = self._sequences[0].shape
            for k, sequence in enumerate(self._sequences):
                if sequence.shape[1:] != first[1:]:
                    both = f"{first} at 0 and {sequence.shape} at {k}"
                    raise ValueError(f"sequences: expected equal shapes beyond the first axis, got {both}")
        self._y = None if y is None else _targets(y, self.lengths)
        self._sample_weight = None if sample_weight is None else np.asarray(sample_weight)
        for name, given in (("y", self._y), ("sample_weight", self._sample_weight)):
            if given is not None and len(given) != len(self.lengths):
                raise ValueError(f"{name}: expected {len(self.lengths)}, one for each sequence, got {len(given)}")
        self.batch_size, self.value, self.dtype, self.pool = batch_size, value, dtype, pool
        self._rng = np.random.default_rng(seed) if shuffle else None
        self.order: Array
        self._batches: list[Array] = []
        self.on_epoch_end()

    def __repr__(self) -> str:
        return f"BatchesByLength({len(self.lengths)} sequences, batch_size={self.batch_size}, {len(self)} batches)"

    def __len__(self) -> int:
        """The number of batches."""
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Batch `index` of this epoch: (x,), (x, y) or (x, y, sample_weight)."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: expected a number below {len(self)}, got {index}")
        rows = self._batches[index]
        batch: tuple[Any, ...] = (self._rows(self._sequences, rows, self.value, self.dtype),)
        if self._y is not None:
            batch += (self._rows(self._y, rows, 0.0, None),)
        if self._sample_weight is not None:
            batch += (self._sample_weight[rows],)
        return batch

    @property
    def padding(self) -> float | None:
        """What steps are padded with, None if no batch of this epoch is: `fit` looks whether the model masks it."""
        return None if self.padded_share == 0 else self.value

    def on_epoch_end(self) -> None:
        """Draw the batches of the next epoch; `fit` calls it."""
        count, size = len(self.lengths), self.batch_size
        if self._rng is None:
            order = np.argsort(self.lengths, kind="stable")
        else:
            self._drawn_from = self._rng.bit_generator.state
            order = self._rng.permutation(count)
            for start in range(0, count, size * self.pool):
                part = order[start : start + size * self.pool]
                part[...] = part[np.argsort(self.lengths[part], kind="stable")]
        self._batches = [order[start : start + size] for start in range(0, count, size)]
        if self._rng is not None:
            self._batches = [self._batches[i] for i in self._rng.permutation(len(self._batches))]
        self.order = np.concatenate(self._batches)

    def get_state(self) -> dict[str, Any]:
        """What the order of this epoch was drawn from, for a checkpoint."""
        return {} if self._rng is None else {"generator": self._drawn_from}

    def set_state(self, state: dict[str, Any]) -> None:
        """Draw the order that `get_state` tells of again."""
        if self._rng is not None:
            self._rng.bit_generator.state = state["generator"]
        self.on_epoch_end()

    @property
    def padded_share(self) -> float:
        """The share of this epoch's steps that are padding."""
        computed = sum(len(rows) * int(self.lengths[rows].max()) for rows in self._batches)
        return 1.0 - float(self.lengths.sum()) / computed

    def restore(self, rows: Any) -> Array:
        """Return a model's predictions for the batches, (N, ...), in the order in which the sequences were given.

            batches = BatchesByLength(sequences, shuffle=False)
            y = batches.restore(model.predict(batches))

        Raises:
            ValueError: with `shuffle`, where the order is another after each pass; or a wrong number of rows.
        """
        given = np.asarray(rows)
        if self._rng is not None:
            raise ValueError("shuffle: expected False to restore the order, got True")
        if len(given) != len(self.order):
            raise ValueError(f"rows: expected {len(self.order)}, one for each sequence, got {len(given)}")
        result = np.empty_like(given)
        result[self.order] = given
        return result

    @staticmethod
    def _rows(source: Any, rows: Array, value: float, dtype: DTypeLike | None) -> Array:
        if isinstance(source, np.ndarray):
            return source[rows] if dtype is None else source[rows].astype(dtype, copy=False)
        parts = [source[i] for i in rows]
        return pad_sequences(parts, dtype=dtype or parts[0].dtype, padding="post", value=value)


def _targets(y: Any, lengths: Array) -> Array | list[Array]:
    """Return one target a sequence as an array, or one a step as a list of arrays."""
    if isinstance(y, np.ndarray) and y.dtype != object:
        return y
    parts = [np.asarray(part) for part in y]
    per_step = all(part.ndim for part in parts) and [len(part) for part in parts] == lengths.tolist()
    return parts if per_step and len(set(lengths.tolist())) > 1 else np.array(parts)
