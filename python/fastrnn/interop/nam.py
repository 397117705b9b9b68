"""Neural Amp Modeler's .nam files (https://github.com/sdatkinson/neural-amp-modeler) of its LSTM.

    model = fastrnn.interop.nam.load("amp.nam")      # samples (B, T, 1) in and out

The weights are one list: for each layer the matrix [W | R] (4H, I+H) in the gate order i, f, g, o, the bias (4H,) and
the states h (H,) and c (H,) before the first sample; then the head (H,) and its bias. What else the file says goes into
`model.metadata["nam"]`. Other architectures than LSTM are refused.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .._typing import Array, Config, PathLike
from ..layers import LSTM, Dense
from ..layers.base import Layer
from ..model import Sequential
from ._json_files import as_array, as_size, as_text, read_object, write_object
from ._layers import LoadedLayer, assemble, check_model, check_plain, dense_of, folded_biases, parameters_of
from .conventions import CONVENTIONS, from_canonical, to_canonical

__all__ = ["from_json", "load", "save", "to_json"]

_SIZES = ("input_size", "hidden_size", "num_layers")
_CONVENTION = CONVENTIONS["nam"]["lstm"]
_FORMAT = "0.5.4"  # of the files that `save` writes; readers take all 0.5.x


def load(path: PathLike, *, initial_state: bool = True) -> Sequential:
    """Make a model of a file.

    Args:
        path: the file.
        initial_state: False leaves the states before the first sample at zero; the outputs then differ until the
            amplifier has settled. Streams (`model.to_native()`) begin with either.

    Raises:
        ValueError: damaged, of another architecture, or with more or fewer weights than its sizes say.
        OSError: if it cannot be opened.
    """
    return from_json(read_object(path), os.fspath(path), initial_state=initial_state)


def from_json(settings: Config, where: str = "settings", *, initial_state: bool = True) -> Sequential:
    """Make a model of the object that a file holds; `where` is what errors call it."""
    if not isinstance(settings, dict):
        raise TypeError(f"settings: expected a dict, got {type(settings).__name__}")
    kind = as_text(settings.get("architecture"), f"{where}: architecture")
    if kind != "LSTM":
        raise ValueError(f"{where}: architecture: expected 'LSTM', got {kind[:60]!r}")
    config = settings.get("config")
    if not isinstance(config, dict) or set(config) != set(_SIZES):
        raise ValueError(f"{where}: config: expected {', '.join(_SIZES)}, got {str(config)[:200]}")
    inputs, units, depth = (as_size(config[name], f"{where}: {name}") for name in _SIZES)
    values = as_array(settings.get("weights"), f"{where}: weights", 1)
    widths = [inputs, *[units] * (depth - 1)] if depth <= len(values) else []
    expected = sum(4 * units * (width + units) + 6 * units for width in widths) + units + 1
    if not widths or len(values) != expected:
        raise ValueError(f"{where}: weights: expected {expected if widths else 'more'} numbers, got {len(values)}")
    layers = []
    for width in widths:
        both, values = _cut(values, 4 * units, width + units)
        bias, values = _cut(values, 4 * units)
        h0, values = _cut(values, units)
        c0, values = _cut(values, units)
        weights = to_canonical(_CONVENTION, {"w_ih": both[:, :width], "w_hh": both[:, width:], "b_ih": bias}, units)
        if initial_state:
            weights |= {"h0": h0, "c0": c0}
        layer = LSTM(units, return_sequences=True, learned_initial_state=initial_state, dtype="float32")
        layers.append(LoadedLayer(layer, weights))
    head, values = _cut(values, units, 1)
    layers.append(LoadedLayer(Dense(1, dtype="float32"), {"kernel": head, "bias": values}))
    model = assemble((None, inputs), layers, "float32", where)
    model.metadata["nam"] = {name: value for name, value in settings.items() if name not in ("weights", "config")}
    return model


def _cut(values: Array, *shape: int) -> tuple[Array, Array]:
    size = int(np.prod(shape))
    return values[:size].reshape(shape), values[size:]


# -- back --------------------------------------------------------------------------------------------------------------


def save(model: Sequential, path: PathLike, sample_rate: float | None = None) -> None:
    """Write a model of LSTMs of one size and a Dense(1) to a file.

    Raises:
        ValueError: a model of another form.
        OSError: if it cannot be written.
    """
    write_object(path, to_json(model, sample_rate))


def to_json(model: Sequential, sample_rate: float | None = None) -> Config:
    """Return the object that a file holds; `sample_rate` in Hz, None takes that of the file which was loaded."""
    layers = check_model(model).layers
    head = dense_of(layers[-1])
    lstms = [layer for layer in layers[:-1] if isinstance(layer, LSTM)]
    if head is None or head.units != 1 or head.activation.name != "linear" or len(lstms) != len(layers) - 1:
        raise ValueError("model: expected LSTM layers and a linear Dense(1), got " + _kinds(layers))
    if not lstms or any(lstm.units != lstms[0].units for lstm in lstms):
        raise ValueError("model: expected LSTM layers of one size, got " + _kinds(layers))
    parts: list[Array] = []
    for lstm in lstms:
        check_plain(lstm, "NAM", weights=("h0", "c0"))
        if lstm.go_backwards or not lstm.return_sequences:
            raise ValueError(f"{lstm.name}: NAM runs forwards and gives every sample; expected return_sequences")
        weights = folded_biases(lstm)
        arrays = from_canonical(_CONVENTION, weights, lstm.units)
        zeros = np.zeros(lstm.units, np.float32)
        both = np.concatenate([arrays["w_ih"], arrays["w_hh"]], axis=1)
        parts += [both, arrays["b_ih"], weights.get("h0", zeros), weights.get("c0", zeros)]
    ends = {name: parameter.value for name, parameter in parameters_of(head).items()}
    parts += [ends["kernel"], ends.get("bias", np.zeros(1, np.float32))]
    assert model.input_shape is not None
    known: dict[str, Any] = dict(model.metadata.get("nam", {}))
    sizes = (model.input_shape[-1], lstms[0].units, len(lstms))
    result = {"version": _FORMAT, **known, "architecture": "LSTM", "config": dict(zip(_SIZES, sizes, strict=True))}
    if sample_rate is not None:
        result["sample_rate"] = sample_rate
    return {**result, "weights": np.concatenate([part.ravel() for part in parts]).tolist()}


def _kinds(layers: list[Layer]) -> str:
    return ", ".join(type(layer).__name__ for layer in layers)
