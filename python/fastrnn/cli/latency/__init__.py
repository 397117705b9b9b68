"""``python -m fastrnn latency``: how long single steps take, and how much longer the slowest of them.

Each case is a model, a dtype of its weights, a number of threads, and whether another core is busy. It begins with one
call of a new session while nothing of it is in the caches ("cold"); then, after a warm-up, every call is timed alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from ...serve.settings import DTYPES
from . import native, report
from .shapes import SHAPES, FileShape, Shape, cases
from .timing import Measured, cores_of, measure

__all__ = ["DESCRIPTION", "EXAMPLES", "HELP", "add_arguments", "command"]

HELP = "time single steps of a model: median, tail, histogram"
DESCRIPTION = (
    "Time single steps of a model's file, or, without one, of stacked LSTMs of known sizes: cold first call, p50, p99, "
    "p99.9, max and histograms."
)
EXAMPLES = """examples:
  fastrnn latency                                       about two minutes
  fastrnn latency model.npz
  fastrnn latency --shapes silero --dtypes float32 int8 --calls 5000

exit status: 0, or 2 if something asked for cannot be measured here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    names = [shape.name for shape in SHAPES]
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a file whose model runs step by step, by one thread")
    parser.add_argument("--shapes", nargs="+", choices=names, default=names, metavar="NAME",
                        help="without MODEL: of %(choices)s")  # fmt: skip
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32", "bfloat16", "int8"], metavar="DTYPE")
    parser.add_argument("--threads", nargs="+", type=int, choices=(1, 2), default=[1, 2], help="2: large layers alone")
    loads = ["quiet", "busy"]
    busy = "quiet, busy (a process spins on another core)"
    parser.add_argument("--loads", nargs="+", choices=loads, default=loads, metavar="LOAD", help=busy)
    parser.add_argument("--calls", type=int, default=20_000, help="that are timed in each case")
    parser.add_argument("--warm-up", type=int, default=2_000, help="calls before them")
    twin = f"the twin in C++, {native.PROGRAM}; by default the newest under build/, if any"
    parser.add_argument("--native", metavar="PROGRAM", help=twin)
    parser.add_argument("--only", choices=("python", "native"), help="measure from there alone")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON; - for the standard output")
    parser.add_argument("--picture", metavar="FILE.png", help="also draw the histograms (needs matplotlib)")


def command(options: dict[str, Any]) -> int:
    """Measure, print, write; return the exit status.

    Raises:
        ValueError: something asked for cannot be done here. ImportError: matplotlib is missing.
    """
    if min(options["calls"], options["warm_up"] + 1) < 1:
        raise ValueError(
            f"calls, warm-up: expected at least 1 and at least 0, got {options['calls']} and {options['warm_up']}"
        )
    if options["picture"]:
        import matplotlib  # noqa: F401  # before minutes of work
    path = options.get("model")
    shapes: list[Shape] = [shape for shape in SHAPES if shape.name in options["shapes"]]
    if path is not None:
        shapes = [FileShape.of(path)]
    program = None if options["only"] == "python" or path is not None else native.find(options["native"])
    if options["only"] == "native" and program is None:
        raise ValueError(f"native: expected the program {native.PROGRAM} under build/ (cmake -DFASTRNN_TOOLS=ON)")
    quiet = options["json"] == "-"
    results: list[Measured] = []
    for case in cases(shapes, options["dtypes"], options["threads"], options["loads"]):
        with cores_of(case):
            found = []
            if options["only"] != "native":
                found.append(measure(case, options["calls"], options["warm_up"]))
            if program is not None:
                found.append(native.measure(program, case, options["calls"], options["warm_up"]))
        results += found
        for result in found if not quiet else ():
            print(f"\n{case.name}, from {result.runner}", *report.picture(result.times_us), sep="\n", flush=True)
    if not quiet:
        print("", *report.table(results), sep="\n")
    if options["json"]:
        from ...system import info

        full = {"info": info(), "load_average": os.getloadavg(), "results": [report.as_dict(r) for r in results]}
        text = json.dumps(full, indent=1) + "\n"
        if quiet:
            sys.stdout.write(text)
        else:
            with open(options["json"], "w") as file:
                file.write(text)
    if options["picture"]:
        report.draw(results, options["picture"])
    return 0
