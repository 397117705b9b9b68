"""A recurrent layer run over the sequence in both directions (Schuster & Paliwal 1997)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import _packed, _threads
from ..._core import StackCache
from ..._registry import choice_error, serialize
from ..._typing import Array, Config
from ...functional._states import join_states, split_states
from ...functional.stack import MergeName, stack_backward, stack_forward
from ...parameters import Parameter
from ..base import Layer, Shape, layer_from_config, register_layer
from .base import Recurrent, States, zero_rows
from .masking import check_mask

__all__ = ["Bidirectional"]

_MERGE_MODES: tuple[MergeName, ...] = ("concat", "sum", "mul", "ave")
Pair = tuple[Array, Array]


class _Cache(NamedTuple):
    """What `backward` needs: the outputs where they are merged here, and of a native call also its own."""

    outputs: Pair | None
    native: StackCache | None
    zero_rows: tuple[Array | None, Array | None] = (None, None)  # rows whose last output is zero
    batch: int = 0  # rows of the native call


@register_layer
class Bidirectional(Layer):
    """Run `layer` forward and a twin of it backward, and merge their outputs.

    With `return_sequences` both outputs are in the order of time; without it the last output of either direction is
    taken, the backward one being that at the sequence's first step. `zero_output_for_mask` of both layers is set to
    `return_sequences`, as Keras does: the output of a masked step is zero, the last output that of the last valid step.

    Layers of one class and width run in one native call (`fastrnn.stack_forward`), side by side when there are threads
    for it and few rows, unless training draws masks, which either layer draws for itself.

    Args:
        layer: a recurrent layer. It runs forward; its config, turned round, makes the other one.
        merge_mode: "concat" (outputs side by side, 2P wide), "sum", "mul", "ave", or None for the pair of both, which
            only a direct call can return.
        backward_layer: a layer of your own for the other direction, with `go_backwards=True`.
        kwargs: name, trainable, dtype and input_shape, as every `Layer`.

    Example:
        >>> fastrnn.Bidirectional(fastrnn.LSTM(4))(np.ones((2, 5, 3), np.float32)).shape
        (2, 8)
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
            raise choice_error("merge_mode", (*_MERGE_MODES, "None"), merge_mode)
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
        for each in (layer, backward_layer):
            each.zero_output_for_mask = layer.return_sequences
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

    def _run(
        self, x: Array, mask: Array | None, training: bool, states: States | None, resets: Array | None = None
    ) -> tuple[Array | Pair, States]:
        """The merged output (both, for merge_mode None) and the final states."""
        count = self.forward_layer.state_count
        first, second = (None, None) if states is None else (states[:count], states[count:])
        if self._is_stack(training):
            return self._run_stack(x, mask, training, first, second, resets)
        ya, last_a = self.forward_layer.run(x, mask, training, first, resets)
        yb, last_b = self.backward_layer.run(x, mask, training, second, resets)
        self._cache = _Cache((ya, yb), None) if training else None
        return self._merge(ya, yb), last_a + last_b

    def _is_stack(self, training: bool) -> bool:
        """Whether one native call computes both layers."""
        a, b = self.forward_layer, self.backward_layer
        return (
            type(a) is type(b)
            and type(a).run is Recurrent.run
            and not a.go_backwards
            and (a.units, a.output_units) == (b.units, b.output_units)
            and a.zero_output_for_mask == b.zero_output_for_mask
            and not (training and (a.draws or b.draws))
            and a.run_options(training) == b.run_options(training)
        )

    def _run_stack(
        self,
        x: Array,
        mask: Array | None,
        training: bool,
        first: States | None,
        second: States | None,
        resets: Array | None,
    ) -> tuple[Array | Pair, States]:
        layers = (self.forward_layer, self.backward_layer)
        starts = [layer.first_states(len(x), s) for layer, s in zip(layers, (first, second), strict=True)]
        plans = [layer.plan_mask(mask) for layer in layers]
        forward: Any = stack_forward
        y, h_n, c_n, *cache = forward(
            x,
            [tuple(layer.pack() if training else _packed.packed(layer, layer.pack) for layer in layers)],
            *_stack_states(starts, self.forward_layer.state_shapes(len(x)), x.dtype),
            merge=self.merge_mode if self.return_sequences and self.merge_mode is not None else "concat",
            batch_first=True,
            training=training,
            reset_mask=resets,
            threads=_threads.wanted(),
            **plans[0].options,  # a run has one set of options: those of both layers are equal
            **self.forward_layer.run_options(training),
        )
        last = [(h, *(state[0] for state in others)) for h, others in zip(h_n, split_states(c_n, 2), strict=True)]
        for layer, states in zip(layers, last, strict=True):
            if layer.stateful:
                layer.states = states
        zeroed = (plans[0].zero_rows, plans[1].zero_rows)
        outputs = None
        if not self.return_sequences:
            outputs = (zero_rows(h_n[0], zeroed[0]), zero_rows(h_n[1], zeroed[1]))
            y = self._merge(*outputs)
        elif self.merge_mode is None:
            y = (y[..., : h_n.shape[-1]], y[..., h_n.shape[-1] :])
        self._cache = _Cache(outputs, cache[0], zeroed, len(x)) if training else None
        return y, last[0] + last[1]

    def _merge(self, ya: Array, yb: Array) -> Array | Pair:
        if self.merge_mode == "concat":
            return np.concatenate([ya, yb], axis=-1)
        if self.merge_mode == "mul":
            return ya * yb
        if self.merge_mode == "sum":
            return ya + yb
        if self.merge_mode == "ave":
            mean: Array = (ya + yb) * ya.dtype.type(0.5)
            return mean
        return ya, yb

    def __call__(
        self, x: Any, mask: Any = None, training: bool = False, initial_state: Any = None, reset_mask: Any = None
    ) -> Any:
        """Run both directions on x (B, T, I).

        `initial_state` is the forward layer's states, then the backward layer's; `reset_mask` is that of the layers.
        Returns the merged output, or a tuple of it (of both outputs, when merge_mode is None) and the final states in
        that order with `return_state`.
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
        resets = check_mask(reset_mask, array, "reset_mask")
        y, last = self._run(array, check_mask(mask, array), training, states, resets)
        outputs = y if isinstance(y, tuple) else (y,)
        return (*outputs, *last) if self.return_state else y

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The merged output alone."""
        y, _ = self._run(x, mask, training, None)
        if isinstance(y, tuple):
            raise ValueError("merge_mode: None gives two outputs, which only a direct call layer(x) can return")
        return y

    def backward(self, dy: Any, dstates: Sequence[Array | None] | None = None) -> Array:
        """Store the gradients and return that of x; `initial_state_gradients` holds those of the states.

        Args:
            dy: gradient of the output, in its shape; with merge_mode None the pair of gradients.
            dstates: gradients of the returned final states, the forward layer's first, each in its shape or None.
        """
        dx = self._backward(dy, dstates)
        assert dx is not None
        return dx

    def backward_weights(self, dy: Any) -> None:
        """See `Layer.backward_weights`."""
        self._backward(dy, need_dx=False)

    def _backward(self, dy: Any, dstates: Sequence[Array | None] | None = None, need_dx: bool = True) -> Array | None:
        cache: _Cache = self._take_cache()
        count = self.forward_layer.state_count
        final = (None, None) if dstates is None else (dstates[:count], dstates[count:])
        if cache.native is None:
            da, db = self._split(dy, cache.outputs)
            dx = self.forward_layer.run_backward(da, final[0], need_dx)
            other = self.backward_layer.run_backward(db, final[1], need_dx)
            if need_dx:
                dx += other
            return dx
        shapes = self.forward_layer.state_shapes(cache.batch)
        dh, dc = _stack_states(final, shapes, self.dtype)
        if cache.outputs is not None:
            last = np.stack(list(map(zero_rows, self._split(dy, cache.outputs), cache.zero_rows)))
            dh = last if dh is None else last + dh
            dy = None
        elif self.merge_mode is None:
            dy = np.concatenate(dy, axis=-1)
        grads = stack_backward(dy, cache.native, dh, dc, need_dx=need_dx, threads=_threads.wanted())
        layers = (self.forward_layer, self.backward_layer)
        for layer, found, dh0, others in zip(layers, grads.layers[0], grads.h0, split_states(grads.c0, 2), strict=True):
            layer.take_gradients(found, (dh0, *(state[0] for state in others)))
        return grads.x

    @property
    def initial_state_gradients(self) -> States | None:
        """Those of the last `backward`: the forward layer's, then the backward layer's; None before it."""
        first, second = self.forward_layer.initial_state_gradients, self.backward_layer.initial_state_gradients
        return None if first is None or second is None else first + second

    def _split(self, dy: Any, outputs: Pair | None) -> Pair:
        """The gradients of both outputs from that of the merged one."""
        if self.merge_mode is None:
            return dy[0], dy[1]
        assert outputs is not None
        ya, yb = outputs
        if self.merge_mode == "concat":
            return dy[..., : ya.shape[-1]], dy[..., ya.shape[-1] :]
        if self.merge_mode == "mul":
            return dy * yb, dy * ya
        half = dy if self.merge_mode == "sum" else dy * dy.dtype.type(0.5)
        return half, half

    def get_training_state(self) -> dict[str, Any]:
        """Those of both layers."""
        return {
            "forward": self.forward_layer.get_training_state(),
            "backward": self.backward_layer.get_training_state(),
        }

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Those of both layers."""
        self.forward_layer.set_training_state(state["forward"])
        self.backward_layer.set_training_state(state["backward"])

    def get_config(self) -> Config:
        """The constructor's arguments, the layers as their configs."""
        settings = {**super().get_config(), "layer": serialize(self.forward_layer)}
        if not self._own_backward:
            del settings["backward_layer"]
        return settings

    @classmethod
    def from_config(cls, settings: Config) -> Bidirectional:
        """See `Layer.from_config`."""
        settings = dict(settings)
        for key in ("layer", "backward_layer"):
            if settings.get(key) is not None:
                settings[key] = layer_from_config(settings[key])
        return cls(**settings)


def _stack_states(
    states: Sequence[Sequence[Array | None] | None], shapes: Sequence[tuple[int, int]], dtype: Any
) -> tuple[Array | None, Array | None]:
    """The states of both directions, or gradients of them, as those of a stack; None where there are none.

    None for a state is zeros, and for a direction zeros for all of its states.
    """
    if all(one is None for one in states):
        return None, None
    zeros = [np.zeros(shape, dtype) for shape in shapes]
    full = [
        [zero if state is None else state for state, zero in zip(one or (None,) * len(zeros), zeros, strict=True)]
        for one in states
    ]
    return np.stack([h for h, *_ in full]), join_states([state[np.newaxis] for _, *rest in full for state in rest])
