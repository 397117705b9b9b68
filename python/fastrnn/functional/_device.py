"""Where a call runs: ``device=`` of the functions, and the call on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core

_GATES = {"rnn": 1, "lstm": 4, "gru": 3}
_GPU_OPTIONS = ("device", "device_dtype", "device_tier")


def is_gpu(options: Mapping[str, Any]) -> bool:
    """Whether ``device=`` among the keywords of a call names a GPU, there or not.

    Raises:
        TypeError: it is not a string. ValueError: it is none of "cpu", "cuda", "cuda:N", or an option of the GPU comes
            without it.
    """
    device = options.get("device")
    if device is not None and not isinstance(device, str):
        raise TypeError(f"device: expected a str, got {type(device).__name__}")
    if device is not None and device != "cpu":
        _core.parse_cuda_device(device)
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

    Args:
        parameters, states: by name, None for zero. settings: the named arguments which belong to the weights. options:
            the further keywords of the call. call: lengths, reverse, batch_first, training, out and threads.

    Raises:
        TypeError, ValueError: an argument is wrong, or the GPU's kernels do not know it. CudaError: the GPU is not
            there, and why; or no kernel can run this on it; or it failed.
    """
    for name, value in {**options, "out": call["out"], "threads": call["threads"]}.items():
        if value is not None and name not in _GPU_OPTIONS:
            raise ValueError(f"{name}: expected nothing on a GPU, got {_short(value)}")
    if call["training"]:
        raise ValueError("training: expected False on a GPU in this version, got True")
    sequence = _array("x", x, (None, None, None))
    if call["batch_first"]:
        sequence = sequence.swapaxes(0, 1)
    steps, batch, inputs = sequence.shape
    w_hh = _array("w_hh", parameters["w_hh"], (None, None))
    hidden, rows = w_hh.shape[1], _GATES[cell] * w_hh.shape[1]
    w_hh = _array("w_hh", w_hh, (rows, hidden))
    shapes: dict[str, tuple[int | None, ...]] = {
        "w_ih": (rows, inputs), "b_ih": (rows,), "b_hh": (rows,), "w_peep": (3, hidden)
    }  # fmt: skip
    arrays = {name: _array_or_none(name, parameters.get(name), shape) for name, shape in shapes.items()}
    if arrays["w_ih"] is None:
        raise TypeError("w_ih: expected a numpy.ndarray, got NoneType")
    h0, c0 = (_array_or_none(name, states.get(name), (1, batch, hidden)) for name in ("h0", "c0"))
    device = str(options["device"])
    y, h_n, c_n = _core.forward_cuda(
        cell, {name: value for name, value in settings.items() if value is not None},
        _core.parse_cuda_device(device), options.get("device_dtype") or "float32", options.get("device_tier") or "",
        np.ascontiguousarray(sequence), arrays["w_ih"], w_hh, arrays["b_ih"], arrays["b_hh"], arrays["w_peep"], h0, c0,
        _lengths(call["lengths"], steps, batch), bool(call["reverse"]),
    )  # fmt: skip
    y = y.swapaxes(0, 1) if call["batch_first"] else y
    return (y, h_n[None]) if c_n is None else (y, h_n[None], c_n[None])


def _array(name: str, value: object, shape: tuple[int | None, ...]) -> Any:
    """`value` in one piece, if it is a float32 array of that shape; None is any extent."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy.ndarray, got {type(value).__name__}")
    if value.dtype != np.float32:
        raise TypeError(f"{name}: expected float32 on a GPU, got {value.dtype}")
    fits = len(shape) == value.ndim and all(b in (None, a) for a, b in zip(value.shape, shape, strict=True))
    if not fits:
        raise ValueError(f"{name}: expected shape {str(shape).replace('None', 'any')}, got {value.shape}")
    return np.ascontiguousarray(value)


def _array_or_none(name: str, value: object, shape: tuple[int | None, ...]) -> Any:
    return None if value is None else _array(name, value, shape)


def _lengths(lengths: object, steps: int, batch: int) -> Any:
    if lengths is None:
        return None
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
