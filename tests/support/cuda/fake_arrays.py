"""Arrays that claim to be on a GPU, over memory of NumPy: for the emulation, whose devices have the heap.

They offer DLPack (with versions or from before them) or __cuda_array_interface__, and record what is asked of them.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import types
from typing import Any

import numpy as np
import pytest

CUDA, MANAGED = 2, 13
_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("owner", ctypes.c_void_p), ("deleter", _Deleter))


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("owner", ctypes.c_void_p), ("deleter", _Deleter),
        ("flags", ctypes.c_uint64), ("tensor", _Tensor),
    )  # fmt: skip


_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_pointer_of_ended = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.argtypes = (ctypes.py_object, ctypes.c_char_p)


@_Destructor
def _destroy(capsule: int) -> None:
    """Frees a capsule that nobody consumed, as its producer has to."""
    for name, kind in ((b"dltensor", _Managed), (b"dltensor_versioned", _ManagedVersioned)):
        if _is_valid(capsule, name):
            address = _pointer_of_ended(capsule, name)
            kind.from_address(address).deleter(address)


class FakeArray:
    """`streams`: the stream asked for with each capsule; `deleted`: how many capsules were given back."""

    def __init__(
        self, array: np.ndarray, ordinal: int = 0, *, kind: int = CUDA, old: bool = False, major: int = 1,
        read_only: bool = False, offset: int = 0,
    ) -> None:  # fmt: skip
        self.array = array
        self.ordinal, self.kind, self.old, self.major, self.offset = ordinal, kind, old, major, offset
        self.read_only = read_only
        self.streams: list[object] = []
        self.deleted = 0
        self._kept: list[object] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, self.ordinal

    def __dlpack__(self, *, stream: object = None, **options: Any) -> object:
        if self.old and options:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        assert self.old or options["max_version"] >= (1, 0)
        self.streams.append(stream)
        managed: Any = _Managed() if self.old else _ManagedVersioned(major=self.major, flags=int(self.read_only))
        rank = self.array.ndim
        shape = (ctypes.c_int64 * rank)(*self.array.shape)
        strides = (ctypes.c_int64 * rank)(*(s // self.array.itemsize for s in self.array.strides))
        null = self.old and self.array.flags.c_contiguous  # which old producers may leave out
        managed.tensor = _Tensor(
            self.array.ctypes.data - self.offset, self.kind, self.ordinal, rank, _CODES[self.array.dtype.kind],
            self.array.itemsize * 8, 1, shape, None if null else strides, self.offset,
        )  # fmt: skip
        managed.deleter = _Deleter(self._delete)
        self._kept += [managed, shape, strides]
        return _new(ctypes.addressof(managed), b"dltensor" if self.old else b"dltensor_versioned", _destroy)

    def _delete(self, _: int) -> None:
        self.deleted += 1


class InterfaceArray:
    """The same by __cuda_array_interface__ alone."""

    def __init__(self, array: np.ndarray, stream: int | None = None, **entries: Any) -> None:
        self.array, self.stream, self.entries = array, stream, entries

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.array.shape, "typestr": self.array.dtype.str, "version": 3, "stream": self.stream,
            "data": (self.array.ctypes.data, False), "strides": None if self.array.flags.c_contiguous else
            self.array.strides, **self.entries,
        }  # fmt: skip


def read(array: Any, *, stream: int | None = None, max_version: tuple[int, int] | None = (1, 0)) -> np.ndarray:
    """What a consumer of DLPack finds in a DeviceArray, copied; it gives the tensor back."""
    capsule = array.__dlpack__(stream=stream, max_version=max_version)
    old = max_version is None or max_version[0] < 1
    name = b"dltensor" if old else b"dltensor_versioned"
    address = _pointer(capsule, name)
    _rename(capsule, b"used_" + name)
    managed: Any = (_Managed if old else _ManagedVersioned).from_address(address)
    assert old or (managed.major, managed.flags) == (1, 0)
    tensor = managed.tensor
    assert (tensor.code, tensor.bits, tensor.lanes, tensor.byte_offset) == (2, 32, 1, 0)
    assert (tensor.device_type, tensor.device_id) == array.__dlpack_device__()
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    assert shape == array.shape
    strides = [tensor.strides[i] for i in range(tensor.ndim)]
    assert strides == [int(np.prod(shape[i + 1 :])) for i in range(tensor.ndim)]
    count = int(np.prod(shape))
    values = np.ctypeslib.as_array((ctypes.c_float * count).from_address(tensor.data)).copy() if count else np.empty(0)
    managed.deleter(address)
    return values.astype(np.float32).reshape(shape)


STREAM = 0x7000  # no stream at all: the emulation records it


class Stream:
    """An object that names a stream, as a library's does."""

    def __init__(self, **attributes: int) -> None:
        self.__dict__.update(attributes)


def fakes(arrays: dict[str, np.ndarray], **options: Any) -> dict[str, Any]:
    """FakeArrays of the same values."""
    return {name: FakeArray(array, **options) for name, array in arrays.items()}


def values(results: Any) -> list[np.ndarray]:
    """The values of DeviceArrays, read by DLPack."""
    return [read(array) for array in results]


def given_back(arrays: dict[str, Any]) -> bool:
    """Whether every capsule that was handed out was deleted, once."""
    gc.collect()
    return all(fake.deleted == len(fake.streams) for fake in arrays.values() if isinstance(fake, FakeArray))


def library(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[types.ModuleType, type, list[Any]]:
    """A pretended library of that name, its type of arrays, and the list of arrays that its from_dlpack was given."""
    module, taken = types.ModuleType(name), []

    class Array(FakeArray):
        __module__ = f"{name}._arrays"

    def from_dlpack(array: Any) -> Any:
        taken.append(array)
        return Array(read(array, stream=-1), array.__dlpack_device__()[1])

    class Device:
        def __init__(self, ordinal: int) -> None:
            self.ordinal = ordinal

        def __enter__(self) -> None:
            module.current = self.ordinal

        def __exit__(self, *_: object) -> None:
            module.current = 0

    module.current = 0
    module.from_dlpack = from_dlpack
    module.cuda = types.SimpleNamespace(
        current_stream=lambda ordinal: Stream(cuda_stream=STREAM + ordinal),
        get_current_stream=lambda: Stream(ptr=STREAM + module.current),
        Device=Device,
    )
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, f"{name}.dlpack", module)
    return module, Array, taken
