"""Layers about the time axis: Embedding, Masking, RepeatVector and TimeDistributed, with Keras' names and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .._typing import Array, Config
from ..initializers import get as get_initializer
from ..parameters import Parameter
from .base import Layer, Shape, check_flag, check_size, layer_from_config, register_layer
from .recurrent.base import Init

__all__ = ["Embedding", "Masking", "RepeatVector", "TimeDistributed"]


@register_layer
class Embedding(Layer):
    """Row x[b, t] of a table for every integer of x (B, T); output (B, T, output_dim). Only as the first layer.

    Args:
        input_dim: number of rows; x must lie in 0..input_dim-1.
        output_dim: length of a row.
        embeddings_initializer: of the table (input_dim, output_dim).
        mask_zero: treat 0 as padding: the mask is x != 0.
        embeddings_regularizer: a penalty of the table, a name or an object of `fastrnn.regularizers`.
        kwargs: name, trainable, dtype and input_shape, as every `Layer`.

    Example:
        >>> fastrnn.Embedding(100, 8)(np.array([[1, 2, 3]])).shape
        (1, 3, 8)
    """

    regularized: ClassVar[dict[str, tuple[str, ...]]] = {"embeddings_regularizer": ("embeddings",)}

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Init = "uniform",
        mask_zero: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = check_size(input_dim, "input_dim")
        self.output_dim = check_size(output_dim, "output_dim")
        # Keras' name for its default, RandomUniform(-0.05, 0.05).
        self.embeddings_initializer = get_initializer(
            "random_uniform" if embeddings_initializer == "uniform" else embeddings_initializer
        )
        self.mask_zero = check_flag(mask_zero, "mask_zero")
        self.embeddings: Parameter

    def build(self, input_shape: Shape) -> None:
        """Create the table."""
        shape = (self.input_dim, self.output_dim)
        self.embeddings = self.add_weight("embeddings", shape, self.embeddings_initializer)
        super().build(input_shape)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """Any shape will do."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape and one axis more."""
        return (*input_shape, self.output_dim)

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """x != 0 with `mask_zero`, else None."""
        return np.asarray(x != 0) if self.mask_zero else None

    def cast(self, x: Any, argument: str = "x") -> Array:
        """Return `x` as integers in 0..input_dim-1; floats are accepted when they are whole.

        Raises:
            TypeError, ValueError: otherwise.
        """
        array = np.asarray(x)
        if array.dtype.kind == "f" and (array == np.floor(array)).all() and np.isfinite(array).all():
            array = array.astype(np.int64)
        if array.dtype.kind not in "iu":
            raise TypeError(f"{argument}: expected integers for layer {self.name}, got dtype {array.dtype}")
        if array.size and (array.min() < 0 or array.max() >= self.input_dim):
            bad = array.min() if array.min() < 0 else array.max()
            raise ValueError(f"{argument}: expected values in 0..{self.input_dim - 1} for {self.name}, got {bad}")
        return array

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The rows."""
        self._cache = (x,) if training else None
        return np.asarray(self.embeddings.value[x])

    def backward(self, dy: Array) -> None:
        """Sum dy by row. There is no gradient of integers: returns None."""
        (x,) = self._take_cache()
        grad = np.zeros_like(self.embeddings.value)
        indices = x.ravel()
        if indices.size:
            # Sorted, then added up row by row in a fixed order.
            order = np.argsort(indices, kind="stable")
            rows = indices[order]
            starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
            grad[rows[starts]] = np.add.reduceat(dy.reshape(-1, self.output_dim)[order], starts, axis=0)
        self.embeddings.grad = grad


@register_layer
class Masking(Layer):
    """Mask the steps of x (B, T, I) whose features all equal `mask_value`, and zero them.

    Args:
        mask_value: a step all of whose features are this is skipped.
        kwargs: name, trainable, dtype and input_shape, as every `Layer`.

    Example:
        >>> masking = fastrnn.Masking(0.0)
        >>> masking.compute_mask(np.array([[[1.0], [0.0]]], np.float32), None).tolist()
        [[True, False]]
    """

    only_hands_on = True

    input_ndim = 3

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = float(mask_value)

    def compute_mask(self, x: Array, mask: Array | None) -> Array:
        """True where any feature differs from `mask_value`."""
        return np.asarray((x != x.dtype.type(self.mask_value)).any(axis=-1))

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """x, with zeros at the masked steps."""
        keep = None if self.mask_value == 0.0 else self.compute_mask(x, None)[..., np.newaxis]
        self._cache = (keep,) if training else None
        return x if keep is None else x * keep

    def backward(self, dy: Array) -> Array:
        """dy, with zeros at the masked steps."""
        (keep,) = self._take_cache()
        return dy if keep is None else dy * keep


@register_layer
class RepeatVector(Layer):
    """(B, I) to (B, n, I): the input of a decoder that reads the same vector at every step.

    Args:
        n: how many steps the output has.
        kwargs: name, trainable, dtype and input_shape, as every `Layer`.

    Example:
        >>> fastrnn.RepeatVector(5)(np.ones((2, 3), np.float32)).shape
        (2, 5, 3)
    """

    input_ndim = 2

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = check_size(n, "n")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, n, I)."""
        return (input_shape[0], self.n, input_shape[1])

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """None: the axis the mask belongs to goes, or is a new one."""
        return None

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """x, n times over."""
        self._cache = True if training else None
        return np.repeat(x[:, np.newaxis], self.n, axis=1)

    def backward(self, dy: Array) -> Array:
        """The sum over the repetitions."""
        self._take_cache()
        return np.asarray(dy.sum(axis=1))


@register_layer
class TimeDistributed(Layer):
    """Apply `layer` to every step of x (B, T, ...): time becomes batch, and batch time again.

    The mask passes; the steps it covers are computed all the same and left out of the loss.

    Args:
        layer: which is applied to every step.
        kwargs: name, trainable, dtype and input_shape, as every `Layer`.

    Example:
        >>> fastrnn.TimeDistributed(fastrnn.Dense(4))(np.ones((2, 5, 3), np.float32)).shape
        (2, 5, 4)
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(layer, Layer):
            raise TypeError(f"layer: expected a layer, got {type(layer).__name__}")
        self.layer = layer
        if not self.trainable:
            layer.trainable = False

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change the weights; setting it reaches the inner layer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = check_flag(value, "trainable")
        self.layer.trainable = value

    def build(self, input_shape: Shape) -> None:
        """Build the inner layer for one step."""
        self.check_input(input_shape)
        if not self.layer.built:
            self.layer.build((None, *input_shape[2:]))
        super().build(input_shape)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """At least (B, T, I), and what the inner layer asks."""
        if len(shape) < 3:
            raise ValueError(f"x: expected shape (B, T, ...) for layer {self.name}, got {shape}")
        self.layer.check_input((None, *shape[2:]))

    def parameters(self) -> list[Parameter]:
        """Those of the inner layer."""
        return self.layer.parameters()

    def get_weights(self) -> list[Array]:
        """Those of the inner layer."""
        return self.layer.get_weights()

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Those of the inner layer."""
        self.layer.set_weights(weights)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, ...)."""
        return (*input_shape[:2], *self.layer.compute_output_shape((None, *input_shape[2:]))[1:])

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The inner layer on (B*T, ...)."""
        y = self.layer.forward(x.reshape(-1, *x.shape[2:]), None, training)
        self._cache = (x.shape,) if training else None
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def backward(self, dy: Array) -> Array | None:
        """That of the inner layer."""
        return self._unfold(self.layer.backward(dy.reshape(-1, *dy.shape[2:])))

    def backward_weights(self, dy: Array) -> None:
        """That of the inner layer."""
        self._take_cache()
        self.layer.backward_weights(dy.reshape(-1, *dy.shape[2:]))

    @property
    def output_activation(self) -> str | None:
        """That of the inner layer."""
        return self.layer.output_activation

    def backward_logits(self, dz: Array) -> Array | None:
        """That of the inner layer."""
        return self._unfold(self.layer.backward_logits(dz.reshape(-1, *dz.shape[2:])))

    def _unfold(self, dx: Array | None) -> Array | None:
        (shape,) = self._take_cache()
        return None if dx is None else dx.reshape(shape)

    def get_training_state(self) -> dict[str, Any]:
        """That of the inner layer."""
        return {"layer": self.layer.get_training_state()}

    def set_training_state(self, state: dict[str, Any]) -> None:
        """That of the inner layer."""
        self.layer.set_training_state(state["layer"])

    @classmethod
    def from_config(cls, settings: Config) -> TimeDistributed:
        """See `Layer.from_config`."""
        return cls(**{**settings, "layer": layer_from_config(settings.get("layer"))})
