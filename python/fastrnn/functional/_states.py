"""The states beside h as the kernels have them: one array for the c of an LSTM, or the c, n and m of an sLSTM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .._typing import Array
from ._arguments import as_array


def join_states(states: Sequence[Array]) -> Array | None:
    """Join states (1, B, H) to the one array (N, B, H) of N; None if there are none.

    Those of a stack follow each other layer by layer and, in a layer, direction by direction.
    """
    return np.concatenate(states) if states else None


def split_states(joined: Array | None, layers: int = 1) -> list[tuple[Array, ...]]:
    """Return for each of `layers` (directions count) its states (1, B, H), as views of what `join_states` returns."""
    if joined is None:
        return [()] * layers
    count = len(joined) // layers
    return [tuple(joined[k : k + 1] for k in range(i * count, (i + 1) * count)) for i in range(layers)]


def one_array(states: Mapping[str, Any], layout: Callable[[], tuple[tuple[int, ...], np.dtype[Any]]]) -> Any:
    """Return what a user gave for a cell's states beside h, or their gradients, by name, as the kernels take it.

    A state that is the only one is left to the kernels to check. Several are checked here, where they still have their
    own names, and joined; None for one is zero. None if there are none, or all are None.

    Args:
        layout: returns the shape and dtype that each must have. It is called for several states alone.

    Raises:
        TypeError, ValueError: one does not have them.
    """
    if len(states) < 2:
        return next(iter(states.values()), None)
    if all(state is None for state in states.values()):
        return None
    shape, dtype = layout()
    arrays = []
    for name, state in states.items():
        array = np.zeros(shape, dtype) if state is None else as_array(name, state, dtype)
        if array.dtype != dtype:
            raise TypeError(f"{name}: expected {dtype} (the dtype of x), got {array.dtype}")
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        arrays.append(array)
    return join_states(arrays)
