"""Named arrays in .npz and .safetensors files, of half precision too. The file is hostile until proved otherwise."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from .._file_reading import open_regular, read_npz
from .._file_writing import import_safetensors, suffix_of
from .._typing import Array

__all__ = ["read_bytes", "read_tensors"]

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
    "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Return the arrays of a .npz or .safetensors file by name; half precision becomes float32.

    Raises:
        ValueError: another suffix, a damaged file, or a type of numbers that is not read.
        ImportError: for .safetensors without the package of that name.
        OSError: if the file cannot be opened.
    """
    path = os.fspath(path)
    if suffix_of(path, (".npz", ".safetensors")) == ".npz":
        _, arrays = read_npz(path, "\0")
        return arrays
    library = import_safetensors()
    try:
        entries = library.deserialize(read_bytes(path))
        entries.sort(key=lambda pair: pair[0], reverse=True)
        arrays = {}
        while entries:  # the bytes of each are freed as soon as they are converted
            name, entry = entries.pop()
            arrays[name] = _array(name, entry)
        return arrays
    except (library.SafetensorError, ValueError, TypeError, LookupError, OverflowError) as error:
        raise ValueError(f"{path}: not a readable .safetensors file: {error}") from error


def read_bytes(path: str) -> bytes:
    """The contents of a regular file: a pipe would wait for ever."""
    with open_regular(path) as file:
        return file.read()


def _array(name: str, entry: Any) -> Array:
    shape, dtype, data = tuple(entry["shape"]), entry["dtype"], entry["data"]
    if dtype == "BF16":
        bits = np.frombuffer(data, "<u2").astype(np.uint32)
        bits <<= 16  # bfloat16 is the upper half of a float32
        return bits.view(np.float32).reshape(shape)
    if dtype == "F16":
        return np.frombuffer(data, "<f2").astype(np.float32).reshape(shape)
    if dtype not in _DTYPES:
        raise ValueError(f"{name}: expected one of BF16, F16, {', '.join(_DTYPES)}, got {dtype}")
    kind = np.dtype(_DTYPES[dtype])
    if math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"{name}: expected {len(data)} bytes, got shape {shape} of {dtype}")
    array: Array = np.frombuffer(data, kind).reshape(shape)
    return array
