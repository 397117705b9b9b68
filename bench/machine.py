"""Facts that belong beside every number: processor, caches, load, versions, and the roofline of one core."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fastrnn

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# Flags and vector width in bytes under which the compiler makes what fastrnn's kernels of that name are made of.
_ISA_FLAGS: dict[str, tuple[list[str], int]] = {
    "portable": ([], 16),
    "avx2": (["-mavx2", "-mfma"], 32),
    "avx512": (["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma"], 64),
}


def cpu_model() -> str:
    """The processor's name, or what Python knows of it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cache_sizes() -> dict[str, int]:
    """Bytes of the data caches that one core sees, e.g. ``{"L1": 32768, "L2": 1048576}``; empty where unknown."""
    sizes = {}
    for index in sorted(_CACHES.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            sizes[f"L{level}"] = int(size.rstrip("KMG")) * _UNITS.get(size[-1], 1)
    return sizes


def load_average() -> list[float] | None:
    """Of 1, 5 and 15 minutes; None where the system has none."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return None


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pin(first: int, count: int) -> None:
    """Keep this process, and what threads it starts from now on, on `count` cores from `first` on.

    Raises:
        ValueError: the process may not run there.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("pin: expected a system that can pin processes, got " + platform.system())
    cores = set(range(first, first + count))
    allowed = os.sched_getaffinity(0)
    if not cores <= allowed:
        raise ValueError(f"pin: expected cores among {sorted(allowed)}, got {sorted(cores)}")
    os.sched_setaffinity(0, cores)


def facts(versions: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Everything about machine, build and software; `versions` are those of the peers."""
    info = fastrnn.info()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": usable_cores(),
        "caches": cache_sizes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "isa": info["isa"],
        "compiler": info["compiler"],
        "flags": info["flags"],
        "versions": {"fastrnn": info["version"], "python": info["python"], "numpy": info["numpy"]} | dict(versions),
        "load_before": load_average(),
    }


def roofline(isa: str, caches: dict[str, int]) -> dict[str, Any]:
    """Compile roofline.cc with the system's C++ compiler and run it; about three seconds.

    Half of each cache level is read, so that it stays there; a quarter of the last one, which others share.

    Returns:
        dict: ``vector_bytes``, ``gflops``, ``read_gbytes_per_second`` by level, ``compiler``; or ``skipped`` with the
        reason, e.g. that there is no compiler.
    """
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        return {"skipped": "no C++ compiler found (set CXX)"}
    flags, width = _ISA_FLAGS.get(isa, ([], 16))
    last = max(caches, default=None)
    sizes = {name: size // (4 if name == last and len(caches) > 1 else 2) for name, size in caches.items()}
    sizes["memory"] = min(max([4 * size for size in caches.values()] + [1 << 28]), 1 << 30)
    source = Path(__file__).with_name("roofline.cc")
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "roofline")
        build = [*compiler.split(), "-std=c++17", "-O3", "-ffp-contract=fast", *flags]
        if width == 64:
            build.append("-mprefer-vector-width=512")
        build += [f"-DFASTRNN_ROOFLINE_BYTES={width}", str(source), "-o", program]
        try:
            subprocess.run(build, check=True, capture_output=True, text=True)
            run = [program, *(f"{name}={size}" for name, size in sizes.items())]
            out = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            detail = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            return {"skipped": f"roofline.cc did not build or run: {detail[0] if detail else error}"}
    return {**json.loads(out), "read_bytes": sizes, "compiler": Path(build[0]).name, "flags": flags}
