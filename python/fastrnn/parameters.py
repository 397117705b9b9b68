"""The one mutable thing of the training layer: a named array with its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _packed

__all__ = ["Parameter"]


class Parameter:
    """A weight and the gradient of the loss with respect to it.

    Attributes:
        name: "layer/weight", for messages and for files.
        value: the array, float32 or float64. Optimizers and `assign` write into it in place, so that a view taken of
            it stays valid for the life of the parameter.
        grad: None until the first backward pass, then an array of the shape and dtype of `value`. Every backward
            pass replaces it (=, never +=).
        trainable: whether an optimizer may change `value`.
        keras_variable: the other parameter with which this one forms a single variable in Keras, as the two biases of a
            GRU do; None if it is a variable by itself. `clipnorm` takes the norm of a variable.
        regularizer: the penalty that training adds for it, None for none; see `fastrnn.regularizers`.
    """

    __slots__ = ("grad", "keras_variable", "name", "regularizer", "trainable", "value")

    def __init__(self, name: str, value: NDArray[Any], trainable: bool = True) -> None:
        if not isinstance(value, np.ndarray):
            raise TypeError(f"value: expected a numpy.ndarray, got {type(value).__name__}")
        if value.dtype not in (np.float32, np.float64):
            raise TypeError(f"value: expected float32 or float64, got {value.dtype}")
        self.name = name
        self.value: NDArray[Any] = np.ascontiguousarray(value)
        self.grad: NDArray[Any] | None = None
        self.trainable = trainable
        self.keras_variable: Parameter | None = None
        self.regularizer: Any = None

    @property
    def own_name(self) -> str:
        """The name within its layer: "kernel" of "dense/kernel"."""
        return self.name.rpartition("/")[2]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.value.shape

    @property
    def size(self) -> int:
        """The number of scalars in the value."""
        return int(self.value.size)

    def assign(self, value: Any) -> None:
        """Copy `value` into the parameter, cast to its dtype.

        Raises:
            ValueError: if the shape differs, or the numbers are not real.
        """
        array = np.asarray(value)
        if array.shape != self.value.shape:
            raise ValueError(f"{self.name}: expected shape {self.value.shape}, got {array.shape}")
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{self.name}: expected real numbers, got dtype {array.dtype}")
        self.value[...] = array
        _packed.forget()

    def __repr__(self) -> str:
        return f"<Parameter {self.name} shape={self.value.shape} dtype={self.value.dtype.name}>"
