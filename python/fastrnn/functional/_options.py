"""Which option belongs to which cell, and whether to its weights or to a run: the one table, written as types.

A type checker reads the TypedDicts as the keywords of the functions, and `CELLS`, made of the same keys, is what the
functions themselves go by. What each option means stands in the package.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypedDict

from .._typing import Array

ActivationName = Literal[
    "tanh",
    "sigmoid",
    "relu",
    "identity",
    "linear",
    "leaky_relu",
    "elu",
    "selu",
    "softsign",
    "softplus",
    "hard_sigmoid",
    "scaled_tanh",
    "thresholded_relu",
    "affine",
    "exponential",
]
Activation = ActivationName | tuple[ActivationName, float] | tuple[ActivationName, float, float]
PeepholeOutput = Literal["current", "previous"]
Reset = Literal["after", "before", "output"]
ForgetGate = Literal["sigmoid", "exp"]
DtypeName = Literal["float32", "float64", "bfloat16", "bfloat16_weights", "int8"]


# -- options of the weights: taken by pack_<cell>, by <cell>_cell, and by <cell>_forward with parameters -------------


class SLSTMWeights(TypedDict, total=False):
    """What :func:`pack_slstm` takes beside its named arguments."""

    weight_dropout: float | None


class IndRNNWeights(TypedDict, total=False):
    """What :func:`pack_indrnn` takes beside its named arguments."""

    clip: float | None
    zoneout_h: float | None


class MGUWeights(TypedDict, total=False):
    """What :func:`pack_mgu` takes beside its named arguments."""

    activation: Activation | None
    recurrent_activation: Activation | None
    clip: float | None
    zoneout_h: float | None
    weight_dropout: float | None


class RNNWeights(IndRNNWeights, total=False):
    """What :func:`pack_rnn` takes beside its named arguments."""

    weight_dropout: float | None
    ln_ih: Array | None  # refused, with a reason: the one norm of this cell takes its gains from ln_hh
    ln_hh: Array | None
    norm_eps: float | None


class GRUWeights(MGUWeights, total=False):
    """What :func:`pack_gru` takes beside its named arguments."""

    ln_ih: Array | None
    ln_hh: Array | None
    norm_eps: float | None


class LSTMWeights(GRUWeights, total=False):
    """What :func:`pack_lstm` takes beside its named arguments."""

    output_activation: Activation | None
    cell_clip: float | None
    forget_bias: float | None
    w_hr: Array | None
    proj_clip: float | None
    ln_c: Array | None
    zoneout_c: float | None


# -- options of a run: taken by <cell>_forward alone -----------------------------------------------------------------


class RunOptions(TypedDict, total=False):
    """What <cell>_forward takes in any case, packed weights or not."""

    mask: Array | None
    zero_output_for_mask: bool | None
    reset_mask: Array | None
    batch_sizes: Any
    dropout: float | None
    recurrent_dropout: float | None
    seed: int | None
    checkpoint_every: int | None
    truncate: int | None
    device: str | None
    device_dtype: str | None
    device_tier: str | None
    stream: Any


class GatedRunOptions(RunOptions, total=False):
    """The same for a cell with a candidate to drop."""

    candidate_dropout: float | None


class RNNOptions(RNNWeights, RunOptions, total=False):
    """Further keywords of :func:`rnn_forward`."""


class LSTMOptions(LSTMWeights, GatedRunOptions, total=False):
    """Further keywords of :func:`lstm_forward`."""


class GRUOptions(GRUWeights, GatedRunOptions, total=False):
    """Further keywords of :func:`gru_forward`."""


class IndRNNOptions(IndRNNWeights, RunOptions, total=False):
    """Further keywords of :func:`indrnn_forward`."""


class MGUOptions(MGUWeights, GatedRunOptions, total=False):
    """Further keywords of :func:`mgu_forward`."""


class SLSTMOptions(SLSTMWeights, RunOptions, total=False):
    """Further keywords of :func:`slstm_forward`."""


# -- the table at run time -------------------------------------------------------------------------------------------


class CellOptions(NamedTuple):
    """The further keywords of one cell."""

    weights: frozenset[str]
    run: frozenset[str]
    defaults: dict[str, Any]  # of the named arguments which belong to the weights; all others default to None


CELLS = {
    "rnn": CellOptions(RNNWeights.__optional_keys__, RunOptions.__optional_keys__, {"activation": "tanh"}),
    "lstm": CellOptions(
        LSTMWeights.__optional_keys__,
        GatedRunOptions.__optional_keys__,
        {"w_peep": None, "peephole_output": "current", "coupled": False},
    ),
    "gru": CellOptions(GRUWeights.__optional_keys__, GatedRunOptions.__optional_keys__, {"reset": "after"}),
    "indrnn": CellOptions(IndRNNWeights.__optional_keys__, RunOptions.__optional_keys__, {"activation": "tanh"}),
    "mgu": CellOptions(MGUWeights.__optional_keys__, GatedRunOptions.__optional_keys__, {}),
    "slstm": CellOptions(SLSTMWeights.__optional_keys__, RunOptions.__optional_keys__, {"forget_gate": "sigmoid"}),
}

PARAMETERS = frozenset({"w_ih", "w_hh", "b_ih", "b_hh", "w_peep", "w_hr", "ln_ih", "ln_hh", "ln_c"})
"""The options which are arrays and have a gradient."""
