"""tools/gpu_day.sh without a GPU: over the emulation, with phases that hang and phases that crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cuda import emulated, gpu_checks
from tests.support.tree import ROOT


def day(folder: Path, **environment: str) -> tuple[int, dict[str, dict]]:
    """The exit status, and how each phase ended. No tool of CUDA is on the PATH."""
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "PYTHON": sys.executable, **environment}
    command = ["bash", str(ROOT / "tools" / "gpu_day.sh"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in (folder / "phases.jsonl").read_text().splitlines()]
    assert len({line["phase"] for line in lines}) == len(lines)
    assert done.stdout.count("\n") == len(lines) + 1
    return done.returncode, {line["phase"]: line for line in lines}


def test_what_has_no_time_left_is_said(tmp_path):
    code, phases = day(tmp_path, GPU_DAY_SECONDS="1")
    assert code == 0
    assert {phase["status"] for phase in phases.values()} == {"skipped"}
    assert {"import", "tier-block", "tier-cluster", "tier-grid", "tier-graph", "speed", "options"} <= phases.keys()
    assert phases["speed"]["why"] == "no time left"
    assert phases["memcheck-grid"]["why"] == "no compute-sanitizer on the PATH"
    assert phases["ncu-block"]["why"] == "no ncu on the PATH"


@pytest.mark.full
def test_no_phase_takes_another_along(tmp_path):
    reason = emulated.missing()
    if reason is not None:
        pytest.skip(reason)
    emulated.module()
    planted = {"tier-cluster": "hang", "tier-grid": "crash", "tier-graph": "crash", "import": "hang"}
    planted |= {f"sizes-{tier}": "crash" for tier in gpu_checks.TIERS}
    code, phases = day(
        tmp_path,
        GPU_DAY_LIMIT="20",
        GPU_DAY_PLANT=" ".join(f"{name}:{what}" for name, what in planted.items()),
        **{gpu_checks.EMULATED: "1"},
    )
    assert code == 1
    for name, phase in phases.items():
        # The others have done what they could in their time, on however slow a machine.
        wanted = {"hang": {"late"}, "crash": {"failed"}}.get(planted.get(name, ""), {"done", "skipped", "late"})
        assert phase["status"] in wanted, phase
        assert phase["seconds"] <= 25, phase
    for name in ("tier-block", "tier-without-blas"):
        lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert {line["outcome"] for line in lines} <= {"passed", "forward", "skipped"}
        assert any(line["outcome"] == "passed" for line in lines)
    assert phases["speed"]["status"] == "skipped"
    assert json.loads((tmp_path / "speed.jsonl").read_text())["skipped"]
