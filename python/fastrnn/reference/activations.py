"""The activations, with ONNX's formulas and parameters, and their slopes expressed by the value v = f(a)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017


def sigmoid(a: Array) -> Array:
    """Compute 1 / (1 + exp(-a)), with no positive exponent: no overflow, and small values keep their digits.

    Example:
        >>> from fastrnn import reference
        >>> reference.sigmoid(np.array([-1000.0, 0.0])).tolist()
        [0.0, 0.5]
    """
    value: Array = np.exp(-np.maximum(-a, 0.0)) / (1 + np.exp(-np.abs(a)))
    return value


def _where(condition: Array, yes: Any, no: Any, like: Array) -> Array:
    """``np.where`` in the dtype of ``like``, which Python's numbers would widen."""
    chosen: Array = np.where(condition, yes, no).astype(like.dtype)
    return chosen


def _elu(a: Array, alpha: float) -> Array:
    return _where(a > 0, a, alpha * np.expm1(np.minimum(a, 0)), a)


class Function(NamedTuple):
    """f(a), and f'(a) expressed by the value v = f(a)."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


# name: f and its slope for given parameters, which have ONNX's defaults
_MAKERS: dict[str, Callable[..., Function]] = {
    "tanh": lambda: Function(np.tanh, lambda v: 1 - v * v),
    "sigmoid": lambda: Function(sigmoid, lambda v: v * (1 - v)),
    "relu": lambda: Function(lambda a: np.maximum(a, 0), lambda v: (v > 0).astype(v.dtype)),
    "identity": lambda: Function(lambda a: a, np.ones_like),
    "leaky_relu": lambda alpha=0.01: Function(
        lambda a: _where(a > 0, a, alpha * a, a), lambda v: _where(v > 0, 1, alpha, v)
    ),
    "elu": lambda alpha=1.0: Function(lambda a: _elu(a, alpha), lambda v: _where(v > 0, 1, v + alpha, v)),
    "selu": lambda: Function(
        lambda a: SELU_SCALE * _elu(a, SELU_ALPHA),
        lambda v: _where(v > 0, SELU_SCALE, v + SELU_SCALE * SELU_ALPHA, v),
    ),
    "softsign": lambda: Function(lambda a: a / (1 + np.abs(a)), lambda v: (1 - np.abs(v)) ** 2),
    "softplus": lambda: Function(lambda a: np.logaddexp(0, a).astype(a.dtype), lambda v: -np.expm1(-v)),
    "hard_sigmoid": lambda alpha=0.2, beta=0.5: Function(
        lambda a: np.clip(alpha * a + beta, 0, 1), lambda v: _where((v > 0) & (v < 1), alpha, 0, v)
    ),
    "scaled_tanh": lambda alpha=1.0, beta=1.0: Function(
        lambda a: alpha * np.tanh(beta * a), lambda v: beta * (alpha - v * v / alpha)
    ),
    "thresholded_relu": lambda alpha=1.0: Function(
        lambda a: _where(a > alpha, a, 0, a), lambda v: (v > 0).astype(v.dtype)
    ),
    "affine": lambda alpha=1.0, beta=0.0: Function(lambda a: alpha * a + beta, lambda v: np.full_like(v, alpha)),
    "exponential": lambda: Function(np.exp, lambda v: v),
}
_MAKERS["linear"] = _MAKERS["identity"]
# The slope must be readable from the value, so these must not fold two arguments onto one value.
_POSITIVE = {"leaky_relu": 1, "elu": 1, "scaled_tanh": 2, "hard_sigmoid": 1}  # how many of alpha, beta

ACTIVATIONS: dict[str, Function] = {name: make() for name, make in _MAKERS.items()}
"""Each activation with its default parameters."""


def activation(option: str, choice: Any) -> Function:
    """The function of ``choice``: a name, or (name, alpha) or (name, alpha, beta). ``option`` is named in errors."""
    name, *parameters = (choice,) if isinstance(choice, str) else choice
    if name not in _MAKERS:
        raise ValueError(f"{option}: expected one of {', '.join(map(repr, _MAKERS))}, got {name!r}")
    try:
        made = _MAKERS[name](*parameters)
    except TypeError:
        raise ValueError(f"{option}: expected fewer parameters for {name!r}, got {tuple(parameters)}") from None
    if not all(value > 0 for value in parameters[: _POSITIVE.get(name, 0)]):
        raise ValueError(f"{option}: expected positive parameters for {name!r}, got {tuple(parameters)}")
    if name == "thresholded_relu" and parameters and not parameters[0] >= 0:
        raise ValueError(f"{option}: expected alpha >= 0 for {name!r}, got {parameters[0]}")
    return made


def clamp(a: Array, bound: float | None) -> Array:
    """``a`` held within -bound..bound; None is no bound."""
    return a if bound is None else np.clip(a, -bound, bound)


def clamp_backward(dv: Array, a: Array, bound: float | None) -> Array:
    """d loss/da of ``clamp``: none flows where ``a`` was held."""
    return dv if bound is None else dv * (np.abs(a) <= bound)


class Clipped(NamedTuple):
    """f(clamp(a)), as a cell applies it to a pre-activation."""

    f: Function
    clip: float | None = None

    def __call__(self, a: Array) -> Array:
        """The value."""
        return self.f.value(clamp(a, self.clip))

    def backward(self, dv: Array, v: Array, a: Array) -> Array:
        """d loss/da, given dv = d loss/dv and the value v."""
        return clamp_backward(dv * self.f.slope(v), a, self.clip)
