"""How many threads a call takes that does not say so: one, and in `fit`, `evaluate` and `predict` those of the process.

The kernels ask for the number of `set_num_threads`, at first one. While a model trains or predicts, `sharing` has the
layers pass another one to the functions that they call: results do not depend on it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import operator
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import SupportsIndex

from . import _core

__all__ = ["available", "check", "set_num_threads", "sharing", "wanted"]

_MOST = 4096  # kMostThreads of the native module
_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")

_chosen = False  # whether the user has said how many
_wanted: ContextVar[int | None] = ContextVar("threads", default=None)


def set_num_threads(n: int) -> None:
    """See `fastrnn.set_num_threads`."""
    global _chosen
    _core.set_num_threads(n)
    _chosen = True


def wanted() -> int | None:
    """What a layer passes as `threads=`: the number of the `sharing` around it, None outside."""
    return _wanted.get()


@contextlib.contextmanager
def sharing(threads: int | None = None) -> Iterator[None]:
    """Let the layers share their work among `threads`; None: as many as `set_num_threads` said, else `available`."""
    if threads is None and not _chosen and _wanted.get() is None:  # an evaluation within fit takes what fit takes
        threads = available()
    token = _wanted.set(_wanted.get() if threads is None else threads)
    try:
        yield
    finally:
        _wanted.reset(token)


def available() -> int:
    """The processors that this process may use: of its affinity, of the CPU quota of its control groups, and at most
    `OMP_NUM_THREADS`, by which joblib, Dask, Ray and job schedulers tell a worker what its share is.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list has a number for each nesting level
    if share.isdecimal() and int(share) > 0:
        count = min(count, int(share))
    return max(1, min(count, int(_quota()), _MOST))


def check(threads: object) -> int | None:
    """Return what a user gave as `threads=`, as an int or None. TypeError, ValueError for no integer in 1..4096."""
    if threads is None:
        return None
    if isinstance(threads, bool) or not isinstance(threads, SupportsIndex):
        raise TypeError(f"threads: expected an int, got {type(threads).__name__}")
    number = operator.index(threads)
    if not 1 <= number <= _MOST:
        raise ValueError(f"threads: expected 1..{_MOST}, got {number}")
    return number


@functools.cache
def _quota() -> float:
    """Processors' worth of time that the control groups of this process grant, read once; 4096 without a limit."""
    limits = [float(_MOST)]
    with contextlib.suppress(OSError):
        for line in _MEMBERSHIP.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            for root in _roots(controllers.split(",")):
                inside = group.strip("/").split("/")
                # A group's limit holds for those within it. In a container the path may be that of the host: then only
                # the root is there.
                limits += [_limit(root.joinpath(*inside[:depth])) for depth in range(len(inside) + 1)]
    return max(1.0, min(limits))


def _roots(controllers: list[str]) -> list[Path]:
    """Where the hierarchy of these controllers is mounted: version 2 names none."""
    if controllers == [""]:
        return [_CGROUPS, _CGROUPS / "unified"]
    return [_CGROUPS / "cpu", _CGROUPS / "cpu,cpuacct"] if "cpu" in controllers else []


def _limit(group: Path) -> float:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota = (group / "cpu.cfs_quota_us").read_text()
        if int(quota) > 0:
            return int(quota) / int((group / "cpu.cfs_period_us").read_text())
    return math.inf
