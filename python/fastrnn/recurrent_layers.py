"""SimpleRNN, LSTM and GRU with Keras' arguments, defaults, shapes and weight layout, over the native kernels.

What differs from Keras:

* With `return_sequences`, the output at a masked step is zero, where Keras repeats the output before it (Keras does
  the same as here under `zero_output_for_mask=True`). The loss does not see those steps in either case.
* A row whose mask is False throughout ends in its initial state.
* `go_backwards` with `return_sequences` hands on the mask reversed, as the output is; Keras leaves it as it was.
* `recurrent_dropout`, regularizers and constraints do not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from . import functional
from ._registry import one_of
from ._typing import Array, Config
from .base_layer import Shape, register_layer
from .bidirectional import Bidirectional
from .initializers import get as get_initializer
from .initializers import serialize
from .parameters import Parameter
from .recurrent_base import Init, Recurrent, States

__all__ = ["GRU", "LSTM", "Bidirectional", "SimpleRNN"]

_RNN_ACTIVATIONS: dict[str, Literal["tanh", "relu", "sigmoid", "identity"]] = {
    "tanh": "tanh",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "linear": "identity",
}


def _name(activation: object) -> object:
    """The name of an activation given as a name, as None ("linear") or as an object of `fastrnn.activations`."""
    if activation is None:
        return "linear"
    name: object = getattr(activation, "name", None)
    return activation if name is None else name


def _only(activation: object, wanted: str, argument: str) -> str:
    if _name(activation) != wanted:
        raise ValueError(f"{argument}: expected {wanted!r}, the one the kernels compute, got {_name(activation)!r}")
    return wanted


@register_layer
class SimpleRNN(Recurrent):
    """Elman network: h' = f(W x + b + R h). Arguments as `LSTM`, but for one:

    Args:
        activation: "tanh", "relu", "sigmoid" or "linear".
    """

    gates = 1
    gate_order = (0,)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        recurrent_initializer: Init = "orthogonal",
        bias_initializer: Init = "zeros",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            seed=seed,
            **kwargs,
        )
        name = _name(activation)
        if not isinstance(name, str) or name not in _RNN_ACTIVATIONS:
            raise one_of("activation", _RNN_ACTIVATIONS, name)
        self.activation = name

    def _run_cell(
        self, x: Array, states: States | None, lengths: Array | None, training: bool
    ) -> tuple[Array, States, Any]:
        result = functional.rnn_forward(
            x,
            *self._arguments(),
            None if states is None else states[0][np.newaxis],
            activation=_RNN_ACTIVATIONS[self.activation],
            lengths=lengths,
            reverse=self.go_backwards,
            batch_first=True,
            training=training,
        )
        return result[0], (result[1][0],), result[2] if training else None

    def _run_cell_backward(self, dy: Array | None, cache: Any, dstates: list[Array | None]) -> Any:
        grads = functional.rnn_backward(dy, cache, *dstates)
        self.initial_state_gradients = (grads.h0[0],)
        return grads

    def get_config(self) -> Config:
        """The constructor's arguments."""
        return {**super().get_config(), "activation": self.activation}


@register_layer
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Input (B, T, I); output (B, H), or (B, T, H) with `return_sequences`. The equations stand in
    `fastrnn.lstm_forward`.

    Args:
        units: H.
        activation, recurrent_activation: "tanh" and "sigmoid", which the kernels have built in; others are refused.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: names, configs or objects of
            `fastrnn.initializers`; they see the Keras shapes (I, 4H), (H, 4H) and (4H,).
        unit_forget_bias: start the bias of the forget gate at 1 (Jozefowicz et al. 2015).
        dropout: fraction of the inputs zeroed in training, the same ones at every step.
        recurrent_dropout: must be 0.
        return_sequences: give the output of every step; with `go_backwards` in reversed order, as Keras does.
        return_state: `layer(x)` gives (y, h, c).
        go_backwards: read the sequence from its end; a masked one from its last valid step.
        stateful: begin each batch where the one before ended, until `reset_states()`.
        seed: of the dropout.
        peephole: None, "diagonal" or "full": the gates also see the cell state through (3, H) or (3, H, H) weights
            (Gers & Schmidhuber 2000), in the order i, f, o, last in `get_weights()`.
        peephole_output: "current", the output gate sees the new cell state, or "previous".
        peephole_initializer: as the others; sees (3H,) or (H, 3H).
        coupled: f = 1 - i. The forget gate's weights remain, unused.
        name, trainable, dtype, input_shape: as every layer.

    Raises:
        ValueError: for a value that is not supported, naming the argument.
        TypeError: for a value of the wrong type.
    """

    gates = 4
    state_count = 2
    gate_order = (0, 1, 2, 3)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        recurrent_initializer: Init = "orthogonal",
        bias_initializer: Init = "zeros",
        unit_forget_bias: bool = True,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        peephole: Literal["diagonal", "full"] | None = None,
        peephole_output: Literal["current", "previous"] = "current",
        peephole_initializer: Init = "glorot_uniform",
        coupled: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            seed=seed,
            **kwargs,
        )
        self.activation = _only(activation, "tanh", "activation")
        self.recurrent_activation = _only(recurrent_activation, "sigmoid", "recurrent_activation")
        self.unit_forget_bias = bool(unit_forget_bias)
        if peephole not in (None, "diagonal", "full"):
            raise ValueError(f"peephole: expected None, 'diagonal' or 'full', got {peephole!r}")
        if peephole_output not in ("current", "previous"):
            raise one_of("peephole_output", ("current", "previous"), peephole_output)
        self.peephole = peephole
        self.peephole_output = peephole_output
        self.peephole_initializer = get_initializer(peephole_initializer)
        self.coupled = bool(coupled)
        self.w_peep: Parameter | None = None

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (B, T, I)."""
        super().build(input_shape)
        units = self.units
        if self.b_ih is not None and self.unit_forget_bias:
            self.b_ih.value[units : 2 * units] = 1.0
        # One draw of the three side by side: separate draws of a seeded initializer would be equal.
        if self.peephole == "diagonal":
            self.w_peep = self.add_weight(
                "w_peep", (3 * units,), self.peephole_initializer, lambda w: w.reshape(3, units)
            )
        elif self.peephole == "full":
            self.w_peep = self.add_weight(
                "w_peep",
                (units, 3 * units),
                self.peephole_initializer,
                lambda w: w.T.reshape(3, units, units),
            )

    def get_weights(self) -> list[Array]:
        """As Keras, with the peephole weights appended in the order i, f, o."""
        weights = super().get_weights()
        return weights if self.w_peep is None else [*weights, self.w_peep.value.copy()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """See `Recurrent.set_weights`."""
        super().set_weights(weights)
        if self.w_peep is not None:
            self.w_peep.assign(weights[-1])

    def _run_cell(
        self, x: Array, states: States | None, lengths: Array | None, training: bool
    ) -> tuple[Array, States, Any]:
        h0, c0 = (None, None) if states is None else (states[0][np.newaxis], states[1][np.newaxis])
        result = functional.lstm_forward(
            x,
            *self._arguments(),
            h0,
            c0,
            w_peep=None if self.w_peep is None else self.w_peep.value,
            peephole_output=self.peephole_output,
            coupled=self.coupled,
            lengths=lengths,
            reverse=self.go_backwards,
            batch_first=True,
            training=training,
        )
        return result[0], (result[1][0], result[2][0]), result[3] if training else None

    def _run_cell_backward(self, dy: Array | None, cache: Any, dstates: list[Array | None]) -> Any:
        grads = functional.lstm_backward(dy, cache, *dstates)
        self.initial_state_gradients = (grads.h0[0], grads.c0[0])
        if self.w_peep is not None:
            self.w_peep.grad = grads.w_peep
        return grads

    def get_config(self) -> Config:
        """The constructor's arguments."""
        settings = {
            "activation": self.activation,
            "recurrent_activation": self.recurrent_activation,
            "unit_forget_bias": self.unit_forget_bias,
            "peephole": self.peephole,
            "peephole_output": self.peephole_output,
            "peephole_initializer": serialize(self.peephole_initializer),
            "coupled": self.coupled,
        }
        return {**super().get_config(), **settings}


@register_layer
class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014). Arguments as `LSTM`, but for two:

    Args:
        reset_after: where the reset gate acts: after the matrix product (cuDNN, Keras 3; two biases) or before it.
        reset: None follows `reset_after`; else "after", "before" or "output", the third form being
            h' = (1-z)*h + r*n. Takes precedence over `reset_after`.

    Weights are given and taken in Keras' gate order z, r, h; bias is (2, 3H) with "after", else (3H,).
    """

    gates = 3
    gate_order = (1, 0, 2)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        recurrent_initializer: Init = "orthogonal",
        bias_initializer: Init = "zeros",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        reset_after: bool = True,
        *,
        reset: Literal["after", "before", "output"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            seed=seed,
            **kwargs,
        )
        self.activation = _only(activation, "tanh", "activation")
        self.recurrent_activation = _only(recurrent_activation, "sigmoid", "recurrent_activation")
        if reset is None:
            reset = "after" if reset_after else "before"
        if reset not in ("after", "before", "output"):
            raise one_of("reset", ("after", "before", "output"), reset)
        self.reset: Literal["after", "before", "output"] = reset
        self.reset_after = reset == "after"

    @property
    def two_biases(self) -> bool:
        """True with reset "after", where the recurrent bias of n stands inside the product with r."""
        return self.reset_after

    def _run_cell(
        self, x: Array, states: States | None, lengths: Array | None, training: bool
    ) -> tuple[Array, States, Any]:
        result = functional.gru_forward(
            x,
            *self._arguments(),
            None if states is None else states[0][np.newaxis],
            reset=self.reset,
            lengths=lengths,
            reverse=self.go_backwards,
            batch_first=True,
            training=training,
        )
        return result[0], (result[1][0],), result[2] if training else None

    def _run_cell_backward(self, dy: Array | None, cache: Any, dstates: list[Array | None]) -> Any:
        grads = functional.gru_backward(dy, cache, *dstates)
        self.initial_state_gradients = (grads.h0[0],)
        return grads

    def get_config(self) -> Config:
        """The constructor's arguments."""
        settings = {
            "activation": self.activation,
            "recurrent_activation": self.recurrent_activation,
            "reset": self.reset,
        }
        return {**super().get_config(), **settings}
