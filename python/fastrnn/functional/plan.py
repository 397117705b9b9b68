"""``fastrnn.plan``: which kernel a call would take, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import _core
from ._arguments import check_keywords
from ._cells import CELLS


@dataclass(frozen=True)
class CpuPlan:
    """A forward call on this machine's CPU. ``str()`` is a table.

    Attributes:
        kernel: instruction set, dtype and form of the kernel.
        split: how threads share the call: "one thread", "units" (of every step), "rows, copied" or "rows in place" (of
            the batch). ``reason``: why. ``threads``: how many work at most.
        chunk: steps whose W x is computed at a time, ahead of them; 1: each step multiplies W and R at once.
        weight_bytes: of the recurrent matrices as they are packed. flops_per_step: of all rows, W x included.

    Example:
        >>> fastrnn.plan("gru", 64).split
        'one thread'
    """

    kernel: str
    split: str
    reason: str
    threads: int
    chunk: int
    weight_bytes: int
    flops_per_step: float

    def __str__(self) -> str:
        return (
            f"kernel   {self.kernel}\n"
            f"threads  {self.threads}, {self.split}: {self.reason}\n"
            f"W x      {f'{self.chunk} steps at a time' if self.chunk != 1 else 'with each step'}\n"
            f"weights  {self.weight_bytes} bytes (recurrent)\n"
            f"a step   {self.flops_per_step:.0f} FLOPs"
        )


@dataclass(frozen=True)
class CudaPlan:
    """A layer in one direction on a GPU. ``str()`` is a table.

    Times are **predicted** by a model whose constants, with their sources, stand in csrc/cuda/plan/devices.cc and
    plan.cc; nothing of it has been measured.

    Attributes:
        device: whose specification was used.
        tier: who shares the hidden units: one "block", the blocks of a "cluster", the whole "grid"; or "stream"
            (weights pass through the chip at every step), "graph" (a product and a cell kernel a step).
        blocks, cluster, threads, waves: of the launch; cluster 1 is none, and with more than one wave some blocks wait
            for others to end.
        units, rows: hidden units of a block, and rows of the batch of the group that it belongs to.
        registers: of a thread, at most. shared_memory, register_weights, shared_weights: bytes of a block.
        flops_per_step: in R h. bytes_per_step: between the multiprocessors and the memories that they share.
        us_per_step: predicted microseconds. terms: of what they are made, in one wave.
        reasons: by tier, why it is not taken; "" for the one that is.

    Example:
        >>> fastrnn.plan("gru", 512, device="A100").tier
        'grid'
    """

    device: str
    tier: str
    blocks: int
    cluster: int
    threads: int
    waves: int
    units: int
    rows: int
    registers: int
    shared_memory: int
    register_weights: int
    shared_weights: int
    flops_per_step: float
    bytes_per_step: float
    us_per_step: float
    terms: dict[str, float]
    reasons: dict[str, str]

    def __str__(self) -> str:
        cluster = f" in clusters of {self.cluster}" if self.cluster > 1 else ""
        waves = f", {self.waves} waves" if self.waves > 1 else ""
        terms = ", ".join(f"{name} {us:.2f}" for name, us in self.terms.items() if us >= 0.005)
        lines = [
            f"device   {self.device}",
            f"tier     {self.tier}",
            f"launch   {self.blocks} blocks{cluster} of {self.threads} threads{waves}",
            f"a block  {self.units} units of {self.rows} rows, {self.registers} registers a thread at most,"
            f" {self.shared_memory} bytes of shared memory",
            f"weights  {self.register_weights} bytes in registers, {self.shared_weights} in shared memory, a block",
            f"a step   {self.flops_per_step:.0f} FLOPs, {self.bytes_per_step:.0f} bytes,"
            f" {self.us_per_step:.2f} us predicted, not measured ({terms})",
        ]
        lines += [f"not {name}: {reason}" for name, reason in self.reasons.items() if reason]
        return "\n".join(lines)


def plan(
    cell: str,
    hidden: int,
    batch: int = 1,
    steps: int = 1,
    *,
    inputs: int | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    training: bool = False,
    backward: bool = False,
    peephole: str = "none",
    tier: str | None = None,
    threads: int | None = None,
    **options: Any,
) -> CpuPlan | CudaPlan:
    """Tell which kernel a call would take, and why, without running it.

    Args:
        cell: "rnn", "lstm", "gru", and on the CPU "indrnn", "mgu" and "slstm".
        hidden, batch, steps: H, B and T. inputs: I, by default H.
        dtype: of the weights; on a GPU "float32", "tf32", "bfloat16" or "float16".
        device: "cpu", "cuda" or "cuda:N" for a GPU that is there, or by name, there or not: "A100", "H100", "H200",
            "B200", "RTX 4090".
        training: whether the forward pass keeps what the backward pass needs.
        backward: a GPU's pass back through time, without the matrix products after it.
        peephole: of an LSTM: "none", "diagonal" or "full".
        tier: a GPU's, by name, in place of the fastest. threads: as in the functions, on the CPU.
        options: those of ``pack_<cell>`` which are not arrays, e.g. ``reset="before"``.

    Raises:
        TypeError: for a wrong type or an unknown keyword. ValueError: a value out of range, or a tier that cannot run
            this. CudaError: the GPU is not there, or no kernel can run this on it.

    Example:
        >>> chosen = fastrnn.plan("lstm", 128, batch=8, steps=100)
        >>> chosen.threads
        1
        >>> fastrnn.plan("lstm", 512, device="H100").tier
        'grid'
    """
    for name, value in {"cell": cell, "dtype": dtype, "device": device, "peephole": peephole}.items():
        if not isinstance(value, str):
            raise TypeError(f"{name}: expected a str, got {type(value).__name__}")
    if cell in CELLS:
        check_keywords(plan, options, CELLS[cell].weights | CELLS[cell].defaults.keys() | {"activation"})
    given = {name: value for name, value in options.items() if value is not None}
    inputs = hidden if inputs is None else inputs
    arguments = (cell, inputs, hidden, batch, steps, dtype, bool(training), peephole, given)
    if device == "cpu":
        for name, on_gpu in {"tier": tier, "backward": backward or None}.items():
            if on_gpu is not None:
                raise ValueError(f"{name}: expected nothing on the CPU, got {on_gpu!r}")
        return CpuPlan(**_core.plan_cpu(*arguments, threads))
    if threads is not None:
        raise ValueError(f"threads: expected nothing on a GPU, got {threads!r}")
    return CudaPlan(**_core.plan_cuda(*arguments, device, bool(backward), tier or ""))
