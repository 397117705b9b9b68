"""What is done to the arguments of a call before the native module sees them, on the CPU and on a GPU."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .. import _core
from .._core import PackedWeights
from .._hints import unknown_keyword
from .._typing import Array
from ._options import PARAMETERS, Cell

Options = dict[str, Any]


def check_keywords(function: Callable[..., Any], given: Iterable[str], known: frozenset[str]) -> None:
    """Refuse further keywords of `function` that are not among `known`.

    Raises:
        TypeError: for the first such.
    """
    for name in given:
        if name not in known:
            parameters = inspect.signature(function).parameters.values()
            every = sorted({p.name for p in parameters if p.kind is not p.VAR_KEYWORD} | known)
            raise unknown_keyword(function.__name__, name, every)


def split_arrays(options: Mapping[str, Any], arrays: Options) -> Options:
    """Put those options of the weights that are arrays into `arrays`, and return the others; None is not given."""
    settings: Options = {}
    for name, value in options.items():
        if value is not None:
            (arrays if name in PARAMETERS else settings)[name] = value
    return settings


def check_alone(cell: Cell, weights: Any, given: Options) -> None:
    """Refuse packed weights of another cell, and parameters or options given beside them.

    Args:
        given: those further parameters and options, by name.

    Raises:
        ValueError: naming the argument.
    """
    kind = type(weights).__name__
    if weights.cell != cell.name:
        raise ValueError(f"w_ih: expected {kind} of {cell.name!r}, got those of {weights.cell!r}")
    for name, value in given.items():
        default = cell.defaults.get(name)
        if value is not default and not (isinstance(value, (str, int, float, np.generic)) and value == default):
            raise ValueError(f"{name}: expected nothing beside {kind}, got {describe_value(value)}")


def apply_weight_dropout(weights: Options, seed: object, training: bool) -> None:
    """Give weights that are to be dropped the seed of the run, or outside training take the rate away."""
    if training:
        weights["seed"] = seed
        return
    rate = weights.pop(
        "weight_dropout"
    )  # outside of training the native module does not see the rate, so it is checked here
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise TypeError(f"weight_dropout: expected a number, got {type(rate).__name__}")
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"weight_dropout: expected a rate in [0, 1), got {rate}")


def as_array(name: str, value: object, dtype: np.dtype[Any]) -> Array:
    """Return `value` as an array: float32 and float64 stay as they are, other numbers and lists become `dtype`.

    Raises:
        TypeError, ValueError: it cannot be viewed as an array of numbers. The message names the argument.
    """
    return _core.float_array(name, value, dtype.name)


def describe_value(value: object) -> str:
    """Say what a value is, in few words."""
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"an array of shape {tuple(shape)}"


def state_dtype(weights: PackedWeights) -> np.dtype[Any]:
    """Return the dtype of x, y and the states of a call with these weights."""
    return np.dtype("float64" if weights.dtype == "float64" else "float32")


def batch_size(x: Any, batch_first: bool, run: Options) -> int:
    """Return B of a call. What else is wrong with its arguments is left to the native module to refuse."""
    sizes = run.get("batch_sizes")
    if sizes is not None:
        first = np.asarray(sizes).ravel()[:1]
        return int(first[0]) if first.size else 0
    if x.ndim != 3:
        raise ValueError(f"x: expected shape {'(B, T, I)' if batch_first else '(T, B, I)'}, got {x.shape}")
    return int(x.shape[0 if batch_first else 1])
