"""Getting sequences into arrays: windows, padding, one-hot, splitting, characters, and a text that is always there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ._registry import one_of
from ._typing import Array, DTypeLike

__all__ = [
    "CharVocabulary", "pad_sequences", "python_topics", "to_categorical", "train_test_split", "windows",
]  # fmt: skip


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
    """
    for name, end in (("padding", padding), ("truncating", truncating)):
        if end not in ("pre", "post"):
            raise one_of(name, ("pre", "post"), end)
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
    """
    parts = [np.asarray(a) for a in arrays]
    lengths = [len(p) for p in parts]
    if len(set(lengths)) != 1:
        raise ValueError(f"arrays: expected one or more of equal length, got lengths {lengths}")
    size = int(np.ceil(lengths[0] * test_size))
    if not 0 < size < lengths[0]:
        raise ValueError(f"test_size: expected a share that leaves examples in both parts, got {test_size!r}")
    order = np.random.default_rng(seed).permutation(lengths[0]) if shuffle else np.arange(lengths[0])
    return [part for p in parts for part in (p[order[:-size]], p[order[-size:]])]


class CharVocabulary:
    """Characters as numbers: the distinct ones of a text in code point order, from 1; 0 stands for all others.

    Attributes:
        characters: the known characters.
    """

    UNKNOWN = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, text: Iterable[str]) -> None:
        self.characters = "".join(sorted(set(text)))
        self._index = {c: i for i, c in enumerate(self.characters, 1)}

    def __repr__(self) -> str:
        return f"CharVocabulary({len(self.characters)} characters)"

    def __len__(self) -> int:
        """The number of classes, the unknown one included."""
        return len(self.characters) + 1

    def encode(self, text: str) -> Array:
        """Return the numbers of the characters, int64 (len(text),)."""
        return np.fromiter((self._index.get(c, 0) for c in text), dtype=np.int64, count=len(text))

    def decode(self, numbers: Sequence[int] | Array) -> str:
        """Return the text of numbers; 0 becomes U+FFFD."""
        table = self.UNKNOWN + self.characters
        return "".join(table[int(n)] for n in numbers)


def python_topics() -> str:
    """Return the topics of Python's own interactive help, some 465,000 characters of English and code.

    The text is part of every Python installation (`pydoc_data.topics`) and needs no download. It differs a little
    between Python versions.
    """
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))
