"""Microseconds a step on a GPU, arrays on the device, by CUDA events: ours and, beside it, cuDNN's through torch.

Usage: python -m bench.cuda_speed [--seconds 60] [--once CELL H B DTYPE TIER]

prints a line of JSON for each shape as soon as it is measured, those of docs/cuda-plan.md first, and takes no new one
when the seconds are over. Both do the same work: W x of all steps is in forward, all gradients are in training. x and y
are float32 with us, whatever the weights are, and of the weights' type with cuDNN. `--once` launches one tier's kernels
a few times and no more, for a profiler. Without a GPU, or a torch that sees it: one line that says so, and exit status
77.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastrnn

GATES = {"lstm": 4, "gru": 3}
STEPS = 1024
NAMED = (("lstm", 768, 16, "bfloat16"), ("lstm", 256, 32, "bfloat16"), ("lstm", 768, 16, "float16"))
LOOK_SECONDS = 0.12  # for the calls of one figure, of which there are three at least


@dataclass(frozen=True)
class Shape:
    cell: str
    hidden: int
    batch: int
    dtype: str  # of the weights
    steps: int = STEPS


@dataclass(frozen=True)
class Machine:
    """Where it runs: how an array gets there, and the milliseconds of a call by the device's own clock."""

    to_device: Callable[[np.ndarray], Any]
    milliseconds: Callable[[Callable[[], Any]], float]
    plan_device: str = "cuda"
    torch_device: str = "cuda"


def shapes() -> Iterator[Shape]:
    """Each once, those of most interest first."""
    rest = itertools.product(("bfloat16", "float16", "float32", "tf32"), (16, 1, 64, 8), (512, 1024, 768, 256, 128))
    later = ((cell, hidden, batch, dtype) for dtype, batch, hidden in rest for cell in GATES)
    for shape in dict.fromkeys([*NAMED, *later]):
        yield Shape(*shape)


def arrays(shape: Shape) -> tuple[np.ndarray, list[np.ndarray]]:
    """x, and w_ih, w_hh, b_ih, b_hh as torch has them."""
    rng = np.random.default_rng(0)
    rows, bound = GATES[shape.cell] * shape.hidden, 1 / np.sqrt(shape.hidden)
    x = rng.standard_normal((shape.steps, shape.batch, shape.hidden)).astype(np.float32)
    extents = ((rows, shape.hidden), (rows, shape.hidden), (rows,), (rows,))
    return x, [rng.uniform(-bound, bound, extent).astype(np.float32) for extent in extents]


def ours(shape: Shape, machine: Machine, tier: str | None = None) -> dict[str, Any]:
    """Our half of a line, with y on the device under "y"."""
    x, weights = arrays(shape)
    plans = [
        fastrnn.plan(shape.cell, shape.hidden, shape.batch, shape.steps, dtype=shape.dtype, tier=tier,
                     device=machine.plan_device, **which)
        for which in ({}, {"training": True}, {"backward": True})
    ]  # fmt: skip
    forward, backward = getattr(fastrnn, f"{shape.cell}_forward"), getattr(fastrnn, f"{shape.cell}_backward")
    packed = fastrnn.pack_cuda(shape.cell, *weights, dtype=shape.dtype)
    on_device, dy = machine.to_device(x), machine.to_device(np.ones_like(x))
    more = {} if tier is None else {"device_tier": tier}

    def train() -> None:
        *_, cache = forward(on_device, packed, training=True, **more)
        backward(dy, cache)

    return {
        "tiers": [plan.tier for plan in plans if isinstance(plan, fastrnn.CudaPlan)],
        "predicted_us": [round(plan.us_per_step, 3) for plan in plans if isinstance(plan, fastrnn.CudaPlan)],
        "us": machine.milliseconds(lambda: forward(on_device, packed, **more)) * 1e3 / shape.steps,
        "train_us": machine.milliseconds(train) * 1e3 / shape.steps,
        "y": forward(on_device, packed, **more)[0],
    }


def cudnn(shape: Shape, machine: Machine) -> dict[str, Any]:
    """cuDNN's half: TF32 is on for our tf32 and off for our float32."""
    import torch

    x, weights = arrays(shape)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = shape.dtype == "tf32"
    dtype = torch.float32 if shape.dtype == "tf32" else getattr(torch, shape.dtype)
    module = getattr(torch.nn, shape.cell.upper())(shape.hidden, shape.hidden)
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(value))
    module = module.to(machine.torch_device, dtype)
    module.flatten_parameters()
    on_device = machine.to_device(x).to(dtype)
    leaf = on_device.clone().requires_grad_()
    dy = torch.ones_like(on_device)

    def infer() -> Any:
        with torch.no_grad():
            return module(on_device)[0]

    return {
        "cudnn_us": machine.milliseconds(infer) * 1e3 / shape.steps,
        "cudnn_train_us": machine.milliseconds(lambda: module(leaf)[0].backward(dy)) * 1e3 / shape.steps,
        "y": infer(),
    }


def line(shape: Shape, machine: Machine) -> dict[str, Any]:
    """What is printed of a shape; where one of the two cannot, its reason stands in its place."""
    told: dict[str, Any] = {**shape.__dict__}
    ys = []
    for name, half in (("ours", ours), ("cudnn", cudnn)):
        try:
            found = half(shape, machine)
        except (ValueError, RuntimeError, ImportError) as error:
            told[f"{name}_unable"] = " ".join(str(error).split())[:300]
            continue
        ys.append(found.pop("y"))
        told |= {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}
    if len(ys) == 2:  # the same answer, or the times mean nothing
        told["difference"] = float((ys[0] - ys[1].float()).abs().max())
    return told


def torch_machine() -> Machine | str:
    """The GPU through torch, or why there is none."""
    status = fastrnn._core.cuda_status()
    if not status["devices"]:
        return str(status["reason"])
    try:
        import torch
    except ImportError:
        return "no torch, whose arrays and events this uses"
    if not torch.cuda.is_available():
        return "torch has no CUDA device"

    def milliseconds(call: Callable[[], Any]) -> float:
        call()
        torch.cuda.synchronize()
        times: list[float] = []
        end_of_looks = time.monotonic() + LOOK_SECONDS
        while len(times) < 3 or (time.monotonic() < end_of_looks and len(times) < 50):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        return statistics.median(times)

    return Machine(lambda array: torch.from_numpy(array).to("cuda"), milliseconds)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--once", nargs=5, metavar=("CELL", "H", "B", "DTYPE", "TIER"))
    options = parser.parse_args(argv)
    machine = torch_machine()
    if isinstance(machine, str):
        print(json.dumps({"skipped": machine}))
        return 77
    if options.once:
        cell, hidden, batch, dtype, tier = options.once
        once = Machine(machine.to_device, lambda call: float(call() is None))
        found = ours(Shape(cell, int(hidden), int(batch), dtype, 64), once, tier)
        print(json.dumps({"tiers": found["tiers"]}))
        return 0
    end = time.monotonic() + options.seconds
    for shape in shapes():
        if time.monotonic() > end:
            break
        told = line(shape, machine)
        print(json.dumps(told), flush=True)
        if "ours_unable" in told or "cudnn_unable" in told:
            machine.milliseconds(lambda: None)  # raises if the context is lost, and with it all that would follow
    return 0


if __name__ == "__main__":
    sys.exit(main())
