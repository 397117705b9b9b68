"""The metrics that are means of a value per element, and how one is found by its name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import losses
from .._registry import Registry, argument_names, serialize
from .._typing import Array, Config, Identifier
from ..losses.base import as_float
from .base import Metric
from .confusion import AUC, Precision, Recall

__all__ = [
    "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
    "FunctionMetric", "Mean", "MeanAbsoluteError", "MeanSquaredError", "RootMeanSquaredError",
    "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy", "get", "serialize",
]  # fmt: skip


class Mean(Metric):
    """The mean of the numbers given to ``update_state(values, sample_weight=None)``.

    Args:
        name: in the logs; None for the usual one.

    Example:
        >>> mean = fastrnn.metrics.Mean()
        >>> mean.update_state([1.0, 3.0])
        >>> float(mean.result())
        2.0
    """

    default_name = "mean"

    def update_state(  # type: ignore[override]
        self, values: Array | float, sample_weight: Array | None = None
    ) -> None:
        """Add `values` of any shape; `sample_weight` has that shape or a leading part of it."""
        self._add(np.asarray(values), sample_weight)


class Accuracy(Metric):
    """How often y_true equals y_pred, element for element; the shapes are the same.

    Args:
        name: in the logs; None for the usual one.

    Example:
        >>> metric = fastrnn.metrics.Accuracy()
        >>> metric.update_state(np.array([1, 2]), np.array([1, 3]))
        >>> round(float(metric.result()), 4)
        0.5
    """

    default_name = "accuracy"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        if y_true.shape != y_pred.shape:
            raise ValueError(f"y_true: expected shape {y_pred.shape} (that of y_pred), got {y_true.shape}")
        return np.asarray(y_true == y_pred, dtype=np.float64)


class BinaryAccuracy(Metric):
    """Share of the last axis' entries on the right side of `threshold`: ``(y_pred > threshold) == y_true``.

    Args:
        name: see `Metric`.
        threshold: 0.5 for probabilities, 0.0 for logits.

    Example:
        >>> metric = fastrnn.metrics.BinaryAccuracy()
        >>> metric.update_state(np.array([[1.0], [0.0]]), np.array([[0.9], [0.8]]))
        >>> round(float(metric.result()), 4)
        0.5
    """

    default_name = "binary_accuracy"

    def __init__(self, name: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = threshold

    def values(self, y_true: Array, y_pred: Array) -> Array:
        y_true, y_pred = _PLAIN.prepare(y_true, y_pred)
        result: Array = np.mean((y_pred > self.threshold) == y_true, axis=-1)
        return result


class CategoricalAccuracy(Metric):
    """How often the largest prediction is where the largest (one-hot) target is. Probabilities or logits.

    Args:
        name: in the logs; None for the usual one.

    Example:
        >>> metric = fastrnn.metrics.CategoricalAccuracy()
        >>> metric.update_state(np.array([[0.0, 1.0]]), np.array([[0.25, 0.75]]))
        >>> round(float(metric.result()), 4)
        1.0
    """

    default_name = "categorical_accuracy"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        y_true, y_pred = _PLAIN.prepare(y_true, y_pred)
        return np.asarray(y_true.argmax(axis=-1) == y_pred.argmax(axis=-1), dtype=np.float64)


class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is at the class number y_true.

    Args:
        name: in the logs; None for the usual one.

    Example:
        >>> metric = fastrnn.metrics.SparseCategoricalAccuracy()
        >>> metric.update_state(np.array([1]), np.array([[0.25, 0.75]]))
        >>> round(float(metric.result()), 4)
        1.0
    """

    default_name = "sparse_categorical_accuracy"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        y_true, y_pred = _SPARSE.prepare(y_true, y_pred)
        return np.asarray(y_true == y_pred.argmax(axis=-1), dtype=np.float64)


class _AutoAccuracy(Metric):
    """Accuracy where the loss does not tell which: decided by the shapes of the first batch, as Keras 3."""

    default_name = "accuracy"

    def reset_state(self) -> None:
        super().reset_state()
        self._chosen: Metric | None = None

    def values(self, y_true: Array, y_pred: Array) -> Array:
        if self._chosen is None:
            if as_float(y_pred).shape[-1] == 1:
                self._chosen = BinaryAccuracy()
            elif y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1:
                self._chosen = SparseCategoricalAccuracy()
            else:
                self._chosen = CategoricalAccuracy()
        return self._chosen.values(y_true, y_pred)


class SparseTopKCategoricalAccuracy(Metric):
    """How often fewer than `k` classes score higher than class number y_true (ties count in favour).

    Args:
        k: how many of the highest scores count.
        name: in the logs; None for the usual one.

    Example:
        >>> metric = fastrnn.metrics.SparseTopKCategoricalAccuracy(k=2)
        >>> metric.update_state(np.array([0]), np.array([[0.3, 0.5, 0.2]]))
        >>> round(float(metric.result()), 4)
        1.0
    """

    default_name = "sparse_top_k_categorical_accuracy"

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        super().__init__(name)
        if k < 1:
            raise ValueError(f"k: expected an integer >= 1, got {k!r}")
        self.k = k

    def values(self, y_true: Array, y_pred: Array) -> Array:
        labels, y_pred = _SPARSE.prepare(y_true, y_pred)
        own = np.take_along_axis(y_pred, labels[..., np.newaxis], axis=-1)
        # NaN compares false: without the second test a NaN row would count as right.
        return np.asarray(((y_pred > own).sum(axis=-1) < self.k) & np.isfinite(own[..., 0]), dtype=np.float64)


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """`SparseTopKCategoricalAccuracy` for one-hot targets.

    Args:
        k: how many of the highest scores count.
        name: in the logs; None for the usual one.

    Example:
        >>> metric = fastrnn.metrics.TopKCategoricalAccuracy(k=2)
        >>> metric.update_state(np.array([[1.0, 0.0, 0.0]]), np.array([[0.3, 0.5, 0.2]]))
        >>> round(float(metric.result()), 4)
        1.0
    """

    default_name = "top_k_categorical_accuracy"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        y_true, y_pred = _PLAIN.prepare(y_true, y_pred)
        return super().values(y_true.argmax(axis=-1), y_pred)


class _LossMetric(Metric):
    """The running mean of a loss's values."""

    def __init__(self, loss: losses.Loss, name: str | None) -> None:
        super().__init__(name)
        self.loss = loss

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return self.loss.values(*self.loss.prepare(y_true, y_pred))

    def get_config(self) -> Config:
        """The name, and those of the loss's arguments that the metric has, too."""
        names = argument_names(type(self))
        return {"name": self.name, **{k: v for k, v in self.loss.get_config().items() if k in names}}


class MeanSquaredError(_LossMetric):
    """Mean of the squared errors.

    Args:
        name: in the logs; None for the usual one.

    Example:
        >>> metric = fastrnn.metrics.MeanSquaredError()
        >>> metric.update_state(np.zeros((1, 2)), np.array([[1.0, -3.0]]))
        >>> round(float(metric.result()), 4)
        5.0
    """

    default_name = "mean_squared_error"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(losses.MeanSquaredError(), name)


class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean of the squared errors.

    Args:
        name: in the logs; None for the usual one.

    Example:
        >>> metric = fastrnn.metrics.RootMeanSquaredError()
        >>> metric.update_state(np.zeros((1, 2)), np.array([[3.0, -3.0]]))
        >>> round(float(metric.result()), 4)
        3.0
    """

    default_name = "root_mean_squared_error"

    def result(self) -> float:
        return math.sqrt(super().result())


class MeanAbsoluteError(_LossMetric):
    """Mean of the absolute errors.

    Args:
        name: in the logs; None for the usual one.

    Example:
        >>> metric = fastrnn.metrics.MeanAbsoluteError()
        >>> metric.update_state(np.zeros((1, 2)), np.array([[1.0, -3.0]]))
        >>> round(float(metric.result()), 4)
        2.0
    """

    default_name = "mean_absolute_error"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(losses.MeanAbsoluteError(), name)


class BinaryCrossentropy(_LossMetric):
    """`losses.BinaryCrossentropy` as a metric; the arguments are its.

    Example:
        >>> metric = fastrnn.metrics.BinaryCrossentropy()
        >>> metric.update_state(np.array([[1.0]]), np.array([[0.5]]))
        >>> round(float(metric.result()), 4)
        0.6931
    """

    default_name = "binary_crossentropy"

    def __init__(self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        super().__init__(losses.BinaryCrossentropy(from_logits, label_smoothing), name)


class CategoricalCrossentropy(BinaryCrossentropy):
    """`losses.CategoricalCrossentropy` as a metric; the arguments are its.

    Example:
        >>> metric = fastrnn.metrics.CategoricalCrossentropy()
        >>> metric.update_state(np.array([[0.0, 1.0]]), np.array([[0.25, 0.75]]))
        >>> round(float(metric.result()), 4)
        0.2877
    """

    default_name = "categorical_crossentropy"

    def __init__(self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        super().__init__(name)
        self.loss = losses.CategoricalCrossentropy(from_logits, label_smoothing)


class SparseCategoricalCrossentropy(_LossMetric):
    """`losses.SparseCategoricalCrossentropy` as a metric; the arguments are its.

    Example:
        >>> metric = fastrnn.metrics.SparseCategoricalCrossentropy()
        >>> metric.update_state(np.array([1]), np.array([[0.25, 0.75]]))
        >>> round(float(metric.result()), 4)
        0.2877
    """

    default_name = "sparse_categorical_crossentropy"

    def __init__(self, name: str | None = None, from_logits: bool = False) -> None:
        super().__init__(losses.SparseCategoricalCrossentropy(from_logits), name)


class FunctionMetric(Metric):
    """A metric from a function ``f(y_true, y_pred)`` that returns one number per element or one for the batch.

    Args:
        function: of y_true and y_pred.
        name: in the logs; None for that of the function.

    Example:
        >>> metric = fastrnn.metrics.FunctionMetric(lambda t, p: np.abs(t - p).max(axis=-1), "worst")
        >>> metric.update_state(np.zeros((1, 2)), np.array([[1.0, -3.0]]))
        >>> float(metric.result())
        3.0
    """

    def __init__(self, function: Callable[[Array, Array], Any], name: str | None = None) -> None:
        super().__init__(getattr(function, "__name__", "metric") if name is None else name)
        self.function = function

    def values(self, y_true: Array, y_pred: Array) -> Array:
        values = np.asarray(self.function(y_true, y_pred), dtype=np.float64)
        # One number for a whole batch weighs as much as the batch has elements.
        return np.full(y_pred.shape[:-1], values) if values.ndim == 0 else values

    def get_config(self) -> Config:
        raise TypeError(f"metric: expected a fastrnn Metric (a function cannot be saved), got {self.function!r}")


_PLAIN = losses.MeanSquaredError()
_SPARSE = losses.SparseCategoricalCrossentropy()

_REGISTRY: Registry[Metric] = Registry(
    "metric",
    Metric,
    {
        "accuracy": _AutoAccuracy,
        "acc": _AutoAccuracy,
        "binary_accuracy": BinaryAccuracy,
        "categorical_accuracy": CategoricalAccuracy,
        "sparse_categorical_accuracy": SparseCategoricalAccuracy,
        "top_k_categorical_accuracy": TopKCategoricalAccuracy,
        "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
        "mse": MeanSquaredError,
        "mean_squared_error": MeanSquaredError,
        "mae": MeanAbsoluteError,
        "mean_absolute_error": MeanAbsoluteError,
        "rmse": RootMeanSquaredError,
        "root_mean_squared_error": RootMeanSquaredError,
        "mean": Mean,
        "auc": AUC,
        "precision": Precision,
        "recall": Recall,
        "binary_crossentropy": BinaryCrossentropy,
        "categorical_crossentropy": CategoricalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    },
)


def get(
    identifier: Identifier | Metric | type[Metric] | Callable[[Array, Array], Any], loss: losses.Loss | None = None
) -> Metric:
    """Return a metric from an instance, a class, a name, a serialized dict or a function (see `FunctionMetric`).

    "accuracy" (or "acc") is resolved by `loss`: binary, categorical or sparse categorical; without one of these, by
    the shapes of the first batch. "crossentropy" (or "ce") likewise needs one of these losses. For a loss with
    ``from_logits`` the metric takes logits as well: the accuracy threshold becomes 0, where Keras leaves it at 0.5.

    A metric made from a name carries that name in logs.

    Args:
        identifier: a `Metric`, a class of them, a name as "accuracy", what `serialize` returned, or a function (see
            `FunctionMetric`).
        loss: the loss of the model, by which "accuracy" and "crossentropy" choose their form; None for none.

    Raises:
        ValueError: unknown name.
        TypeError: anything else.

    Example:
        >>> fastrnn.metrics.get("mae").__class__.__name__
        'MeanAbsoluteError'
    """
    if isinstance(identifier, str):
        found = _by_loss(identifier, loss)
        if found is None:
            found = _REGISTRY.get(identifier)
            found.name = identifier
        return found
    if callable(identifier) and not isinstance(identifier, (Metric, type)):
        return FunctionMetric(identifier)
    return _REGISTRY.get(identifier)


def _by_loss(name: str, loss: losses.Loss | None) -> Metric | None:
    accuracy = name in ("accuracy", "acc")
    if not accuracy and name not in ("crossentropy", "ce"):
        return None
    if isinstance(loss, losses.BinaryCrossentropy):
        threshold = 0.0 if loss.from_logits else 0.5
        return BinaryAccuracy(name, threshold) if accuracy else BinaryCrossentropy(name, loss.from_logits)
    if isinstance(loss, losses.CategoricalCrossentropy):
        return CategoricalAccuracy(name) if accuracy else CategoricalCrossentropy(name, loss.from_logits)
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        return SparseCategoricalAccuracy(name) if accuracy else SparseCategoricalCrossentropy(name, loss.from_logits)
    return None
