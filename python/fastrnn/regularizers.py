"""Penalties on the weights of a layer, with Keras' names: what `fit` adds to the loss, and to the gradients."""

from __future__ import annotations

import numpy as np

from ._registry import Configured, Registry, positive, serialize
from ._typing import Array, Identifier

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "serialize"]


class Regularizer(Configured):
    """Base class. One of your own implements `__call__` and `gradient`; its arguments are attributes of their names.

    Example:
        >>> class Largest(fastrnn.regularizers.Regularizer):
        ...     def __call__(self, w):
        ...         return float(np.abs(w).max())
        ...
        ...     def gradient(self, w):
        ...         return np.sign(w) * (np.abs(w) == np.abs(w).max())
        ...
        >>> Largest()(np.array([1.0, -2.0]))
        2.0
    """

    def __call__(self, weight: Array) -> float:
        """Return the penalty of a weight, whose layout is the library's own."""
        raise NotImplementedError

    def gradient(self, weight: Array) -> Array:
        """Return its derivative, an array of the weight's shape and dtype."""
        raise NotImplementedError


class L1L2(Regularizer):
    """``l1 * sum(abs(w)) + l2 * sum(w**2)``.

    Args:
        l1, l2: factors of the sums, at least 0.

    Example:
        >>> float(fastrnn.regularizers.L1L2(l1=0.5, l2=0.5)(np.array([1.0, -2.0])))
        4.0
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = positive("l1", l1, zero=True)
        self.l2 = positive("l2", l2, zero=True)

    def __call__(self, weight: Array) -> float:
        absolute = float(np.sum(np.abs(weight), dtype=np.float64)) if self.l1 else 0.0
        squares = float(np.sum(np.square(weight), dtype=np.float64)) if self.l2 else 0.0
        return self.l1 * absolute + self.l2 * squares

    def gradient(self, weight: Array) -> Array:
        number = weight.dtype.type
        slope: Array = number(self.l1) * np.sign(weight) + number(2 * self.l2) * weight
        return slope


class L1(L1L2):
    """``l1 * sum(abs(w))``.

    Args:
        l1: factor of the sum, at least 0.

    Example:
        >>> float(fastrnn.regularizers.L1(0.5)(np.array([1.0, -2.0])))
        1.5
    """

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """``l2 * sum(w**2)``.

    Weight decay of an optimizer shrinks weights without going through its moments; this goes through them.

    Args:
        l2: factor of the sum, at least 0.

    Example:
        >>> float(fastrnn.regularizers.L2(0.5)(np.array([1.0, -2.0])))
        2.5
    """

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


_REGISTRY: Registry[Regularizer] = Registry("regularizer", Regularizer, {"l1": L1, "l2": L2, "l1_l2": L1L2})


def get(identifier: Identifier | Regularizer | type[Regularizer] | None) -> Regularizer | None:
    """Return a regularizer from an instance, a class, a name, a serialized dict, or None for None.

    Args:
        identifier: a `Regularizer`, a class of them, a name as "l2", what `serialize` returned, or None.

    Raises:
        ValueError: unknown name.
        TypeError: anything else.

    Example:
        >>> fastrnn.regularizers.get("l2").__class__.__name__
        'L2'
    """
    return None if identifier is None else _REGISTRY.get(identifier)
