"""The checks of a GPU's tiers, over the emulation: the planner is asked first, and a lost process loses one case."""

from __future__ import annotations

import pytest

from tests.support.cuda import emulated, gpu_checks
from tests.support.cuda.gpu_checks import Check, outcomes, why_not

CASES = [Check("lstm", hidden, 2, 2, "float32", "block", ragged=False, reverse=False) for hidden in (3, 4, 5)]


@pytest.fixture
def emulation(monkeypatch):
    reason = emulated.missing()
    if reason is not None:
        pytest.skip(reason)
    emulated.module()  # built before a process has to wait for it
    monkeypatch.setenv(gpu_checks.EMULATED, "1")
    return monkeypatch


def test_the_planner_is_asked_first(emulation):
    """A float32 GRU-after of 600 units fits a cluster forwards and not backwards: half of it can be checked."""
    check = Check("gru after", 600, 1, 2, "float32", "cluster", ragged=False, reverse=False)
    assert why_not(check) == why_not(check, training=True) == ""
    assert "tier: expected one that can run this, got 'cluster'" in why_not(check, backward=True)
    assert "got 'block'" in why_not(Check("lstm", 768, 1, 2, "float32", "block", ragged=False, reverse=False))


def test_a_process_that_ends_takes_one_case_along(emulation):
    emulation.setenv(gpu_checks.PLANTED, f"abort {CASES[1].id}")
    found = outcomes("block", CASES)
    assert [found[c.id]["outcome"] for c in CASES] == ["passed", "failed", "passed"]
    assert "the process ended with -6" in found[CASES[1].id]["why"]


@pytest.mark.full
def test_a_process_that_waits_for_ever_takes_one_case_along(emulation):
    emulation.setenv(gpu_checks.PLANTED, f"wait {CASES[1].id}")
    found = outcomes("block", CASES, seconds=20)
    assert [found[c.id]["outcome"] for c in CASES] == ["passed", "failed", "passed"]
    assert "no answer in 20 s" in found[CASES[1].id]["why"]


def test_a_wrong_result_is_told(gpu, monkeypatch):
    monkeypatch.setenv(gpu_checks.EMULATED, "1")
    monkeypatch.setattr(gpu_checks, "ROUNDING", {"float32": 0.0})
    told = gpu_checks.outcome(CASES[0])
    assert told["outcome"] == "failed"
    assert "Not equal to tolerance" in told["why"]
