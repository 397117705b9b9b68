"""Finds NVIDIA's cuBLASLt among pip's packages, where the dynamic linker does not look."""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path

VARIABLE = "FASTRNN_CUBLASLT"
"""A path, or empty for the project's own products; csrc/cuda/runtime/blaslt.h."""


def wheel_library() -> Path | None:
    """The newest libcublasLt.so.12 or .13 of the wheel nvidia-cublas, in any of its layouts; None without it."""
    try:
        spec = importlib.util.find_spec("nvidia")
    except ValueError:  # a module without a spec
        return None
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    found = [path for folder in folders for path in Path(folder).glob("*/lib/libcublasLt.so.1[23]")]
    return max(found, key=lambda path: path.name, default=None)


@functools.cache
def find_cublas() -> None:
    """Set the variable that the native code reads before its first product, unless the user has set it."""
    if VARIABLE not in os.environ:
        path = wheel_library()
        if path is not None:
            os.environ[VARIABLE] = str(path)
