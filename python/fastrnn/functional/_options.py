"""What an option may be, those that several cells share, and what the functions have to know of a cell.

A type checker reads the TypedDicts as the keywords of the functions; `Cell`, made of the same keys, is what the
functions themselves go by. What one cell alone has is in its own file. What each option means stands in the package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypedDict

from .._core import CudaWeights, PackedWeights
from .._typing import Array, ArrayLike

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
AnyWeights = ArrayLike | PackedWeights | CudaWeights
"""What a call takes for w_ih."""
HostWeights = ArrayLike | PackedWeights
"""What one step takes for w_ih: it runs on the CPU."""
OptionalArray = ArrayLike | None
"""A parameter or state that may be left out, which is zero then."""

PARAMETERS = frozenset({"w_ih", "w_hh", "b_ih", "b_hh", "w_peep", "w_hr", "ln_ih", "ln_hh", "ln_c"})
"""The options which are arrays and have a gradient."""


# -- options of the weights: taken by pack_<cell>, by <cell>_cell, and by <cell>_forward with parameters -------------


class GatedWeights(TypedDict, total=False):
    """What the cells with gates and a candidate have in common."""

    activation: Activation | None
    recurrent_activation: Activation | None
    clip: float | None
    zoneout_h: float | None
    weight_dropout: float | None


class NormWeights(TypedDict, total=False):
    """What layer normalisation needs."""

    ln_ih: Array | None
    ln_hh: Array | None
    norm_eps: float | None


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


class CallKeywords(TypedDict, total=False):
    """The named keywords of <cell>_forward which all cells have, but for `training`, for the overloads."""

    lengths: Any
    reverse: bool
    batch_first: bool
    out: Array | None
    threads: int | None


# -- a cell at run time ----------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    """A cell's functions, and what they have to know of it.

    The native module reads the first four by their place.

    Attributes:
        name: as in pack_<name>, <name>_forward, <name>_backward, <name>_cell.
        defaults: the options of the weights that are named arguments, each with its default.
        output, state: the named tuples that forward and step return; state is None for h alone.
        pack, forward, backward, step: those four functions.
        weights: the options of the weights that are further keywords. run: those of a run, which all are.
        states: h0 and the names of the other initial states.
    """

    name: str
    defaults: dict[str, Any]
    output: Any
    state: Any
    pack: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    step: Callable[..., Any]
    weights: frozenset[str]
    run: frozenset[str]
    states: tuple[str, ...]


def make_cell(
    pack: Callable[..., Any],
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    step: Callable[..., Any],
    output: Any,
    state: Any,
    weights: Any,
    run: Any,
) -> Cell:
    """Read off a cell's functions what they say themselves; `weights` and `run` are TypedDicts of further keywords."""
    name = step.__name__.removesuffix("_cell")
    defaults = {k: v for k, v in (step.__kwdefaults__ or {}).items() if k not in ("training", "seed")}
    states = tuple(f"{field[0]}0" for field in output._fields[1:])
    further = weights.__optional_keys__, run.__optional_keys__
    return Cell(name, defaults, output, state, pack, forward, backward, step, *further, states)
