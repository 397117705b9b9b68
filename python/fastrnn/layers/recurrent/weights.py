"""The weights of a recurrent layer, and the two ways they are laid out.

Parameters are held as the functions take them: w_ih (G*H, I), w_hh (G*H, P), b_ih and b_hh (G*H,). Keras has kernel
(I, G*H), recurrent_kernel (P, G*H) and bias; `get_weights` and `set_weights` use that layout. Weights that Keras does
not have follow, as the functions take them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..._typing import Array
from ...initializers import Initializer, Zeros
from ...parameters import Parameter
from ..base import Layer, Shape

__all__ = ["RecurrentWeights", "join_biases"]


def join_biases(weights: Mapping[str, Array], known: Container[str]) -> dict[str, Array]:
    """Return the weights with each b_hh that is not `known` added to its b_ih: most cells only ever add the two up."""
    joined = dict(weights)
    for name in weights:
        first = name.replace("b_hh", "b_ih")
        if name.endswith("b_hh") and name not in known and first in known:
            second = joined.pop(name)
            joined[first] = joined[first] + second if first in joined else second
    return joined


class RecurrentWeights(Layer):
    """A layer with the weights of a cell. A subclass sets the attributes below before it is built."""

    input_ndim = 3
    regularized: ClassVar[dict[str, tuple[str, ...]]] = {
        "kernel_regularizer": ("w_ih",),
        "recurrent_regularizer": ("w_hh",),
        "bias_regularizer": ("b_ih", "b_hh"),
    }
    gates: ClassVar[int]
    gate_order: ClassVar[tuple[int, ...]]  # canonical gate g is Keras' gate gate_order[g]; must be its own inverse
    units: int
    use_bias: bool
    kernel_initializer: Initializer
    recurrent_initializer: Initializer
    bias_initializer: Initializer

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.w_ih: Parameter
        self.w_hh: Parameter
        self.b_ih: Parameter | None = None
        self.b_hh: Parameter | None = None
        self._native: dict[str, Parameter] = {}  # by the names of the functions' arguments
        self._initial: dict[str, Parameter] = {}  # learned states before the first step, by the same
        # For each array of get_weights: the weights that it is made of, and whether it is in Keras' form.
        self._keras: list[tuple[tuple[str, ...], bool]] = []

    @property
    def output_units(self) -> int:
        """P, the width of the output and of the state h: H, unless a projection makes it another."""
        return self.units

    @property
    def two_biases(self) -> bool:
        """Whether Keras' bias has shape (2, G*H): the recurrent one stands apart."""
        return False

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (B, T, I)."""
        self.check_input(input_shape)
        features = input_shape[-1]
        if features is None:
            raise ValueError(f"input_shape: expected a known last axis for layer {self.name}, got {input_shape}")
        width = self.gates * self.units
        self.w_ih = self._keras_weight("w_ih", (features, width), self.kernel_initializer)
        self.w_hh = self._recurrent_weight()
        if self.use_bias:
            if self.two_biases:
                # The initializer sees Keras' (2, G*H) for either half: a seeded one then gives the same as in Keras.
                shape, initializer = (2, width), self.bias_initializer
                self.b_ih = self._add("b_ih", shape, initializer, lambda w: self._to_canonical(w[0]))
                self.b_hh = self._add("b_hh", shape, initializer, lambda w: self._to_canonical(w[1]))
                self.b_hh.keras_variable = self.b_ih
                self._keras.append((("b_ih", "b_hh"), True))
            else:
                self.b_ih = self._keras_weight("b_ih", (width,), self.bias_initializer)
        super().build(input_shape)

    def _recurrent_weight(self) -> Parameter:
        shape = (self.output_units, self.gates * self.units)
        return self._keras_weight("w_hh", shape, self.recurrent_initializer)

    def _add(
        self, name: str, shape: tuple[int, ...], initializer: Initializer, convert: Callable[[Array], Array] | None
    ) -> Parameter:
        self._native[name] = self.add_weight(name, shape, initializer, convert)
        return self._native[name]

    def _keras_weight(self, name: str, shape: tuple[int, ...], initializer: Initializer) -> Parameter:
        """A weight which `get_weights` gives in Keras' layout."""
        self._keras.append(((name,), True))
        return self._add(name, shape, initializer, self._to_canonical)

    def _own_weight(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Initializer,
        convert: Callable[[Array], Array] | None = None,
    ) -> Parameter:
        """A weight which `get_weights` gives as it is."""
        self._keras.append(((name,), False))
        return self._add(name, shape, initializer, convert)

    def _state_weight(self, name: str, width: int) -> None:
        """A learned state before the first step, which starts at zero; `get_weights` gives it as it is."""
        self._keras.append(((name,), False))
        self._initial[name] = self.add_weight(name, (width,), Zeros())

    def _permute(self, keras: Array) -> Array:
        """Reorder the gates along the last axis, from Keras' order to the kernels' or back."""
        if self.gate_order == tuple(range(self.gates)):
            return keras
        blocks = keras.reshape(*keras.shape[:-1], self.gates, self.units)[..., self.gate_order, :]
        return blocks.reshape(keras.shape)

    def _to_canonical(self, keras: Array) -> Array:
        return np.ascontiguousarray(self._permute(keras).T)

    def get_weights(self) -> list[Array]:
        """Copies: kernel (I, G*H), recurrent_kernel (P, G*H) and bias ((G*H,), or (2, G*H) for a GRU with reset_after)
        in Keras' layout, then h0, c0, w_peep, w_hr, ln_ih, ln_hh, ln_c, what the layer has of them, as the functions
        take them.
        """
        result = []
        for names, keras in self._keras:
            values = [self._named(name).value for name in names]
            arrays = [self._permute(v.T).copy() if keras else v.copy() for v in values]
            result.append(arrays[0] if len(arrays) == 1 else np.stack(arrays))
        return result

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the weights from arrays as `get_weights` returns them, and a Keras layer's `get_weights()` too.

        Raises:
            ValueError: if the number of arrays or a shape differs, or the layer is not built.
        """
        for (names, keras), array in zip(self._keras, self.check_weights(weights), strict=True):
            for name, part in zip(names, [array] if len(names) == 1 else array, strict=True):
                self._named(name).assign(self._to_canonical(part) if keras else part)

    def _named(self, name: str) -> Parameter:
        return self._native[name] if name in self._native else self._initial[name]
