"""Calls that the tests of a GPU make, emulated or real: cells by name, and arrays for them."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastrnn

CELLS = {
    "rnn": ("rnn", 1, {}),
    "lstm": ("lstm", 4, {}),
    "lstm coupled": ("lstm", 4, {"coupled": True}),
    "lstm peepholes": ("lstm", 4, {"peephole_output": "previous"}),
    "gru after": ("gru", 3, {"reset": "after"}),
    "gru before": ("gru", 3, {"reset": "before"}),
    "gru output": ("gru", 3, {"reset": "output"}),
}

TOLERANCE = {"float32": 2e-5, "tf32": 4e-3, "float16": 4e-3, "bfloat16": 3e-2}


def problem(cell: str, steps: int = 3, batch: int = 2, inputs: int = 5, hidden: int = 17) -> dict[str, np.ndarray]:
    """The arrays of a call, by name."""
    name, gates, _ = CELLS[cell]
    rng = np.random.default_rng([steps, batch, inputs, hidden])

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(shape[-1]))

    arrays = {
        "x": draw(steps, batch, inputs), "w_ih": draw(gates * hidden, inputs), "w_hh": draw(gates * hidden, hidden),
        "b_ih": draw(gates * hidden), "b_hh": draw(gates * hidden), "h0": draw(1, batch, hidden),
    }  # fmt: skip
    if name == "lstm":
        arrays["c0"] = draw(1, batch, hidden)
    if cell == "lstm peepholes":
        arrays["w_peep"] = draw(3, hidden)
    return arrays


def call(cell: str, arrays: dict[str, Any], library: Any = fastrnn, **more: Any) -> Any:
    name, _, options = CELLS[cell]
    return getattr(library, f"{name}_forward")(**arrays, **options, **more)


def compare(got: Any, expected: Any, tolerance: float) -> None:
    assert len(got) == len(expected)
    for actual, value in zip(got, expected, strict=True):
        assert actual.shape == value.shape
        np.testing.assert_allclose(actual, value, atol=tolerance, rtol=0)
