"""A classifier of time series for sktime."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sktime.classification.base import BaseClassifier

from .. import sklearn as estimators
from .._typing import Array

__all__ = ["RNNClassifier"]


class RNNClassifier(BaseClassifier):  # type: ignore[misc]  # sktime has no types
    """Classify time series, of one or more channels and of any lengths, by recurrent layers.

    Args:
        estimator: a `fastrnn.sklearn.RNNClassifier`, which is cloned; one with its defaults when None. Its parameters
            can be searched as ``estimator__cell`` and so on.

    Attributes:
        estimator_: the fitted one.

    Examples:
        >>> import numpy as np
        >>> from fastrnn.sklearn import RNNClassifier as Estimator
        >>> from fastrnn.sktime import RNNClassifier
        >>> X, y = np.random.default_rng(0).normal(size=(20, 2, 15)), np.arange(20) % 2
        >>> estimator = Estimator(8, max_iter=3, tol=1.0, n_iter_no_change=1, random_state=0)
        >>> classifier = RNNClassifier(estimator).fit(X, y)
        >>> classifier.predict_proba(X).shape
        (20, 2)
    """

    _tags = {  # noqa: RUF012 - as every class of sktime has it
        "python_dependencies": ["fastrnn", "scikit-learn>=1.6"],
        "X_inner_mtype": ["df-list", "numpy3D"],
        "y_inner_mtype": "numpy1D",
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:predict_proba": True,
    }

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator
        super().__init__()

    def _fit(self, X: Any, y: Any) -> RNNClassifier:
        made = estimators.RNNClassifier() if self.estimator is None else clone(self.estimator)
        self.estimator_ = made.fit(_sequences(X), y)
        return self

    def _predict(self, X: Any) -> Array:
        return np.asarray(self.estimator_.predict(_sequences(X)))

    def _predict_proba(self, X: Any) -> Array:
        return np.asarray(self.estimator_.predict_proba(_sequences(X)))

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Parameters that sktime's tests run with: quick ones."""
        small = estimators.RNNClassifier(hidden_layer_sizes=4, cell="rnn", max_iter=2, random_state=0)
        both = estimators.RNNClassifier((4, 3), cell="gru", bidirectional=True, max_iter=2, random_state=0)
        return [{"estimator": small}, {"estimator": both}]


def _sequences(X: Any) -> Any:
    """From (N, channels, T), or frames (T_n, channels), to what the estimators take."""
    if isinstance(X, np.ndarray):
        return X.transpose(0, 2, 1)
    return [frame.to_numpy() for frame in X]
