"""Dividing examples into parts for training and for testing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import is_ragged

__all__ = ["split_by_time", "train_test_split"]


def train_test_split(*arrays: Any, test_size: float = 0.25, shuffle: bool = True, seed: int | None = None) -> list[Any]:
    """Split arrays along their first axis, all alike, as scikit-learn's function of this name.

    Args:
        *arrays: one or more of equal length N. Frames of pandas and polars stay frames, lists of ragged arrays lists.
        test_size: share in (0, 1), rounded up to whole examples.
        shuffle: False keeps the order and tests on the last part: the honest way for one long series.
        seed: of the shuffle.

    Returns:
        ``[train_0, test_0, train_1, test_1, ...]``.

    Raises:
        ValueError: no arrays, different lengths, or a part without examples.

    Example:
        >>> x_train, x_test = fastrnn.data.train_test_split(np.arange(8), test_size=0.25, shuffle=False)
        >>> x_test.tolist()
        [6, 7]
    """
    parts, length, size = _parts(arrays, test_size)
    if not 0 < size < length:
        raise ValueError(f"test_size: expected a share that leaves examples in both parts, got {test_size!r}")
    order = np.random.default_rng(seed).permutation(length) if shuffle else np.arange(length)
    return [part for p in parts for part in (_take(p, order[:-size]), _take(p, order[-size:]))]


def split_by_time(*arrays: Any, test_size: float = 0.25, gap: int = 0) -> list[Any]:
    """Split arrays along their first axis into what came first and what came last, without a copy.

    Cut a long series with this before its windows are made: then no window of one part has a step of the other.

    Args:
        *arrays: one or more of equal length T, in the order of time. Frames of pandas and polars stay frames.
        test_size: share in (0, 1) of the steps that are tested on, rounded up.
        gap: steps left out between the parts, so that what is forecast from the first does not reach into the second.

    Returns:
        ``[train_0, test_0, train_1, test_1, ...]``, views.

    Raises:
        ValueError: no arrays, different lengths, or a part without steps.

    Example:
        >>> past, future = fastrnn.data.split_by_time(np.arange(8), test_size=0.25)
        >>> past.tolist(), future.tolist()
        ([0, 1, 2, 3, 4, 5], [6, 7])
    """
    parts, length, size = _parts(arrays, test_size)
    if gap < 0:
        raise ValueError(f"gap: expected a number >= 0, got {gap!r}")
    if size <= 0 or length - size - gap <= 0:
        raise ValueError(
            f"test_size: expected a share that leaves steps in both parts, got {test_size!r} of {length}, gap {gap}"
        )
    cuts = slice(0, length - size - gap), slice(length - size, length)
    return [_take(p, cut) for p in parts for cut in cuts]


def _take(array: Any, rows: Any) -> Any:
    """Rows of an array, a frame or a list."""
    if isinstance(array, list):
        return array[rows] if isinstance(rows, slice) else [array[k] for k in rows]
    return array.iloc[rows] if hasattr(array, "iloc") else array[rows]


def _parts(arrays: tuple[Any, ...], test_size: float) -> tuple[list[Any], int, int]:
    """The arrays, their one length, and how much of it is for tests."""
    if not isinstance(test_size, (int, float, np.number)):
        raise TypeError(f"test_size: expected a share in (0, 1), got {test_size!r}")
    parts = [a if hasattr(a, "to_numpy") or is_ragged(a) else np.asarray(a) for a in arrays]
    lengths = [len(p) for p in parts]
    if len(set(lengths)) != 1:
        raise ValueError(f"arrays: expected one or more of equal length, got lengths {lengths}")
    return parts, lengths[0], int(np.ceil(lengths[0] * test_size))
