"""Registers and spills of every CUDA kernel for every target of `FASTRNN_CUDA=ON`, as ptxas reports them.

    python -m tests.support.cuda.spills [--all] [TARGET ...]

By default all targets, sm_90 first. A line for each file and target says how many kernels it has, the most registers of
one and the bytes that spill; `--all` prints a line for each kernel as well, and one that spills has a line in any case.
What is compiled is kept under build/cuda-budget until a source changes: ten minutes of one core, once. Exit status 1:
a kernel spills, or has a stack.
"""

from __future__ import annotations

import argparse
import sys

from tests.support.cuda.compiled import FILES, TARGETS, Kernel, compiled_file, nvcc

# Those whose kernels differ most from each other first: sm_86 and sm_89 have the instructions of sm_80.
ORDER = ("sm_90", "sm_80", "sm_120", "sm_100", "sm_89", "sm_86")


def row(kernel: Kernel) -> str:
    return f"  {kernel.target:7} {kernel.registers:4} registers {kernel.spills:5} bytes spilled  {kernel.name}"


def spilling(kernels: list[Kernel]) -> list[Kernel]:
    return [kernel for kernel in kernels if kernel.spills or kernel.stack]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; by default all")
    parser.add_argument("--all", action="store_true", help="a line for each kernel")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"TARGET: expected some of {', '.join(TARGETS)}, got {', '.join(sorted(unknown))}")
    if nvcc() is None:
        parser.error("no nvcc (CUDACXX, PATH)")
    total = bad = 0
    for target in options.targets or ORDER:
        for path in FILES:
            found = compiled_file(path, target)
            spilled = spilling(found)
            total, bad = total + len(found), bad + len(spilled)
            print(
                f"{target:7} {path.stem:20} {len(found):3} kernels, at most "
                f"{max(kernel.registers for kernel in found):3} registers, "
                f"{sum(kernel.spills for kernel in found):4} bytes spilled"
            )
            for kernel in found if options.all else spilled:
                print(row(kernel))
            sys.stdout.flush()
    print(f"{total} kernels, {bad} with a spill or a stack")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
