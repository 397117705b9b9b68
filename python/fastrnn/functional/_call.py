"""What all cells do around the native module: sort the options, pack, run one step, name the gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _core
from .._core import Cache, PackedWeights
from .._hints import explain_weights
from ._arguments import Function, Options, as_array, check_alone, split, stack_states, state_dtype, weight_dropout
from ._options import CELLS, PARAMETERS
from .gpu.calls import GpuCache, backward_on_gpu, is_gpu, state_parts


def pack(
    cell: str,
    arrays: Options,
    options: Options,
    dtype: object = None,
    fast_activations: bool = False,
    x: object = None,
) -> PackedWeights:
    """Call `_core.pack` with the options sorted into arrays and settings."""
    settings: Options = {}
    for name, value in options.items():
        if value is not None:
            (arrays if name in PARAMETERS else settings)[name] = value
    try:
        return _core.pack(cell, arrays, settings, dtype=dtype, fast_activations=fast_activations, x=x)
    except (TypeError, ValueError) as error:
        raise explain_weights(error, arrays, x) from None


def pack_cell(
    function: Function,
    cell: str,
    arrays: Options,
    named: Options,
    options: Mapping[str, Any],
    dtype: object,
    fast_activations: bool,
) -> PackedWeights:
    """What every pack_<cell> does. `named`: those arguments beside the four parameters which it names itself."""
    further, _ = split(function, options, CELLS[cell].weights)
    return pack(cell, arrays, {**named, **further}, dtype, fast_activations)


def prepare(
    function: Function,
    cell: str,
    x: object,
    w_ih: object,
    w_hh: object,
    b_ih: object,
    b_hh: object,
    named: Options,
    options: Mapping[str, Any],
    training: bool,
) -> tuple[PackedWeights, Options | None]:
    """Return the weights of a call, packed now unless they were before, and the options of its run, None for none.

    The way through here with packed weights and no options is that of a service which calls for every few samples:
    nothing may be added to it that costs a microsecond.
    """
    table = CELLS[cell]
    further, run = _NOTHING, None
    if options:
        further, run = split(function, options, table.weights, table.run)
        is_gpu(run)  # refuses what only a GPU has
        run.pop("device", None)
        run = run or None
    if isinstance(w_ih, PackedWeights):
        if w_hh is not None or b_ih is not None or b_hh is not None or further:
            named = {**named, **further, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
        check_alone(cell, w_ih, named)
        return w_ih, run
    weight_dropout(further, run, training)
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    return pack(cell, arrays, {**named, **further}, x=x), run


_NOTHING: Options = {}


def prepare_cell(
    function: Function,
    cell: str,
    x: object,
    w_ih: object,
    w_hh: object,
    b_ih: object,
    b_hh: object,
    named: Options,
    options: Mapping[str, Any],
    training: bool,
    seed: int | None,
) -> PackedWeights:
    """As `prepare`, for the function of one step: it has no options of a run but the seed."""
    if options:
        split(function, options, CELLS[cell].weights)
    if seed is not None:
        options = {**options, "seed": seed}
    return prepare(function, cell, x, w_ih, w_hh, b_ih, b_hh, named, options, training)[0]


def step(
    weights: PackedWeights, x: object, training: bool, seed: int | None, **states: Any
) -> tuple[Any, tuple[Any, ...], Any]:
    """One step as a sequence of one: h (B, P), the other states (B, H), and the cache or None.

    `states` are the user's h0, c0, ... under their names, (B, H) or None; this speaks of those shapes in errors, and
    the user never sees the axis of time that he never gave.
    """
    x = as_array("x", x, state_dtype(weights))
    if x.ndim != 2:
        raise ValueError(f"x: expected shape (B, I), got {x.shape}")
    if x.shape[1] != weights.input_size:
        raise ValueError(f"x: expected shape {(x.shape[0], weights.input_size)}, got {x.shape}")
    for name, state in states.items():
        if state is not None:
            state = as_array(name, state, x.dtype)
            shape = (x.shape[0], weights.output_size if name == "h0" else weights.hidden_size)
            if state.shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {state.shape}")
            states[name] = state[None]
    h0 = states.pop("h0")
    c0 = stack_states(states, (1, len(x), weights.hidden_size), x.dtype) if len(states) > 1 else states.get("c0")
    run = None if seed is None else {"seed": seed}
    y, _, c_n, cache = _core.forward(weights, x[None], h0, c0, None, False, False, training, None, None, run)
    return y[0], () if c_n is None else tuple(c_n), cache


def _check_cache(cell: str, cache: object) -> Cache:
    if not isinstance(cache, Cache):
        raise TypeError(f"cache: expected the cache of {cell}_forward(..., training=True), got {type(cache).__name__}")
    if cache.cell != cell:
        raise ValueError(f"cache: expected one of {cell}_forward, got one of {cache.cell}_forward")
    return cache


def backward(
    result: Any, cell: str, dy: object, cache: object, dh_n: object, dc_n: object, need_dx: bool, threads: int | None
) -> Any:
    """Return the gradients as `result`, one of the named tuples: x, the states, the parameters, None for the absent.

    dc_n is one array, or a dict of the several to be joined.
    """
    if isinstance(cache, GpuCache):
        if threads is not None:
            raise ValueError(f"threads: expected nothing on a GPU, got {threads!r}")
        dx, dh0, dc0, ((parameters,),) = backward_on_gpu(cell, dy, cache, dh_n, dc_n, need_dx)
        states = state_parts(dc0, cache)
    else:
        checked = _check_cache(cell, cache)
        if isinstance(dc_n, dict):
            weights = checked.weights
            dc_n = stack_states(dc_n, (1, checked.batch, weights.hidden_size), state_dtype(weights))
        dx, dh0, dc0, parameters = _core.backward(dy, checked, dh_n, dc_n, need_dx=need_dx, threads=threads)
        states = () if dc0 is None else tuple(dc0[k : k + 1] for k in range(len(dc0)))
    names = result._fields[2 + len(states) :]
    return result(dx, dh0, *states, *(parameters.get(name) for name in names))
