"""Calls that the tests of a GPU make, emulated or there: cells by name, and arrays for them."""

from __future__ import annotations

import numpy as np

CELLS = {
    "rnn": ("rnn", 1, {}),
    "lstm": ("lstm", 4, {}),
    "lstm coupled": ("lstm", 4, {"coupled": True}),
    "lstm peepholes": ("lstm", 4, {"peephole_output": "previous"}),
    "gru after": ("gru", 3, {"reset": "after"}),
    "gru before": ("gru", 3, {"reset": "before"}),
    "gru output": ("gru", 3, {"reset": "output"}),
}


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
