"""A forecaster of series, written as scikit-learn's estimators are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from .._typing import Array
from ..data import Scaler
from .base import RecurrentEstimator, check_integer
from .sequences import Sequences, as_sequences

__all__ = ["SequenceForecaster"]


class SequenceForecaster(RecurrentEstimator):
    """Forecast the steps that follow a series, all of them in one pass, from windows of the series themselves.

    X is one or more series: an array (N, T, I), a list of ragged series (T_n, I) or (T_n,), or a table (N, T), whose
    columns are the steps of one feature. Features are scaled inside, by the figures of the training part.

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
        horizon: steps that are forecast.
        window: steps that are read before a forecast. What is left of a shorter series is read whole.
        stride: steps from a training window to the next one.
        target: number or numbers of the features that are forecast; all of them when None. The others are read alone.

    Attributes:
        scaler_: the `fastrnn.data.Scaler` of the features.
        model_: the fitted `fastrnn.Sequential`, for `save`, `summary` and `to_native`.
        n_features_in_: features of a step; of a table, its columns, which are the steps.
        n_iter_, t_: epochs of the last fit, and examples seen.
        loss_, best_loss_, loss_curve_: of the training, by epoch.
        validation_scores_, best_validation_score_: with early_stopping, else None.
        n_layers_, n_outputs_, out_activation_: of the network.

    Example:
        >>> from fastrnn.sklearn import SequenceForecaster
        >>> series = [np.sin(np.arange(80) / 4), np.cos(np.arange(60) / 4)]
        >>> model = SequenceForecaster((4,), window=10, horizon=3, max_iter=2, random_state=0).fit(series)
        >>> model.predict(series).shape
        (2, 3)
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
        horizon: int = 1,
        window: int = 32,
        stride: int = 1,
        target: Any = None,
    ) -> None:
        self._keep(locals())

    def fit(self, X: Any, y: Any = None) -> SequenceForecaster:
        """Train on all windows of the series until the loss, or the held-out R2, gets no better. Return self.

        With early_stopping the last windows of every series are held out, and none of them overlaps a training target.

        Args:
            X: series of at least horizon + 1 steps.
            y: ignored; it is there because pipelines pass one.
        """
        self._fit(X, y, None, incremental=False)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> SequenceForecaster:
        """Train for one epoch on further series, which are scaled as the first ones. Return self."""
        self._fit(X, y, None, incremental=True)
        return self

    def _examples(self, X: Any, y: Any, first: bool) -> tuple[Sequences, Array]:
        """Return the windows of all series and the scaled steps after each."""
        for name in ("horizon", "window", "stride"):
            check_integer(name, getattr(self, name))
        series = as_sequences(self, X, dtype=self.dtype, reset=first)
        for index, one in enumerate(series.data):
            if len(one) <= self.horizon:
                table = f"; n_features = {len(one)}: columns are the steps of a table" if self._fitted_on_table else ""
                raise ValueError(
                    f"X: expected series of at least {self.horizon + 1} steps (horizon + 1), got {len(one)} "
                    f"at index {index}{table}"
                )
        if first:
            held = self.validation_fraction if self.early_stopping else 0.0
            self.scaler_ = Scaler().fit([one[: len(one) - int(len(one) * held)] for one in series.data])
            self._chosen = self._target_numbers(series.features)
        windows, targets, parts = [], [], []
        for one in self.scaler_.transform(series.data):
            ends = np.arange(min(self.window, len(one) - self.horizon), len(one) - self.horizon + 1, self.stride)
            windows += [one[max(0, end - self.window) : end] for end in ends]
            targets += [one[end : end + self.horizon, self._chosen].ravel() for end in ends]
            parts += self._parts(ends)
        if self.early_stopping:
            self._window_parts = np.array(parts)  # read, and removed, by _split
        return Sequences(windows), np.stack(targets)

    def _target_numbers(self, features: int) -> Array:
        chosen = np.arange(features) if self.target is None else np.atleast_1d(np.asarray(self.target))
        if chosen.dtype.kind not in "iu" or not len(chosen) or chosen.min() < 0 or chosen.max() >= features:
            raise ValueError(f"target: expected numbers of features in 0..{features - 1}, got {self.target!r}")
        return chosen

    def _parts(self, ends: Array) -> list[int]:
        """Return 0 for each window that trains, 1 for one that is held out, 2 for one between that would overlap."""
        at = len(ends) - int(np.ceil(len(ends) * self.validation_fraction))
        if at == 0:
            return [0] * len(ends)  # a single window
        return [1 if i >= at else 2 if end + self.horizon > ends[at] else 0 for i, end in enumerate(ends)]

    def _split(self, rows: Array, targets: Array) -> tuple[Array, Array]:
        """Hold the last windows of each series back."""
        parts = self.__dict__.pop("_window_parts")
        train, held = np.flatnonzero(parts == 0), np.flatnonzero(parts == 1)
        if not len(train) or len(held) < 2:
            raise ValueError(
                "validation_fraction: expected a share that leaves windows for training and two to be held back, got "
                f"{self.validation_fraction} of {len(rows)} windows"
            )
        return train, held

    def _network(self) -> tuple[int, str, str]:
        return self.horizon * len(self._chosen), "linear", "mean_squared_error"

    def _validation_score(self, sequences: Sequences, y: Array, sample_weight: Array | None) -> float:
        return float(r2_score(y.ravel(), self._outputs_of(sequences).ravel()))

    def predict(self, X: Any) -> Array:
        """Return the horizon steps after the end of each series: (N, horizon), or (N, horizon, targets) for several."""
        check_is_fitted(self, "model_")
        return self._forecast(as_sequences(self, X, dtype=self.dtype, reset=False).data)

    def _forecast(self, series: Any) -> Array:
        scaled = [self.scaler_.transform(one[-self.window :]) for one in series]
        outputs = self._outputs_of(Sequences(scaled)).reshape(len(scaled), self.horizon, len(self._chosen))
        steps = self.scaler_.inverse_transform(outputs.astype(np.float64), self._chosen)
        return np.asarray(steps[:, :, 0] if len(self._chosen) == 1 else steps)

    def score(self, X: Any, y: Any = None) -> float:
        """Return R2 of the forecasts of the last horizon steps of each series, from the steps before them.

        Args:
            X: series of at least horizon + 1 steps.
            y: ignored.
        """
        check_is_fitted(self, "model_")
        series = as_sequences(self, X, dtype=self.dtype, reset=False).data
        if any(len(one) <= self.horizon for one in series):
            raise ValueError(f"X: expected series of at least {self.horizon + 1} steps (horizon + 1)")
        truth = np.stack([one[-self.horizon :, self._chosen] for one in series]).reshape(-1, len(self._chosen))
        forecast = self._forecast([one[: -self.horizon] for one in series]).reshape(truth.shape)
        return float(r2_score(truth, forecast))
