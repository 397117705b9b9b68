"""What all losses share: shapes, sample weights and the reduction. The losses themselves are in `losses`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._registry import Configured, choice_error
from .._typing import Array

_REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight")


class Loss(Configured):
    """Base class. A subclass implements `values` and `value_gradient`, and `fused_value_gradient` where it can.

    Args:
        reduction: "sum_over_batch_size" divides the weighted sum by the number of values, "sum" does not divide,
            "mean_with_sample_weight" divides by the sum of the weights.

    Attributes:
        fused_activation: name of the activation whose pre-activation `fused_gradient` differentiates to, or None.

    Example:
        >>> class Cubed(fastrnn.losses.Loss):
        ...     def values(self, y_true, y_pred):
        ...         return (np.abs(y_pred - y_true) ** 3).mean(axis=-1)
        ...
        ...     def value_gradient(self, y_true, y_pred):
        ...         error = y_pred - y_true
        ...         return 3 * error * np.abs(error) / error.shape[-1]
        ...
        >>> float(Cubed()(np.zeros((1, 1)), np.array([[2.0]])))
        8.0
    """

    fused_activation: str | None = None

    def __init__(self, reduction: str = "sum_over_batch_size") -> None:
        if reduction not in _REDUCTIONS:
            raise choice_error("reduction", _REDUCTIONS, reduction)
        self.reduction = reduction

    # -- what a subclass gives; y_true and y_pred have passed `prepare` --

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the loss of each element, shape ``y_pred.shape[:-1]``."""
        raise self._incomplete("values")

    def value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        """Return d values / d y_pred, shape of y_pred."""
        raise self._incomplete("value_gradient")

    def _incomplete(self, method: str) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__}: a loss of your own needs a method {method}(y_true, y_pred), "
            "see fastrnn.losses.Loss"
        )

    def fused_value_gradient(self, y_true: Array, y_pred: Array) -> Array:
        """Return d values / d logits for activated `y_pred`."""
        raise ValueError(f"loss: expected one with a fused activation, got {type(self).__name__}")

    def prepare(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Bring `y_true` to the shape and dtype of `y_pred`: a missing last axis of length 1 is added.

        Raises:
            ValueError: the shapes do not match; nothing is broadcast.
        """
        y_true, y_pred = np.asarray(y_true), as_float(y_pred)
        if y_true.shape == y_pred.shape[:-1] and y_pred.shape[-1] == 1:
            y_true = y_true[..., np.newaxis]
        if y_true.shape != y_pred.shape:
            hint = shape_hint(y_true.shape, y_pred.shape) or self._shape_hint(y_true.shape, y_pred.shape)
            raise ValueError(f"y_true: expected shape {y_pred.shape} (that of y_pred), got {y_true.shape}{hint}")
        return y_true.astype(y_pred.dtype, copy=False), y_pred

    def _shape_hint(self, y_true: tuple[int, ...], y_pred: tuple[int, ...]) -> str:
        """What the error of two shapes that do not match adds."""
        return ""

    # -- what a model calls --

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        """Return the reduced loss.

        Args:
            y_true: targets, shaped as y_pred (sparse: without its last axis).
            y_pred: predictions (B, C) or (B, T, C).
            sample_weight: (B,) or (B, T), None for ones.
        """
        values = self.values(*self.prepare(y_true, y_pred))
        factors = self._factors(values.shape, sample_weight, values.dtype)
        return float(np.sum(values * factors, dtype=np.float64))

    def gradient(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Array:
        """Return d loss / d y_pred, a new array of y_pred's shape and dtype."""
        return self._weighted(self.value_gradient, y_true, y_pred, sample_weight)

    def fused_gradient(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Array:
        """Return d loss / d logits, where y_pred = fused_activation(logits); shape and dtype of y_pred.

        Raises:
            ValueError: the loss has no `fused_activation`.
        """
        return self._weighted(self.fused_value_gradient, y_true, y_pred, sample_weight)

    def _weighted(
        self, function: Callable[[Array, Array], Array], y_true: Array, y_pred: Array, sample_weight: Array | None
    ) -> Array:
        y_true, y_pred = self.prepare(y_true, y_pred)
        result = function(y_true, y_pred)
        result *= self._factors(y_pred.shape[:-1], sample_weight, y_pred.dtype)[..., np.newaxis]
        return result

    def _factors(self, shape: tuple[int, ...], sample_weight: Array | None, dtype: np.dtype[np.generic]) -> Array:
        """Return what each value is multiplied by before the plain sum; broadcasts to `shape`."""
        weight = expand_weight(sample_weight, shape)
        divisor = self._divisor(shape, weight)
        return np.asarray(weight / divisor if divisor else weight * 0.0, dtype=dtype)

    def _divisor(self, shape: tuple[int, ...], weight: Array) -> float:
        """What the weighted sum of values of `shape` is divided by."""
        if self.reduction == "sum":
            return 1.0
        if self.reduction == "sum_over_batch_size":
            return float(np.prod(shape))
        return float(np.broadcast_to(weight, shape).sum(dtype=np.float64))

    def count(self, shape: tuple[int, ...], sample_weight: Array | None, mask: Array | None) -> float:
        """Return how much a part of a batch counts in the loss of the whole: losses of parts, each times its count and
        divided by the sum of the counts, add up to it. (With reduction "sum" they add up as they are.)

        Args:
            shape: of the values, ``y_pred.shape[:-1]``.
            sample_weight: that of `__call__`.
            mask: of `shape`, True where a value counts; None for everywhere. `sample_weight` has it in already.
        """
        if mask is not None and self.reduction == "sum_over_batch_size":  # see `mask_to_weight`
            return float(mask.sum())
        weight = expand_weight(sample_weight, shape)
        return self._divisor(shape, weight)


def shape_hint(y_true: tuple[int, ...], y_pred: tuple[int, ...]) -> str:
    """What the error of shapes adds where one of the two has an entry for every step, and the other for a sequence."""
    batch = y_pred[:1]
    if len(y_pred) == 3 and y_true in (batch, (*batch, 1), (*batch, y_pred[-1])):
        return "; the model gives an output for every step: without return_sequences its last recurrent layer gives one"
    if len(y_true) == 3 and len(y_pred) == 2 and y_true[:1] == batch:
        return (
            "; the model gives one output a sequence: with return_sequences=True its recurrent layers give every step"
        )
    return ""


def expand_weight(sample_weight: Array | None, shape: tuple[int, ...]) -> Array:
    """Return `sample_weight` with trailing axes of length 1 added, or one dropped, so that it broadcasts to `shape`.

    None gives ones.

    Raises:
        ValueError: its shape is no prefix of `shape`.
    """
    if sample_weight is None:
        return np.ones((1,) * len(shape))
    weight = np.asarray(sample_weight)
    if weight.ndim == len(shape) + 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    if weight.ndim > len(shape) or any(w not in (1, s) for w, s in zip(weight.shape, shape, strict=False)):
        raise ValueError(f"sample_weight: expected shape {shape} or a leading part of it, got {weight.shape}")
    return weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim))


def mask_to_weight(mask: Array, sample_weight: Array | None = None) -> Array:
    """Return per-time-step weights under which masked steps do not count and the rest is divided by its own number.

    Keras does the same to a masked output: ``weight * mask * size / valid``.

    Args:
        mask: (B, T) or (B,), True where the step counts.
        sample_weight: None, (B,) or (B, T).

    Example:
        >>> fastrnn.losses.mask_to_weight(np.array([[True, False], [True, True]])).tolist()
        [[1.3333333333333333, 0.0], [1.3333333333333333, 1.3333333333333333]]
    """
    mask = np.asarray(mask, dtype=bool)
    weight = expand_weight(sample_weight, mask.shape)
    return np.where(mask, weight * (mask.size / max(1, int(mask.sum()))), 0.0)


def as_float(y_pred: Array) -> Array:
    """Return `y_pred` as an array, or raise TypeError (no floating dtype) or ValueError (a scalar)."""
    y_pred = np.asarray(y_pred)
    if not np.issubdtype(y_pred.dtype, np.floating):
        raise TypeError(f"y_pred: expected a floating dtype, got {y_pred.dtype}")
    if y_pred.ndim == 0:
        raise ValueError("y_pred: expected at least 1 dimension, got a scalar")
    return y_pred
