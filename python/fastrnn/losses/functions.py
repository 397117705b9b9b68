"""Losses with Keras' names and semantics, each with its gradient.

A loss gives one value per element of ``y_pred.shape[:-1]``: per example for (B, C), per time step for (B, T, C). The
values, times `sample_weight`, are added up and divided by their number (not by the sum of the weights): Keras'
``reduction="sum_over_batch_size"``. A weight of shape (B,) counts for all time steps of its row, (B, T) for each.

Softmax with categorical cross-entropy, and sigmoid with the binary one, have a gradient to the logits that is simple
and exact where the product of the two single gradients is 0/0: `fused_activation` names the activation that a model
may leave out of its backward pass in exchange for `fused_gradient`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import activations
from .._registry import Registry, fraction, positive, serialize
from .._typing import Array, Config, Identifier
from .base import Loss, as_float, shape_hint

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "FunctionLoss",
    "Huber",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
    "serialize",
]

_EPSILON = 1e-7  # Keras' backend.epsilon(): probabilities are clipped to [_EPSILON, 1 - _EPSILON]


class MeanSquaredError(Loss):
    """Mean over the last axis of ``(y_true - y_pred)**2``.

    Args:
        reduction: as in `Loss`.

    Example:
        >>> loss = fastrnn.losses.MeanSquaredError()
        >>> float(loss(np.zeros((1, 2)), np.array([[1.0, -3.0]])))
        5.0
        >>> loss.gradient(np.zeros((1, 2)), np.array([[1.0, -3.0]])).tolist()
        [[1.0, -3.0]]
    """

    def values(self, y_true: Array, y_pred: Array) -> Array:
        result: Array = np.square(y_pred - y_true).mean(axis=-1)
        return result

    def value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        result: Array = (y_pred - y_true) * (2.0 / y_pred.shape[-1])
        return result


class MeanAbsoluteError(Loss):
    """Mean over the last axis of ``|y_true - y_pred|``; the gradient at 0 is 0.

    Args:
        reduction: as in `Loss`.

    Example:
        >>> float(fastrnn.losses.MeanAbsoluteError()(np.zeros((1, 2)), np.array([[1.0, -3.0]])))
        2.0
    """

    def values(self, y_true: Array, y_pred: Array) -> Array:
        result: Array = np.abs(y_pred - y_true).mean(axis=-1)
        return result

    def value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        result: Array = np.sign(y_pred - y_true) / y_pred.shape[-1]
        return result


class Huber(Loss):
    """Mean over the last axis of ``e**2 / 2`` where ``|e| <= delta``, else ``delta*|e| - delta**2 / 2`` (Huber 1964).

    Args:
        delta: > 0, where the parabola meets the lines.
        reduction: see `Loss`.

    Example:
        >>> float(fastrnn.losses.Huber()(np.zeros((1, 2)), np.array([[1.0, 3.0]])))
        1.5
    """

    def __init__(self, delta: float = 1.0, reduction: str = "sum_over_batch_size") -> None:
        super().__init__(reduction)
        self.delta = positive("delta", delta)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        e = np.abs(y_pred - y_true)
        inside = np.minimum(e, self.delta)
        result: Array = (inside * (e - 0.5 * inside)).mean(axis=-1)
        return result

    def value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        result: Array = np.clip(y_pred - y_true, -self.delta, self.delta) / y_pred.shape[-1]
        return result


class _Crossentropy(Loss):
    """What the three cross-entropies share."""

    _activation: str

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, reduction: str = "sum_over_batch_size"
    ) -> None:
        super().__init__(reduction)
        self.from_logits = from_logits
        self.label_smoothing = fraction("label_smoothing", label_smoothing)
        self.fused_activation = None if from_logits else self._activation

    def _smooth(self, t: Array, classes: int) -> Array:
        """Targets moved towards 1 / classes."""
        s = self.label_smoothing
        return t * (1.0 - s) + s / classes if s else t


class BinaryCrossentropy(_Crossentropy):
    """Mean over the last axis of ``-(t log p + (1 - t) log(1 - p))``, for independent yes-or-no targets in [0, 1].

    Args:
        from_logits: y_pred holds logits, not probabilities.
        label_smoothing: s moves targets to ``t * (1 - s) + s / 2``.
        reduction: see `Loss`.

    Example:
        >>> round(float(fastrnn.losses.BinaryCrossentropy()(np.array([[1.0]]), np.array([[0.5]]))), 4)
        0.6931
    """

    _activation = "sigmoid"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        t = self._smooth(y_true, 2)
        if self.from_logits:
            # max(z, 0) - z t + log(1 + exp(-|z|)): no overflow for either sign.
            value = np.maximum(y_pred, 0) - y_pred * t + np.log1p(np.exp(-np.abs(y_pred)))
        else:
            p = np.clip(y_pred, _EPSILON, 1 - _EPSILON)
            value = -(t * np.log(p) + (1 - t) * np.log1p(-p))
        result: Array = value.mean(axis=-1)
        return result

    def value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        if self.from_logits:
            return self.fused_value_gradient(y_true, activations.sigmoid(y_pred))
        p = np.clip(y_pred, _EPSILON, 1 - _EPSILON)
        inside = p == y_pred
        result: Array = (p - self._smooth(y_true, 2)) / (p * (1 - p)) * (inside / y_pred.dtype.type(y_pred.shape[-1]))
        return result

    def fused_value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        result: Array = (y_pred - self._smooth(y_true, 2)) / y_pred.shape[-1]
        return result


class CategoricalCrossentropy(_Crossentropy):
    """``-sum_k t_k log p_k`` over the last axis, for targets that are one-hot or distributions.

    Probabilities are normalised to sum 1 and clipped first, as in Keras.

    Args:
        from_logits: y_pred holds logits, not probabilities.
        label_smoothing: s moves targets to ``t * (1 - s) + s / C``.
        reduction: see `Loss`.

    Example:
        >>> round(float(fastrnn.losses.CategoricalCrossentropy()(np.array([[0.0, 1.0]]), np.array([[0.25, 0.75]]))), 4)
        0.2877
    """

    _activation = "softmax"

    def _shape_hint(self, y_true: tuple[int, ...], y_pred: tuple[int, ...]) -> str:
        if y_true not in (y_pred[:-1], (*y_pred[:-1], 1)):
            return ""
        return "; sparse_categorical_crossentropy takes class numbers, fastrnn.data.to_categorical makes rows of them"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        if self.from_logits:
            log_p = activations.log_softmax(y_pred)
        else:
            log_p = np.log(np.clip(y_pred / y_pred.sum(axis=-1, keepdims=True), _EPSILON, 1 - _EPSILON))
        result: Array = -(self._smooth(y_true, y_true.shape[-1]) * log_p).sum(axis=-1)
        return result

    def value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        if self.from_logits:
            return self.fused_value_gradient(y_true, activations.softmax(y_pred))
        total = y_pred.sum(axis=-1, keepdims=True)
        q = y_pred / total
        inside = (q >= _EPSILON) & (q <= 1 - _EPSILON)
        dq = np.divide(-self._smooth(y_true, y_true.shape[-1]), q, out=np.zeros_like(q), where=inside)
        result: Array = (dq - (dq * q).sum(axis=-1, keepdims=True)) / total
        return result

    def fused_value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        t = self._smooth(y_true, y_true.shape[-1])
        result: Array = y_pred * t.sum(axis=-1, keepdims=True) - t
        return result


class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log p[y_true]`` for integer class numbers; the same numbers as `CategoricalCrossentropy` on one-hot targets.

    Args:
        from_logits: y_pred holds logits, not probabilities.
        reduction: see `Loss`.

    Example:
        >>> round(float(fastrnn.losses.SparseCategoricalCrossentropy()(np.array([1]), np.array([[0.25, 0.75]]))), 4)
        0.2877
    """

    _activation = "softmax"

    def __init__(self, from_logits: bool = False, reduction: str = "sum_over_batch_size") -> None:
        super().__init__(from_logits, 0.0, reduction)

    def prepare(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Return class numbers of shape ``y_pred.shape[:-1]`` as intp; a last axis of length 1 is dropped.

        Raises:
            ValueError: shape, or a class number outside 0..C-1.
        """
        y_true, y_pred = np.asarray(y_true), as_float(y_pred)
        if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        if y_true.shape != y_pred.shape[:-1]:
            hint = shape_hint(y_true.shape, y_pred.shape)
            if y_true.shape == y_pred.shape:
                hint = "; categorical_crossentropy takes a number for each class"
            raise ValueError(f"y_true: expected shape {y_pred.shape[:-1]} (class numbers), got {y_true.shape}{hint}")
        labels = y_true.astype(np.intp, copy=False)
        classes = y_pred.shape[-1]
        if labels.size and (labels.min() < 0 or labels.max() >= classes):
            bad = labels.min() if labels.min() < 0 else labels.max()
            raise ValueError(f"y_true: expected class numbers in 0..{classes - 1}, got {bad}")
        return labels, y_pred

    def values(self, y_true: Array, y_pred: Array) -> Array:
        index = y_true[..., np.newaxis]
        if self.from_logits:
            log_p = np.take_along_axis(activations.log_softmax(y_pred), index, axis=-1)[..., 0]
        else:
            p = np.take_along_axis(y_pred, index, axis=-1)[..., 0] / y_pred.sum(axis=-1)
            log_p = np.log(np.clip(p, _EPSILON, 1 - _EPSILON))
        return -log_p

    def value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        if self.from_logits:
            return self.fused_value_gradient(y_true, activations.softmax(y_pred))
        index = y_true[..., np.newaxis]
        total = y_pred.sum(axis=-1, keepdims=True)
        p = np.take_along_axis(y_pred, index, axis=-1)
        inside = (p >= _EPSILON * total) & (p <= (1 - _EPSILON) * total)
        result = np.where(inside, 1 / total, 0) * np.ones_like(y_pred)
        at = np.take_along_axis(result, index, axis=-1) - np.divide(1, p, out=np.zeros_like(p), where=inside)
        np.put_along_axis(result, index, at, axis=-1)
        return result

    def fused_value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        result: Array = y_pred.copy()
        index = y_true[..., np.newaxis]
        np.put_along_axis(result, index, np.take_along_axis(result, index, axis=-1) - 1, axis=-1)
        return result


class FunctionLoss(Loss):
    """A loss from a function ``f(y_true, y_pred) -> (values, gradient)``.

    Args:
        function: gets y_true and y_pred as the caller gave them and returns the values, shape ``y_pred.shape[:-1]``,
            and their derivative to y_pred, shape of y_pred. There is no automatic differentiation in fastrnn.
        reduction: see `Loss`.

    Example:
        >>> def cubed(y_true, y_pred):
        ...     error = y_pred - y_true
        ...     return (np.abs(error) ** 3).mean(axis=-1), 3 * error * np.abs(error) / error.shape[-1]
        ...
        >>> float(fastrnn.losses.FunctionLoss(cubed)(np.zeros((1, 1)), np.array([[2.0]])))
        8.0
    """

    def __init__(
        self, function: Callable[[Array, Array], tuple[Array, Array]], reduction: str = "sum_over_batch_size"
    ) -> None:
        super().__init__(reduction)
        self.function = function

    def prepare(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Return both as arrays, unchanged: the shape of y_true is the function's affair."""
        return np.asarray(y_true), as_float(y_pred)

    def _call(self, which: int, y_true: Array, y_pred: Array) -> Array:
        result = self.function(y_true, y_pred)
        if not isinstance(result, tuple) or len(result) != 2:
            name = getattr(self.function, "__name__", type(self.function).__name__)
            raise TypeError(
                f"loss: expected {name} to return (values, gradient), got {type(result).__name__}; nothing is "
                "differentiated by itself here: return the gradient d values / d y_pred too, or derive from "
                "fastrnn.losses.Loss"
            )
        expected = y_pred.shape if which else y_pred.shape[:-1]
        array = np.array(result[which], dtype=y_pred.dtype)
        if array.shape != expected:
            name = "gradient" if which else "values"
            raise ValueError(f"loss function's {name}: expected shape {expected}, got {array.shape}")
        return array

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return self._call(0, y_true, y_pred)

    def value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        return self._call(1, y_true, y_pred)

    def __repr__(self) -> str:
        return f"FunctionLoss({self.function!r})"

    def get_config(self) -> Config:
        raise TypeError(f"loss: expected a fastrnn Loss (a function cannot be saved), got {self.function!r}")


_REGISTRY: Registry[Loss] = Registry(
    "loss",
    Loss,
    {
        "mse": MeanSquaredError,
        "mean_squared_error": MeanSquaredError,
        "mae": MeanAbsoluteError,
        "mean_absolute_error": MeanAbsoluteError,
        "huber": Huber,
        "binary_crossentropy": BinaryCrossentropy,
        "categorical_crossentropy": CategoricalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    },
)


def get(
    identifier: Identifier | Loss | type[Loss] | Callable[[Array, Array], tuple[Array, Array]],
) -> Loss:
    """Return a loss from an instance, a class, a name, a serialized dict or a function (see `FunctionLoss`).

    Args:
        identifier: a `Loss`, a class of them, a name as "mse", what `serialize` returned, or a function (see
            `FunctionLoss`).

    Raises:
        ValueError: unknown name.
        TypeError: anything else.

    Example:
        >>> fastrnn.losses.get("mse").__class__.__name__
        'MeanSquaredError'
    """
    if callable(identifier) and not isinstance(identifier, (Loss, type)):
        return FunctionLoss(identifier)
    return _REGISTRY.get(identifier)
