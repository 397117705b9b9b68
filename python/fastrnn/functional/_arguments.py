"""What is done to the arguments of a call before the native module sees them, on the CPU and on a GPU."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import _core
from .._core import PackedWeights
from .._hints import unknown_keyword
from .._typing import Array
from ._options import CELLS

Options = dict[str, Any]
Function = Callable[..., Any]


def split(
    function: Function, options: Mapping[str, Any], weights: frozenset[str], run: frozenset[str] = frozenset()
) -> tuple[Options, Options]:
    """Sort the further keywords of `function` into those of the weights and those of the run; None counts as absent.

    Raises:
        TypeError: for one that is neither.
    """
    ours: Options = {}
    theirs: Options = {}
    for name, value in options.items():
        if name not in weights and name not in run:
            parameters = inspect.signature(function).parameters.values()
            known = sorted({p.name for p in parameters if p.kind is not p.VAR_KEYWORD} | weights | run)
            raise unknown_keyword(function.__name__, name, known)
        if value is not None:
            (theirs if name in run else ours)[name] = value
    return ours, theirs


def check_alone(cell: str, weights: Any, given: Options) -> None:
    """Refuse what packed weights have themselves; `given` are further parameters and options of weights, by name.

    Raises:
        ValueError: they are of another cell, or something is given beside them.
    """
    kind = type(weights).__name__
    if weights.cell != cell:
        raise ValueError(f"w_ih: expected {kind} of {cell!r}, got those of {weights.cell!r}")
    defaults = CELLS[cell].defaults
    for name, value in given.items():
        default = defaults.get(name)
        if value is not default and not (isinstance(value, (str, int, float, np.generic)) and value == default):
            raise ValueError(f"{name}: expected nothing beside {kind}, got {short(value)}")


def weight_dropout(weights: Options, run: Options | None, training: bool) -> None:
    """Give the weights the seed of the run when they are to be dropped, and no rate outside training."""
    if "weight_dropout" not in weights:
        return
    if training:
        weights["seed"] = run.get("seed") if run else None
        return
    rate = weights.pop("weight_dropout")  # the native module, which checks it in training, never sees it here
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise TypeError(f"weight_dropout: expected a number, got {type(rate).__name__}")
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"weight_dropout: expected a rate in [0, 1), got {rate}")


def as_array(name: str, value: object, dtype: np.dtype[Any]) -> Array:
    """Return what NumPy can view as an array; numbers without a float32 or float64 of their own as `dtype`, in a copy.

    Raises:
        TypeError, ValueError: it is none, naming the argument.
    """
    return _core.float_array(name, value, dtype.name)


def short(value: object) -> str:
    """Say what a value is, in few words."""
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"an array of shape {tuple(shape)}"


def state_dtype(weights: PackedWeights) -> np.dtype[Any]:
    """Return the dtype of x, y and the states of a call with these weights."""
    return np.dtype("float64" if weights.dtype == "float64" else "float32")


def stack_states(states: Options, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Join states (or their gradients) of `shape` (1, B, H), None for zero, to the (S, B, H) of the kernels.

    None if all are None. What does not fit is refused here, where it still has its own name.
    """
    joined = None
    for k, (name, state) in enumerate(states.items()):
        if state is None:
            continue
        state = as_array(name, state, dtype)
        if state.dtype != dtype:
            raise TypeError(f"{name}: expected {dtype} (the dtype of x), got {state.dtype}")
        if state.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {state.shape}")
        if joined is None:
            joined = np.zeros((len(states), *shape[1:]), dtype)
        joined[k] = state[0]
    return joined


def batch_size(x: Any, batch_first: bool, run: Options | None) -> int:
    """Return B of a call, as far as its arguments are sound; what is not, the native module refuses by name."""
    sizes = run.get("batch_sizes") if run else None
    if sizes is not None:
        first = np.asarray(sizes).ravel()[:1]
        return int(first[0]) if first.size else 0
    if x.ndim != 3:
        raise ValueError(f"x: expected shape {'(B, T, I)' if batch_first else '(T, B, I)'}, got {x.shape}")
    return int(x.shape[0 if batch_first else 1])
