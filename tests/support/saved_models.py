"""Models to be saved, and files of them that are changed."""

from __future__ import annotations

import json

import numpy as np

from fastrnn import optimizers
from fastrnn.layers import LSTM, Dense
from fastrnn.model import Sequential

B, T, I, C = 6, 4, 3, 2  # noqa: E741 - I is the input size everywhere
SUFFIXES = [".npz", ".safetensors"]


def classifier():
    model = Sequential([LSTM(5), Dense(C, activation="softmax")], name="net")
    model.compile(optimizers.Adam(0.01, clipnorm=1.0), "categorical_crossentropy", ["accuracy"], ["mae"])
    return model


def trained(data):
    model = classifier()
    model.fit(*data, epochs=2, batch_size=4, verbose=0)
    return model


def rewrite(path, target, change):
    """Copy an .npz model with `change(header, arrays)` applied."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays.pop("fastrnn")))
    change(header, arrays)
    np.savez(target, fastrnn=np.array(json.dumps(header)), **arrays)
    return target
