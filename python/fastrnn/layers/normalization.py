"""Normalisation over the features of a step, and over the steps of a batch."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .._registry import positive
from .._typing import Array
from ..initializers import get as get_initializer
from ..parameters import Parameter
from .base import Layer, Shape, check_flag, check_rate, register_layer
from .recurrent.base import Init

__all__ = ["BatchNormalization", "LayerNormalization"]


class _Normalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with gamma and beta for each feature."""

    regularized: ClassVar[dict[str, tuple[str, ...]]] = {
        "beta_regularizer": ("beta",),
        "gamma_regularizer": ("gamma",),
    }

    def __init__(
        self,
        axis: Any,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Init,
        gamma_initializer: Init,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
        if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
            raise TypeError(f"axis: expected an int, got {type(axis).__name__}")
        self.axis = int(axis)
        self.epsilon = positive("epsilon", epsilon)
        self.center = check_flag(center, "center")
        self.scale = check_flag(scale, "scale")
        self.beta_initializer = get_initializer(beta_initializer)
        self.gamma_initializer = get_initializer(gamma_initializer)
        self.gamma: Parameter | None = None
        self.beta: Parameter | None = None

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (..., I)."""
        features = input_shape[-1]
        if len(input_shape) < 2 or features is None:
            raise ValueError(f"input_shape: expected (B, ..., I) with a known I for {self.name}, got {input_shape}")
        if self.axis not in (-1, len(input_shape) - 1):
            raise ValueError(f"axis: expected -1, that of the features, for {self.name}, got {self.axis}")
        self.axis = -1
        if self.scale:
            self.gamma = self.add_weight("gamma", (features,), self.gamma_initializer)
        if self.center:
            self.beta = self.add_weight("beta", (features,), self.beta_initializer)
        self._build_statistics(features)
        super().build(input_shape)

    def _build_statistics(self, features: int) -> None:
        """Create the weights that no optimizer changes."""

    def _scaled(self, normalized: Array) -> Array:
        y = normalized if self.gamma is None else normalized * self.gamma.value
        if self.beta is not None:
            y = y + self.beta.value
        return y

    def _store_gradients(self, normalized: Array, dy: Array) -> Array:
        """Store the gradients of gamma and beta; return that of the normalised x."""
        axes = tuple(range(dy.ndim - 1))
        if self.beta is not None:
            self.beta.grad = dy.sum(axis=axes)
        if self.gamma is None:
            return dy
        self.gamma.grad = (dy * normalized).sum(axis=axes)
        scaled: Array = dy * self.gamma.value
        return scaled


@register_layer
class LayerNormalization(_Normalization):
    """The features of each step to mean 0 and variance 1, times gamma, plus beta (Ba et al. 2016).

    Args:
        axis: -1, that of the features.
        epsilon: added to the variance.
        center, scale: whether there are beta (I,) and gamma (I,).
        beta_initializer, gamma_initializer: their initial values.
        beta_regularizer, gamma_regularizer: their penalties, names or objects of `fastrnn.regularizers`.
        name, trainable, dtype, input_shape: as every layer.

    Example:
        >>> fastrnn.layers.LayerNormalization()(np.array([[1.0, 3.0]], np.float32)).round(2).tolist()
        [[-1.0, 1.0]]
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Init = "zeros",
        gamma_initializer: Init = "ones",
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, epsilon, center, scale, beta_initializer, gamma_initializer, **kwargs)

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """x, normalised."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        factor = 1 / np.sqrt(variance + x.dtype.type(self.epsilon))
        normalized = centred * factor
        self._cache = (normalized, factor) if training else None
        return self._scaled(normalized)

    def backward(self, dy: Array) -> Array:
        """Through mean and variance of each step."""
        normalized, factor = self._take_cache()
        d = self._store_gradients(normalized, dy)
        slope = (d * normalized).mean(axis=-1, keepdims=True)
        dx: Array = factor * (d - d.mean(axis=-1, keepdims=True) - normalized * slope)
        return dx


# Keras adds it to the number of steps that a mask leaves, so that none of them divides by zero.
_KERAS_EPSILON = 1e-7


@register_layer
class BatchNormalization(_Normalization):
    """Each feature to mean 0 and variance 1 over a batch, times gamma, plus beta (Ioffe & Szegedy 2015).

    Training takes mean and variance of the batch, of all steps that the mask leaves, and moves the layer's own towards
    them; everything else takes the layer's own, which are weights that no optimizer changes. With `trainable` false
    training does so, too. A batch of which each process has a part has no such mean: `fit(distributed=...)` refuses the
    layer while it is trainable.

    Args:
        axis: -1, that of the features.
        momentum: how much of the moving statistics a batch leaves.
        epsilon: added to the variance.
        center, scale: whether there are beta (I,) and gamma (I,).
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: initial values.
        beta_regularizer, gamma_regularizer: penalties, names or objects of `fastrnn.regularizers`.
        renorm, synchronized: False.
        name, trainable, dtype, input_shape: as every layer.

    Example:
        >>> fastrnn.layers.BatchNormalization()(np.zeros((2, 6, 3), np.float32)).shape
        (2, 6, 3)
    """

    statistics: ClassVar[tuple[str, ...]] = ("moving_mean", "moving_variance")

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Init = "zeros",
        gamma_initializer: Init = "ones",
        moving_mean_initializer: Init = "zeros",
        moving_variance_initializer: Init = "ones",
        *,
        renorm: bool = False,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, epsilon, center, scale, beta_initializer, gamma_initializer, **kwargs)
        for keyword, value in (("renorm", renorm), ("synchronized", synchronized)):
            if check_flag(value, keyword):
                raise ValueError(f"{keyword}: expected False, which is all that {type(self).__name__} does here")
        self.momentum = check_rate(momentum, "momentum")
        self.moving_mean_initializer = get_initializer(moving_mean_initializer)
        self.moving_variance_initializer = get_initializer(moving_variance_initializer)
        self.moving_mean: Parameter
        self.moving_variance: Parameter

    def _build_statistics(self, features: int) -> None:
        self.moving_mean = self.add_weight("moving_mean", (features,), self.moving_mean_initializer)
        self.moving_variance = self.add_weight("moving_variance", (features,), self.moving_variance_initializer)

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """x, normalised by the batch's statistics in training, else by the moving ones."""
        if mask is not None and mask.shape != x.shape[:-1]:
            raise ValueError(f"mask: expected shape {x.shape[:-1]} for layer {self.name}, got {mask.shape}")
        of_batch = training and self.trainable
        weight, count = _weights(x, mask)
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if of_batch:
            axes = tuple(range(x.ndim - 1))
            # In double, as a batch may have millions of steps.
            mean = np.multiply(x, weight, dtype=np.float64).sum(axis=axes) / count
            variance = np.multiply(np.square(x - mean), weight, dtype=np.float64).sum(axis=axes) / count
            mean, variance = mean.astype(x.dtype), variance.astype(x.dtype)
            moved = ((self.moving_mean, mean), (self.moving_variance, variance)) if x.size else ()
            for moving, new in moved:
                moving.value[...] = moving.value * self.momentum + new * (1 - self.momentum)
        factor = 1 / np.sqrt(variance + x.dtype.type(self.epsilon))
        normalized = (x - mean) * factor
        self._cache = (normalized, factor, (weight, count) if of_batch else None) if training else None
        return self._scaled(normalized)

    def backward(self, dy: Array) -> Array:
        """Through mean and variance of the batch, where they were taken of it."""
        normalized, factor, of_batch = self._take_cache()
        d = self._store_gradients(normalized, dy)
        if of_batch is None:
            return np.asarray(d * factor)
        weight, count = of_batch
        axes = tuple(range(d.ndim - 1))
        mean = (d.sum(axis=axes) / count).astype(d.dtype)
        slope = ((d * normalized).sum(axis=axes) / count).astype(d.dtype)
        dx: Array = factor * (d - weight * (mean + normalized * slope))
        return dx


def _weights(x: Array, mask: Array | None) -> tuple[Any, float]:
    """What each step counts, (B, T, 1) of zeros and ones, and the sum of all as Keras takes it."""
    if mask is None:
        return x.dtype.type(1), float(max(1, math.prod(x.shape[:-1])))
    return mask[..., np.newaxis].astype(x.dtype), float(mask.sum()) + _KERAS_EPSILON
