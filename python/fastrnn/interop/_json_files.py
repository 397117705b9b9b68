"""Models in JSON: the text, and arrays in lists of lists. The file is hostile until proved otherwise."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from .._file_writing import write_file
from .._typing import Array, Config
from ._tensors import read_bytes

__all__ = ["as_array", "as_size", "as_text", "read_object", "write_object"]


def read_object(path: str | os.PathLike[str]) -> Config:
    """Return the JSON object in a file.

    Raises:
        ValueError: if the file holds something else.
        OSError: if it cannot be opened.
    """
    path = os.fspath(path)
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError, too
        raise ValueError(f"{path}: expected JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def write_object(path: str | os.PathLike[str], value: Config) -> None:
    """Write a JSON object to a file. OSError if it cannot be written."""
    text = json.dumps(value, allow_nan=False)
    write_file(os.fspath(path), lambda file: file.write(text.encode()))


def as_array(value: Any, where: str, axes: int) -> Array:
    """Return numbers in nested lists as float32. ValueError for anything else, uneven rows, or what is not finite."""
    _check_depth(value, where, axes)
    try:
        array = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{where}: expected rows of equal length, all numbers") from None
    if array.ndim != axes:
        raise ValueError(f"{where}: expected {axes} axes, got shape {array.shape}")
    with np.errstate(over="ignore"):
        result: Array = array.astype(np.float32)
    if not np.isfinite(result).all():
        raise ValueError(f"{where}: expected finite numbers of float32")
    return result


def _check_depth(value: Any, where: str, axes: int) -> None:
    """Numbers at the right depth alone: NumPy would read texts and booleans as numbers."""
    rows = [value]
    for _ in range(axes):
        for row in rows:
            if not isinstance(row, list):
                raise ValueError(f"{where}: expected lists of numbers with {axes} axes, got {type(row).__name__}")
        rows = [item for row in rows for item in row]
    for item in rows:
        if type(item) not in (int, float):
            raise ValueError(f"{where}: expected numbers, got {type(item).__name__}")


def as_size(value: Any, where: str) -> int:
    """Return a size. ValueError unless it is an integer in 1..2^30."""
    if type(value) is not int or not 1 <= value <= 2**30:
        shown = str(value)[:60] if not isinstance(value, int) or abs(value) < 2**64 else "a larger one"
        raise ValueError(f"{where}: expected an integer in 1..{2**30}, got {shown}")
    return value


def as_text(value: Any, where: str) -> str:
    """Return a text. ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected a text, got {type(value).__name__}")
    return value
