"""Where a call runs: ``device=`` of the functions, and the call on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ._arrays import Target, describe, find_target, must_wait, ordinal_of, take
from ._cublas import find_cublas
from ._options import CELLS

_GATES = {"rnn": 1, "lstm": 4, "gru": 3}
_GPU_OPTIONS = ("device", "device_dtype", "device_tier", "stream")
_SETTINGS = frozenset(
    (
        "activation",
        "recurrent_activation",
        "output_activation",
        "clip",
        "cell_clip",
        "forget_bias",
        "zoneout_h",
        "zoneout_c",
    )
)
"""Options of the weights that a GPU has, too. Zoneout in inference alone: in training it needs a seed of the run."""


def is_gpu(options: Mapping[str, Any], x: object = None) -> bool:
    """Whether a call runs on a GPU, there or not: ``device=`` among its keywords names one, or `x` is on one.

    Raises:
        TypeError: ``device`` is not a string. ValueError: it is none of "cpu", "cuda", "cuda:N", or not where `x` is,
            or an option of the GPU comes without one.
    """
    if not options and type(x) is np.ndarray:  # the short way of a service that calls for every few samples
        return False
    device = options.get("device")
    ordinal = ordinal_of(x)
    if device is not None and not isinstance(device, str):
        raise TypeError(f"device: expected a str, got {type(device).__name__}")
    if device is not None and device != "cpu":
        named = _core.parse_cuda_device(device)
        if ordinal is not None and device != "cuda" and named != ordinal:
            raise ValueError(f"device: expected 'cuda:{ordinal}', where x is, got {device!r}")
        return True
    if ordinal is not None:
        if device is not None:
            raise ValueError(f"device: expected 'cuda:{ordinal}', where x is, got {device!r}")
        return True
    for name in _GPU_OPTIONS[1:]:
        if options.get(name) is not None:
            raise ValueError(f"{name}: expected nothing on the CPU, got {options[name]!r}")
    return False


def forward_on_gpu(
    cell: str,
    x: object,
    parameters: Mapping[str, object],
    states: Mapping[str, object],
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    call: Mapping[str, Any],
) -> tuple[Any, ...]:
    """Run <cell>_forward on a GPU and return y and the final states, in the layout of the CPU's.

    Arrays are NumPy's, which go there and come back, or all on the GPU, where the results stay: as arrays of the
    library of x, or DeviceArray.

    Args:
        parameters, states: by name, None for zero. settings: the named arguments which belong to the weights. options:
            the further keywords of the call. call: lengths, reverse, batch_first, training, out and threads.

    Raises:
        TypeError, ValueError: an argument is wrong, or the GPU's kernels do not know it. CudaError: the GPU is not
            there, and why; or no kernel can run this on it; or it failed.
    """
    for name, value in {**options, "out": call["out"], "threads": call["threads"]}.items():
        if value is not None and name not in _GPU_OPTIONS and name not in _SETTINGS & CELLS[cell].weights:
            raise ValueError(f"{name}: expected nothing on a GPU, got {_short(value)}")
    find_cublas()
    ordinal = ordinal_of(x)
    if call["training"] and call["batch_first"] and ordinal is not None:
        raise ValueError("batch_first: expected False in training with arrays on a GPU, got True")
    target = None if ordinal is None else find_target(x, ordinal, options.get("stream"))
    batch_first = bool(call["batch_first"])
    sequence = _array("x", x, (None, None, None), target)
    steps, batch, inputs = sequence.shape
    if batch_first:
        steps, batch = batch, steps
    w_hh = _array("w_hh", parameters["w_hh"], (None, None), target)
    hidden, rows = w_hh.shape[1], _GATES[cell] * w_hh.shape[1]
    _check_shape("w_hh", w_hh, (rows, hidden))
    full = getattr(parameters.get("w_peep"), "ndim", 2) == 3
    shapes: dict[str, tuple[int | None, ...]] = {
        "w_ih": (rows, inputs), "b_ih": (rows,), "b_hh": (rows,),
        "w_peep": (3, hidden, hidden) if full else (3, hidden),
    }  # fmt: skip
    arrays = {name: _array_or_none(name, parameters.get(name), shape, target) for name, shape in shapes.items()}
    if arrays["w_ih"] is None:
        raise TypeError("w_ih: expected an array, got NoneType")
    h0, c0 = (_array_or_none(name, states.get(name), (1, batch, hidden), target) for name in ("h0", "c0"))
    if call["training"] and (options.get("zoneout_h") or options.get("zoneout_c")):
        raise ValueError("zoneout_h, zoneout_c: expected nothing in training on a GPU, got a rate")
    further = {name: value for name, value in options.items() if name in _SETTINGS}
    given = {name: value for name, value in {**settings, **further}.items() if value is not None}
    kernel = options.get("device_dtype") or "float32", options.get("device_tier") or ""
    weights = arrays["w_ih"], w_hh, arrays["b_ih"], arrays["b_hh"], arrays["w_peep"]
    run = _lengths(call["lengths"], steps, batch), bool(call["reverse"])
    if target is not None:
        wait = must_wait((x, *parameters.values(), *states.values()), target.stream)
        where = target.stream, target.stream_owner, wait
        arguments = sequence, *weights, h0, c0, *run, batch_first, bool(call["training"])
        *results, kept = _core.forward_cuda_device(cell, given, *kernel, *where, *arguments)
        found = tuple(target.wrap(array) for array in results if array is not None)
        return found if kept is None else (*found, GpuCache(kept, batch_first, target, wait))
    if options.get("stream") is not None:
        raise ValueError("stream: expected nothing for arrays of NumPy, got a stream")
    if batch_first:
        sequence = sequence.swapaxes(0, 1)
    forward = _core.forward_cuda_training if call["training"] else _core.forward_cuda
    y, h_n, c_n, *cache = forward(
        cell, given, _core.parse_cuda_device(str(options["device"])), *kernel,
        np.ascontiguousarray(sequence), *weights, h0, c0, *run,
    )  # fmt: skip
    y = y.swapaxes(0, 1) if batch_first else y
    final = (h_n[None],) if c_n is None else (h_n[None], c_n[None])
    return (y, *final, *(GpuCache(core, batch_first) for core in cache))


class GpuCache(NamedTuple):
    """What <cell>_forward with ``training=True`` left on a GPU. Of the call's arrays it keeps those that are there.

    Args:
        target: where those are; None for arrays of NumPy. wait: likewise of the backward pass.
    """

    core: Any
    batch_first: bool
    target: Target | None = None
    wait: bool = False


def backward_on_gpu(
    result: Any, cell: str, dy: object, cache: GpuCache, dh_n: object, dc_n: object, need_dx: bool
) -> Any:
    """Return the gradients of a call on a GPU as `result`, one of the named tuples, in arrays as the call's.

    Raises:
        TypeError, ValueError: an argument is wrong. CudaError: the GPU failed.
    """
    core = cache.core
    if core.cell != cell:
        raise ValueError(f"cache: expected one of {cell}_forward, got one of {core.cell}_forward")
    state = (1, core.batch, core.hidden_size)
    sequence = (core.steps, core.batch, core.hidden_size)
    if cache.batch_first:
        sequence = (core.batch, core.steps, core.hidden_size)
    target = cache.target
    outputs = _array_or_none("dy", dy, sequence, target)
    if outputs is not None and cache.batch_first:
        outputs = np.ascontiguousarray(outputs.swapaxes(0, 1))
    states = (_array_or_none(name, value, state, target) for name, value in (("dh_n", dh_n), ("dc_n", dc_n)))
    if target is not None:
        wait = cache.wait or must_wait((dy, dh_n, dc_n), target.stream)
        found = core.backward(outputs, *states, bool(need_dx), wait)
        return result(*(target.wrap(found[name]) if name in found else None for name in result._fields))
    gradients = core.backward(outputs, *states, bool(need_dx))
    if need_dx and cache.batch_first:
        gradients["x"] = gradients["x"].swapaxes(0, 1)
    return result(*(gradients.get(name) for name in result._fields))


def _array(name: str, value: object, shape: tuple[int | None, ...], target: Target | None) -> Any:
    """`value` in one piece, if it is a float32 array of that shape where x is; None is any extent."""
    if target is not None:
        array = take(name, value, target)
        _check_shape(name, array, shape)
        return array
    if not isinstance(value, np.ndarray):
        where = "a numpy.ndarray or an array on a CUDA device" if name == "x" else "a numpy.ndarray, as x"
        raise TypeError(f"{name}: expected {where}, got {describe(value)}")
    if value.dtype != np.float32:
        raise TypeError(f"{name}: expected float32 on a GPU, got {value.dtype}")
    _check_shape(name, value, shape)
    return np.ascontiguousarray(value)


def _check_shape(name: str, value: Any, shape: tuple[int | None, ...]) -> None:
    fits = len(shape) == value.ndim and all(b in (None, a) for a, b in zip(value.shape, shape, strict=True))
    if not fits:
        raise ValueError(f"{name}: expected shape {str(shape).replace('None', 'any')}, got {value.shape}")


def _array_or_none(name: str, value: object, shape: tuple[int | None, ...], target: Target | None) -> Any:
    return None if value is None else _array(name, value, shape, target)


def _lengths(lengths: object, steps: int, batch: int) -> Any:
    if lengths is None:
        return None
    if ordinal_of(lengths) is not None:
        raise TypeError(f"lengths: expected integers on the host, got {describe(lengths)}")
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths: expected integers, got {array.dtype}")
    if array.shape != (batch,):
        raise ValueError(f"lengths: expected shape {(batch,)}, got {array.shape}")
    if batch and not 0 <= array.min() <= array.max() <= steps:
        raise ValueError(f"lengths: expected values in 0..{steps}, got {array.min()}..{array.max()}")
    return np.ascontiguousarray(array, np.int64)


def _short(value: object) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
