"""The arrays and the header in a model's file. The file is hostile until proved otherwise.

Whatever is wrong with it is a ValueError, nothing in it is run, and no more memory is taken than it has bytes: the
entries of a `.npz` must be stored uncompressed, so that nothing can unpack to more.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from ._file_writing import import_safetensors
from ._typing import Array

__all__ = ["open_regular", "read_npz", "read_safetensors", "safetensors_metadata"]

# What NumPy writes before the numbers of an array, but for objects and records.
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<>|][fiubU]\d{1,9})', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \} *\n"
)
_SAFETENSORS_DTYPES = ("BOOL", "U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "I64", "U64", "F64")


def read_npz(path: str, entry: str) -> tuple[str | None, dict[str, Array]]:
    """Return the text in the array `entry`, None without one, and all other arrays.

    Raises:
        ValueError: if the file is damaged or not as `numpy.savez` writes it.
        OSError: if it cannot be opened.
    """
    with open_regular(path) as file:
        try:
            arrays = _read_entries(file)
            header = arrays.pop(entry, None)
            text = None if header is None or header.dtype.kind != "U" or header.shape != () else str(header[()])
        except (
            ValueError, OSError, EOFError, LookupError, TypeError, RuntimeError, OverflowError, struct.error,
            zipfile.BadZipFile,
        ) as error:  # fmt: skip
            raise ValueError(f"{path}: not a readable .npz file: {error}") from error
    return text, arrays


def _read_entries(file: IO[bytes]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        size = os.fstat(file.fileno()).st_size
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise ValueError(
                    f"{entry.filename}: expected an entry that is stored uncompressed, as numpy.savez does"
                )
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError(f"expected entries that have room in {size} bytes, got overlapping ones")
        for entry in entries:
            name, suffix = entry.filename[:-4], entry.filename[-4:]
            if suffix != ".npy" or name in arrays:
                raise ValueError(f"{entry.filename}: expected names that end in .npy, each once")
            with archive.open(entry) as stored:
                arrays[name] = _read_array(name, stored.read())
    return arrays


def _read_array(name: str, data: bytes) -> Array:
    start = 10 + int.from_bytes(data[8:10], "little")
    match = _NPY_HEADER.fullmatch(data, 10, start)
    if not data.startswith(_NPY_MAGIC) or match is None:
        raise ValueError(f"{name}: expected an array of numbers or a text, as numpy.save writes it")
    dtype = np.dtype(match[1].decode())
    shape = tuple(int(size) for size in match[3].split(b",") if size.strip())
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"{name}: expected {len(data) - start} bytes, got shape {shape} of {dtype}")
    array: Array = np.ndarray(shape, dtype, data, start, order="F" if match[2] == b"True" else "C")
    return array


def read_safetensors(path: str, entry: str) -> tuple[str | None, dict[str, Array]]:
    """Return the metadata entry `entry`, None without one, and the arrays.

    Raises:
        ValueError: if the file is damaged.
        ImportError: without the package safetensors, which reads it.
        OSError: if it cannot be opened.
    """
    with _open_safetensors(path) as file:
        names = list(file.keys())  # it is no dict
        for name in names:
            dtype = file.get_slice(name).get_dtype()
            if dtype not in _SAFETENSORS_DTYPES:
                raise ValueError(f"{name}: expected one of {', '.join(_SAFETENSORS_DTYPES)}, got {dtype}")
        return (file.metadata() or {}).get(entry), {name: file.get_tensor(name) for name in names}


def safetensors_metadata(path: str) -> dict[str, str]:
    """Return what a .safetensors file says of itself, without its arrays. Errors as those of `read_safetensors`."""
    with _open_safetensors(path) as file:
        return dict(file.metadata() or {})


@contextlib.contextmanager
def _open_safetensors(path: str) -> Iterator[Any]:
    """The library's reader of a file. Whatever fails while it is open is a ValueError."""
    library = import_safetensors()
    open_regular(path).close()  # the library's own error for a missing file is no OSError
    try:
        with library.safe_open(path, framework="numpy") as file:
            yield file
    except (library.SafetensorError, ValueError, OSError, TypeError, LookupError, OverflowError) as error:
        raise ValueError(f"{path}: not a readable .safetensors file: {error}") from error


def open_regular(path: str) -> IO[bytes]:
    """A regular file, open: a pipe would wait for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path}: expected a regular file")
    return open(path, "rb")
