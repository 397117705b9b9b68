"""The time of each single call, from the first, cold one."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._core import Session
from ...functional import lstm_forward
from .shapes import Case

# Larger than the last-level cache of most machines: writing so much empties the caches before a first call.
_FLUSH_BYTES = 64 << 20
# A busy loop that ends when the process that started it has ended.
_SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
print("spinning", flush=True)
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
PERCENTILES = {"p50_us": 50.0, "p99_us": 99.0, "p999_us": 99.9, "max_us": 100.0}


@dataclass
class Measured:
    """Times of one case in microseconds: the first call's, with nothing in the caches, and those after the warm-up."""

    case: Case
    runner: str  # "python" or "native"
    cold_us: float
    times_us: Any

    def summary(self) -> dict[str, float]:
        values = np.percentile(self.times_us, list(PERCENTILES.values()), method="higher")
        return {"cold_us": self.cold_us, **dict(zip(PERCENTILES, map(float, values), strict=True))}


@contextlib.contextmanager
def spinning(core: int) -> Iterator[None]:
    """Within it another process keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", _SPIN, str(core)], stdout=subprocess.PIPE)
    try:
        if process.stdout is not None:
            process.stdout.readline()  # which it prints when it begins to spin
        yield
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def cores_of(case: Case) -> Iterator[None]:
    """This process on as many cores as the case has threads; with "busy", another process on the one after them, or,
    where there is none, on the last of them.

    Raises:
        ValueError: there are not enough cores, or the system cannot pin processes.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("load: expected a system that can pin processes to cores")
    allowed = sorted(os.sched_getaffinity(0))
    if case.threads > len(allowed) or (case.load == "busy" and len(allowed) < 2):
        raise ValueError(f"{case.name}: expected {max(case.threads, 2)} cores, got {len(allowed)}")
    # Core 0 is where systems do most of their own work.
    chosen = allowed[::-1]
    os.sched_setaffinity(0, set(chosen[: case.threads]))
    try:
        with spinning(chosen[min(case.threads, len(chosen) - 1)]) if case.load == "busy" else contextlib.nullcontext():
            yield
    finally:
        os.sched_setaffinity(0, set(allowed))


def stepper(case: Case) -> Callable[[Any], Any]:
    """The call to be timed, x (I,) to y: `Session.step`, or, as a session has one thread, with more the layers'
    functions with the states fed back."""
    if case.threads == 1:
        session, out = Session(case.shape.model(case.dtype)), np.empty(case.shape.hidden, np.float32)
        return lambda x: session.step(x, out)
    weights = case.shape.weights(case.dtype)
    states: list[Any] = [(np.zeros((1, 1, case.shape.hidden), np.float32),) * 2 for _ in weights]

    def step(x: Any) -> Any:
        y = x[np.newaxis, np.newaxis]
        for k, layer in enumerate(weights):
            y, *states[k] = lstm_forward(y, layer, h0=states[k][0], c0=states[k][1], threads=case.threads)
        return y

    return step


def measure(case: Case, calls: int, warm_up: int) -> Measured:
    """Time calls one by one from Python; reading the clock is part of each, some 0.05 us."""
    step, clock = stepper(case), time.perf_counter_ns
    inputs = list(np.random.default_rng(1).standard_normal((16, case.shape.inputs), np.float32))
    times = np.zeros(calls, np.int64)
    collecting = gc.isenabled()
    gc.disable()
    try:
        np.zeros(_FLUSH_BYTES, np.uint8).fill(1)
        start = clock()
        step(inputs[0])
        cold = clock() - start
        for k in range(warm_up):
            step(inputs[k % 16])
        for k in range(calls):
            x = inputs[k % 16]
            start = clock()
            step(x)
            times[k] = clock() - start
    finally:
        if collecting:
            gc.enable()
    return Measured(case, "python", cold / 1e3, times / 1e3)
