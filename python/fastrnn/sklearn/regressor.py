"""A regressor on sequences as scikit-learn has estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils.validation import column_or_1d

from .._registry import choice_error
from .._typing import Array
from .base import RecurrentEstimator
from .sequences import Sequences

__all__ = ["RNNRegressor"]

_LOSSES = {"squared_error": "mean_squared_error", "absolute_error": "mean_absolute_error", "huber": "huber"}


class RNNRegressor(RegressorMixin, RecurrentEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Predict one or several numbers for each sequence; where they correspond, parameters are MLPRegressor's.

    X is what `RNNClassifier` takes. Scale features and targets (`sklearn.compose.TransformedTargetRegressor`): a mean
    near 0 and a deviation near 1 train best.

    Args:
        hidden_layer_sizes: units of each recurrent layer, as a tuple or one integer.
        cell: "lstm", "gru", "rnn", "indrnn", "mgu" or "slstm".
        bidirectional: whether every layer reads the sequence from both ends.
        dropout, recurrent_dropout: as of `fastrnn.LSTM`.
        cell_options: further arguments of the layers, such as {"layer_norm": True} or {"peephole": "diagonal"}.
        solver: "adam", "sgd", "rmsprop", "adamw" or "adagrad".
        weight_decay: every weight but the biases shrinks by learning_rate_init * weight_decay of itself in a step. It
            is decoupled, where MLPClassifier's alpha is a part of the loss.
        batch_size: examples of a batch; "auto" is min(200, n_samples). Ragged sequences are batched by length.
        learning_rate_init: the step of the solver.
        max_iter: epochs at most.
        shuffle, random_state, tol, warm_start, momentum, nesterovs_momentum: as of MLPClassifier.
        early_stopping, validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change: as of MLPClassifier.
        verbose: True shows a bar on a terminal; 2 a line per epoch.
        global_clipnorm: gradients are scaled down to this norm; None for no limit.
        dtype: "float32" or "float64", of weights and data.
        threads: of fitting and predicting; None for what `fastrnn.set_num_threads` said, else all that the process may
            have. Give 1 in a search with n_jobs.
        loss: "squared_error", "absolute_error" or "huber".

    Attributes:
        model_: the fitted `fastrnn.Sequential`, for `save`, `summary` and `to_native`.
        n_features_in_: features of a step; of a table, its columns, which are the steps.
        n_iter_, t_: epochs of the last fit, and examples seen.
        loss_, best_loss_, loss_curve_: of the training, by epoch.
        validation_scores_, best_validation_score_: with early_stopping, else None.
        n_layers_, n_outputs_, out_activation_: of the network.

    Example:
        >>> from fastrnn.sklearn import RNNRegressor
        >>> sequences = [np.full((n, 1), n, np.float32) for n in range(3, 23)]
        >>> model = RNNRegressor((4,), max_iter=2, random_state=0).fit(sequences, [float(n) for n in range(3, 23)])
        >>> model.predict(sequences).shape
        (20,)
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        *,
        cell: str = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        cell_options: Mapping[str, Any] | None = None,
        solver: str = "adam",
        weight_decay: float = 0.0,
        batch_size: Any = "auto",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        global_clipnorm: float | None = 1.0,
        dtype: str = "float32",
        threads: int | None = None,
        loss: str = "squared_error",
    ) -> None:
        self._keep(locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RNNRegressor:
        """Train until the loss, or with early_stopping the held-out R2, gets no better. Return self.

        Args:
            X: sequences.
            y: targets (N,) or (N, outputs).
            sample_weight: (N,), in the loss and in the held-out R2.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> RNNRegressor:
        """Train for one epoch on a part of the data. Return self. Arguments as of `fit`."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _targets(self, y: Any, first: bool) -> Array:
        if y is None:
            raise ValueError(f"requires y to be passed, but the target y is None; {type(self).__name__} needs targets")
        y = check_array(y, ensure_2d=False, dtype=self.dtype, input_name="y", estimator=self)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        outputs = 1 if y.ndim == 1 else y.shape[1]
        if first:
            self._outputs_in, self._flat = outputs, y.ndim == 1
        if outputs != self._outputs_in:
            raise ValueError(f"y: expected {self._outputs_in} targets an example as before, got {outputs}")
        return np.asarray(y.reshape(len(y), outputs))

    def _network(self) -> tuple[int, str, str]:
        if self.loss not in _LOSSES:
            raise choice_error("loss", _LOSSES, self.loss)
        return self._outputs_in, "linear", _LOSSES[self.loss]

    def _validation_score(self, sequences: Sequences, y: Array, sample_weight: Array | None) -> float:
        return float(r2_score(y, self._outputs_of(sequences), sample_weight=sample_weight))

    def predict(self, X: Any) -> Array:
        """Return the predictions (N,), or (N, outputs) where y had several."""
        outputs = self._outputs(X).astype(np.float64)
        return outputs[:, 0] if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
