"""RTNeural's JSON (https://github.com/jatinchowdhury18/RTNeural), as its script writes Keras models, both ways.

    model = fastrnn.interop.rtneural.load("amp.json")
    fastrnn.interop.rtneural.save(model, "amp.json")

Layers: lstm, gru, dense, time-distributed-dense and activation. A file with others, as conv1d, is refused by name.
RTNeural runs an LSTM or a GRU with tanh and sigmoid whatever the file says; a file that says anything else is refused.
"""

from __future__ import annotations

import os
from typing import Any

from .._registry import choice_error
from .._typing import Config, PathLike
from ..layers import GRU, LSTM, Activation, Dense, Dropout
from ..layers.base import Layer
from ..layers.recurrent.base import Recurrent
from ..model import Sequential
from ._json_files import as_array, as_size, as_text, read_object, write_object
from ._layers import LoadedLayer, assemble, check_model, check_plain, dense_of, folded_biases
from .conventions import CONVENTIONS, from_canonical, to_canonical

__all__ = ["from_json", "load", "save", "to_json"]

_ACTIVATIONS = ("tanh", "relu", "sigmoid", "softmax", "elu")
_TYPES = ("lstm", "gru", "dense", "time-distributed-dense", "activation")
_KEYS = {"type", "activation", "shape", "weights"}


def load(path: PathLike) -> Sequential:
    """Make a model of a file.

    Raises:
        ValueError: damaged, or a layer that fastrnn has not; it names the layer.
        OSError: if it cannot be opened.
    """
    return from_json(read_object(path), os.fspath(path))


def from_json(settings: Config, where: str = "settings") -> Sequential:
    """Make a model of the object that a file holds; `where` is what errors call it."""
    if not isinstance(settings, dict):
        raise TypeError(f"settings: expected a dict, got {type(settings).__name__}")
    for key in settings:
        if key not in ("in_shape", "layers"):
            raise ValueError(f"{where}: expected the keys in_shape and layers, got {key!r}")
    shape, entries = settings.get("in_shape"), settings.get("layers")
    if not isinstance(shape, list) or not shape or not isinstance(entries, list):
        raise ValueError(f"{where}: expected lists in_shape and layers, got {type(shape).__name__}")
    width = inputs = as_size(shape[-1], f"{where}: in_shape")
    loaded: list[LoadedLayer] = []
    for index, entry in enumerate(entries):
        at = f"{where}: layers[{index}]"
        made = _from_entry(entry, width, at)
        loaded += made
        width = as_size(entry["shape"][-1], f"{at}: shape")
    return assemble((None, inputs), loaded, "float32", where)


def _from_entry(entry: Any, width: int, at: str) -> list[LoadedLayer]:
    if not isinstance(entry, dict):
        raise ValueError(f"{at}: expected an object, got {type(entry).__name__}")
    kind = as_text(entry.get("type"), f"{at}: type")
    if kind not in _TYPES:
        raise choice_error(f"{at}: type", _TYPES, kind)
    for key in entry:
        if key not in _KEYS:
            raise ValueError(f"{at}: expected the keys {', '.join(sorted(_KEYS))}, got {key!r}")
    shape, weights = entry.get("shape"), entry.get("weights", [])
    if not isinstance(shape, list) or not shape or not isinstance(weights, list):
        raise ValueError(f"{at}: expected lists shape and weights")
    units = as_size(shape[-1], f"{at}: shape")
    activation = as_text(entry.get("activation", ""), f"{at}: activation")
    if activation and activation not in _ACTIVATIONS:
        raise choice_error(f"{at}: activation", _ACTIVATIONS, activation)
    expected = {"activation": 0, "lstm": 3, "gru": 3}.get(kind, 2)
    if len(weights) != expected:
        raise ValueError(f"{at}: weights: expected {expected} arrays, got {len(weights)}")
    if kind == "activation":
        if not activation or units != width:
            raise ValueError(f"{at}: expected an activation of {width} units, got {activation!r} of {units}")
        return [LoadedLayer(Activation(activation, dtype="float32"), {})]
    if kind in ("lstm", "gru"):
        if activation not in ("", "tanh"):
            raise ValueError(f"{at}: activation: expected 'tanh', with which RTNeural runs it, got {activation!r}")
        return [_recurrent(kind, units, width, weights, at)]
    arrays = {"kernel": as_array(weights[0], f"{at}: kernel", 2), "bias": as_array(weights[1], f"{at}: bias", 1)}
    if arrays["kernel"].shape != (width, units):
        raise ValueError(f"{at}: kernel: expected shape {(width, units)}, got {arrays['kernel'].shape}")
    return [LoadedLayer(Dense(units, activation or None, dtype="float32"), arrays)]


def _recurrent(cell: str, units: int, width: int, weights: list[Any], at: str) -> LoadedLayer:
    names = ("w_ih", "w_hh", "b_ih")
    axes = (2, 2, 2 if cell == "gru" else 1)
    given = {n: as_array(w, f"{at}: {n}", k) for n, w, k in zip(names, weights, axes, strict=True)}
    for name, rows in (("w_ih", width), ("w_hh", units)):
        if len(given[name]) != rows:
            raise ValueError(f"{at}: {name}: expected {rows} rows, got shape {given[name].shape}")
    try:
        arrays = to_canonical(CONVENTIONS["rtneural"][cell], given, units)
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from None
    make = {"lstm": LSTM, "gru": GRU}[cell]
    return LoadedLayer(make(units, return_sequences=True, dtype="float32"), arrays)


# -- back --------------------------------------------------------------------------------------------------------------


def save(model: Sequential, path: PathLike) -> None:
    """Write a model to a file.

    Raises:
        ValueError: a layer or an option that RTNeural has not.
        OSError: if it cannot be written.
    """
    write_object(path, to_json(model))


def to_json(model: Sequential) -> Config:
    """Return the object that a file holds; errors as those of `save`."""
    shape = check_model(model).input_shape
    if shape is None or len(shape) != 3:
        raise ValueError(f"model: expected inputs (B, T, I), got {shape}")
    entries = [entry for layer in model.layers if not isinstance(layer, Dropout) for entry in _entry(layer)]
    width = shape[-1]
    for entry in entries:
        width = entry["shape"][-1] = entry["shape"][-1] or width
    return {"in_shape": [None, None, shape[-1]], "layers": entries}


def _entry(layer: Layer) -> list[Config]:
    dense = dense_of(layer)
    if dense is not None:
        bias = [0.0] * dense.units if dense.bias is None else dense.bias.value.tolist()
        kernel = dense.kernel.value.tolist()
        return [_made("dense", dense.units, dense.activation.name, [kernel, bias], layer)]
    if isinstance(layer, Activation):
        return (
            [] if layer.activation.name == "linear" else [_made("activation", None, layer.activation.name, [], layer)]
        )
    if not isinstance(layer, LSTM | GRU):
        raise ValueError(f"{layer.name}: RTNeural has no layer as {type(layer).__name__}")
    return [_recurrent_entry(layer)]


def _made(kind: str, units: int | None, activation: str, weights: list[Any], layer: Layer) -> Config:
    activation = "" if activation == "linear" else activation
    if activation and activation not in _ACTIVATIONS:
        raise ValueError(f"{layer.name}: RTNeural has no activation {activation!r}")
    return {"type": kind, "activation": activation, "shape": [None, None, units], "weights": weights}


def _recurrent_entry(layer: Recurrent) -> Config:
    check_plain(layer, "RTNeural")
    if layer.go_backwards or not layer.return_sequences:
        raise ValueError(f"{layer.name}: RTNeural runs forwards and gives every step; expected return_sequences")
    arrays = from_canonical(CONVENTIONS["rtneural"][layer.cell], folded_biases(layer), layer.units)
    weights = [arrays[name].tolist() for name in ("w_ih", "w_hh", "b_ih")]
    return _made(layer.cell, layer.units, "tanh", weights, layer)
