"""A forecaster for sktime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sktime.forecasting.base import BaseForecaster

from .. import sklearn as estimators
from .._typing import Array

__all__ = ["RNNForecaster"]


class RNNForecaster(BaseForecaster):  # type: ignore[misc]  # sktime has no types
    """Forecast one or more series by a recurrent network that reads a window of them and gives all steps at once.

    The past of exogenous series is read beside the series; their future is not. `update` takes further steps, and with
    ``update_params=True`` trains one epoch on them.

    Args:
        estimator: a `fastrnn.sklearn.SequenceForecaster`, which is cloned and given the horizon and the targets; one
            with its defaults when None. Its parameters can be searched as ``estimator__window`` and so on.

    Attributes:
        estimator_: the fitted one.

    Examples:
        >>> import numpy as np, pandas as pd
        >>> from fastrnn.sklearn import SequenceForecaster
        >>> from fastrnn.sktime import RNNForecaster
        >>> y = pd.Series(np.sin(np.arange(60.0)))
        >>> estimator = SequenceForecaster(8, window=12, max_iter=3, tol=1.0, n_iter_no_change=1, random_state=0)
        >>> forecaster = RNNForecaster(estimator).fit(y, fh=[1, 2, 3])
        >>> forecaster.predict().shape
        (3,)
    """

    _tags = {  # noqa: RUF012 - as every class of sktime has it
        "python_dependencies": ["fastrnn", "scikit-learn>=1.6"],
        "y_inner_mtype": "pd.DataFrame",
        "X_inner_mtype": "pd.DataFrame",
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:insample": False,
        "capability:update": True,
        "capability:missing_values": False,
        "requires-fh-in-fit": True,
    }

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator
        super().__init__()

    def _fit(self, y: Any, X: Any, fh: Any) -> RNNForecaster:
        made = estimators.SequenceForecaster() if self.estimator is None else clone(self.estimator)
        made.set_params(horizon=int(fh.to_relative(self.cutoff)[-1]), target=list(range(y.shape[1])))
        series = _values(y, X)
        self.estimator_ = made.fit([series])
        self._recent, self._columns = series[-made.window :], y.columns
        return self

    def _update(self, y: Any, X: Any = None, update_params: bool = True) -> RNNForecaster:
        estimator = self.estimator_
        series = np.concatenate([self._recent, _values(y, X)])
        if update_params and len(series) > estimator.horizon and not estimator.early_stopping:
            estimator.partial_fit([series])
        self._recent = series[-estimator.window :]
        return self

    def _predict(self, fh: Any, X: Any) -> Any:
        steps = self.estimator_.predict([self._recent])[0]
        wanted = np.asarray(fh.to_relative(self.cutoff), dtype=np.intp) - 1
        values = steps.reshape(len(steps), -1)[wanted]
        return pd.DataFrame(values, index=fh.to_absolute_index(self.cutoff), columns=self._columns)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Parameters that sktime's tests run with: quick ones."""
        small = estimators.SequenceForecaster(hidden_layer_sizes=4, cell="rnn", max_iter=2, window=5, random_state=0)
        deep = estimators.SequenceForecaster((4, 3), cell="gru", max_iter=2, window=3, stride=2, random_state=0)
        return [{"estimator": small}, {"estimator": deep}]


def _values(y: Any, X: Any) -> Array:
    """The series, and beside them the exogenous ones, (T, features)."""
    values = y.to_numpy(dtype=np.float64)
    return values if X is None else np.concatenate([values, X.to_numpy(dtype=np.float64)], axis=1)
