"""The native twin, bench/latency.cc: the same cases from C++. It prints its times, which are judged as Python's are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from .shapes import Case
from .timing import Measured

PROGRAM = "fastrnn-latency"


def find(given: str | None) -> Path | None:
    """The program: as given, or the newest under build/ of a source tree; None if there is none.

    Raises:
        ValueError: there is none where it was said to be.
    """
    if given is not None:
        if not Path(given).is_file():
            raise ValueError(f"native: expected the program {PROGRAM}, got {given!r}")
        return Path(given)
    build = Path(__file__).resolve().parents[3] / "build"
    found = sorted(build.glob(f"*/{PROGRAM}"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def measure(program: Path, case: Case, calls: int, warm_up: int) -> Measured:
    """Run it for one case, on the cores that this process has.

    Raises:
        ValueError: it failed; tells what it said.
    """
    shape = case.shape
    numbers = (shape.layers, shape.hidden, shape.inputs, case.threads, calls, warm_up)
    command = [str(program), case.dtype, *map(str, numbers), "--times"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"{PROGRAM}: {done.stderr.strip() or f'status {done.returncode}'}")
    cold, *times = np.array(done.stdout.split(), np.float64) / 1e3
    return Measured(case, "native", float(cold), np.array(times))
