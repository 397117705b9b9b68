"""Sequences of different lengths as one array, and class numbers as one-hot rows, as Keras' functions do it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._registry import choice_error
from .._typing import Array, DTypeLike

__all__ = ["fill_missing", "is_ragged", "pad_sequences", "to_categorical"]


def is_ragged(x: Any) -> bool:
    """Whether x is a list of arrays, or an array of objects, rather than one array."""
    if isinstance(x, np.ndarray):
        return bool(x.dtype == object)
    return isinstance(x, (list, tuple)) and len(x) > 0 and all(hasattr(part, "__array__") for part in x)


def fill_missing(x: Any) -> Any:
    """Return a copy of a series, or of several, in which each NaN is the last number before it.

    What is missing at the beginning becomes the first number that comes.

    Args:
        x: steps (T,) or (T, features), a frame of such, or a list of arrays (T_n, features), each filled by itself.

    Returns:
        An array of float64, or float32 where x has that; a list for a list.

    Raises:
        ValueError: a feature without a number in the whole series.

    Example:
        >>> fastrnn.data.fill_missing([np.nan, 1.0, np.nan, 3.0]).tolist()
        [1.0, 1.0, 1.0, 3.0]
    """
    if is_ragged(x):
        return [_filled(part, f" of sequence {k}") for k, part in enumerate(x)]
    return _filled(x, "")


def _filled(x: Any, of: str) -> Array:
    given = np.asarray(x)
    result = given.astype(np.float32 if given.dtype == np.float32 else np.float64)
    if result.ndim == 0:
        raise ValueError("x: expected at least one axis, got a scalar")
    if not result.size:
        return result
    steps = result.reshape(len(result), -1)
    missing = np.isnan(steps)
    if missing.all(axis=0).any():
        feature = int(missing.all(axis=0).argmax())
        raise ValueError(f"x: expected a number in feature {feature}{of}, got NaN alone")
    row = np.arange(len(steps))[:, np.newaxis]
    last = np.maximum.accumulate(np.where(missing, -1, row), axis=0)
    source = np.where(last < 0, (~missing).argmax(axis=0), last)
    return np.take_along_axis(steps, source, axis=0).reshape(result.shape)


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0.0,
) -> Array:
    """Return sequences of different lengths as one array, as Keras' function of this name.

    Args:
        sequences: N arrays or lists (T_n, ...), equal beyond the first axis.
        maxlen: T; the longest length when None.
        dtype: of the result. Note the default: features need "float32".
        padding: "pre" or "post", the end at which short sequences are filled. `Masking` runs fastest with "post".
        truncating: "pre" or "post", the end at which long sequences lose steps.
        value: what to fill with.

    Returns:
        Array (N, T, ...).

    Raises:
        ValueError: sequences of different shapes, or an unknown end.

    Example:
        >>> fastrnn.data.pad_sequences([[1, 2], [3]], padding="post").tolist()
        [[1, 2], [3, 0]]
    """
    for name, end in (("padding", padding), ("truncating", truncating)):
        if end not in ("pre", "post"):
            raise choice_error(name, ("pre", "post"), end)
    arrays = [np.asarray(sequence) for sequence in sequences]
    length = max((len(a) for a in arrays), default=0) if maxlen is None else maxlen
    shapes = {a.shape[1:] for a in arrays if len(a)}
    if len(shapes) > 1:
        raise ValueError(f"sequences: expected equal shapes beyond the first axis, got {sorted(shapes)}")
    result = np.full((len(arrays), length, *(shapes.pop() if shapes else ())), value, dtype=dtype)
    for row, array in zip(result, arrays, strict=True):
        kept = array[max(0, len(array) - length) :] if truncating == "pre" else array[:length]
        if not len(kept):
            continue
        if padding == "pre":
            row[-len(kept) :] = kept
        else:
            row[: len(kept)] = kept
    return result


def to_categorical(x: Any, num_classes: int | None = None, dtype: DTypeLike = "float32") -> Array:
    """Return class numbers as one-hot rows, as Keras' function of this name.

    Args:
        x: integers (...) in 0..num_classes-1; a last axis of length 1 is dropped.
        num_classes: the largest number plus 1 when None.
        dtype: of the result.

    Returns:
        Array (..., num_classes).

    Raises:
        ValueError: a number out of range.

    Example:
        >>> fastrnn.data.to_categorical([0, 2], num_classes=3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    labels = np.asarray(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    labels = labels.astype(np.intp)
    classes = int(labels.max(initial=-1)) + 1 if num_classes is None else num_classes
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"x: expected class numbers in 0..{classes - 1}, got {bad}")
    result = np.zeros((*labels.shape, classes), dtype=dtype)
    np.put_along_axis(result, labels[..., np.newaxis], 1, axis=-1)
    return result
