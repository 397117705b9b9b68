"""Calls on a GPU: which calls these are, how weights get there, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ... import _core
from ..._core import CudaWeights, PackedWeights
from .._arguments import Options, apply_weight_dropout, as_array, batch_size, check_alone, split_arrays
from .._options import PARAMETERS, Cell
from .._states import one_array, split_states
from .arrays import Target, describe, find_target, must_wait, ordinal_of, take
from .cublas import find_cublas

_GPU_OPTIONS = ("device", "device_dtype", "device_tier", "stream")


def is_cuda_weights(value: object) -> bool:
    """Whether it is what `pack_cuda` returns."""
    return isinstance(value, _core.CudaWeights)


def is_gpu(options: Mapping[str, Any], x: object = None, weights: object = None) -> bool:
    """Whether a call is for a GPU, be it present or not: ``device=`` names one, or `x` or `weights` are on one.

    Raises:
        TypeError: ``device`` is not a string. ValueError: it is none of "cpu", "cuda", "cuda:N", or not where `x` or
            `weights` are, or an option of the GPU comes without one.
    """
    packed = type(weights) is _core.CudaWeights
    if not options and not packed and type(x) is np.ndarray:  # the usual call, which should not wait for the rest
        return False
    device = options.get("device")
    if device is not None and not isinstance(device, str):
        raise TypeError(f"device: expected a str, got {type(device).__name__}")
    places = {"x": ordinal_of(x), "the weights": weights.ordinal if packed else None}  # type: ignore[attr-defined]
    for name, ordinal in places.items():
        if device is None or ordinal is None or device == "cuda":
            continue
        if device == "cpu" or _core.parse_cuda_device(device) != ordinal:
            verb = "is" if name == "x" else "are"
            raise ValueError(f"device: expected 'cuda:{ordinal}', where {name} {verb}, got {device!r}")
    if None not in places.values() and len(set(places.values())) > 1:
        raise ValueError(f"x: expected an array on cuda:{places['the weights']}, where the weights are, got "
                         f"one on cuda:{places['x']}")  # fmt: skip
    if device is not None and device != "cpu":
        _core.parse_cuda_device(device)
        return True
    if any(ordinal is not None for ordinal in places.values()):
        return True
    for name in _GPU_OPTIONS[1:]:
        if options.get(name) is not None:
            raise ValueError(f"{name}: expected nothing on the CPU, got {options[name]!r}")
    return False


class GpuCache(NamedTuple):
    """What a forward call with ``training=True`` keeps on a GPU, and the caller's arrays there that it refers to.

    Args:
        target: the device and stream of the call's arrays; None if they are NumPy's. wait: whether calls return only
            when their work is done.
    """

    core: Any
    target: Target | None
    wait: bool


class Call(NamedTuple):
    """The arguments of a forward call which concern neither weights nor states, nor are options of a run."""

    lengths: Any
    reverse: bool
    batch_first: bool
    training: bool
    out: object
    threads: int | None


def forward_on_gpu(
    cell: Cell,
    x: object,
    parameters: tuple[Any, object, object, object],
    states: tuple[object, ...],
    given: Options,
    run: Options,
    call: Call,
) -> tuple[Any, ...]:
    """Run <cell>_forward on a GPU and return y and the final states, and in training a cache, as on the CPU.

    Arrays are NumPy's, which go there and come back, or all on the GPU, where the results stay: as arrays of the
    library of x, or DeviceArray.

    Args:
        parameters: w_ih or weights on a GPU, w_hh, b_ih, b_hh. states: h0 and the cell's others, None for zero. given:
            options of the weights. run: those of the run, from which those of a GPU are taken.

    Raises:
        TypeError, ValueError: an argument is wrong, or the GPU's kernels do not know it. CudaError: the GPU is not
            there, and why; or no kernel can run this on it; or it failed.
    """
    weights, w_hh, b_ih, b_hh = parameters
    given = {"w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, **given}
    place = _Place.of(x, run, weights)
    wait = place.waits((x, *states, weights, *(given.get(name) for name in PARAMETERS)))
    x = _array("x", x, place.target)
    if is_cuda_weights(weights):
        check_alone(cell, weights, given)
    else:
        if "weight_dropout" in given:
            apply_weight_dropout(given, run.get("seed"), bool(call.training))
        weights = weights_on_gpu(cell.name, {"w_ih": weights, **given}, place.ordinal, place.dtype, place.target)
    others = dict(zip(cell.states[1:], states[1:], strict=True))
    c0 = _one_array(others, lambda: batch_size(x, call.batch_first, run), weights.hidden_size, place.target)
    y, h_n, c_n, cache = _forward([[weights]], x, states[0], c0, place, wait, run, call)
    found = (y, h_n, *_parts(c_n, place.target))
    return found if cache is None else (*found, cache)


def stack_on_gpu(
    layers: list[list[Any]], x: object, h0: object, c0: object, run: Options, call: Call, merge: str, dropout: float
) -> tuple[Any, Any, Any, GpuCache | None]:
    """Run stack_forward on a GPU and return y, h_n, c_n or None, and in training a cache; as `forward_on_gpu` does."""
    run = dict(run)
    place = _Place.of(x, run, layers[0][0])
    wait, x = place.waits((x, h0, c0)), _array("x", x, place.target)
    y, h_n, c_n, cache = _forward(layers, x, h0, c0, place, wait, run, call, merge, dropout)
    return y, h_n, c_n if place.target is None else _wrap(c_n, place.target), cache


def backward_on_gpu(
    cell: str | None, dy: object, cache: GpuCache, dh_n: object, dc_n: object, need_dx: bool
) -> tuple[Any, Any, Any, list[list[dict[str, Any]]]]:
    """Return the gradients of x, the states and, by layer and direction, the parameters, in arrays as the call's.

    Args:
        cell: that of the function; None for a stack. dc_n: of a cell the gradients of its states beside h, by name; of
            a stack the one array of all.

    Raises:
        TypeError, ValueError: an argument is wrong. CudaError: the GPU failed.
    """
    core, target = cache.core, cache.target
    if cell is not None and core.cell != cell:
        raise ValueError(f"cache: expected one of {cell}_forward, got one of {core.cell}_forward")
    if isinstance(dc_n, dict):
        dc_n = _one_array(dc_n, lambda: int(core.batch), core.hidden_size, target)
    if target is None:
        found: tuple[Any, Any, Any, list[list[dict[str, Any]]]] = core.backward(dy, dh_n, dc_n, bool(need_dx))
        return found
    wait = cache.wait or must_wait((dy, dh_n, dc_n), target.stream)
    given = (None if value is None else take(name, value, target)
             for name, value in (("dy", dy), ("dh_n", dh_n), ("dc_n", dc_n)))  # fmt: skip
    dx, dh0, dc0, layers = core.backward(*given, bool(need_dx), wait)
    wrapped = [[{k: target.wrap(v) for k, v in one.items()} for one in row] for row in layers]
    return _wrap(dx, target), _wrap(dh0, target), dc0 if cell else _wrap(dc0, target), wrapped


def state_parts(array: Any, cache: GpuCache) -> tuple[Any, ...]:
    """Split the array of a call's cell states into an array for each state; None gives none."""
    return _parts(array, cache.target)


class _Place(NamedTuple):
    """Where a call runs and how, taken out of the options of its run."""

    ordinal: int
    dtype: str
    tier: str
    target: Target | None  # for arrays in the GPU's memory; None for NumPy's

    @staticmethod
    def of(x: object, run: Options, weights: object) -> _Place:
        device, dtype, tier, stream = (run.pop(name, None) for name in _GPU_OPTIONS)
        ordinal = ordinal_of(x)
        if ordinal is None and stream is not None:
            raise ValueError("stream: expected nothing for arrays of NumPy, got a stream")
        target = None if ordinal is None else find_target(x, ordinal, stream)
        if is_cuda_weights(weights):
            ordinal, packed = weights.ordinal, weights.dtype  # type: ignore[attr-defined]
            if dtype not in (None, packed):
                raise ValueError(f"device_dtype: expected {packed!r}, which the weights have, got {dtype!r}")
            dtype = packed
        elif ordinal is None:
            ordinal = _core.parse_cuda_device(device)
        return _Place(int(ordinal), dtype or "float32", tier or "", target)

    def waits(self, arguments: Any) -> bool:
        """Whether the caller may free the arguments as soon as the call returns, which therefore waits for its work."""
        return self.target is not None and must_wait(arguments, self.target.stream)


def weights_on_gpu(cell: str, given: Options, ordinal: int, dtype: str, target: Target | None = None) -> CudaWeights:
    """Return weights on a GPU: copies of parameters of the host, or references to those in the GPU's memory.

    `given`: parameters and options of the weights, by name.
    """
    arrays: Options = {}
    settings = split_arrays(given, arrays)
    if isinstance(arrays.get("w_ih"), PackedWeights):
        raise TypeError("w_ih: expected an array or CudaWeights on a GPU, got PackedWeights")
    for name in ("w_ih", "w_hh"):
        if name not in arrays:
            raise TypeError(f"{name}: expected an array, got NoneType")
    arrays = {name: _array(name, value, target) for name, value in arrays.items()}
    find_cublas()
    if target is None:
        return _core.pack_cuda(cell, arrays, settings, ordinal, dtype)
    return _core.refer_cuda(cell, arrays, settings, ordinal, dtype, target.stream, target.stream_owner)


def _forward(
    layers: list[list[Any]],
    x: object,
    h0: object,
    c0: object,
    place: _Place,
    wait: bool,
    run: Options,
    call: Call,
    merge: str = "concat",
    dropout: float = 0.0,
) -> tuple[Any, Any, Any, GpuCache | None]:
    """Run layers on a GPU on an x that was checked. Of c_n the native array is returned, neither split nor wrapped."""
    if call.threads is not None:
        raise ValueError(f"threads: expected nothing on a GPU, got {call.threads!r}")
    target, lengths = place.target, call.lengths
    if ordinal_of(lengths) is not None:
        raise TypeError(f"lengths: expected integers on the host, got {describe(lengths)}")
    states = (None if value is None else _array(name, value, target) for name, value in (("h0", h0), ("c0", c0)))
    arguments = (layers, x, *states, lengths, bool(call.reverse), bool(call.batch_first), bool(call.training))
    options = (run or None, merge, dropout, place.tier)
    core: Any
    if target is None:
        y, h_n, c_n, core = _core.cuda_forward(*arguments, call.out, *options)
        return y, h_n, c_n, None if core is None else GpuCache(core, None, wait)
    if call.out is not None:
        raise ValueError("out: expected nothing for arrays on a GPU, got an array")
    where = target.stream, target.stream_owner, wait
    *found, c_n_there, core = _core.cuda_forward_device(*arguments, *options, *where)
    y_there, h_n_there = map(target.wrap, found)
    return y_there, h_n_there, c_n_there, None if core is None else GpuCache(core, target, wait)


def _array(name: str, value: object, target: Target | None) -> Any:
    """`value` as a float32 array where x is."""
    if target is not None:
        return take(name, value, target)
    if ordinal_of(value) is not None:
        raise TypeError(f"{name}: expected an array on the host, as x, got {describe(value)}")
    array = as_array(name, value, np.dtype(np.float32))
    if array.dtype != np.float32:
        raise TypeError(f"{name}: expected float32 on a GPU, got {array.dtype}")
    return array


def _one_array(states: Options, batch: Callable[[], int], hidden: int, target: Target | None) -> Any:
    """As `one_array`, but refuse several states that are on a GPU: joining them would need a copy."""
    given = [name for name, value in states.items() if value is not None]
    if target is not None and len(states) > 1 and given:
        raise ValueError(f"{given[0]}: expected None for arrays on a GPU, where several states are not joined")
    return one_array(states, lambda: ((1, batch(), hidden), np.dtype(np.float32)))


def _wrap(array: Any, target: Target) -> Any:
    return None if array is None else target.wrap(array)


def _parts(array: Any, target: Target | None) -> tuple[Any, ...]:
    if target is None or array is None:
        return split_states(array)[0]
    return tuple(target.wrap(part) for part in _core.device_array_parts(array))
