"""Small models in the files of other libraries, and the readers that they are for: what the fuzzers begin with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn import GRU, LSTM, Bidirectional, Dense, Embedding, Input, Sequential
from fastrnn.interop import arrays, keras, nam, onnx, rtneural, torch

Reader = Callable[[str], Sequential]


def randomise(model: Sequential, seed: int = 0) -> Sequential:
    """Give a built model random weights."""
    rng = np.random.default_rng(seed)
    model.set_weights([0.5 * rng.standard_normal(w.shape).astype(w.dtype) for w in model.get_weights()])
    for parameter in model.parameters():
        if parameter.name.endswith("moving_variance"):
            parameter.assign(np.abs(parameter.value) + 0.1)
    return model


def plain() -> Sequential:
    """A model that most formats can hold."""
    layers = [Input((None, 3)), LSTM(4, return_sequences=True), GRU(2, return_sequences=True), Dense(2, "tanh")]
    return randomise(Sequential(layers))


def amp() -> Sequential:
    """As NAM's."""
    layers = [LSTM(3, return_sequences=True, learned_initial_state=True) for _ in range(2)]
    return randomise(Sequential([Input((None, 1)), *layers, Dense(1)]))


def words() -> Sequential:
    """An embedding, and both directions."""
    return randomise(Sequential([Input((None,)), Embedding(7, 3), Bidirectional(LSTM(4)), Dense(2, "softmax")]))


PARTS = [("0", {"kind": "embedding"}), ("1", {"return_sequences": False}), ("2", {"activation": "softmax"})]
MAPPING: list[dict[str, Any]] = [
    {"layer": LSTM(4, return_sequences=True), "w_ih": "0/w_ih", "w_hh": "0/w_hh", "b_ih": "0/b_ih"},
    {"layer": GRU(2, return_sequences=True), **{n: f"1/{n}" for n in ("w_ih", "w_hh", "b_ih", "b_hh")}},
    {"layer": Dense(2, "tanh"), "kernel": "2/kernel", "bias": "2/bias"},
]


def write(kind: str, folder: Path) -> tuple[Path, Reader]:
    """Write a good file of a kind; return it and its reader."""
    path = folder / f"good.{kind}"
    if kind == "nam":
        nam.save(amp(), path)
        return path, nam.load
    if kind == "json":
        rtneural.save(plain(), path)
        return path, rtneural.load
    if kind == "npz":
        arrays.save(plain(), path)
        return path, lambda name: arrays.load(name, MAPPING)
    if kind in ("keras", "h5"):
        keras.save(words(), path)
        return path, keras.load
    if kind in ("safetensors", "pt"):
        torch.save(words(), path)
        return path, lambda name: torch.load(name, PARTS)
    if kind == "onnx":
        onnx.save(plain(), path)
        return path, onnx.load
    raise ValueError(kind)


def is_json(kind: str) -> bool:
    """Whether files of the kind are text whose values can be changed."""
    return kind in ("nam", "json")


def shown(path: Path) -> str:
    """The beginning of a file, for a message."""
    return json.dumps(path.read_bytes()[:200].decode("latin-1"))
