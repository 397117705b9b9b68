"""When a fit ends: scikit-learn's rule for its MLPClassifier, as a callback, which keeps the record of the epochs."""

from __future__ import annotations

import math
from typing import Any

from ..callbacks import Callback
from ..callbacks.base import Logs

__all__ = ["Stopping"]


class Stopping(Callback):
    """End when the loss, or with early stopping the validation score, has not improved by `tol` for long enough.

    Args:
        estimator: whose attributes n_iter_, t_, loss_curve_, best_loss_, and with early stopping validation_scores_ and
            best_validation_score_, are kept up to date.
        samples: examples of an epoch.
        validation: sequences, targets and weights, or None to look at the loss of the training.
    """

    def __init__(self, estimator: Any, samples: int, validation: Any) -> None:
        super().__init__()
        self.estimator, self.samples, self.validation = estimator, samples, validation
        self.stopped = False
        self._waited = 0
        self._best_weights: Any = None
        estimator.best_loss_ = None if validation else math.inf
        estimator.validation_scores_ = [] if validation else None
        estimator.best_validation_score_ = -math.inf if validation else None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Record, compare, and stop if it is time."""
        estimator, loss = self.estimator, float((logs or {})["loss"])
        estimator.n_iter_ += 1
        estimator.t_ += self.samples
        estimator.loss_curve_.append(loss)
        if not math.isfinite(loss):
            self.model.stop_training = True
            return
        if self.validation:
            score = estimator._validation_score(*self.validation)
            estimator.validation_scores_.append(score)
            enough = score >= estimator.best_validation_score_ + estimator.tol
            if score > estimator.best_validation_score_:
                estimator.best_validation_score_ = score
                self._best_weights = self.model.get_weights()
        else:
            enough = loss <= estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(estimator.best_loss_, loss)
        self._waited = 0 if enough else self._waited + 1
        if self._waited > estimator.n_iter_no_change:
            self.stopped = self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        """Go back to the weights of the best score, however the training ended."""
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)
