"""Arrays on a GPU, of any library: taken by DLPack or ``__cuda_array_interface__`` without a copy, given back likewise.

DLPack's protocol is that of the array API standard, ``__cuda_array_interface__`` is version 3 of Numba's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from ... import _core

_CUDA = (2, 13)  # DLPack: device and managed memory
_DLPACK = (1, 0)  # the newest version that is understood
LEGACY_STREAM = 1


class Target(NamedTuple):
    """Where a call runs, and what it returns its results as."""

    ordinal: int
    stream: int
    stream_owner: object  # keeps the stream until the results are gone
    wrap: Callable[[Any], Any]  # of a DeviceArray


def ordinal_of(value: object) -> int | None:
    """The number of the CUDA device in whose memory the array `value` is; None for anything else."""
    if isinstance(value, np.ndarray):
        return None
    locate = getattr(value, "__dlpack_device__", None)
    if locate is not None:
        kind, ordinal = locate()
        return int(ordinal) if int(kind) in _CUDA else None
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        return None
    pointer = interface["data"][0]
    return int(_core.cuda_ordinal_of(pointer)) if pointer else 0


def describe(value: object) -> str:
    """The type of `value` and the device that it is on, for an error message."""
    name = type(value).__name__
    ordinal = ordinal_of(value)
    if ordinal is not None:
        return f"{name} on cuda:{ordinal}"
    return f"{name} on the CPU" if hasattr(value, "__dlpack_device__") else name


def find_target(x: object, ordinal: int, stream: object) -> Target:
    """Where a call with `x` on device `ordinal` runs; `stream` is the argument of that name, or None.

    Raises:
        TypeError, ValueError: stream is none.
    """
    library = _library_of(x)
    wrap = _WRAP[library] if library is not None else _as_it_is
    if stream is not None:
        return Target(ordinal, _handle(stream), stream, wrap)
    if library in _ORDERED:
        current = _CURRENT_STREAM[library](ordinal)
        return Target(ordinal, _handle(current), current, wrap)
    interface = getattr(x, "__cuda_array_interface__", None)
    exported = interface.get("stream") if interface is not None and library is None else None
    return Target(ordinal, LEGACY_STREAM if exported is None else _checked_stream("x", exported), None, wrap)


def must_wait(arguments: Iterable[object], stream: int) -> bool:
    """Whether the memory of an argument may be freed and used again before the work on `stream` is done."""
    return any(
        not (isinstance(value, _core.DeviceArray) and value.stream == stream) and _library_of(value) not in _ORDERED
        for value in arguments
        if value is not None
    )


def take(name: str, value: object, target: Target) -> Any:
    """`value` as a DeviceArray that refers to its memory, ready for work in the order of the target's stream.

    Raises:
        TypeError: it is not on a GPU, or not float32. ValueError: it is on another one, is not contiguous, or its
            library does not export it.
    """
    ordinal = ordinal_of(value)
    if ordinal is None:
        raise TypeError(f"{name}: expected an array on cuda:{target.ordinal}, as x, got {describe(value)}")
    if ordinal != target.ordinal:
        raise ValueError(f"{name}: expected an array on cuda:{target.ordinal}, as x, got one on cuda:{ordinal}")
    if hasattr(value, "__dlpack__"):
        try:
            capsule = _capsule(value, target.stream)
        except BufferError as error:
            raise ValueError(f"{name}: expected an array that can be shared: {error}") from error
        return _core.device_array_from_dlpack(name, capsule, target.stream)
    return _from_interface(name, value, target)


def _capsule(value: Any, stream: int) -> object:
    try:
        return value.__dlpack__(stream=stream, max_version=_DLPACK)
    except TypeError:  # a library from before DLPack had versions
        return value.__dlpack__(stream=stream)


def _from_interface(name: str, value: Any, target: Target) -> Any:
    interface = value.__cuda_array_interface__
    if interface.get("mask") is not None:
        raise ValueError(f"{name}: expected an array without a mask")
    dtype = np.dtype(interface["typestr"])
    if dtype != np.float32:
        raise TypeError(f"{name}: expected float32 on a GPU, got {dtype}")
    exported = interface.get("stream")
    if exported is not None and _checked_stream(name, exported) != target.stream:
        _core.order_cuda_streams(target.ordinal, exported, target.stream)
    pointer, _ = interface["data"]  # read-only or not: nothing is written
    shape, strides = interface["shape"], interface.get("strides")
    return _core.device_array_from_interface(name, pointer, shape, strides, target.ordinal, target.stream, value)


def _checked_stream(name: str, stream: int) -> int:
    if stream <= 0:
        raise ValueError(f"{name}: expected a stream above 0 in __cuda_array_interface__, got {stream}")
    return int(stream)


def _handle(stream: object) -> int:
    """A cudaStream_t as a number: 1 is the legacy default stream, for which 0 is taken, too; 2 the per-thread one."""
    for attribute in ("cuda_stream", "ptr"):  # of PyTorch and of CuPy
        handle = getattr(stream, attribute, None)
        if handle is not None:
            return int(handle) or LEGACY_STREAM
    if isinstance(stream, bool) or not isinstance(stream, (int, np.integer)):
        raise TypeError(f"stream: expected an int or an object with cuda_stream or ptr, got {type(stream).__name__}")
    if stream < 0:
        raise ValueError(f"stream: expected a handle of 0 or more, got {stream}")
    return int(stream) or LEGACY_STREAM


# -- libraries whose arrays become their own again -------------------------------------------------------------------


def _library_of(value: object) -> str | None:
    """The library that its type, or a base of it, comes from, by the name of the module; nothing is imported for it."""
    for kind in type(value).__mro__:
        root = kind.__module__.partition(".")[0]
        root = "jax" if root == "jaxlib" else root
        if root in _WRAP:
            return root
    return None


def _torch_stream(ordinal: int) -> Any:
    return importlib.import_module("torch").cuda.current_stream(ordinal)


def _cupy_stream(ordinal: int) -> Any:
    cuda = importlib.import_module("cupy").cuda
    device: AbstractContextManager[object] = cuda.Device(ordinal)
    with device:
        return cuda.get_current_stream()


def _as_it_is(array: Any) -> Any:
    return array


_WRAP: dict[str, Callable[[Any], Any]] = {
    "torch": lambda array: importlib.import_module("torch").from_dlpack(array),
    "cupy": lambda array: importlib.import_module("cupy").from_dlpack(array),
    "jax": lambda array: importlib.import_module("jax.dlpack").from_dlpack(array),
}
_CURRENT_STREAM: dict[str | None, Callable[[int], Any]] = {"torch": _torch_stream, "cupy": _cupy_stream}
_ORDERED = frozenset(_CURRENT_STREAM)
"""Libraries that give freed memory to later work on the same stream, so that a call need not wait for its own."""
