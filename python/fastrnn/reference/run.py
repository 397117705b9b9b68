"""What the functions of all cells share: they sort the options, run the loop, and name what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import random, sequence
from .activations import Array, Clipped, activation
from .products import Options
from .sequence import Cache, Cell, Rates, Run

Grads = TypeVar("Grads", bound=NamedTuple)

# options that several cells take beside their four parameters, their states and the keywords of a run
GATED = frozenset({"activation", "recurrent_activation", "clip", "zoneout_h", "weight_dropout", "candidate_dropout"})
NORM = frozenset({"ln_ih", "ln_hh", "norm_eps"})

_CHOICES: dict[str, tuple[Any, ...]] = {
    "peephole_output": ("current", "previous"),
    "coupled": (False, True),
    "reset": ("after", "before", "output"),
    "forget_gate": ("sigmoid", "exp"),
}
_FURTHER_PARAMETERS = ("w_peep", "w_hr", "ln_ih", "ln_hh", "ln_c")
_TRAINING_RATES = ("dropout", "recurrent_dropout", "candidate_dropout", "weight_dropout")  # 0 outside of training
_RUN = {*Run.__dataclass_fields__, "dropout", "recurrent_dropout", "checkpoint_every", "dtype"}


def cell_options(o: dict[str, Any]) -> Options:
    """The options of a cell from the keywords, of which None counts as not given."""
    for name, choices in _CHOICES.items():
        if name in o and o[name] not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {o[name]!r}")
    for name in ("clip", "cell_clip", "proj_clip"):
        if name in o and not o[name] > 0:
            raise ValueError(f"{name}: expected a number > 0, got {o[name]}")
    candidate = o.pop("activation", "tanh")
    gate = o.pop("recurrent_activation", "sigmoid")
    output = o.pop("output_activation", candidate)
    return Options(
        candidate=Clipped(activation("activation", candidate), o.get("clip")),
        gate=Clipped(activation("recurrent_activation", gate), o.get("clip")),
        output=Clipped(activation("output_activation", output)),
        **{name: o[name] for name in Options.__dataclass_fields__ if name in o},
    )


def run_forward(
    cell: Cell,
    x: Array,
    parameters: tuple[Array, Array, Array | None, Array | None],
    states: tuple[Array | None, ...],
    keywords: dict[str, Any],
) -> Any:
    """What every <cell>_forward does. `parameters`: w_ih, w_hh, b_ih, b_hh; `states`: h0 and the cell's others."""
    unknown = keywords.keys() - cell.options - _RUN
    if unknown:
        raise TypeError(f"{cell.name}_forward: unknown keyword {min(unknown)!r}")
    o = {name: value for name, value in keywords.items() if value is not None}
    for name in ("truncate", "checkpoint_every"):
        if name in o and not o[name] >= 1:
            raise ValueError(f"{name}: expected a number of steps >= 1, got {o[name]}")
    which_steps = [name for name in ("lengths", "mask", "batch_sizes") if name in o]
    if len(which_steps) > 1 or ("mask" in o and "reset_mask" in o) or ("batch_sizes" in o and o.get("batch_first")):
        raise ValueError(f"{which_steps[-1]}: expected None beside another one of its kind")
    run = Run(**{name: o[name] for name in Run.__dataclass_fields__ if name in o})
    rates = {name: random.checked_rate(name, o.get(name)) for name in Rates.__dataclass_fields__}
    if not run.training:
        rates.update(dict.fromkeys(_TRAINING_RATES, 0.0))
    arrays = dict(zip(("w_ih", "w_hh", "b_ih", "b_hh"), parameters, strict=True))
    arrays |= {name: o[name] for name in _FURTHER_PARAMETERS if name in o}
    dtype = np.dtype(o.get("dtype", np.float64))
    y, final, cache = sequence.forward(cell, cell_options(o), Rates(**rates), run, x, arrays, states, dtype)
    return (y, *final, cache) if run.training else cell.output(y, *final)


def run_backward(result: type[Grads], dy: Array | None, cache: Cache, dstate_n: tuple[Array | None, ...]) -> Grads:
    """What every <cell>_backward does; `dstate_n`: gradients of the final states, h_n's first."""
    dx, dstate, grads = sequence.backward(dy, cache, dstate_n)
    return result._make([dx, *dstate, *map(grads.get, result._fields[1 + len(dstate) :])])


def run_step(
    forward: Callable[..., Any],
    state: Callable[..., Any] | None,
    x: Array,
    args: tuple[Any, ...],
    training: bool,
    options: dict[str, Any],
) -> Any:
    """What every <cell>_cell does: `forward` over one step, of which it returns the states (B,...) alone.

    They are a `state`, or h alone where that is None; with ``training`` a plain tuple of them and the cache.
    """
    _, *results = forward(np.asarray(x)[np.newaxis], *args, training=training, **options)
    if training:
        return *(s[0] for s in results[:-1]), results[-1]
    final = [s[0] for s in results]
    return final[0] if state is None else state(*final)
