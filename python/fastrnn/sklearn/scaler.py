"""A scaler that takes what the estimators take: in a pipeline, StandardScaler would refuse sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..data import Scaler
from .sequences import as_sequences

__all__ = ["SequenceScaler"]


class SequenceScaler(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Scale every feature by figures of all steps of all sequences: ``fastrnn.data.Scaler`` as a transformer.

    A table (N, T) is N sequences of one feature, so that all its columns have the same scale.

    Args:
        kind: "standard": mean 0 and standard deviation 1; "minmax": from 0 to 1.

    Attributes:
        scaler_: the `fastrnn.data.Scaler`, whose ``get_config()`` goes into a model's metadata.
        n_features_in_: features of a step; columns of a table.

    Example:
        >>> from fastrnn.sklearn import SequenceScaler
        >>> scaled = SequenceScaler().fit_transform([np.array([1.0, 3.0]), np.array([1.0, 3.0, 2.0])])
        >>> [sequence.ravel().round(2).tolist() for sequence in scaled]
        [[-1.12, 1.12], [-1.12, 1.12, 0.0]]
    """

    def __init__(self, kind: str = "standard") -> None:
        self.kind = kind

    def fit(self, X: Any, y: Any = None) -> SequenceScaler:
        """Take the figures of X. Return self.

        Args:
            X: sequences, as for the estimators.
            y: ignored.
        """
        self.scaler_ = Scaler(self.kind).fit(as_sequences(self, X, dtype="float64", reset=True).data)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> SequenceScaler:
        """Take the figures of X and of all that was given before: for data that come in parts. Return self."""
        if not hasattr(self, "scaler_"):
            return self.fit(X)
        self.scaler_.partial_fit(as_sequences(self, X, dtype="float64", reset=False).data)
        return self

    def transform(self, X: Any) -> Any:
        """Return X scaled, in float64: an array as X is, or a list of (T_n, features) for ragged sequences."""
        check_is_fitted(self)
        return self._form(self.scaler_.transform(as_sequences(self, X, dtype="float64", reset=False).data))

    def inverse_transform(self, X: Any) -> Any:
        """Return what `transform` was given."""
        check_is_fitted(self)
        return self._form(self.scaler_.inverse_transform(as_sequences(self, X, dtype="float64", reset=False).data))

    def _form(self, scaled: Any) -> Any:
        """A table for a table."""
        return scaled[:, :, 0] if self._fitted_on_table and isinstance(scaled, np.ndarray) else scaled
