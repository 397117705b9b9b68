"""What this build and this machine can do."""

from __future__ import annotations

import platform
from typing import Any

from . import _core


def isa_available() -> list[str]:
    """Instruction sets that this machine can run, slowest first, e.g. ``["portable", "avx2"]``."""
    return _core.available_isas()


def info() -> dict[str, Any]:
    """Facts about this installation, as a dict.

    Keys: version, isa (in use; the environment variable FASTRNN_ISA forces one), isa_available, threads, compiler,
    flags, cuda (why there is no device, in words), numpy, python, machine.
    """
    import numpy as np

    return {
        "version": _core.version,
        "isa": _core.current_isa(),
        "isa_available": isa_available(),
        "threads": 1,
        "compiler": _core.compiler,
        "flags": _core.flags,
        "cuda": "not built in",
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
