"""What this build and this machine can do."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from . import _core, _threads


def isa_available() -> list[str]:
    """Instruction sets that this machine can run, slowest first, e.g. ``["portable", "avx2"]``.

    Example:
        >>> "portable" in fastrnn.isa_available()
        True
    """
    return _core.available_isas()


def set_num_threads(n: int) -> None:
    """Threads of all later calls that do not say how many; results do not depend on it.

    Functions take one until this is called, `Sequential.fit`, `evaluate` and `predict` as many as there are processors
    for the process, or `OMP_NUM_THREADS` if that is less; sessions and pools always one.

    Args:
        n: 1 to 4096.

    Raises:
        TypeError: n is not an integer. ValueError: it is out of range.

    Example:
        >>> before = fastrnn.get_num_threads()
        >>> fastrnn.set_num_threads(2)
        >>> fastrnn.get_num_threads()
        2
        >>> fastrnn.set_num_threads(before)
    """
    _threads.set_num_threads(n)


def get_num_threads() -> int:
    """The number that :func:`set_num_threads` set last, at first 1.

    Example:
        >>> fastrnn.get_num_threads() >= 1
        True
    """
    return _core.num_threads()


def info() -> dict[str, Any]:
    """Facts about this installation, as a dict.

    Keys: version, isa (in use; the environment variable FASTRNN_ISA forces one), isa_available, threads, compiler,
    flags, cuda (the devices, or why there are none, in words), numpy, python, machine.

    Example:
        >>> sorted(fastrnn.info())[:3]
        ['compiler', 'cuda', 'flags']
    """
    import numpy as np

    return {
        "version": _core.version,
        "isa": _core.current_isa(),
        "isa_available": isa_available(),
        "threads": get_num_threads(),
        "compiler": _core.compiler,
        "flags": _core.flags,
        "cuda": _cuda_text(_core.cuda_status()),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def library() -> Path:
    """The shared library, for ctypes and for programs in other languages; its C API is in ``fastrnn/fastrnn.h``.

    Raises:
        FileNotFoundError: it was removed from beside the package.
    """
    core = Path(_core.__file__)
    folders = (core.parent / "lib", core.resolve().parent)  # installed; built in the source tree
    for folder in folders:
        for path in sorted(folder.glob("libfastrnn.so*")) + sorted(folder.glob("libfastrnn*.dylib")):
            return path
    raise FileNotFoundError(f"the shared library: expected libfastrnn.so in {folders[0]}")


def cmake_dir() -> Path:
    """The folder of the CMake package, for ``cmake -Dfastrnn_DIR=...``; ``python -m fastrnn --cmake-dir`` prints it.

    Raises:
        FileNotFoundError: fastrnn runs from its source tree, where there is none.
    """
    folder = Path(_core.__file__).parent / "lib" / "cmake" / "fastrnn"
    if not (folder / "fastrnn-config.cmake").exists():
        raise FileNotFoundError(f"the CMake package: expected it in {folder}, where pip install puts it")
    return folder


def _cuda_text(status: dict[str, Any]) -> str:
    if status["reason"]:
        return str(status["reason"])
    version, devices = status["version"], status["devices"]
    texts = [f"{d['name']} (sm_{d['capability'][0]}{d['capability'][1]}, {d['processors']} SMs)" for d in devices]
    return f"built with CUDA {version // 1000}.{version % 1000 // 10}; {', '.join(texts)}"
