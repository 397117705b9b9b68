"""Every tier on a GPU against the CPU's results; left out where there is none.

A tier's cases run in processes of their own (tests/support/cuda/gpu_checks.py). `tools/gpu_day.sh` runs the same, and
more, on the day there is a GPU.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from tests.support.cuda.gpu_checks import TIERS, Check, checks, outcomes
from tests.support.cuda.option_cases import CASES, check_case
from tests.support.cuda.stacks import FORMS, check_stack

pytestmark = pytest.mark.gpu

KNOWN: dict[str, dict[str, str]] = {}


def settle(check: Check, request: pytest.FixtureRequest) -> None:
    """The case's outcome; the first of a tier runs all cases of that tier that this session has."""
    if check.id not in KNOWN:
        params = [item.callspec.params.get("check") for item in request.session.items if hasattr(item, "callspec")]
        KNOWN.update(outcomes(check.tier, [c for c in params if isinstance(c, Check) and c.tier == check.tier]))
    line = KNOWN[check.id]
    if line["outcome"] == "skipped":
        pytest.skip(line["why"])
    assert line["outcome"] in ("passed", "forward"), line["why"]


@pytest.mark.parametrize("check", [c for tier in TIERS for c in checks(tier)], ids=lambda c: c.id)
def test_short(check, request):
    settle(check, request)


@pytest.mark.parametrize("check", [c for tier in TIERS for c in checks(tier, sizes=True)], ids=lambda c: c.id)
def test_sizes(check, request):
    settle(check, request)


@pytest.mark.parametrize("hidden", [768, 1024, 1536])
def test_large(hidden, request):
    settle(Check("lstm", hidden, 16, 64, "bfloat16", "grid", ragged=False, reverse=False), request)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_options(case):
    check_case(case)


@pytest.mark.parametrize(("layers", "directions", "merge"), FORMS)
def test_stacks(layers, directions, merge):
    check_stack(layers, directions, merge, batch_first=layers == 1, on_device=False)


def test_a_thousand_launches_give_the_same_bits():
    """The grid's flags under repetition: a race would show as another result now and then."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 8, 16)).astype(np.float32)
    w_ih = rng.standard_normal((4 * 300, 16)).astype(np.float32) / 4
    w_hh = rng.standard_normal((4 * 300, 300)).astype(np.float32) / 17
    first = fastrnn.lstm_forward(x, w_ih, w_hh, device="cuda", device_tier="grid").y
    for _ in range(1000):
        np.testing.assert_array_equal(fastrnn.lstm_forward(x, w_ih, w_hh, device="cuda", device_tier="grid").y, first)
