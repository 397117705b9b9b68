"""Every tier on a GPU against the CPU's results; left out where there is none.

`python -m bench.cuda` runs these, once more under compute-sanitizer (those named short), and writes a report.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from tests.support.cuda.option_cases import CASES, check_case
from tests.support.cuda.problems import CELLS, problem
from tests.support.cuda.stacks import FORMS, check_stack

pytestmark = pytest.mark.gpu

# Operands are rounded to so much, half a unit in the last place; a sum of H of them, with weights of 1/sqrt(H), has
# about as much again, and a sequence carries it on.
ROUNDING = {"float32": 2.0**-24, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def check(
    cell: str, hidden: int, batch: int, steps: int, dtype: str, tier: str, *, ragged: bool, reverse: bool
) -> None:
    name, _, options = CELLS[cell]
    rng = np.random.default_rng([hidden, batch, steps])
    arguments = problem(cell, steps, batch, 5, hidden)
    settings = {**options, "reverse": reverse, "lengths": rng.integers(0, steps + 1, batch) if ragged else None}
    forward = getattr(fastrnn, f"{name}_forward")
    try:
        got = forward(**arguments, **settings, device="cuda", device_dtype=dtype, device_tier=tier)
    except ValueError as error:
        if "tier: expected one that can run this" not in str(error):
            raise
        pytest.skip(str(error))
    wide = {key: value.astype(np.float64) for key, value in arguments.items()}
    expected = forward(**wide, **settings)
    tolerance = 16 * ROUNDING[dtype] * (1 + steps / 8)
    for field, value in zip(expected._fields, expected, strict=True):
        np.testing.assert_allclose(getattr(got, field), value, atol=tolerance, rtol=0, err_msg=f"{cell} {field}")
    # The way back, of what the types round: relative to a tensor's largest element.
    *_, cache = forward(**arguments, **settings, training=True, device="cuda", device_dtype=dtype, device_tier=tier)
    *_, right = forward(**wide, **settings, training=True)
    backward, dy = getattr(fastrnn, f"{name}_backward"), rng.uniform(-1, 1, got.y.shape)
    found = backward(dy.astype(np.float32), cache)
    for field, value in backward(dy, right)._asdict().items():
        if value is not None:
            scale = max(float(np.abs(value).max(initial=0)), 1e-2)
            atol = 4 * tolerance * scale
            np.testing.assert_allclose(getattr(found, field), value, atol=atol, rtol=0, err_msg=f"{cell} d{field}")


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_options(case):
    check_case(case)


@pytest.mark.parametrize(("layers", "directions", "merge"), FORMS)
def test_stacks(layers, directions, merge):
    check_stack(layers, directions, merge, batch_first=layers == 1, on_device=False)


@pytest.mark.parametrize("tier", ["block", "cluster", "grid", "graph"])
@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize("cell", list(CELLS))
def test_short(cell, dtype, tier):
    check(cell, 33, 3, 4, dtype, tier, ragged=True, reverse=False)
    check(cell, 33, 3, 4, dtype, tier, ragged=False, reverse=True)


@pytest.mark.parametrize("tier", ["block", "cluster", "grid", "graph"])
@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("hidden", [1, 7, 50, 100, 130, 257, 600])
def test_sizes(hidden, cell, dtype, tier):
    for batch in (1, 3, 9, 17):
        check(cell, hidden, batch, 12, dtype, tier, ragged=batch > 3, reverse=batch == 9)


@pytest.mark.parametrize("hidden", [768, 1024, 1536])
def test_large(hidden):
    check("lstm", hidden, 16, 64, "bfloat16", "grid", ragged=False, reverse=False)


def test_a_thousand_launches_give_the_same_bits():
    """The grid's flags under repetition: a race would show as another result now and then."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 8, 16)).astype(np.float32)
    w_ih = rng.standard_normal((4 * 300, 16)).astype(np.float32) / 4
    w_hh = rng.standard_normal((4 * 300, 300)).astype(np.float32) / 17
    first = fastrnn.lstm_forward(x, w_ih, w_hh, device="cuda", device_tier="grid").y
    for _ in range(1000):
        np.testing.assert_array_equal(fastrnn.lstm_forward(x, w_ih, w_hh, device="cuda", device_tier="grid").y, first)
