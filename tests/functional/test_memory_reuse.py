"""Workspaces and caches that calls free are used again, up to a bound."""

from __future__ import annotations

import gc
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from fastrnn import lstm_backward, lstm_forward
from tests.support.tree import ROOT

pytest.importorskip("resource", reason="counts page faults, which this system does not tell")

PAGE = os.sysconf("SC_PAGE_SIZE")


def weights(inputs: int, hidden: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0).standard_normal
    shapes = {"w_ih": (4 * hidden, inputs), "w_hh": (4 * hidden, hidden), "b_ih": 4 * hidden, "b_hh": 4 * hidden}
    return {name: 0.1 * draw(shape).astype(np.float32) for name, shape in shapes.items()}


def train(x: np.ndarray, given: dict[str, np.ndarray]) -> None:
    y, *_, cache = lstm_forward(x, **given, training=True)
    lstm_backward(y, cache)


def test_a_training_step_asks_the_system_for_its_results_alone():
    """Of pages of four kilobytes they have some 200, its cache and workspace 1,000."""
    code = f"""
import resource
from tests.functional.{pathlib.Path(__file__).stem} import np, train, weights
x, given, faults = np.ones((50, 32, 8), np.float32), weights(8, 64), []
for _ in range(10):
    train(x, given)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(sorted(np.diff(faults))[4])"""
    # The C library gives back all that is larger at once, and does not learn to keep it.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 500


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system does not tell its memory")
def test_what_is_kept_is_bounded():
    """A call of some 300 MB leaves 64 MiB at most behind."""
    given = weights(8, 64)
    train(np.ones((10, 4, 8), np.float32), given)
    gc.collect()
    before = resident()
    train(np.ones((200, 512, 8), np.float32), given)
    gc.collect()
    assert resident() - before < 100 << 20
