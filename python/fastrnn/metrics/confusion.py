"""Metrics that count how often a prediction was right: precision, recall, and the area under a curve of these.

Entries of y_pred are probabilities of their own, all alike: (B, 1), or (B, C) with several labels; y_true has their
shape, and everything but 0 is positive. A row's `sample_weight` is that of its entries.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import activations, losses
from .._registry import choice_error
from .._typing import Array
from ..losses.base import expand_weight
from .base import Metric

__all__ = ["AUC", "Precision", "Recall"]

_PLAIN = losses.MeanSquaredError()


def _entries(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
    """Return which entries are positive, their predictions and their weights, each of the shape of y_pred."""
    y_true, y_pred = _PLAIN.prepare(y_true, y_pred)
    weight = expand_weight(sample_weight, y_pred.shape[:-1])[..., np.newaxis]
    return y_true != 0, y_pred, np.broadcast_to(weight, y_pred.shape)


class _Rate(Metric):
    """True positives as a share of the entries that `_counted` says."""

    def __init__(self, thresholds: float = 0.5, class_id: int | None = None, name: str | None = None) -> None:
        if isinstance(thresholds, bool) or not isinstance(thresholds, (int, float)) or not 0 <= thresholds <= 1:
            raise ValueError(f"thresholds: expected one number in [0, 1], got {thresholds!r}")
        if class_id is not None and class_id < 0:
            raise ValueError(f"class_id: expected None or a number >= 0, got {class_id!r}")
        super().__init__(name)
        self.thresholds = thresholds
        self.class_id = class_id

    def update_state(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> None:
        """Add a batch; ValueError if shapes do not match."""
        positive, y_pred, weight = _entries(y_true, y_pred, sample_weight)
        found = y_pred > self.thresholds
        if self.class_id is not None:
            if self.class_id >= y_pred.shape[-1]:
                raise ValueError(f"class_id: expected one of the {y_pred.shape[-1]} of y_pred, got {self.class_id}")
            positive, found, weight = (array[..., self.class_id] for array in (positive, found, weight))
        self._total += float(np.sum(weight, where=found & positive, dtype=np.float64))
        self._weight += float(np.sum(weight, where=self._counted(found, positive), dtype=np.float64))

    def _counted(self, found: Array, positive: Array) -> Array:
        raise NotImplementedError


class Precision(_Rate):
    """Of the entries that were predicted positive, the share that are.

    Args:
        thresholds: a prediction above it is positive; one number.
        class_id: count this entry of the last axis alone.
        name: see `Metric`.

    Example:
        >>> metric = fastrnn.metrics.Precision()
        >>> metric.update_state(np.array([0, 1, 1]), np.array([0.9, 0.8, 0.1]))
        >>> round(float(metric.result()), 4)
        0.5
    """

    default_name = "precision"

    def _counted(self, found: Array, positive: Array) -> Array:
        return found


class Recall(_Rate):
    """Of the positive entries, the share that were predicted so. Arguments as `Precision`.

    Example:
        >>> metric = fastrnn.metrics.Recall()
        >>> metric.update_state(np.array([0, 1, 1]), np.array([0.9, 0.8, 0.1]))
        >>> round(float(metric.result()), 4)
        0.5
    """

    default_name = "recall"

    def _counted(self, found: Array, positive: Array) -> Array:
        return positive


class AUC(Metric):
    """Area under the curve of recall over false alarms (ROC), or of precision over recall (PR), by Riemann sums.

    As Keras computes it, from counts at thresholds that are evenly spaced: predictions between two of them are one.

    Args:
        num_thresholds: how many, with 0 and 1.
        curve: "ROC" or "PR".
        summation_method: height of a piece of the curve: "interpolation" (for PR after Davis & Goadrich 2006),
            "minoring", its lower end, or "majoring", its higher one.
        name: see `Metric`.
        from_logits: apply the sigmoid to y_pred first.

    Example:
        >>> metric = fastrnn.metrics.AUC()
        >>> metric.update_state(np.array([0, 1, 1]), np.array([0.2, 0.9, 0.1]))
        >>> round(float(metric.result()), 4)
        0.5
    """

    default_name = "auc"
    _METHODS: ClassVar[tuple[str, ...]] = ("interpolation", "minoring", "majoring")

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        from_logits: bool = False,
    ) -> None:
        if num_thresholds < 2:
            raise ValueError(f"num_thresholds: expected at least 2, got {num_thresholds!r}")
        if curve not in ("ROC", "PR"):
            raise choice_error("curve", ("ROC", "PR"), curve)
        if summation_method not in self._METHODS:
            raise choice_error("summation_method", self._METHODS, summation_method)
        self.num_thresholds = num_thresholds
        self.curve = curve
        self.summation_method = summation_method
        self.from_logits = from_logits
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget everything seen."""
        super().reset_state()
        # Sums of weights, by the largest threshold that a prediction exceeds.
        self._positive, self._negative = np.zeros((2, self.num_thresholds))

    def update_state(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> None:
        """Add a batch; ValueError if shapes do not match."""
        positive, y_pred, weight = _entries(y_true, y_pred, sample_weight)
        if self.from_logits:
            y_pred = activations.sigmoid(y_pred)
        above = np.ceil(np.clip(np.nan_to_num(y_pred), 0.0, 1.0) * y_pred.dtype.type(self.num_thresholds - 1)) - 1
        place = np.maximum(above, 0).astype(np.intp)
        for counts, counted in ((self._positive, positive), (self._negative, ~positive)):
            counts += np.bincount(place[counted], weight[counted], minlength=self.num_thresholds)

    def result(self) -> float:
        """Return the area; 0.0 when nothing was seen."""
        tp, fp = (np.cumsum(counts[::-1])[::-1] for counts in (self._positive, self._negative))
        positive, negative = tp[0], fp[0]
        recall = _divide(tp, positive)
        if self.curve == "ROC":
            x, y = _divide(fp, negative), recall
        elif self.summation_method == "interpolation":
            return self._interpolated_precision(tp, tp + fp)
        else:
            x, y = recall, _divide(tp, tp + fp)
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2,
            "minoring": np.minimum(y[:-1], y[1:]),
            "majoring": np.maximum(y[:-1], y[1:]),
        }[self.summation_method]
        return float(np.sum((x[:-1] - x[1:]) * heights))

    @staticmethod
    def _interpolated_precision(tp: Array, found: Array) -> float:
        """Between two thresholds tp and what was found grow in proportion, and precision is their ratio."""
        gained = tp[:-1] - tp[1:]
        slope = _divide(gained, found[:-1] - found[1:])
        intercept = tp[1:] - slope * found[1:]
        ratio = np.where((found[:-1] > 0) & (found[1:] > 0), _divide(found[:-1], found[1:]), 1.0)
        return float(np.sum(_divide(slope * (gained + intercept * np.log(ratio)), tp[0])))


def _divide(a: Array, b: Any) -> Array:
    """a / b, 0 where b is."""
    b = np.asarray(b, dtype=np.float64)
    quotient: Array = np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)
    return quotient
