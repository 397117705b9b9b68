"""The layers around the recurrent ones, with Keras' names, arguments and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .. import _packed, activations
from .._core import matmul, pack_matrix
from .._typing import Array, Config
from ..initializers import get as get_initializer
from ..parameters import Parameter
from .base import Layer, Shape, check_flag, check_rate, check_shape, check_size, register_layer
from .draws import StepSeeds, kept_elements
from .recurrent.base import Init

__all__ = ["Activated", "Activation", "Dense", "Dropout", "Flatten", "Input"]


@register_layer
class Input(Layer):
    """The shape of one example, as the first entry of a `Sequential`; computes nothing and is not listed in `layers`.

    Args:
        shape: without the batch axis, None where it varies: `Input((None, 40))` for sequences of any length.
        batch_size: the size of every batch, or None.
        dtype, name: as for every layer.
        batch_shape: with the batch axis, in place of shape and batch_size.

    Example:
        >>> fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)]).input_shape
        (None, None, 3)
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        name: str | None = None,
        *,
        batch_shape: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if (shape is None) == (batch_shape is None):
            raise ValueError(f"shape: expected either shape or batch_shape, got {shape} and {batch_shape}")
        if batch_shape is not None:
            if batch_size is not None:
                raise ValueError(f"batch_size: expected None beside batch_shape, got {batch_size}")
            batch_size, *shape = check_shape(batch_shape, "batch_shape")
        size = None if batch_size is None else check_size(batch_size, "batch_size")
        self.batch_input_shape = (size, *check_shape(shape, "shape"))

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """Return x itself."""
        return x

    def backward(self, dy: Array) -> Array | None:
        """Return dy itself."""
        return dy

    def get_config(self) -> Config:
        """The constructor's arguments."""
        batch_size, *shape = self.batch_input_shape or (None,)
        return {"shape": shape, "batch_size": batch_size, "dtype": self.dtype, "name": self.name}


class Activated(Layer):
    """A layer which ends in an activation: y = f(z)."""

    activation: activations.Activation

    @property
    def output_activation(self) -> str | None:
        """The activation's name."""
        return self.activation.name

    def backward(self, dy: Array) -> Array | None:
        """Store the weights' gradients and return that of x."""
        return self.backward_logits(self._before_activation(dy))

    def _before_activation(self, dy: Array) -> Array:
        """The gradient of what enters the activation."""
        if self._cache is not None and self.activation is not activations.linear:
            return self.activation.gradient(self._cache[-1], dy)
        return dy

    def get_config(self) -> Config:
        """The constructor's arguments, the activation by its name."""
        return {**super().get_config(), "activation": self.activation.name}


@register_layer
class Dense(Activated):
    """Apply y = f(x W + b) to the last axis; x (B, I) or (B, ..., I).

    Args:
        units: size of the output's last axis.
        activation: a name or object of `fastrnn.activations`; None is linear.
        use_bias, kernel_initializer, bias_initializer: W (I, units) and b (units,), stored as Keras stores them.
        kernel_regularizer, bias_regularizer: penalties of W and b, names or objects of `fastrnn.regularizers`.
        kwargs: name, trainable, dtype and input_shape, as every `Layer`.

    Example:
        >>> fastrnn.Dense(4, activation="softmax")(np.ones((2, 3), np.float32)).shape
        (2, 4)
    """

    regularized: ClassVar[dict[str, tuple[str, ...]]] = {
        "kernel_regularizer": ("kernel",),
        "bias_regularizer": ("bias",),
    }

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        bias_initializer: Init = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_size(units, "units")
        self.activation = activations.get(activation)
        self.use_bias = check_flag(use_bias, "use_bias")
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel: Parameter
        self.bias: Parameter | None = None

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (..., I)."""
        features = input_shape[-1]
        if len(input_shape) < 2 or features is None:
            raise ValueError(f"input_shape: expected (B, ..., I) with a known I for {self.name}, got {input_shape}")
        self.kernel = self.add_weight("kernel", (features, self.units), self.kernel_initializer)
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.units,), self.bias_initializer)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with `units` for the last axis."""
        return (*input_shape[:-1], self.units)

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """f(x W + b)."""
        rows = x.reshape(-1, x.shape[-1])  # one matrix product however many axes
        kernel = self.kernel.value
        z = matmul(rows, kernel) if training else matmul(rows, _packed.packed(self, lambda: pack_matrix(kernel)))
        if self.bias is not None:
            z += self.bias.value
        y = z if self.activation is activations.linear else self.activation(z)
        y = y.reshape(*x.shape[:-1], self.units)
        self._cache = (rows, y) if training else None
        return y

    def backward_logits(self, dz: Array) -> Array:
        """See `Layer.backward_logits`."""
        dx: Array = matmul(self._store_gradients(dz), self.kernel.value.T)
        return dx.reshape(*dz.shape[:-1], dx.shape[1])

    def backward_weights(self, dy: Array) -> None:
        """See `Layer.backward_weights`."""
        self._store_gradients(self._before_activation(dy))

    def _store_gradients(self, dz: Array) -> Array:
        """Store the gradients of the weights; return dz as rows (N, units)."""
        rows, _ = self._take_cache()
        flat = dz.reshape(-1, self.units)
        self.kernel.grad = matmul(rows.T, flat)
        if self.bias is not None:
            self.bias.grad = flat.sum(axis=0)
        return flat


@register_layer
class Activation(Activated):
    """Apply y = f(x), elementwise or (softmax) over the last axis.

    Args:
        activation: a name or an object of `fastrnn.activations`.
        kwargs: name, trainable, dtype and input_shape, as every `Layer`.

    Example:
        >>> fastrnn.Activation("relu")(np.array([[-1.0, 2.0]], np.float32)).tolist()
        [[0.0, 2.0]]
    """

    only_hands_on = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """f(x)."""
        y = self.activation(x)
        self._cache = (y,) if training else None
        return y

    def backward_logits(self, dz: Array) -> Array:
        """See `Layer.backward_logits`."""
        self._take_cache()
        return dz


@register_layer
class Dropout(Layer):
    """In training, zero a fraction of the inputs and scale the others by 1/(1-rate) (Srivastava et al. 2014).

    Args:
        rate: the fraction, in [0, 1).
        noise_shape: shape of the drawn mask, None where an axis is the input's; (None, 1, None) drops the same
            features at every step.
        seed: of the draws; None follows `set_random_seed`. What is dropped is a function of it, of the number of the
            training step and of the element's place.
        kwargs: name, trainable, dtype and input_shape, as every `Layer`.

    Example:
        >>> fastrnn.Dropout(0.5)(np.ones((1, 3), np.float32)).tolist()  # nothing outside of training
        [[1.0, 1.0, 1.0]]
    """

    only_hands_on = True

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = check_rate(rate, "rate")
        self.noise_shape = None if noise_shape is None else check_shape(noise_shape, "noise_shape")
        self.seed = seed
        self._seeds = StepSeeds(seed) if self.rate else None

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """x itself in inference."""
        self._cache = None
        if not training:
            return x
        if self._seeds is None:
            self._cache = (None,)
            return x
        shape = x.shape
        if self.noise_shape is not None:
            if len(self.noise_shape) != x.ndim:
                raise ValueError(f"noise_shape: expected {x.ndim} axes, got {self.noise_shape}")
            shape = tuple(size if n is None else n for n, size in zip(self.noise_shape, x.shape, strict=True))
        scale = kept_elements(self._seeds.next(), shape, self.rate).astype(x.dtype)
        scale /= x.dtype.type(1.0 - self.rate)
        self._cache = (scale,)
        y: Array = x * scale
        return y

    def backward(self, dy: Array) -> Array:
        """dy where the inputs were kept, scaled as they were."""
        (scale,) = self._take_cache()
        return dy if scale is None else dy * scale

    def get_training_state(self) -> dict[str, Any]:
        """The seed and the number of the step."""
        return {} if self._seeds is None else self._seeds.get_state()

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Draw on from there."""
        if self._seeds is not None:
            self._seeds.set_state(state)


@register_layer
class Flatten(Layer):
    """(B, ...) to (B, product of the rest).

    Args:
        name, trainable, dtype, input_shape: as every `Layer`.
        unknown: refused by name.

    Example:
        >>> fastrnn.Flatten()(np.ones((2, 5, 3), np.float32)).shape
        (2, 15)
    """

    only_hands_on = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, N); N is None when an axis is unknown."""
        rest = input_shape[1:]
        known = [size for size in rest if size is not None]
        return (input_shape[0], int(np.prod(known, dtype=np.int64)) if len(known) == len(rest) else None)

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """None: the axis the mask belongs to goes, or is a new one."""
        return None

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """A view where NumPy can give one."""
        self._cache = (x.shape,) if training else None
        return x.reshape(x.shape[0], int(np.prod(x.shape[1:], dtype=np.int64)))

    def backward(self, dy: Array) -> Array:
        """dy in the shape of x."""
        shape: tuple[int, ...]
        (shape,) = self._take_cache()
        return dy.reshape(shape)
