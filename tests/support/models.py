"""Small models, and data for them."""

from __future__ import annotations

import numpy as np

from fastrnn.layers import LSTM, Dense
from fastrnn.model import Sequential

B, T, I, C = 4, 5, 3, 3  # noqa: E741 - I is the input size everywhere


def padded(rng):
    """x (B, T, I) with zero padding at the end of some rows; one row is all padding."""
    x = rng.standard_normal((B, T, I))
    for row, length in enumerate((T, 3, 0, 4)):
        x[row, length:] = 0
    return x


def classifier(**options):
    model = Sequential([LSTM(8), Dense(C, activation="softmax")], **options)
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    return model


def toy(rng, n=40):
    """Sequences whose class is the largest of their first step's features."""
    x = rng.standard_normal((n, T, I)).astype(np.float32)
    return x, np.eye(C, dtype=np.float32)[x[:, 0].argmax(axis=1)]
