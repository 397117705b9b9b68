"""Small native tools: compiled on the spot with the system's C++ compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .measure import Unable
from .work import Work

SMALL_STEPS = "small steps"
HERE = Path(__file__).resolve().parent


def compiler() -> list[str]:
    """CXX, or the first compiler found.

    Raises:
        Unable: there is none.
    """
    found = os.environ.get("CXX") or next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if found is None:
        raise Unable("no C++ compiler found (set CXX)")
    return found.split()


def build_and_run(source: str, flags: Sequence[str], arguments: Sequence[str]) -> Any:
    """Compile bench/`source` (flags follow it), run it, and return what its one JSON object says.

    Raises:
        Unable: it did not build or run; the message has the first line of why.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / Path(source).stem)
        build = [*compiler(), "-std=c++17", "-O3", str(HERE / source), *flags, "-o", program]
        try:
            subprocess.run(build, check=True, capture_output=True, text=True)
            out = subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            detail = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise Unable(f"{source} did not build or run: {detail[0] if detail else error}") from None
    return json.loads(out)


def native_step(library: Path | None, seconds: float) -> dict[str, Any]:
    """Run step.cc over `library`, a libfastrnn.a; None is the newest under build/, where pip leaves it.

    Returns:
        dict: ``isa``, ``clock_us`` and ``steps``, a list of dicts with I, H, dtype, calls, median_us, p99_us and
        rounds_us; or
        ``skipped`` with the reason.
    """
    if library is None:
        found = sorted(HERE.parent.glob("build/*/libfastrnn.a"), key=lambda path: path.stat().st_mtime)
        if not found:
            return {"skipped": "no libfastrnn.a under build/ (pip install . leaves it there; see --library)"}
        library = found[-1]
    flags = ["-I", str(HERE.parent / "csrc" / "include"), str(library), "-pthread"]
    try:
        result: dict[str, Any] = build_and_run("step.cc", flags, [str(seconds)])
    except Unable as error:
        return {"skipped": str(error)}
    return result


def step_results(step: dict[str, Any]) -> list[dict[str, Any]]:
    """What :func:`native_step` returned as results of a run, one for each size, whose contestants are the dtypes."""
    results: dict[str, dict[str, Any]] = {}
    for row in step.get("steps", []):
        work = Work("lstm", 1, 1, row["I"], row["H"])
        shape = {letter: getattr(work, letter) for letter in "TBIH"}
        empty = {"section": SMALL_STEPS, "name": work.name, "cell": work.cell, "shape": shape, "flops": work.flops()}
        result = results.setdefault(work.name, empty | {"timings": {}, "unable": {}})
        figures = {name: row[name] for name in ("median_us", "p99_us")}
        result["timings"][row["dtype"]] = {
            "total": figures | {"best_us": min(row["rounds_us"]), "rounds_us": row["rounds_us"]}
        }
    return list(results.values())
