"""Activation functions of a layer's output, each with its gradient taken from the output.

Every function here is invertible enough that f'(x) can be had from y = f(x) alone, so that a layer need keep only its
output for the backward pass. (GELU and SiLU are not, and are therefore absent.) The recurrent cells have their own
activations in the kernels; these serve `Dense`, `Activation` and the losses.

All functions keep the dtype, work on any shape, and pass NaN through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._registry import choice_error
from ._typing import Array

__all__ = [
    "Activation", "elu", "exponential", "get", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "relu", "relu6",
    "selu", "sigmoid", "softmax", "softplus", "softsign", "tanh",
]  # fmt: skip


@dataclass(frozen=True)
class Activation:
    """A named function with its gradient.

    Attributes:
        name: the name `get` knows it by.
        forward: x -> y, a new array of the same shape and dtype.
        gradient: (y, dy) -> dx, where y = forward(x) and dy = dL/dy; a new array.

    Example:
        >>> square = fastrnn.activations.Activation("square", lambda x: x * x, lambda y, dy: 2 * np.sqrt(y) * dy)
        >>> square(np.array([3.0])).tolist()
        [9.0]
        >>> fastrnn.activations.relu(np.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    name: str
    forward: Callable[[Array], Array]
    gradient: Callable[[Array, Array], Array]

    def __call__(self, x: Array) -> Array:
        """Return ``forward(x)``."""
        return self.forward(x)

    def __reduce__(self) -> tuple[Callable[..., Activation], tuple[Any, ...]]:
        """For pickle and copy: those of this module by name, which layers compare by identity."""
        if _ALL.get(self.name) is self:
            return get, (self.name,)
        return Activation, (self.name, self.forward, self.gradient)

    def __repr__(self) -> str:
        return f"<activation {self.name}>"


def _sigmoid(x: Array) -> Array:
    # exp of a non-positive number only: no overflow, and small outputs keep their relative precision.
    e = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, e) / (1 + e)
    return result


def _softmax(x: Array) -> Array:
    e: Array = np.exp(x - _row_max(x))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def _softmax_gradient(y: Array, dy: Array) -> Array:
    result: Array = y * (dy - (y * dy).sum(axis=-1, keepdims=True))
    return result


def _log_softmax(x: Array) -> Array:
    shifted = x - _row_max(x)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def _row_max(x: Array) -> Array:
    """Return the maximum over the last axis, kept; `initial` lets an empty last axis through."""
    result: Array = np.max(x, axis=-1, keepdims=True, initial=-np.inf)
    return result


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
_LEAK = 0.2  # Keras 3's default negative slope


linear = Activation("linear", lambda x: x.copy(), lambda y, dy: dy.copy())
tanh = Activation("tanh", np.tanh, lambda y, dy: dy * (1 - y * y))
sigmoid = Activation("sigmoid", _sigmoid, lambda y, dy: dy * (y * (1 - y)))
relu = Activation("relu", lambda x: np.maximum(x, 0), lambda y, dy: dy * (y > 0))
relu6 = Activation("relu6", lambda x: np.clip(x, 0, 6), lambda y, dy: dy * ((y > 0) & (y < 6)))
leaky_relu = Activation(
    "leaky_relu", lambda x: np.where(x >= 0, x, _LEAK * x), lambda y, dy: np.where(y >= 0, dy, _LEAK * dy)
)
softmax = Activation("softmax", _softmax, _softmax_gradient)
log_softmax = Activation("log_softmax", _log_softmax, lambda y, dy: dy - np.exp(y) * dy.sum(axis=-1, keepdims=True))
softplus = Activation(
    "softplus", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda y, dy: dy * -np.expm1(-y)
)
softsign = Activation("softsign", lambda x: x / (1 + np.abs(x)), lambda y, dy: dy * np.square(1 - np.abs(y)))
elu = Activation("elu", _elu, lambda y, dy: dy * np.where(y > 0, 1, y + 1))
selu = Activation(
    "selu",
    lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    lambda y, dy: dy * np.where(y > 0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA),
)
exponential = Activation("exponential", np.exp, lambda y, dy: dy * y)
hard_sigmoid = Activation(
    "hard_sigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda y, dy: dy * ((y > 0) & (y < 1)) / 6
)
"""Keras 3's: relu6(x + 3) / 6. (Keras 2 had slope 0.2.)"""

_ALL = {
    a.name: a
    for a in (
        linear, tanh, sigmoid, relu, softmax, softplus, elu, selu, relu6, leaky_relu, softsign, exponential,
        hard_sigmoid, log_softmax,
    )
}  # fmt: skip


def get(identifier: str | Activation | None) -> Activation:
    """Return the activation called `identifier`; None means "linear", an `Activation` comes back unchanged.

    Args:
        identifier: a name as "tanh", an `Activation`, or None for "linear".

    Raises:
        ValueError: unknown name.
        TypeError: neither a name, an `Activation` nor None.

    Example:
        >>> fastrnn.activations.get("tanh")(np.zeros(2)).tolist()
        [0.0, 0.0]
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    if not isinstance(identifier, str):
        raise TypeError(f"activation: expected a name, an Activation or None, got {type(identifier).__name__}")
    if identifier not in _ALL:
        raise choice_error("activation", _ALL, identifier)
    return _ALL[identifier]
