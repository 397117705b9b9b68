"""Type names used throughout the Python layer."""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
"""Any NumPy array. Shapes and dtypes are stated in the docstrings, the type system cannot carry them."""

ArrayLike = npt.ArrayLike
"""What NumPy can view as an array, or convert to one, as a tensor on the CPU or a list."""

DTypeLike = npt.DTypeLike
"""Anything `numpy.dtype` accepts, usually ``"float32"`` or ``"float64"``."""

PathLike = str | os.PathLike[str]
"""The name of a file, as `open` takes it."""

Config = dict[str, Any]
"""What `get_config` returns: keyword arguments that rebuild the object; JSON-serialisable."""

Identifier = str | Config
"""How an object is named from outside: by name, or as `serialize` returns: ``{"class_name": ..., "config": ...}``."""
