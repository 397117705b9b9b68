"""Gradients by central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def numeric_gradient(function: Callable[[], float], array: Any, step: float = 1e-6) -> Any:
    """The gradient of `function()`, which reads `array`; every element is moved in place and put back."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        old = array[index]
        array[index] = old + step
        above = function()
        array[index] = old - step
        below = function()
        array[index] = old
        gradient[index] = (above - below) / (2 * step)
    return gradient


def slope(function: Callable[[Any], float], array: Any, direction: Any, step: float = 1e-5) -> float:
    """The derivative of `function(array)` along a direction of length 1."""
    return (function(array + step * direction) - function(array - step * direction)) / (2 * step)
