"""SimpleRNN, LSTM and GRU with Keras' arguments, defaults, shapes and weight layout, over the native kernels.

What differs from Keras:

* `go_backwards` with `return_sequences` hands on the mask reversed, as the output is; Keras leaves it as it was.
* With `recurrent_dropout`, Keras' LSTM and GRU drop other elements of x and of h for each gate; here all gates see the
  same ones (Gal & Ghahramani 2016, "tied"). A GRU with `reset_after=False` drops those of r*h.
* Constraints do not exist, nor does `unroll`, which changes nothing of what is computed.

The cells that Keras does not have, IndRNN, MGU and sLSTM, are in `variants`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..._registry import choice_error
from ..._typing import Config
from ...initializers import Ones
from ...initializers import get as get_initializer
from ...parameters import Parameter
from ..base import Shape, check_flag, check_size, register_layer
from .activation import check_activation, native_activation
from .base import Init, Recurrent

__all__ = ["GRU", "LSTM", "SimpleRNN"]


@register_layer
class SimpleRNN(Recurrent):
    """Elman network: h' = f(W x + b + R h).

    Arguments as `LSTM`, without the recurrent activation, peepholes, projection and candidate. `layer_norm` has one
    norm, over W x + R h, whose gain is ln_hh (H,).

    Example:
        >>> fastrnn.SimpleRNN(4)(np.ones((2, 5, 3), np.float32)).shape
        (2, 4)
    """

    cell = "rnn"
    activation_names = ("activation",)
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
        self._set_activations(activation)

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (B, T, I)."""
        super().build(input_shape)
        if self.layer_norm:
            self._own_weight("ln_hh", (self.units,), Ones())


@register_layer
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Input (B, T, I); output (B, P), or (B, T, P) with `return_sequences`, P = H without a projection. The equations,
    those of the options too, stand in `fastrnn.lstm_forward` and `fastrnn.functional`.

    Args:
        units: H.
        activation: of the candidate and of the cell's output.
        recurrent_activation: of the gates. Both are a name: "tanh", "sigmoid", "relu", "linear" (None), "elu", "selu",
            "softplus", "softsign", "exponential", "leaky_relu" and "hard_sigmoid" as Keras 3 has them, "scaled_tanh",
            "thresholded_relu" and "affine" as ONNX has them; or a tuple (name, alpha) or (name, alpha, beta):
            ("hard_sigmoid", 0.2, 0.5) is Keras 2's.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: names, configs or objects of
            `fastrnn.initializers`; they see the Keras shapes (I, 4H), (P, 4H) and (4H,).
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties of these weights, names or objects of
            `fastrnn.regularizers`.
        unit_forget_bias: start the bias of the forget gate at 1 (Jozefowicz et al. 2015).
        dropout: fraction of the inputs zeroed in training, the same ones at every step.
        recurrent_dropout: the same for h where it meets the recurrent kernel (Gal & Ghahramani 2016).
        return_sequences: give the output of every step; with `go_backwards` in reversed order, as Keras does.
        return_state: `layer(x)` gives (y, h, c).
        go_backwards: read the sequence from its end; a masked one from its last valid step.
        stateful: begin each batch where the one before ended, until `reset_states()`.
        learned_initial_state: the states before the first step are weights h0 (P,) and c0 (H,), zeros at first, trained
            with the others; a state that is given or carried takes precedence.
        seed: of all that is drawn in training. None follows `set_random_seed`.
        peephole: None, "diagonal" or "full": the gates also see the cell state through w_peep (3, H) or (3, H, H)
            (Gers & Schmidhuber 2000), in the order i, f, o.
        peephole_output: "current", the output gate sees the new cell state, or "previous".
        peephole_initializer: as the others; sees (3H,) or (H, 3H).
        coupled: f = 1 - i. The forget gate's weights remain, unused.
        projection_units: P, None for none: the output and h are w_hr (P, H) times what they were (Sak et al. 2014).
        projection_initializer: as the others; sees (H, P).
        zero_output_for_mask: the output of a masked step is zero; else, as in Keras, that of the step before it.
        layer_norm: normalise W x, R h and the cell state (Ba et al. 2016), with gains ln_ih and ln_hh (4H,) that
            start at 1 and ln_c (2, H), a gain of 1 and a bias of 0.
        zoneout_h, zoneout_c: fraction of h and c that keeps its old value (Krueger et al. 2016).
        candidate_dropout: fraction of the candidate zeroed in training (Semeniuta et al. 2016).
        weight_dropout: fraction of the recurrent kernel zeroed in training (Merity et al. 2018).
        norm_eps: what layer_norm adds to the variance, 1e-5 when None.
        output_activation: f of h' = o*f(c'), as the other activations; None for that of the candidate.
        forget_bias: a constant added to the forget gate, beside what its bias learns.
        clip: limit of every pre-activation; cell_clip: of c; proj_clip: of the projection. None for none.
        truncate: k: the gradient does not flow back across every k-th step. checkpoint_every: k: keep every k-th
            state for the backward pass and compute the others again. None for neither.
        name, trainable, dtype, input_shape: as every layer.
        kwargs: those of the arguments here that the signature does not name.

    Raises:
        ValueError: for a value that is not supported, naming the argument.
        TypeError: for a value of the wrong type, or an unknown argument.

    Example:
        >>> fastrnn.LSTM(4, return_sequences=True)(np.ones((2, 5, 3), np.float32)).shape
        (2, 5, 4)
    """

    cell = "lstm"
    activation_names = ("activation", "recurrent_activation")
    gates = 4
    gate_order = (0, 1, 2, 3)
    proj_clip: float | None
    forget_bias: float

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
        projection_units: int | None = None,
        projection_initializer: Init = "glorot_uniform",
        output_activation: Any = None,
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
        self._set_activations(activation, recurrent_activation)
        self._output_activation = (  # not `output_activation`, which in Layer is applied to y
            None if output_activation is None else check_activation(output_activation, "output_activation")
        )
        self.unit_forget_bias = check_flag(unit_forget_bias, "unit_forget_bias")
        if peephole not in (None, "diagonal", "full"):
            raise ValueError(f"peephole: expected None, 'diagonal' or 'full', got {peephole!r}")
        if peephole_output not in ("current", "previous"):
            raise choice_error("peephole_output", ("current", "previous"), peephole_output)
        self.peephole = peephole
        self.peephole_output = peephole_output
        self.peephole_initializer = get_initializer(peephole_initializer)
        self.coupled = check_flag(coupled, "coupled")
        if self.coupled and self.forget_bias:
            raise ValueError(f"forget_bias: expected 0 with coupled, which has no forget gate, got {self.forget_bias}")
        self.projection_units = None if projection_units is None else check_size(projection_units, "projection_units")
        if self.output_units > self.units:
            raise ValueError(f"projection_units: expected at most units, {units}, got {projection_units}")
        self.projection_initializer = get_initializer(projection_initializer)
        if self.projection_units is None and self.proj_clip is not None:
            raise ValueError(f"proj_clip: expected None without projection_units, got {self.proj_clip}")
        for name in ("projection_units", "layer_norm", "zoneout_c"):
            if peephole == "full" and getattr(self, name):
                raise ValueError(f"peephole: expected None or 'diagonal' with {name}, got 'full'")
        self.w_peep: Parameter | None = None

    @property
    def output_units(self) -> int:
        """P."""
        return self.units if self.projection_units is None else self.projection_units

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (B, T, I)."""
        super().build(input_shape)
        units = self.units
        if self.b_ih is not None and self.unit_forget_bias:
            self.b_ih.value[units : 2 * units] = 1.0
        # One draw of the three side by side: separate draws of a seeded initializer would be equal.
        if self.peephole == "diagonal":
            self.w_peep = self._own_weight(
                "w_peep", (3 * units,), self.peephole_initializer, lambda w: w.reshape(3, units)
            )
        elif self.peephole == "full":
            self.w_peep = self._own_weight(
                "w_peep",
                (units, 3 * units),
                self.peephole_initializer,
                lambda w: w.T.reshape(3, units, units),
            )
        if self.projection_units is not None:
            shape = (units, self.projection_units)
            self._own_weight("w_hr", shape, self.projection_initializer, lambda w: np.ascontiguousarray(w.T))
        if self.layer_norm:
            self._own_weight("ln_ih", (4 * units,), Ones())
            self._own_weight("ln_hh", (4 * units,), Ones())
            self._own_weight("ln_c", (2, units), Ones(), lambda w: np.stack([w[0], np.zeros_like(w[1])]))

    def _cell_options(self) -> Config:
        output = self._output_activation
        return {
            **super()._cell_options(),
            **({} if output is None else {"output_activation": native_activation(output)}),
            "peephole_output": self.peephole_output,
            "coupled": self.coupled,
        }

    def get_config(self) -> Config:
        """The constructor's arguments."""
        output = self._output_activation
        return {**super().get_config(), "output_activation": list(output) if isinstance(output, tuple) else output}


@register_layer
class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014).

    Arguments as `LSTM`, without its peepholes and projection, with gains ln_ih and ln_hh (3H,) alone of `layer_norm`,
    and with two more:

    Args:
        reset_after: where the reset gate acts: after the matrix product (cuDNN, Keras 3; two biases) or before it.
        reset: None follows `reset_after`; else "after", "before" or "output", the third form being
            h' = (1-z)*h + r*n. Takes precedence over `reset_after`.

    Weights are given and taken in Keras' gate order z, r, h, but the gains of `layer_norm` in r, z, n, as the functions
    take them; bias is (2, 3H) with "after", else (3H,).

    Example:
        >>> fastrnn.GRU(4)(np.ones((2, 5, 3), np.float32)).shape
        (2, 4)
    """

    cell = "gru"
    activation_names = ("activation", "recurrent_activation")
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
        self._set_activations(activation, recurrent_activation)
        if reset is None:
            reset = "after" if reset_after else "before"
        if reset not in ("after", "before", "output"):
            raise choice_error("reset", ("after", "before", "output"), reset)
        self.reset: Literal["after", "before", "output"] = reset

    @property
    def reset_after(self) -> bool:
        """Whether `reset` is "after"."""
        return self.reset == "after"

    @property
    def two_biases(self) -> bool:
        """True with reset "after", where the recurrent bias of n stands inside the product with r."""
        return self.reset_after

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (B, T, I)."""
        super().build(input_shape)
        if self.layer_norm:
            self._own_weight("ln_ih", (3 * self.units,), Ones())
            self._own_weight("ln_hh", (3 * self.units,), Ones())

    def _cell_options(self) -> Config:
        return {**super()._cell_options(), "reset": self.reset}
