"""The machine: facts that belong beside every number, and the cores that a measurement is given."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import fastrnn
from fastrnn.cli.latency.timing import spinning

from .measure import Unable

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


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


def usable_cores() -> set[int]:
    """Those that this process may run on; empty where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


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


@contextmanager
def cores(count: int, allowed: set[int], busy: bool) -> Iterator[None]:
    """`count` cores out of `allowed` for the calling thread and those that it starts; with `busy` a process spins on
    the last of them.

    Raises:
        Unable: there are not as many, or the system cannot pin processes.
    """
    if count == 1:
        yield
        return
    if len(allowed) < count:
        raise Unable(f"{count} cores are not there")
    before = os.sched_getaffinity(0)
    chosen = sorted(before) + sorted(allowed - before)
    os.sched_setaffinity(0, set(chosen[:count]))
    try:
        with spinning(chosen[count - 1]) if busy else nullcontext():
            yield
    finally:
        os.sched_setaffinity(0, before)


def facts(versions: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Everything about machine, build and software; `versions` are those of the peers."""
    info = fastrnn.info()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": len(usable_cores()),
        "caches": cache_sizes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "isa": info["isa"],
        "compiler": info["compiler"],
        "flags": info["flags"],
        "versions": {"fastrnn": info["version"], "python": info["python"], "numpy": info["numpy"]} | dict(versions),
        "load_before": load_average(),
    }
