"""What the estimators take for X, as sequences: 3-D arrays, lists of ragged sequences, and 2-D tables.

A row of a 2-D table is a sequence of single numbers, as scikit-learn's own series are: its columns are steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .._typing import Array
from ..data import BatchesByLength

__all__ = ["PADDING", "Sequences", "as_sequences"]

# What fills up short sequences, and what the network's Masking looks for: a float32 that no measurement has.
PADDING = float(np.float32(-1.0e30))


class Sequences:
    """N sequences of equal numbers of features: an array (N, T, I), or arrays (T_n, I).

    Attributes:
        data: the array or the list.
        features: I.
    """

    def __init__(self, data: Array | list[Array]) -> None:
        self.data = data
        self.features = int(data[0].shape[-1])

    def __len__(self) -> int:
        return len(self.data)

    def take(self, rows: Array) -> Sequences:
        """The sequences with these indices."""
        if isinstance(self.data, np.ndarray):
            return Sequences(self.data[rows])
        return Sequences([self.data[i] for i in rows])

    def batches(self, y: Any = None, sample_weight: Any = None, **options: Any) -> BatchesByLength:
        """Batches for the network, padded as its Masking expects it; `options` as of `BatchesByLength`."""
        return BatchesByLength(self.data, y, sample_weight=sample_weight, value=PADDING, **options)


def as_sequences(estimator: Any, X: Any, *, dtype: str, reset: bool) -> Sequences:
    """Return X as sequences, checked; and note on the estimator, or compare with, what it was fitted on.

    Args:
        estimator: with `reset` it is given n_features_in_: columns of a table, else features of a step.
        X: array (N, T, I), ragged sequences (a list, a tuple or an array of objects) of shape (T_n, I) or (T_n,), or
            whatever scikit-learn takes for a table (N, T).
        dtype: of the sequences.
        reset: whether the estimator is being fitted.

    Raises:
        ValueError, TypeError: what is not of numbers, not finite, empty, or has other features than in `fit`.
    """
    parts = _ragged(X)
    if parts is not None:
        arrays = [_sequence(part, index, dtype) for index, part in enumerate(parts)]
        for index, array in enumerate(arrays):
            if array.shape[1] != arrays[0].shape[1]:
                raise ValueError(
                    f"X: expected sequences with {arrays[0].shape[1]} features as the first, "
                    f"got {array.shape[1]} at index {index}"
                )
        alike = len({len(array) for array in arrays}) == 1
        sequences = Sequences(np.stack(arrays) if alike else arrays)
    elif getattr(X, "ndim", None) == 3:
        array = check_array(X, dtype=[dtype], ensure_2d=False, allow_nd=True, input_name="X", estimator=estimator)
        if 0 in array.shape:
            raise ValueError(f"X: expected sequences with steps and features, got shape {array.shape}")
        sequences = Sequences(array)
    elif getattr(X, "ndim", None) == 1 and getattr(X.dtype, "kind", "O") in "fiub":
        raise ValueError(
            f"X: expected several sequences, got a single one of {len(X)} numbers. Reshape your data: [X] is a list of "
            "one"
        )
    elif reset or not hasattr(estimator, "n_features_in_") or estimator._fitted_on_table:
        array = validate_data(estimator, X, dtype=[dtype], reset=reset)
        sequences = Sequences(array[:, :, np.newaxis])
        if reset:
            estimator._fitted_on_table = True
            return sequences
    else:
        array = check_array(X, dtype=[dtype], input_name="X", estimator=estimator)
        sequences = Sequences(array[:, :, np.newaxis])
    if reset:
        estimator._fitted_on_table = False
        estimator.n_features_in_ = sequences.features
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    expected = 1 if estimator._fitted_on_table else estimator.n_features_in_
    if sequences.features != expected:
        raise ValueError(
            f"X has {sequences.features} features a step, but {type(estimator).__name__} is expecting {expected} "
            "features as input"
        )
    return sequences


def _ragged(X: Any) -> list[Any] | None:
    """The sequences of a list of them, None for everything else: an array, a frame, a table written as lists."""
    if isinstance(X, np.ndarray):
        if X.ndim != 1 or X.dtype != object:
            return None
    elif not isinstance(X, (list, tuple)):
        return None
    if not len(X) or not all(hasattr(part, "__len__") and not isinstance(part, (str, bytes, dict)) for part in X):
        return None
    steps = {len(part) for part in X}
    if len(steps) == 1 and all(np.ndim(part) == 1 for part in X):
        return None  # rows of a table
    return list(X)


def _sequence(part: Any, index: int, dtype: str) -> Array:
    try:
        array = np.asarray(part, dtype=dtype)
    except (ValueError, TypeError) as error:
        raise ValueError(f"X: expected an array of numbers at index {index}; {error}") from None
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"X: expected a sequence (steps, features) at index {index}, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"X: expected finite numbers, got NaN or infinity in the sequence at index {index}")
    return array
