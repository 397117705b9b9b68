"""Dividing examples into parts for training and for testing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array

__all__ = ["split_by_time", "train_test_split"]


def train_test_split(
    *arrays: Any, test_size: float = 0.25, shuffle: bool = True, seed: int | None = None
) -> list[Array]:
    """Split arrays along their first axis, all alike, as scikit-learn's function of this name.

    Args:
        *arrays: one or more of equal length N.
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
    return [part for p in parts for part in (p[order[:-size]], p[order[-size:]])]


def split_by_time(*arrays: Any, test_size: float = 0.25, gap: int = 0) -> list[Array]:
    """Split arrays along their first axis into what came first and what came last, without a copy.

    Cut a long series with this before its windows are made: then no window of one part has a step of the other.

    Args:
        *arrays: one or more of equal length T, in the order of time.
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
    return [part for p in parts for part in (p[: length - size - gap], p[length - size :])]


def _parts(arrays: tuple[Any, ...], test_size: float) -> tuple[list[Array], int, int]:
    """The arrays, their one length, and how much of it is for tests."""
    parts = [np.asarray(a) for a in arrays]
    lengths = [len(p) for p in parts]
    if len(set(lengths)) != 1:
        raise ValueError(f"arrays: expected one or more of equal length, got lengths {lengths}")
    return parts, lengths[0], int(np.ceil(lengths[0] * test_size))
