"""What SimpleRNN, LSTM and GRU share: arguments, masks, states, dropout, and the two ways weights are laid out.

Layout. Parameters are held as the kernels read them: w_ih (G*H, I), w_hh (G*H, H), b_ih and b_hh (G*H,). Keras has
kernel (I, G*H), recurrent_kernel (H, G*H) and bias; `get_weights` and `set_weights` speak Keras.

Masks. A masked step is skipped: the state passes it unchanged; see `_masking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from . import config
from ._masking import MaskPlan, check_mask, move_steps, plan_mask
from ._typing import Array, Config, Identifier
from .base_layer import Layer, Shape, check_rate, check_size
from .initializers import Initializer, serialize
from .initializers import get as get_initializer
from .parameters import Parameter

__all__ = ["Init", "Recurrent", "States"]

Init = Identifier | Initializer | type[Initializer]
States = tuple[Array, ...]


class _Cache(NamedTuple):
    native: Any
    plan: MaskPlan
    dropout: Array | None  # (B, 1, I), already divided by the keep probability
    time_steps: int


class Recurrent(Layer):
    """Base class of the recurrent layers; see `LSTM` for the arguments.

    A subclass gives the constants below, `_run_cell` and `_run_cell_backward`.
    """

    input_ndim = 3
    gates: ClassVar[int]
    state_count: ClassVar[int] = 1
    gate_order: ClassVar[tuple[int, ...]]  # canonical gate g is Keras' gate gate_order[g]; must be its own inverse

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool,
        kernel_initializer: Init,
        recurrent_initializer: Init,
        bias_initializer: Init,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        return_sequences: bool,
        return_state: bool,
        go_backwards: bool,
        stateful: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_size(units, "units")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.recurrent_initializer = get_initializer(recurrent_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.dropout = check_rate(dropout, "dropout")
        if check_rate(recurrent_dropout, "recurrent_dropout") != 0.0:
            raise ValueError(f"recurrent_dropout: expected 0, it is not supported yet, got {recurrent_dropout}")
        self.seed = seed
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.states: States | None = None
        self.initial_state_gradients: States | None = None
        self._dropout_rng = config.random_generator(seed) if self.dropout else None
        self.w_ih: Parameter
        self.w_hh: Parameter
        self.b_ih: Parameter | None = None
        self.b_hh: Parameter | None = None

    # -- weights ---------------------------------------------------------------------------------------------------

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
        self.w_ih = self.add_weight("w_ih", (features, width), self.kernel_initializer, self._to_canonical)
        self.w_hh = self.add_weight("w_hh", (self.units, width), self.recurrent_initializer, self._to_canonical)
        if self.use_bias:
            if self.two_biases:
                # The initializer sees Keras' (2, G*H) for either half: a seeded one then gives the same as in Keras.
                shape = (2, width)
                self.b_ih = self.add_weight("b_ih", shape, self.bias_initializer, lambda w: self._to_canonical(w[0]))
                self.b_hh = self.add_weight("b_hh", shape, self.bias_initializer, lambda w: self._to_canonical(w[1]))
            else:
                self.b_ih = self.add_weight("b_ih", (width,), self.bias_initializer, self._to_canonical)
        super().build(input_shape)

    def _permute(self, keras: Array) -> Array:
        """Reorder the gates along the last axis, from Keras' order to the kernels' or back."""
        if self.gate_order == tuple(range(self.gates)):
            return keras
        blocks = keras.reshape(*keras.shape[:-1], self.gates, self.units)[..., self.gate_order, :]
        return blocks.reshape(keras.shape)

    def _to_canonical(self, keras: Array) -> Array:
        return np.ascontiguousarray(self._permute(keras).T)

    def get_weights(self) -> list[Array]:
        """Copies in Keras' layout: kernel (I, G*H), recurrent_kernel (H, G*H), then what the layer has of bias
        ((G*H,), or (2, G*H) for a GRU with reset_after) and peephole weights ((3, H) or (3, H, H)).
        """
        if not self.built:
            return []
        weights = [self._permute(self.w_ih.value.T).copy(), self._permute(self.w_hh.value.T).copy()]
        if self.b_ih is not None:
            bias = self._permute(self.b_ih.value)
            weights.append(bias.copy() if self.b_hh is None else np.stack([bias, self._permute(self.b_hh.value)]))
        return weights

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the weights from arrays in Keras' layout, as a Keras layer's `get_weights()` returns them.

        Raises:
            ValueError: if the number of arrays or a shape differs, or the layer is not built.
        """
        arrays = self.check_weights(weights)
        self.w_ih.assign(self._to_canonical(arrays[0]))
        self.w_hh.assign(self._to_canonical(arrays[1]))
        if self.b_ih is not None:
            if self.b_hh is None:
                self.b_ih.assign(self._to_canonical(arrays[2]))
            else:
                self.b_ih.assign(self._to_canonical(arrays[2][0]))
                self.b_hh.assign(self._to_canonical(arrays[2][1]))

    # -- states ----------------------------------------------------------------------------------------------------

    def reset_states(self, states: Sequence[Any] | None = None) -> None:
        """Forget what a stateful layer carries from batch to batch, or set it to `states`, arrays (B, H)."""
        self.states = None
        if states is not None:
            arrays = tuple(self.cast(s, "states").copy() for s in states)
            if len(arrays) != self.state_count or any(a.ndim != 2 or a.shape != arrays[0].shape for a in arrays):
                raise ValueError(f"states: expected {self.state_count} arrays of shape (B, {self.units})")
            if arrays[0].shape[1] != self.units:
                raise ValueError(f"states: expected shape (B, {self.units}), got {arrays[0].shape}")
            self.states = arrays

    reset_state = reset_states

    def check_states(self, states: Any, batch: int) -> States:
        """Return `initial_state` as a tuple of arrays (B, H) of the layer's dtype."""
        if isinstance(states, np.ndarray) and states.ndim == 2:
            states = (states,)
        if len(states) != self.state_count:
            raise ValueError(f"initial_state: expected {self.state_count} arrays for {self.name}, got {len(states)}")
        arrays = tuple(self.cast(s, "initial_state") for s in states)
        for index, array in enumerate(arrays):
            if array.shape != (batch, self.units):
                raise ValueError(f"initial_state[{index}]: expected shape {(batch, self.units)}, got {array.shape}")
        return arrays

    # -- computing -------------------------------------------------------------------------------------------------

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, H) with `return_sequences`, else (B, H)."""
        batch, steps, _ = input_shape
        return (batch, steps, self.units) if self.return_sequences else (batch, self.units)

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """The mask of the input, reversed with the output when `go_backwards`; None without `return_sequences`."""
        if mask is None or not self.return_sequences:
            return None
        return mask[:, ::-1] if self.go_backwards else mask

    def __call__(self, x: Any, mask: Any = None, training: bool = False, initial_state: Any = None) -> Any:
        """Run the layer on x (B, T, I).

        Args:
            x: sequences.
            mask: booleans (B, T), False where a step is to be skipped.
            training: apply dropout and keep what `backward` needs.
            initial_state: h, or (h, c) for the LSTM, each (B, H); zeros (or the carried state) when None.

        Returns:
            y: (B, T, H) with `return_sequences`, else the last output (B, H). With `return_state` a tuple (y, h) or
            (y, h, c).
        """
        array = self.cast(x)
        self.ensure_built(array.shape)
        states = None if initial_state is None else self.check_states(initial_state, array.shape[0])
        sequence, last = self.run(array, check_mask(mask, array), training, states)
        y = self._arrange(sequence, last)
        return (y, *last) if self.return_state else y

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The output alone, whatever `return_state` says."""
        return self._arrange(*self.run(x, mask, training, None))

    def _arrange(self, sequence: Array, last: States) -> Array:
        if not self.return_sequences:
            return last[0]
        return sequence[:, ::-1] if self.go_backwards else sequence

    def run(self, x: Array, mask: Array | None, training: bool, states: States | None) -> tuple[Array, States]:
        """Return the outputs (B, T, H), always in the order of time, and the final states, each (B, H)."""
        if states is None and self.stateful and self.states is not None:
            states = self.states
            if len(states[0]) != len(x):
                raise ValueError(
                    f"x: expected a batch of {len(states[0])} for the stateful layer {self.name}, got {len(x)}; "
                    "reset_states() forgets the sequences before"
                )
        dropout = None
        if training and self._dropout_rng is not None:
            kept = self._dropout_rng.random((x.shape[0], 1, x.shape[2]), dtype=np.float32) >= self.dropout
            dropout = kept.astype(x.dtype) / x.dtype.type(1.0 - self.dropout)  # one mask for all steps, as Keras
            x = x * dropout
        plan = plan_mask(mask)
        y, last, native = self._run_cell(move_steps(x, plan.order), states, plan.lengths, training)
        self._cache = _Cache(native, plan, dropout, x.shape[1]) if training else None
        if self.stateful:
            self.states = last
        return move_steps(y, plan.inverse), last

    def backward(self, dy: Array | None, dstates: Sequence[Array | None] | None = None) -> Array:
        """Store the gradients and return that of x (B, T, I); `initial_state_gradients` holds those of the states.

        Args:
            dy: gradient of the output, in its shape; None is zero.
            dstates: gradients of the returned final states, each (B, H) or None.
        """
        if self.return_sequences:
            sequence = dy[:, ::-1] if self.go_backwards and dy is not None else dy
            return self.run_backward(sequence, dstates)
        final: list[Array | None] = list(dstates) if dstates is not None else [None] * self.state_count
        if dy is not None:
            final[0] = dy if final[0] is None else final[0] + dy
        return self.run_backward(None, final)

    def run_backward(self, dy: Array | None, dstates: Sequence[Array | None] | None) -> Array:
        """The backward pass of `run`: dy (B, T, H) in the order of time."""
        cache: _Cache = self._take_cache()
        if dy is not None:
            dy = np.ascontiguousarray(move_steps(dy, cache.plan.order))
        final = [None if d is None else np.ascontiguousarray(d)[np.newaxis] for d in dstates or ()]
        grads = self._run_cell_backward(dy, cache.native, final)
        self.w_ih.grad, self.w_hh.grad = grads.w_ih, grads.w_hh
        if self.b_ih is not None:
            self.b_ih.grad = grads.b_ih
        if self.b_hh is not None:
            self.b_hh.grad = grads.b_hh
        dx: Array = move_steps(grads.x, cache.plan.inverse)
        return dx if cache.dropout is None else dx * cache.dropout

    def _run_cell(
        self, x: Array, states: States | None, lengths: Array | None, training: bool
    ) -> tuple[Array, States, Any]:
        """Return y (B, T, H), the final states (B, H) each, and the kernels' cache (None unless training)."""
        raise NotImplementedError

    def _run_cell_backward(self, dy: Array | None, cache: Any, dstates: list[Array | None]) -> Any:
        """Return the kernels' gradients, and set `initial_state_gradients`."""
        raise NotImplementedError

    def _arguments(self) -> tuple[Array, Array, Array | None, Array | None]:
        b_ih = None if self.b_ih is None else self.b_ih.value
        return self.w_ih.value, self.w_hh.value, b_ih, None if self.b_hh is None else self.b_hh.value

    def get_config(self) -> Config:
        """The constructor's arguments."""
        settings = {
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": serialize(self.kernel_initializer),
            "recurrent_initializer": serialize(self.recurrent_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "dropout": self.dropout,
            "recurrent_dropout": 0.0,
            "seed": self.seed,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
        }
        return {**super().get_config(), **settings}
