"""A classifier of sequences as scikit-learn has estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from .._typing import Array
from .base import RecurrentEstimator
from .sequences import Sequences

__all__ = ["RNNClassifier"]


class RNNClassifier(ClassifierMixin, RecurrentEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Classify sequences by recurrent layers and a softmax; where they correspond, parameters are MLPClassifier's.

    X is an array (N, T, I), a list of ragged sequences (T_n, I) or (T_n,), or a table (N, T), whose columns are the
    steps of one feature. Scale the features: a mean near 0 and a deviation near 1 train best.

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
        class_weight: None, "balanced", or a dict from class to weight.

    Attributes:
        classes_: the class labels.
        model_: the fitted `fastrnn.Sequential`, for `save`, `summary` and `to_native`.
        n_features_in_: features of a step; of a table, its columns, which are the steps.
        n_iter_, t_: epochs of the last fit, and examples seen.
        loss_, best_loss_, loss_curve_: of the training, by epoch.
        validation_scores_, best_validation_score_: with early_stopping, else None.
        n_layers_, n_outputs_, out_activation_: of the network.

    Example:
        >>> from fastrnn.sklearn import RNNClassifier
        >>> sequences = [np.full((n, 1), n % 2, np.float32) for n in range(3, 23)]
        >>> model = RNNClassifier((4,), max_iter=2, random_state=0).fit(sequences, [n % 2 for n in range(3, 23)])
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
        class_weight: Any = None,
    ) -> None:
        self._keep(locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RNNClassifier:
        """Train until the loss, or with early_stopping the held-out accuracy, gets no better. Return self.

        Args:
            X: sequences.
            y: class labels (N,).
            sample_weight: (N,), in the loss and in the held-out accuracy.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> RNNClassifier:
        """Train for one epoch on a part of the data. Return self.

        Args:
            X, y, sample_weight: as of `fit`.
            classes: all labels that will come, needed by the first call and optional afterwards.
        """
        if not hasattr(self, "model_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._coming = np.unique(classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes: expected {self.classes_} as on the first call, got {classes}")
        try:
            self._fit(X, y, sample_weight, incremental=True)
        finally:
            self.__dict__.pop("_coming", None)
        return self

    def _targets(self, y: Any, first: bool) -> Array:
        if y is None:
            raise ValueError(f"requires y to be passed, but the target y is None; {type(self).__name__} needs labels")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if first:
            self.classes_ = getattr(self, "_coming", np.unique(y))
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"`y` has classes not in {self.classes_}: {unknown}")
        return np.asarray(np.searchsorted(self.classes_, y))

    def _network(self) -> tuple[int, str, str]:
        return len(self.classes_), "softmax", "sparse_categorical_crossentropy"

    def _weights(self, y: Array, sample_weight: Array | None) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        there = np.unique(y)
        of_class = np.ones(len(self.classes_))
        weights = compute_class_weight(self.class_weight, classes=self.classes_[there], y=self.classes_[y])
        of_class[there] = weights
        return of_class[y] if sample_weight is None else of_class[y] * sample_weight

    def _strata(self, targets: Array) -> Array | None:
        return targets

    def _validation_score(self, sequences: Sequences, y: Array, sample_weight: Array | None) -> float:
        return float(np.average(self._outputs_of(sequences).argmax(axis=1) == y, weights=sample_weight))

    def predict(self, X: Any) -> Array:
        """Return the likeliest class of each sequence, (N,)."""
        outputs = self._outputs(X)
        return np.asarray(self.classes_[outputs.argmax(axis=1)])

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities (N, classes), in the order of `classes_`."""
        return self._outputs(X)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities (N, classes)."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))
