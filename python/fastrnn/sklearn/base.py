"""What the estimators share: checks, the fit over epochs with its stopping rule, and prediction."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from .._registry import fraction, positive
from .._typing import Array
from .network import build, optimizer
from .sequences import Sequences, as_sequences
from .stopping import Stopping

__all__ = ["RecurrentEstimator", "check_integer"]


class RecurrentEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base class of the estimators. A subclass gives `_targets`, `_network` and `_validation_score`."""

    def _keep(self, given: dict[str, Any]) -> None:
        """Keep the arguments of __init__ as they came: scikit-learn wants them in each class's own signature."""
        for name in self._get_param_names():
            setattr(self, name, given[name])

    # -- what a subclass gives --

    def _examples(self, X: Any, y: Any, first: bool) -> tuple[Sequences, Array]:
        """Return what is learned from: sequences and the targets."""
        sequences = as_sequences(self, X, dtype=self.dtype, reset=first)
        targets = self._targets(y, first)
        check_consistent_length(sequences, targets)
        return sequences, targets

    def _targets(self, y: Any, first: bool) -> Array:
        """Return the targets as the loss takes them, and note what they are on the first call."""
        raise NotImplementedError

    def _network(self) -> tuple[int, str, str]:
        """Return the number of outputs, the last activation and the loss."""
        raise NotImplementedError

    def _validation_score(self, sequences: Sequences, y: Array, sample_weight: Array | None) -> float:
        """Return the score of targets as `_targets` gives them."""
        raise NotImplementedError

    def _weights(self, y: Array, sample_weight: Array | None) -> Array | None:
        """Return the weight of each example in the loss."""
        return sample_weight

    # -- fitting --

    def _check_parameters(self) -> None:
        for name in ("max_iter", "n_iter_no_change"):
            check_integer(name, getattr(self, name))
        if self.batch_size != "auto":
            check_integer("batch_size", self.batch_size)
        for name in ("tol", "weight_decay"):
            positive(name, getattr(self, name), zero=True)
        positive("learning_rate_init", self.learning_rate_init)
        if self.early_stopping and fraction("validation_fraction", self.validation_fraction) == 0:
            raise ValueError("validation_fraction: expected a number in (0, 1) with early_stopping, got 0")

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> None:
        self._check_parameters()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "model_") or not (incremental or self.warm_start)
        sequences, targets = self._examples(X, y, first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, np.empty((len(sequences), 1)), dtype=np.float64)
        weights = self._weights(targets, sample_weight)
        rows = np.arange(len(sequences))
        if weights is not None:  # examples of weight zero are left out
            rows = np.flatnonzero(weights)
            if not len(rows):
                raise ValueError("sample_weight: expected a weight above zero, got none")
        if first:
            self._start(sequences.features)
        held: Array | None = None
        if self.early_stopping:
            rows, held = self._split(rows, targets)
        validation = None
        if held is not None:
            given = None if sample_weight is None else sample_weight[held]
            validation = sequences.take(held), targets[held], given
        weights = None if weights is None else weights[rows]
        self._train(sequences.take(rows), targets[rows], weights, validation, incremental)
        if not incremental and self.n_iter_ == self.max_iter and not self._stopped:
            warnings.warn(
                f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _start(self, inputs: int) -> None:
        """Make a new network."""
        self._random = check_random_state(self.random_state)
        outputs, activation, loss = self._network()
        self.model_ = build(self, inputs, outputs, activation, self._random)
        self.model_.compile(optimizer(self), {"class_name": loss, "config": {"reduction": "mean_with_sample_weight"}})
        self.n_outputs_, self.out_activation_ = outputs, activation
        self.n_layers_ = len(self.model_.layers)
        self.t_ = 0
        self.loss_curve_: list[float] = []

    def _split(self, rows: Array, targets: Array) -> tuple[Array, Array]:
        """Hold a part back for early stopping, of every class its share."""
        try:
            train, held = train_test_split(
                rows,
                test_size=self.validation_fraction,
                random_state=self._random,
                stratify=self._strata(targets[rows]),
            )
        except ValueError as error:
            raise ValueError(f"validation_fraction: {error}") from None
        if len(held) < 2:
            raise ValueError(
                f"validation_fraction: expected at least 2 examples to be held back, got {len(held)} of {len(rows)}"
            )
        return train, held

    def _strata(self, targets: Array) -> Array | None:
        return None

    def _train(
        self, sequences: Sequences, targets: Array, weights: Array | None, validation: Any, incremental: bool
    ) -> None:
        size = min(200, len(sequences)) if self.batch_size == "auto" else min(self.batch_size, len(sequences))
        batches = sequences.batches(
            targets,
            weights,
            batch_size=size,
            shuffle=self.shuffle,
            seed=int(self._random.randint(2**31 - 1)),
            dtype=self.dtype,
        )
        self.n_iter_ = 0
        stopping = Stopping(self, len(sequences), validation)
        epochs = 1 if incremental else self.max_iter
        self.model_.fit(batches, epochs=epochs, verbose=int(self.verbose), callbacks=[stopping], threads=self.threads)
        self._stopped = stopping.stopped
        self.loss_ = self.loss_curve_[-1]
        if not math.isfinite(self.loss_):
            raise ValueError(
                f"The loss became {self.loss_}: the input may need scaling, or learning_rate_init "
                f"({self.learning_rate_init}) a smaller value"
            )

    # -- predicting --

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self, "model_")
        return self._outputs_of(as_sequences(self, X, dtype=self.dtype, reset=False))

    def _outputs_of(self, sequences: Sequences) -> Array:
        batches = sequences.batches(batch_size=256, shuffle=False, dtype=self.dtype)
        return batches.restore(self.model_.predict(batches, threads=self.threads))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def check_integer(name: str, value: Any) -> None:
    """Raise a ValueError unless the value is an integer >= 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name}: expected an integer >= 1, got {value!r}")
