"""Every tier on a GPU against the CPU in float64, in a process of its own: an illegal access loses the context of the
process that made it, and all that comes after.

    python -m tests.support.cuda.gpu_checks TIER [--sizes] [--cases JSON]

prints a line of JSON for each case as soon as it is known, and ends with the first that fails. `outcomes` runs that
with the cases it wants, and starts it again behind a case with which the process ended. The planner is asked first:
what fits forwards alone is checked forwards, and what does not fit is left out with the planner's reason.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import fastrnn
from tests.support.cuda.problems import CELLS, problem
from tests.support.tree import ROOT

TIERS = ("block", "cluster", "grid", "graph")
# Operands are rounded to so much, half a unit in the last place; a sum of H of them, with weights of 1/sqrt(H), has
# about as much again, and a sequence carries it on.
ROUNDING = {"float32": 2.0**-24, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
INPUTS = 5
SECONDS = 240.0  # for all cases of a tier
MOST_ENDS = 5  # of its processes: then the rest of its cases has failed, too
# For tests of this file alone: the emulated device, and "abort" or "wait" with the case that it befalls.
EMULATED, PLANTED = "FASTRNN_TEST_EMULATED_GPU", "FASTRNN_TEST_PLANTED"


@dataclass(frozen=True)
class Check:
    cell: str
    hidden: int
    batch: int
    steps: int
    dtype: str
    tier: str
    ragged: bool
    reverse: bool

    @property
    def id(self) -> str:
        how = "ragged" * self.ragged + "reverse" * self.reverse
        return f"{self.cell} H{self.hidden} B{self.batch} T{self.steps} {self.dtype} {self.tier} {how}".strip()


def checks(tier: str, sizes: bool = False) -> list[Check]:
    """The short ones, or those of many sizes, mixed, so that the first of them are of all kinds."""
    found = []
    for cell in CELLS:
        for dtype in ROUNDING:
            if not sizes:
                found.append(Check(cell, 33, 3, 4, dtype, tier, ragged=True, reverse=False))
                found.append(Check(cell, 33, 3, 4, dtype, tier, ragged=False, reverse=True))
                continue
            for hidden in (1, 7, 50, 100, 130, 257, 600):
                for batch in (1, 3, 9, 17):
                    found.append(Check(cell, hidden, batch, 12, dtype, tier, ragged=batch > 3, reverse=batch == 9))
    return sorted(found, key=lambda check: zlib.crc32(check.id.encode())) if sizes else found


def why_not(check: Check, **which: bool) -> str:
    """The planner's reason why the tier cannot run this pass; empty if it can."""
    name, _, options = CELLS[check.cell]
    settings: dict[str, Any] = {
        "peephole": "diagonal" if check.cell == "lstm peepholes" else "none",
        **options,
        **which,
    }
    device = "H100" if os.environ.get(EMULATED) else "cuda"
    try:
        fastrnn.plan(name, check.hidden, check.batch, check.steps, inputs=INPUTS, dtype=check.dtype, device=device,
                     tier=check.tier, **settings)  # fmt: skip
    except ValueError as error:
        return str(error)
    return ""


def run(check: Check) -> str:
    """Raises AssertionError where the results are wrong. Returns what was left out, and why; empty: nothing."""
    left_out = why_not(check, training=True)
    if left_out:
        return left_out
    name, _, options = CELLS[check.cell]
    rng = np.random.default_rng([check.hidden, check.batch, check.steps])
    arguments = problem(check.cell, check.steps, check.batch, INPUTS, check.hidden)
    lengths = rng.integers(0, check.steps + 1, check.batch) if check.ragged else None
    settings = {**options, "reverse": check.reverse, "lengths": lengths}
    on_gpu = {**settings, "device": "cuda", "device_dtype": check.dtype, "device_tier": check.tier}
    forward, backward = getattr(fastrnn, f"{name}_forward"), getattr(fastrnn, f"{name}_backward")
    wide = {key: value.astype(np.float64) for key, value in arguments.items()}
    expected = forward(**wide, **settings)
    got = forward(**arguments, **on_gpu)
    tolerance = 16 * ROUNDING[check.dtype] * (1 + check.steps / 8)
    for field, value in zip(expected._fields, expected, strict=True):
        np.testing.assert_allclose(getattr(got, field), value, atol=tolerance, rtol=0, err_msg=field)
    left_out = why_not(check, backward=True)
    if left_out:
        return f"backward: {left_out}"
    # The way back, of what the types round: relative to a tensor's largest element.
    *_, cache = forward(**arguments, **on_gpu, training=True)
    *_, right = forward(**wide, **settings, training=True)
    dy = rng.uniform(-1, 1, got.y.shape)
    found = backward(dy.astype(np.float32), cache)
    for field, value in backward(dy, right)._asdict().items():
        if value is not None:
            atol = 4 * tolerance * max(float(np.abs(value).max(initial=0)), 1e-2)
            np.testing.assert_allclose(getattr(found, field), value, atol=atol, rtol=0, err_msg=f"d{field}")
    return ""


def outcome(check: Check) -> dict[str, str]:
    """What the line of a case says. An error of CUDA passes: this process is lost."""
    planted, _, befallen = os.environ.get(PLANTED, "").partition(" ")
    if planted == "abort" and befallen == check.id:
        os.abort()
    if planted == "wait" and befallen == check.id:
        threading.Event().wait()
    try:
        left_out = run(check)
    except AssertionError as error:
        return {"case": check.id, "outcome": "failed", "why": " ".join(str(error).split())[:400]}
    how = "passed" if not left_out else "forward" if left_out.startswith("backward:") else "skipped"
    return {"case": check.id, "outcome": how, "why": left_out}


def outcomes(tier: str, wanted: Collection[Check], *, seconds: float = SECONDS) -> dict[str, dict[str, str]]:
    """The outcome of each case by its id, from as many processes as it takes."""
    left = list(wanted)
    found: dict[str, dict[str, str]] = {}
    for _ in range(MOST_ENDS):
        if not left:
            break
        lines, end = _process(tier, left, seconds)
        found |= {line["case"]: line for line in lines}
        left = left[len(lines) :]
        if left and end:  # with the case behind its last line
            found[left[0].id] = {"case": left[0].id, "outcome": "failed", "why": end}
            del left[0]
    why = f"not reached: {MOST_ENDS} processes ended before"
    return found | {check.id: {"case": check.id, "outcome": "failed", "why": why} for check in left}


def _process(tier: str, wanted: list[Check], seconds: float) -> tuple[list[dict[str, str]], str]:
    """The lines of one process, and how it ended; "" if as it should."""
    command = [sys.executable, "-m", "tests.support.cuda.gpu_checks", tier, "--cases", "-"]
    # From and into files: a process that is killed leaves what it has written, and a pipe could fill.
    with contextlib.ExitStack() as stack:
        given, out, errors = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
        json.dump([asdict(check) for check in wanted], given)
        given.seek(0)
        child = subprocess.Popen(command, cwd=ROOT, stdin=given, stdout=out, stderr=errors)
        try:
            code = child.wait(seconds)
            end = f"the process ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            end = f"no answer in {seconds:.0f} s"
        finally:
            child.kill()
            child.wait()
        out.seek(0)
        errors.seek(0)
        lines = [json.loads(line) for line in out if line.endswith("\n")]
        return lines, end and f"{end}: {' '.join(errors.read()[-600:].split())}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tier", choices=TIERS)
    parser.add_argument("--sizes", action="store_true", help="many sizes in place of the short cases")
    parser.add_argument(
        "--cases", help="in place of either, a JSON list of the fields of cases; -: from standard input"
    )
    options = parser.parse_args()
    if os.environ.get(EMULATED):
        from tests.support.cuda import emulated

        emulated.take_place()
    if not options.cases:
        return 0 if all(_tell(check) for check in checks(options.tier, options.sizes)) else 1
    wanted = json.loads(sys.stdin.read() if options.cases == "-" else options.cases)
    for fields in wanted:
        _tell(Check(**fields))
    return 0


def _tell(check: Check) -> bool:
    """Print a case's line; false if it has failed."""
    line = outcome(check)
    print(json.dumps(line), flush=True)
    return line["outcome"] != "failed"


if __name__ == "__main__":
    sys.exit(main())
