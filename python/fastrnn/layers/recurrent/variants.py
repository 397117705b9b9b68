"""Recurrent layers for cells that Keras does not have: IndRNN, MGU and sLSTM. Arguments are as in `LSTM`.

`get_weights()` gives them in the layout of Keras' layers, with the gates in the order of the functions.
"""

from __future__ import annotations

from typing import Any, Literal

from ..._registry import choice_error
from ..._typing import Config
from ...initializers import RandomUniform
from ...parameters import Parameter
from ..base import Shape, check_flag, register_layer
from .base import Init, Recurrent
from .layers import GRU, LSTM, SimpleRNN

__all__ = ["LAYERS", "MGU", "SLSTM", "IndRNN"]


@register_layer
class IndRNN(Recurrent):
    """Independently recurrent network (Li et al. 2018): h' = f(W x + b + u*h), each unit seeing none but itself.

    Several on top of each other are what mixes the units. Arguments as `SimpleRNN` without `layer_norm` and
    `weight_dropout`, and with two other defaults:

    Args:
        activation: "relu", as the authors have it.
        recurrent_initializer: of u (H,). None is uniform in [0, 1): the authors draw from [0, 2^(1/T)], which tends to
            that for long sequences, and T is not known here.

    Example:
        >>> fastrnn.IndRNN(4)(np.ones((2, 5, 3), np.float32)).shape
        (2, 4)
    """

    cell = "indrnn"
    activation_names = ("activation",)
    gates = 1
    gate_order = (0,)

    def __init__(
        self, units: int, activation: Any = "relu", *, recurrent_initializer: Init | None = None, **kwargs: Any
    ) -> None:
        if recurrent_initializer is None:
            recurrent_initializer = RandomUniform(0.0, 1.0)
        super().__init__(units, recurrent_initializer=recurrent_initializer, **kwargs)
        self._set_activations(activation)

    def _recurrent_weight(self) -> Parameter:
        return self._keras_weight("w_hh", (self.units,), self.recurrent_initializer)


@register_layer
class MGU(Recurrent):
    """Minimal gated unit (Zhou et al. 2016): a GRU with one gate f that resets and updates; gates f, n.

    Arguments as `GRU`, without its `reset` and `layer_norm`.

    Example:
        >>> fastrnn.MGU(4)(np.ones((2, 5, 3), np.float32)).shape
        (2, 4)
    """

    cell = "mgu"
    activation_names = ("activation", "recurrent_activation")
    gates = 2
    gate_order = (0, 1)

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self._set_activations(activation, recurrent_activation)


@register_layer
class SLSTM(Recurrent):
    """An sLSTM (Beck et al. 2024), an LSTM with exponential gates, a normaliser n and a stabiliser m; gates i, f, z, o.

    The recurrent matrix is dense (the paper's is made of blocks). Arguments as `LSTM` for the four that its cell has of
    the options: `dropout`, `recurrent_dropout`, `weight_dropout`, `zero_output_for_mask`; `truncate` and
    `checkpoint_every`; and

    Args:
        forget_gate: "sigmoid" or "exp".
        unit_forget_bias: start the bias of the forget gate at 1, as in `LSTM`. (The paper spreads it over the units by
            a power law; give a `bias_initializer` and False for that.)
        return_state: `layer(x)` gives (y, h, c, n, m).

    Example:
        >>> fastrnn.SLSTM(4)(np.ones((2, 5, 3), np.float32)).shape
        (2, 4)
    """

    cell = "slstm"
    gates = 4
    gate_order = (0, 1, 2, 3)

    def __init__(
        self,
        units: int,
        *,
        forget_gate: Literal["sigmoid", "exp"] = "sigmoid",
        unit_forget_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        if forget_gate not in ("sigmoid", "exp"):
            raise choice_error("forget_gate", ("sigmoid", "exp"), forget_gate)
        self.forget_gate = forget_gate
        self.unit_forget_bias = check_flag(unit_forget_bias, "unit_forget_bias")

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (B, T, I)."""
        super().build(input_shape)
        if self.b_ih is not None and self.unit_forget_bias:
            self.b_ih.value[self.units : 2 * self.units] = 1.0

    def _cell_options(self) -> Config:
        return {"forget_gate": self.forget_gate}


LAYERS: dict[str, type[Recurrent]] = {layer.cell: layer for layer in (SimpleRNN, LSTM, GRU, IndRNN, MGU, SLSTM)}
"""The layer of each cell, by the cell's name: the one list of them."""
