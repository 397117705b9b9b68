"""The activations of the recurrent layers: Keras' names, as the kernels know them.

The kernels compute f'(x) from f(x); only activations for which that is possible are supported.
"""

from __future__ import annotations

from typing import Any

from ..._registry import choice_error

__all__ = ["check_activation", "native_activation"]

Activation = str | tuple[Any, ...]

# Keras' name to the kernels'. Without a number where the two have the same default.
_NATIVE: dict[str, Any] = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "linear": "identity",
    "elu": "elu",
    "selu": "selu",
    "softplus": "softplus",
    "softsign": "softsign",
    "exponential": "exponential",
    "leaky_relu": ("leaky_relu", 0.2),  # ONNX has 0.01
    "hard_sigmoid": ("hard_sigmoid", 1 / 6, 0.5),  # Keras 2 and ONNX have 0.2, 0.5
    "scaled_tanh": "scaled_tanh",  # this one and the next two are ONNX's, with its defaults
    "thresholded_relu": "thresholded_relu",
    "affine": "affine",
}
# Two inputs of different slope have the same output, or (softmax) the units depend on each other.
_UNDETERMINED = ("celu", "gelu", "glu", "hard_silu", "hard_swish", "log_softmax", "mish", "silu", "softmax", "swish")


def check_activation(activation: object, argument: str) -> Activation:
    """Return an activation of a cell as a name or a tuple (name, alpha) or (name, alpha, beta).

    Args:
        activation: Keras' name; None for "linear"; an object of `fastrnn.activations`; or a tuple (a list, in a
            config) of a name and the numbers of `fastrnn.functional`'s formulas.
        argument: what errors call it.

    Raises:
        ValueError: for an activation that the kernels do not have.
        TypeError: for anything else.
    """
    if activation is None:
        return "linear"
    activation = getattr(activation, "name", activation)
    numbers: list[Any] = []
    if isinstance(activation, (tuple, list)) and len(activation) in (2, 3):
        activation, *numbers = activation
    if not isinstance(activation, str):
        raise TypeError(f"{argument}: expected a name or a tuple (name, alpha, beta), got {activation!r}")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise TypeError(f"{argument}: expected numbers after the name {activation!r}, got {number!r}")
    if activation in _UNDETERMINED:
        raise ValueError(
            f"{argument}: expected an activation whose derivative follows from its output, all that the kernels keep, "
            f"got {activation!r}"
        )
    if activation not in _NATIVE:
        raise choice_error(argument, _NATIVE, activation)
    return (activation, *map(float, numbers)) if numbers else activation


def native_activation(activation: Activation) -> Any:
    """Return what `check_activation` returned as the functions take it."""
    if isinstance(activation, str):
        return _NATIVE[activation]
    name, *numbers = activation
    return ("identity" if name == "linear" else name, *numbers)
