"""The model that is served, and that the load generator computes alone."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastrnn

DTYPES = "float32", "bfloat16", "bfloat16_weights", "int8"


def load(path: str | None, dtype: str) -> Any:
    """The model of a file, or, where there is none, an LSTM from 128 to 128 with the same random weights each time: the
    size of silero-vad's, which takes one step for each 32 ms of sound."""
    if path is not None:
        return fastrnn.Model.load(path, dtype=dtype)
    rng = np.random.default_rng(0)
    shapes = (4 * 128, 128), (4 * 128, 128), (4 * 128,), (4 * 128,)
    return fastrnn.Model(
        fastrnn.pack_lstm(*(rng.uniform(-0.09, 0.09, s).astype(np.float32) for s in shapes), dtype=dtype)
    )
