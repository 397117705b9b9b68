"""Everything that only a GPU can show, in one command; without one it says so and leaves nothing behind.

Usage: python -m bench.cuda [--stress SECONDS] [--skip PART ...] [--report build/cuda-report.json]

Parts, in this order:
  tests       `pytest -m gpu`: every tier, cell, dtype and direction against the float64 reference
  sanitizer   compute-sanitizer's memcheck, racecheck, synccheck and initcheck over the shortest of those tests
  barriers    nanoseconds of a round by grid sync, flags, in-band words and clusters (barriers.cu): what plan() assumes
  speed       microseconds a step beside plan()'s prediction and, where torch is installed, cuDNN
  stress      the barriers again, with random delays, for --stress seconds each; every word is checked

The report has the machine, what each part found, and the reason of each that was skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastrnn

from .machine import facts
from .measure import Unable

HERE = Path(__file__).resolve().parent
SANITIZER_TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
# Shapes of the speed part: cell, H, B, T, dtype.
SHAPES = (
    ("lstm", 64, 1, 1000, "float32"),
    ("lstm", 256, 1, 1000, "bfloat16"),
    ("lstm", 256, 32, 1000, "bfloat16"),
    ("lstm", 512, 16, 1000, "float16"),
    ("lstm", 768, 16, 1024, "bfloat16"),
    ("lstm", 768, 16, 1024, "float32"),
    ("lstm", 1024, 16, 1000, "bfloat16"),
    ("lstm", 1536, 8, 500, "bfloat16"),
    ("gru", 256, 16, 1000, "bfloat16"),
    ("gru", 700, 3, 500, "float32"),
    ("rnn", 512, 16, 1000, "float32"),
)
Result = dict[str, Any]


def require_device() -> None:
    """Raise Unable, with the reason, where this build or machine has no GPU."""
    status = fastrnn._core.cuda_status()
    if not status["devices"]:
        raise Unable(status["reason"])


def nvcc() -> str:
    """CUDACXX, or the nvcc on the PATH."""
    found = os.environ.get("CUDACXX") or shutil.which("nvcc")
    if found is None:
        raise Unable("no nvcc (CUDACXX, PATH)")
    return found


def build_barriers(folder: Path) -> Path:
    """Compile barriers.cu for the machine's own device."""
    program = folder / "barriers"
    source = HERE.parent / "csrc"
    command = [nvcc(), "-std=c++17", "-O3", "-arch=native", f"-I{source}", f"-I{source / 'include'}"]
    done = subprocess.run([*command, str(HERE / "barriers.cu"), "-o", str(program)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unable(f"barriers.cu did not build: {(done.stderr.strip().splitlines() or ['?'])[0]}")
    return program


def run_barriers(seconds: float) -> Result:
    """What barriers.cu prints. With `seconds` of stress a wrong or lost word makes the part fail."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(build_barriers(Path(folder))), str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600 + 20 * seconds)
    if done.returncode != 0:
        raise Unable(f"barriers.cu ended with {done.returncode}: {done.stderr.strip()[:200]}")
    result: Result = json.loads(done.stdout)
    if "skipped" in result:
        raise Unable(result["skipped"])
    wrong = [way["way"] for way in result["ways"] if way["status"] in ("gave up", "wrong words")]
    return {**result, "failed": wrong}


def run_tests(extra: tuple[str, ...] = (), wrapper: tuple[str, ...] = ()) -> Result:
    """`pytest -m gpu`, in a process of its own: what a kernel does to the context stays there."""
    command = [*wrapper, sys.executable, "-m", "pytest", "-q", "--full", "-m", "gpu", "tests/cuda", *extra]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    return {
        "exit": done.returncode,
        "last": lines[-1] if lines else "",
        "failed": [] if done.returncode == 0 else lines[-40:],
    }


def run_sanitizer() -> Result:
    """compute-sanitizer's four tools over the tests that are marked as short."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        raise Unable("no compute-sanitizer on the PATH")
    results: Result = {"failed": []}
    for tool in SANITIZER_TOOLS:
        wrapper = (program, f"--tool={tool}", "--error-exitcode=99", "--target-processes=all")
        results[tool] = run_tests(("-k", "short"), wrapper)
        if results[tool]["exit"] != 0:
            results["failed"].append(tool)
    return results


def run_speed() -> Result:
    """Times on the device, each beside its prediction."""
    from .cuda_speed import time_shape  # needs a device, and torch where it is there

    return {"shapes": [time_shape(*shape) for shape in SHAPES], "failed": []}


def attempt(name: str, work: Callable[[], Result]) -> Result:
    """The part's result with the seconds it took, or why it was skipped."""
    start = time.perf_counter()
    try:
        result = work()
    except Unable as error:
        result = {"skipped": str(error)}
    result["seconds"] = round(time.perf_counter() - start, 1)
    word = "skipped: " + result["skipped"] if "skipped" in result else "FAILED" if result.get("failed") else "done"
    print(f"{name:10} {word} ({result['seconds']} s)", flush=True)
    return result


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--stress", type=float, default=60.0, help="seconds of stress for each way of exchange")
    parser.add_argument("--skip", nargs="*", default=[], choices=["tests", "sanitizer", "barriers", "speed", "stress"])
    parser.add_argument("--report", type=Path, default=Path("build/cuda-report.json"))
    options = parser.parse_args(argv)
    try:
        require_device()
    except Unable as error:
        print(f"skipped: {error}")
        return 0
    parts: dict[str, Callable[[], Result]] = {
        "tests": run_tests,
        "sanitizer": run_sanitizer,
        "barriers": lambda: run_barriers(0),
        "speed": run_speed,
        "stress": lambda: run_barriers(options.stress),
    }
    report: Result = {"machine": facts([]), "devices": fastrnn._core.cuda_status()["devices"]}
    for name, work in parts.items():
        report[name] = {"skipped": "as asked"} if name in options.skip else attempt(name, work)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"report in {options.report}")
    return 1 if any(report[name].get("failed") for name in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
