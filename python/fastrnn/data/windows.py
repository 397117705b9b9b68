"""Windows of a long series: what a network reads, and the steps after it that it forecasts."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array
from .tables import columns

__all__ = ["forecast_windows", "windows"]


def windows(sequence: Any, length: int, stride: int = 1) -> Array:
    """Return all windows of `length` steps, each `stride` steps after the one before.

    Args:
        sequence: array (T, ...), time first.
        length: steps per window, 1..T.
        stride: >= 1; `length` gives windows that do not overlap.

    Returns:
        A read-only view (N, length, ...) with N = (T - length) // stride + 1. Steps that fill no window are left out.

    Raises:
        ValueError: `length` or `stride` out of range.

    Example:
        >>> fastrnn.data.windows(np.arange(5), length=3, stride=2).tolist()
        [[0, 1, 2], [2, 3, 4]]
    """
    array = np.asarray(sequence)
    if array.ndim == 0:
        raise ValueError("sequence: expected at least one axis, got a scalar")
    if not 1 <= length <= len(array):
        raise ValueError(f"length: expected a number in 1..{len(array)} (the steps there are), got {length!r}")
    if stride < 1:
        raise ValueError(f"stride: expected a number >= 1, got {stride!r}")
    view = np.lib.stride_tricks.sliding_window_view(array, length, axis=0)[::stride]
    return np.moveaxis(view, -1, 1)


def forecast_windows(
    series: Any, length: int, horizon: int = 1, stride: int = 1, target: Any = None, gap: int = 0
) -> tuple[Array, Array]:
    """Return windows of `length` steps and, for each, the `horizon` steps that follow it.

    Args:
        series: array (T, ...), time first, or a frame.
        length: steps that are read.
        horizon: steps that are forecast.
        stride: steps from a window to the next.
        target: what is forecast: an array (T, ...), the number of a feature, of a frame the name of a column; the
            series itself when None.
        gap: steps left out between the two, for a forecast that is made some time ahead.

    Returns:
        x (N, length, ...) and y (N, horizon, ...), read-only views; N = (T - length - gap - horizon) // stride + 1.

    Raises:
        ValueError: a number out of range, a target of another length, or a series too short for one window.

    Example:
        >>> x, y = fastrnn.data.forecast_windows(np.arange(6.0), length=3, horizon=2)
        >>> x.tolist(), y.tolist()
        ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [[3.0, 4.0], [4.0, 5.0]])
    """
    array = np.asarray(series)
    if array.ndim == 0:
        raise ValueError("series: expected at least one axis, got a scalar")
    targets = _targets(series, array, target)
    if targets.ndim == 0 or len(targets) != len(array):
        raise ValueError(f"target: expected {len(array)} steps as the series has, got shape {targets.shape}")
    for name, number, least in (("length", length, 1), ("horizon", horizon, 1), ("stride", stride, 1), ("gap", gap, 0)):
        if number < least:
            raise ValueError(f"{name}: expected a number >= {least}, got {number!r}")
    if len(array) < length + gap + horizon:
        raise ValueError(
            f"series: expected at least {length + gap + horizon} steps (length + gap + horizon), got {len(array)}"
        )
    x = windows(array[: len(array) - gap - horizon], length, stride)
    return x, windows(targets[length + gap :], horizon, stride)


def _targets(series: Any, array: Array, target: Any) -> Array:
    """What is forecast: a feature of the series, or an array of its own."""
    if target is None:
        return array
    if isinstance(target, str):
        if not hasattr(series, "columns"):
            raise ValueError(f"target: expected a number or an array for a series without names, got {target!r}")
        return columns(series, target, array.dtype)
    if isinstance(target, (int, np.integer)):
        if array.ndim < 2 or not -array.shape[-1] <= target < array.shape[-1]:
            raise ValueError(f"target: expected the number of a feature of {array.shape}, got {target}")
        return np.asarray(array[..., target])
    return np.asarray(target)
