"""Clocks of a step by the machine code of this tree's kernels, beside what fastrnn.plan predicts.

Usage: python -m bench.sass [--tree FOLDER] [--write | CELL DTYPE H B [PASS [TIER]]]

For each case (by default the two that docs/cuda-plan.md names) nvcc compiles the one kernel that the planner chooses
for an H100, nvdisasm reads it back, a block executes it for three steps and for four, and the difference is a step.
What a clock was for follows from the source line of its instruction. No block is ever late. `--tree` counts the kernels
of another tree; `--write` makes csrc/cuda/plan/counts.h, from which the planner takes its terms. Nothing here was
measured: a count knows no cache misses, and of latencies only what bench/sass/timing.py assumes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .code import disassemble
from .machine import Machine
from .timing import Count, count

ROOT = Path(__file__).resolve().parents[2]
TARGET, DEVICE, GHZ = "sm_90", "H100", 1.83
PARAMETERS = 0x210  # where a kernel's begin in constant bank 0, for sm_90; the extents of block and grid come first
CLUSTERED = 0x140  # there, whether the launch has clusters
FORMATS = {"float32": "Float32", "tf32": "Tf32Tensor", "bfloat16": "Bfloat16Tensor", "float16": "Float16Tensor"}
CELLS = {"rnn": "Rnn", "lstm": "Lstm", "gru_after": "GruAfter", "gru_before": "GruBefore", "gru_output": "GruOutput"}
# What instructions are for, by a function of recurrence.h, tile.h or exchange.h that they are inlined into: the
# outermost one that is named here, but for publishing and fetching, wherever they are called.
PURPOSES = {
    "product": ("multiply",),
    "cell": ("compute",),
    "publish": ("publish",),
    "exchange": ("commit", "arrive", "wait", "sync_block", "sync_cluster"),
    "saves": ("store", "save", "finish"),
    "fetch": ("fetch", "wait_copies"),
    "loop": ("each_element", "phase", "sequence"),
}
_OF = {function: purpose for purpose, functions in PURPOSES.items() for function in functions}


@dataclass(frozen=True)
class Case:
    cell: str
    dtype: str
    hidden: int
    batch: int
    which: str = "inference"  # pass
    tier: str = ""  # the planner's choice

    def __str__(self) -> str:
        tier = f" {self.tier}" if self.tier else ""
        return f"{self.cell} {self.dtype} H{self.hidden} B{self.batch} {self.which}{tier}"


NAMED = (Case("lstm", "bfloat16", 768, 16), Case("lstm", "bfloat16", 256, 32))


def tool(name: str) -> str:
    """Of the PATH, or of NVIDIA's wheels."""
    wheel = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin", name)
    found = os.environ.get("CUDACXX", "") if name == "nvcc" else ""
    found = found or shutil.which(name) or (str(wheel) if wheel.exists() else "")
    if not found:
        raise SystemExit(f"no {name} (PATH; pip install 'nvidia-cuda-{name}==13.*')")
    return found


def purpose_of(functions: tuple[str, ...]) -> str:
    found = [_OF[name] for name in reversed(functions) if name in _OF]
    for inner in ("publish", "fetch"):
        if inner in found:
            return inner
    return next((purpose for purpose in found if purpose != "loop"), found[0] if found else "other")


@cache
def planner(tree: Path, folder: Path) -> Path:
    """The program that says what a launch is given."""
    plan = tree / "csrc" / "cuda" / "plan"
    sources = [
        ROOT / "bench" / "sass" / "case.cc",
        *(plan / f"{name}.cc" for name in ("plan", "devices", "names", "problem")),
    ]
    program = folder / "case"
    # Of the planner's files only what is called is linked.
    flags = [
        "-std=c++17",
        "-O1",
        "-ffunction-sections",
        "-Wl,--gc-sections",
        f"-I{tree}/csrc",
        f"-I{tree}/csrc/include",
    ]
    subprocess.run([os.environ.get("CXX", "g++"), *flags, *map(str, sources), "-o", str(program)], check=True)
    return program


def launch_of(case: Case, steps: int, tree: Path, folder: Path) -> dict[str, Any]:
    words = (case.cell, case.dtype, case.hidden, case.batch, steps, DEVICE, case.which, case.tier)
    done = subprocess.run([planner(tree, folder), *map(str, words)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cubin_of(case: Case, tier: str, tree: Path, folder: Path) -> Path:
    way = "backward" if case.which == "backward" else "forward"
    name = f"{way}-{case.cell}-{case.dtype}-{tier}"
    cubin = folder / f"{name}.cubin"
    if not cubin.exists():
        source = folder / f"{name}.cu"
        source.write_text(
            '#include "cuda/kernels/resident/recurrence.h"\n'
            f"template __global__ void fastrnn::cuda::{way}_recurrence<fastrnn::cells::{CELLS[case.cell]}, "
            f"fastrnn::cuda::{FORMATS[case.dtype]}, fastrnn::cuda::Tier::{tier}>(\n"
            f"    FASTRNN_CONSTANT fastrnn::cuda::{way.title()}Params);\n"
        )
        command = [tool("nvcc"), "-std=c++17", f"-I{tree}/csrc", f"-I{tree}/csrc/include", f"-arch={TARGET}"]
        subprocess.run([*command, "-lineinfo", "-cubin", str(source), "-o", str(cubin)], check=True)
    return cubin


def step_of(case: Case, tree: Path, folder: Path) -> tuple[Count, dict[str, Any]]:
    """A step, and the launch."""
    launches = [launch_of(case, steps, tree, folder) for steps in (3, 4)]
    code, labels = disassemble(tool("nvdisasm"), cubin_of(case, launches[0]["tier"], tree, folder))
    purposes = [purpose_of(i.functions) for i in code]
    counts = []
    for launch in launches:
        constants = constants_of(launch)
        counts.append(count(code, Machine(code, labels, constants, launch["threads"]).run(), purposes))
    return counts[1].minus(counts[0]), launches[0]


def constants_of(launch: dict[str, Any]) -> bytes:
    extents = struct.pack("<6I", launch["threads"], 1, 1, launch["blocks"], 1, 1)
    constants = bytearray(extents.ljust(PARAMETERS, b"\0") + bytes.fromhex(launch["params"]))
    constants[CLUSTERED] = launch["tier"] == "cluster"
    return bytes(constants)


def report(case: Case, step: Count, launch: dict[str, Any]) -> str:
    us = launch["us"]
    shape = f"{launch['blocks']} blocks, a block {launch['units']} units of {launch['rows']} rows"
    lines = [f"{case}: tier {launch['tier']}, {shape}"]
    lines.append(f"  {'':10} {'issued':>7} {'stalls':>7} {'waits':>7} {'clocks':>7}     us")
    for name in [*PURPOSES, "other", "barrier"]:
        stalls, waits = step.stalls[name], step.waits[name]
        if stalls + waits >= 0.5:
            clocks = stalls + waits
            numbers = (step.issued[name], stalls, waits, clocks)
            lines.append(f"  {name:10} {' '.join(f'{n:7.0f}' for n in numbers)} {clocks / GHZ / 1e3:6.2f}")
    counted = step.clocks / GHZ / 1e3
    lines.append(
        f"  {'a step':10} {'':7} {'':7} {'':7} {step.clocks:7.0f} {counted:6.2f}; the model: {sum(us.values()):.2f}"
    )
    return "\n".join(lines)


# ---- What the planner takes


def fit(of_one: Sequence[float], of_each: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """a and b, not below zero, of a + b x by least squares: `of_one` are the values, `of_each` their (1, x)."""
    values, (ones, xs) = np.array(of_one), np.array(of_each, float).T
    (a, b), *_ = np.linalg.lstsq(np.array(of_each), values, rcond=None)
    if b < 0:  # the best without it
        return float(values @ ones / (ones @ ones)), 0.0
    if a < 0:
        return 0.0, float(values @ xs / (xs @ xs))
    return float(a), float(b)


def counts_of(step: Count, *purposes: str) -> float:
    return sum(step.stalls[name] + step.waits[name] for name in purposes)


def derived(tree: Path, folder: Path) -> Iterator[str]:
    """The lines of counts.h."""

    def steps(cell: str, dtype: str, which: str) -> list[tuple[Count, dict[str, Any]]]:
        cases = (Case(cell, dtype, hidden, 16, which, "grid") for hidden in (768, 384, 128))
        return [step_of(case, tree, folder) for case in cases]

    yield "// A product of a phase takes `first` clocks, and `each` for a slice of the warp and a tile of rows."
    yield "constexpr CountedTerm kProductClocks[] = {"
    for dtype in FORMATS:
        counted = steps("lstm", dtype, "inference")
        slices = [(launch["phases"], launch["slices"] * launch["tiles"]) for _, launch in counted]
        first, each = fit([counts_of(step, "product") for step, _ in counted], slices)
        yield f"    {{{first:.0f}, {each:.0f}}},  // {dtype}"
    yield "};"
    yield "// A thread takes `first` clocks for an element of a step, and `each` for each chunk of its sums; cells"
    yield "// as in FASTRNN_RESIDENT_CELLS, in inference, in training and backward."
    yield "constexpr CountedCell kCellClocks[] = {"
    each = 0.0
    for cell in CELLS:
        terms = []
        for which in ("inference", "training", "backward"):
            counted = steps(cell, "bfloat16", which)
            chunks = [(1, launch["chunks"]) for _, launch in counted]
            own = ("cell", "publish", "saves", "fetch", "loop", "other")
            clocks = [counts_of(step, *own) for step, _ in counted]
            if len({x for _, x in chunks}) > 1:
                first, each = fit(clocks, chunks)
            else:  # it cannot be told what a chunk costs: as much as with the cell before
                first = sum(clocks) / len(clocks) - each * chunks[0][1]
            terms.append(f"{{{first:.0f}, {each:.0f}}}")
        yield f"    // {cell}"
        yield f"    {{{{{', '.join(terms)}}}}},"
    yield "};"
    yield "// From the end of a product, or of publishing, until the next phase: of a block, a cluster, a grid."
    tiers = {"block": (128, 16), "cluster": (256, 32), "grid": (768, 16)}
    found = {
        tier: step_of(Case("lstm", "bfloat16", h, b, "inference", tier), tree, folder) for tier, (h, b) in tiers.items()
    }
    clocks = [counts_of(step, "exchange", "barrier") / launch["phases"] for step, launch in found.values()]
    yield f"constexpr double kExchangeClocks[] = {{{', '.join(f'{c:.0f}' for c in clocks)}}};"


HEADER = """\
// Clocks of a step by the machine code for sm_90 of the kernels as they are. Made by `python -m bench.sass --write`,
// which says how it counts; nothing of it was measured.
#pragma once

namespace fastrnn::cuda {

struct CountedTerm {
  double first, each;
};
struct CountedCell {
  CountedTerm pass[3];
};

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("case", nargs="*", help="CELL DTYPE H B [PASS [TIER]]")
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--write", action="store_true", help="csrc/cuda/plan/counts.h of the tree")
    options = parser.parse_args()
    cases, tree = list(NAMED), options.tree.resolve()
    if options.case:
        cell, dtype, hidden, batch, *rest = options.case
        cases = [Case(cell, dtype, int(hidden), int(batch), *rest)]
    with tempfile.TemporaryDirectory() as name:
        if options.write:
            lines = "\n".join(derived(tree, Path(name)))
            (tree / "csrc" / "cuda" / "plan" / "counts.h").write_text(
                f"{HEADER}{lines}\n\n}}  // namespace fastrnn::cuda\n"
            )
            return 0
        for case in cases:
            print(report(case, *step_of(case, tree, Path(name))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
