"""What all cells do around the native module: sort the options, pack, run, name the results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from .. import _core
from .._core import Cache, PackedWeights
from .._hints import explain_weights
from ._arguments import (
    Options,
    apply_weight_dropout,
    as_array,
    batch_size,
    check_alone,
    check_keywords,
    split_arrays,
    state_dtype,
)
from ._options import Cell
from ._states import one_array, split_states
from .gpu.calls import Call, GpuCache, backward_on_gpu, forward_on_gpu, is_gpu, state_parts

Grads = TypeVar("Grads", bound=NamedTuple)
Parameters = tuple[object, object, object, object]
"""w_ih or packed weights, w_hh, b_ih and b_hh, as a user gave them."""


def run_pack(
    cell: Cell,
    parameters: Parameters,
    named: Options,
    options: Mapping[str, Any],
    dtype: object,
    fast_activations: bool,
    seed: int | None = None,
) -> PackedWeights:
    """What every pack_<cell> does. `named`: the options which are named arguments; `options`: the further keywords."""
    check_keywords(cell.pack, options, cell.weights)
    given = {**named, **options, "seed": seed}
    return _pack(cell, parameters, given, dtype=dtype, fast_activations=fast_activations)


@_core.quick_forward
def run_forward(
    cell: Cell,
    x: Any,
    w_ih: Any,
    w_hh: object,
    b_ih: object,
    b_hh: object,
    lengths: Any,
    reverse: bool,
    batch_first: bool,
    training: bool,
    out: object,
    threads: int | None,
    options: Mapping[str, Any],
    *more: Any,
) -> Any:
    """What every <cell>_forward does, but for usual calls, which `quick_forward` answers without coming here.

    Args:
        options: the further keywords. more: the initial states in the order of `cell.states`, None for zero; then the
            named arguments in the order of `cell.defaults`.
    """
    n = len(cell.states)
    states = more[:n]
    given = {
        name: value for (name, usual), value in zip(cell.defaults.items(), more[n:], strict=True) if value is not usual
    }
    run: Options = {}
    if options:
        check_keywords(cell.forward, options, cell.weights | cell.run)
        for name, value in options.items():
            if value is not None:
                (run if name in cell.run else given)[name] = value
    parameters = (w_ih, w_hh, b_ih, b_hh)
    if is_gpu(run, x, w_ih):
        call = Call(lengths, reverse, batch_first, training, out, threads)
        found = forward_on_gpu(cell, x, parameters, states, given, run, call)
        return found if training else cell.output(*found)
    run.pop("device", None)  # "cpu"
    weights = _packed(cell, x, parameters, given, run.get("seed"), training)
    h0, c0 = states[0], states[1] if len(states) == 2 else None
    if len(states) > 2:
        x = as_array("x", x, state_dtype(weights))
        others = dict(zip(cell.states[1:], states[1:], strict=True))
        c0 = one_array(others, lambda: ((1, batch_size(x, batch_first, run), weights.hidden_size), x.dtype))
    y, h_n, c_n, cache = _core.forward(  # by position: names would cost a microsecond
        weights, x, h0, c0, lengths, reverse, batch_first, training, out, threads, run or None
    )
    final = (y, h_n) if c_n is None else (y, h_n, c_n) if len(states) == 2 else (y, h_n, *split_states(c_n)[0])
    return (*final, cache) if training else cell.output(*final)


@_core.quick_step
def run_step(
    cell: Cell,
    x: Any,
    w_ih: Any,
    w_hh: object,
    b_ih: object,
    b_hh: object,
    training: bool,
    seed: int | None,
    options: Mapping[str, Any],
    *more: Any,
) -> Any:
    """What every <cell>_cell does: one step as a sequence of one. Arguments as in `run_forward`, `quick_step` likewise.

    Errors speak of the shapes that the user has given, without the axis of time.
    """
    check_keywords(cell.step, options, cell.weights)
    n = len(cell.states)
    states, given = more[:n], {**dict(zip(cell.defaults, more[n:], strict=True)), **options}
    weights = _packed(cell, x, (w_ih, w_hh, b_ih, b_hh), given, seed, training)
    x = as_array("x", x, state_dtype(weights))
    if x.ndim != 2:
        raise ValueError(f"x: expected shape (B, I), got {x.shape}")
    if x.shape[1] != weights.input_size:
        raise ValueError(f"x: expected shape {(x.shape[0], weights.input_size)}, got {x.shape}")
    first: Options = {}
    for name, state in zip(cell.states, states, strict=True):
        if state is not None:
            state = as_array(name, state, x.dtype)
            shape = (x.shape[0], weights.output_size if name == "h0" else weights.hidden_size)
            if state.shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {state.shape}")
            state = state[None]
        first[name] = state
    h0 = first.pop("h0")
    c0 = one_array(first, lambda: ((1, len(x), weights.hidden_size), x.dtype))
    run = None if seed is None else {"seed": seed}
    y, _, c_n, cache = _core.forward(weights, x[None], h0, c0, None, False, False, training, None, None, run)
    found = (y[0], *(c_n if c_n is not None else ()))
    if training:
        return *found, cache
    return found[0] if cell.state is None else cell.state(*found)


def run_backward(
    cell: Cell,
    result: type[Grads],
    dy: object,
    cache: object,
    dstates: tuple[object, ...],
    need_dx: bool,
    threads: int | None,
) -> Grads:
    """What every <cell>_backward does; `dstates`: the gradients of the final states, h_n's first, None for zero."""
    dh_n, *others = dstates
    if isinstance(cache, GpuCache):
        if threads is not None:
            raise ValueError(f"threads: expected nothing on a GPU, got {threads!r}")
        dc_n = _named_gradients(cell, others)
        dx, dh0, dc0, ((parameters,),) = backward_on_gpu(cell.name, dy, cache, dh_n, dc_n, need_dx)
        states = state_parts(dc0, cache)
    else:
        checked = _check_cache(cell, cache)
        dc = others[0] if len(others) == 1 else None
        if len(others) > 1:
            weights = checked.weights
            shape = (1, checked.batch, weights.hidden_size)
            dc = one_array(_named_gradients(cell, others), lambda: (shape, state_dtype(weights)))
        dx, dh0, dc0, parameters = _core.backward(dy, checked, dh_n, dc, need_dx, threads)
        states = (dc0,) if len(others) == 1 else split_states(dc0)[0]
    names = result._fields[2 + len(states) :]
    return result(dx, dh0, *states, *[parameters.get(name) for name in names])


def _named_gradients(cell: Cell, dstates: Iterable[object]) -> dict[str, object]:
    """The gradients of the final states beside h by the names that the user knows them by."""
    return {f"d{name[0]}_n": d for name, d in zip(cell.states[1:], dstates, strict=True)}


def _packed(
    cell: Cell, x: object, parameters: Parameters, given: Options, seed: object, training: bool
) -> PackedWeights:
    """The weights of a call, packed now unless they were before. `given`: their options, by name."""
    w_ih, w_hh, b_ih, b_hh = parameters
    if isinstance(w_ih, PackedWeights):
        if w_hh is not None or b_ih is not None or b_hh is not None:
            given = {"w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, **given}
        check_alone(cell, w_ih, given)
        return w_ih
    if "weight_dropout" in given:
        apply_weight_dropout(given, seed, training)
    return _pack(cell, parameters, given, x)


def _pack(
    cell: Cell,
    parameters: Parameters,
    given: Options,
    x: object = None,
    dtype: object = None,
    fast_activations: bool = False,
) -> PackedWeights:
    w_ih, w_hh, b_ih, b_hh = parameters
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    settings = split_arrays(given, arrays)
    try:
        return _core.pack(cell.name, arrays, settings, dtype=dtype, fast_activations=fast_activations, x=x)
    except (TypeError, ValueError) as error:
        raise explain_weights(error, arrays, x) from None


def _check_cache(cell: Cell, cache: object) -> Cache:
    expected = f"{cell.name}_forward"
    if not isinstance(cache, Cache):
        raise TypeError(f"cache: expected the cache of {expected}(..., training=True), got {type(cache).__name__}")
    if cache.cell != cell.name:
        raise ValueError(f"cache: expected one of {expected}, got one of {cache.cell}_forward")
    return cache
