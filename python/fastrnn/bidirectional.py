"""A recurrent layer run over the sequence in both directions (Schuster & Paliwal 1997)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._masking import check_mask
from ._registry import one_of, serialize
from ._typing import Array, Config
from .base_layer import Layer, Shape, layer_from_config, register_layer
from .parameters import Parameter
from .recurrent_base import Recurrent

__all__ = ["Bidirectional"]

_MERGE_MODES = ("concat", "sum", "mul", "ave")


@register_layer
class Bidirectional(Layer):
    """Run `layer` forward and a twin of it backward, and merge their outputs.

    With `return_sequences` both outputs are in the order of time; without it the last output of either direction is
    taken, the backward one being that at the sequence's first step.

    Args:
        layer: a recurrent layer. It runs forward; its config, turned round, makes the other one.
        merge_mode: "concat" (outputs side by side, 2P wide), "sum", "mul", "ave", or None for the pair of both, which
            only a direct call can return.
        backward_layer: a layer of your own for the other direction, with `go_backwards=True`.
    """

    input_ndim = 3

    def __init__(
        self,
        layer: Recurrent,
        merge_mode: str | None = "concat",
        backward_layer: Recurrent | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, Recurrent):
            raise TypeError(f"layer: expected a recurrent layer, got {type(layer).__name__}")
        if merge_mode is not None and merge_mode not in _MERGE_MODES:
            raise one_of("merge_mode", (*_MERGE_MODES, "None"), merge_mode)
        if kwargs.get("input_shape") is None and layer.batch_input_shape is not None:
            kwargs["input_shape"] = layer.batch_input_shape[1:]
        kwargs.setdefault("dtype", layer.dtype)
        super().__init__(**kwargs)
        self.merge_mode = merge_mode
        self._own_backward = backward_layer is not None
        if backward_layer is None:
            settings = layer.get_config()
            settings.update(name=f"backward_{layer.name}", go_backwards=not layer.go_backwards)
            backward_layer = type(layer).from_config(settings)
        if not isinstance(backward_layer, Recurrent):
            raise TypeError(f"backward_layer: expected a recurrent layer, got {type(backward_layer).__name__}")
        if layer.name == backward_layer.name:
            raise ValueError(f"backward_layer: expected another name than layer's, got {layer.name!r}")
        if layer.go_backwards == backward_layer.go_backwards:
            raise ValueError("backward_layer: expected the opposite go_backwards of layer")
        for name in ("return_sequences", "return_state", "stateful", "dtype"):
            if getattr(layer, name) != getattr(backward_layer, name):
                raise ValueError(f"backward_layer: expected the same {name} as layer, {getattr(layer, name)!r}")
        units, other = layer.output_units, backward_layer.output_units
        if merge_mode in ("sum", "mul", "ave") and units != other:
            raise ValueError(f"backward_layer: expected {units} units as layer, got {other}")
        self.forward_layer = layer
        self.backward_layer = backward_layer
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.stateful = layer.stateful

    def build(self, input_shape: Shape) -> None:
        """Build both layers."""
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(input_shape)
        super().build(input_shape)

    def parameters(self) -> list[Parameter]:
        """The forward layer's, then the backward layer's."""
        if not hasattr(self, "forward_layer"):
            return []
        return [*self.forward_layer.parameters(), *self.backward_layer.parameters()]

    def get_weights(self) -> list[Array]:
        """The forward layer's, then the backward layer's, in Keras' layout."""
        return [*self.forward_layer.get_weights(), *self.backward_layer.get_weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set both layers' weights from arrays as `get_weights` returns them; ValueError when they do not fit."""
        self.check_weights(weights)
        count = len(self.forward_layer.get_weights())
        self.forward_layer.set_weights(weights[:count])
        self.backward_layer.set_weights(weights[count:])

    def reset_states(self) -> None:
        """Forget what both layers carry."""
        self.forward_layer.reset_states()
        self.backward_layer.reset_states()

    reset_state = reset_states

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, 2P) with `return_sequences`, else (B, 2P); P wide unless "concat"."""
        shape = self.forward_layer.compute_output_shape(input_shape)
        if self.merge_mode != "concat":
            return shape
        return (*shape[:-1], self.forward_layer.output_units + self.backward_layer.output_units)

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """The input's mask with `return_sequences`, else None."""
        return mask if self.return_sequences else None

    def _run(self, x: Array, mask: Array | None, training: bool, states: Any) -> tuple[Array, Array, tuple[Array, ...]]:
        count = self.forward_layer.state_count
        first, second = (None, None) if states is None else (states[:count], states[count:])
        ya, last_a = self.forward_layer.run(x, mask, training, first)
        yb, last_b = self.backward_layer.run(x, mask, training, second)
        self._cache = (ya, yb) if training else None
        return ya, yb, last_a + last_b

    def _merge(self, ya: Array, yb: Array) -> Array:
        if self.merge_mode == "concat":
            return np.concatenate([ya, yb], axis=-1)
        if self.merge_mode == "mul":
            return ya * yb
        if self.merge_mode == "sum":
            return ya + yb
        if self.merge_mode == "ave":
            mean: Array = (ya + yb) * ya.dtype.type(0.5)
            return mean
        raise ValueError("merge_mode: None gives two outputs, which only a direct call layer(x) can return")

    def __call__(self, x: Any, mask: Any = None, training: bool = False, initial_state: Any = None) -> Any:
        """Run both directions on x (B, T, I).

        `initial_state` is the forward layer's states, then the backward layer's. Returns the merged output, or a
        tuple of it (of both outputs, when merge_mode is None) and the final states in that order with `return_state`.
        """
        array = self.cast(x)
        self.ensure_built(array.shape)
        states = None
        if initial_state is not None:
            count = self.forward_layer.state_count
            expected = count + self.backward_layer.state_count
            if len(initial_state) != expected:
                raise ValueError(f"initial_state: expected {expected} arrays, got {len(initial_state)}")
            states = (
                *self.forward_layer.check_states(initial_state[:count], len(array)),
                *self.backward_layer.check_states(initial_state[count:], len(array)),
            )
        ya, yb, last = self._run(array, check_mask(mask, array), training, states)
        if self.merge_mode is None:
            return (ya, yb, *last) if self.return_state else (ya, yb)
        y = self._merge(ya, yb)
        return (y, *last) if self.return_state else y

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The merged output alone."""
        ya, yb, _ = self._run(x, mask, training, None)
        return self._merge(ya, yb)

    def backward(self, dy: Any) -> Array:
        """Store the gradients and return that of x. With merge_mode None, dy is the pair of gradients."""
        ya, yb = self._take_cache()
        if self.merge_mode is None:
            da, db = dy
        elif self.merge_mode == "concat":
            da, db = dy[..., : ya.shape[-1]], dy[..., ya.shape[-1] :]
        elif self.merge_mode == "mul":
            da, db = dy * yb, dy * ya
        else:
            da = db = dy if self.merge_mode == "sum" else dy * dy.dtype.type(0.5)
        dx = self.forward_layer.run_backward(da)
        dx += self.backward_layer.run_backward(db)
        return dx

    def get_config(self) -> Config:
        """The constructor's arguments, the layers as their configs."""
        settings: Config = {"layer": serialize(self.forward_layer), "merge_mode": self.merge_mode}
        if self._own_backward:
            settings["backward_layer"] = serialize(self.backward_layer)
        return {**super().get_config(), **settings}

    @classmethod
    def from_config(cls, settings: Config) -> Bidirectional:
        """See `Layer.from_config`."""
        settings = dict(settings)
        for key in ("layer", "backward_layer"):
            if settings.get(key) is not None:
                settings[key] = layer_from_config(settings[key])
        return cls(**settings)
