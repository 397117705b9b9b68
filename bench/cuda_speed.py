"""Microseconds a step on a GPU: ours by NumPy calls, copies included, and cuDNN's through torch where there is one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
CALLS = 7


def _seconds(call: Callable[[], Any]) -> float:
    """Median of some calls, after one that warms up."""
    call()
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ours(cell: str, hidden: int, batch: int, steps: int, dtype: str) -> float:
    """What a further step costs: the difference between T and 2 T steps. W x and the copies of x and y are in it."""
    rng = np.random.default_rng(0)
    rows = GATES[cell] * hidden
    x = rng.standard_normal((2 * steps, batch, hidden)).astype(np.float32)
    weights = [rng.uniform(-1, 1, (rows, hidden)).astype(np.float32) / np.float32(np.sqrt(hidden)) for _ in range(2)]
    forward = getattr(fastrnn, f"{cell}_forward")
    short, long = (
        _seconds(lambda n=n: forward(x[:n], *weights, device="cuda", device_dtype=dtype)) for n in (steps, 2 * steps)
    )
    return (long - short) / steps * 1e6


def cudnn(cell: str, hidden: int, batch: int, steps: int, dtype: str) -> float | str:
    """The same of torch's module on the device, x and y staying there; or why there is no such figure."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return "torch has no CUDA device"
    module = getattr(torch.nn, cell.upper())(hidden, hidden).to("cuda", getattr(torch, dtype))
    x = torch.randn(2 * steps, batch, hidden, device="cuda", dtype=getattr(torch, dtype))

    def run(n: int) -> None:
        with torch.no_grad():
            module(x[:n])
        torch.cuda.synchronize()

    short, long = (_seconds(lambda n=n: run(n)) for n in (steps, 2 * steps))
    return (long - short) / steps * 1e6


def time_shape(cell: str, hidden: int, batch: int, steps: int, dtype: str) -> dict[str, Any]:
    """One row of the report."""
    plan = fastrnn.plan(cell, hidden, batch, steps, dtype=dtype, device="cuda")
    assert isinstance(plan, fastrnn.CudaPlan)
    return {
        "shape": f"{cell} T{steps} B{batch} H{hidden} {dtype}",
        "tier": plan.tier,
        "predicted_us_per_step": plan.us_per_step,
        "us_per_step_with_copies": ours(cell, hidden, batch, steps, dtype),
        "cudnn_us_per_step": cudnn(cell, hidden, batch, steps, dtype),
    }
