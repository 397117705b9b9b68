"""A Sequential from what a file says to the readers in C++ and C: the reverse of `native_layers`.

`load_model` takes this way with a file of `save_layers`, which has no description of its own for Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._registry import choice_error
from .._typing import Array, Config
from ..layers import Activation, Dense, IndRNN
from ..layers.base import Layer, weights_from_file
from ..layers.recurrent.base import Recurrent
from ..layers.recurrent.variants import LAYERS
from ..layers.recurrent.weights import join_biases
from ..model import Sequential
from .layer_entries import SOFTMAXES

__all__ = ["model_from_description"]

_DTYPES = {"F32": "float32", "F64": "float64"}
_FIELDS = {
    "recurrent": {"kind", "cell", "dtype", "inputs", "hidden", "outputs", "options", "arrays"},
    "dense": {"kind", "dtype", "inputs", "outputs", "arrays"},
    "activation": {"kind", "activation"},
    **{kind: {"kind"} for kind in SOFTMAXES},
}
# Activations of the kernels with numbers, as `fastrnn.activations` has them.
_NUMBERED = {("hard_sigmoid", 1 / 6, 0.5): "hard_sigmoid", ("leaky_relu", 0.2): "leaky_relu", ("elu", 1.0): "elu"}
_UNLIKE = ("leaky_relu", "hard_sigmoid")  # whose default parameters differ between the kernels and Keras
_RELU6 = (["hard_sigmoid", 1 / 6, 0.0], ["affine", 6.0, 0.0])


def model_from_description(text: str, arrays: Mapping[str, Array]) -> Sequential:
    """Make the model; all of its recurrent layers give every step, as in a stream.

    Raises:
        ValueError: a description that is not one, an array that is missing, superfluous or of another shape, or an
            activation by itself that no layer in Python has.
    """
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"fastrnn.native: {error}") from None
    if not isinstance(settings, dict) or settings.get("version") != 1 or "layers" not in settings:
        raise ValueError("fastrnn.native: expected version 1 with layers")
    entries = settings["layers"]
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("fastrnn.native: expected a list of layers")
    layers: list[Layer] = []
    names: list[dict[str, str]] = []
    with weights_from_file(sum(array.nbytes for array in arrays.values())):
        for index, entry in enumerate(_join_relu6(entries)):
            try:
                layer, own = _layer(entry, arrays)
            except (ValueError, TypeError) as error:
                raise ValueError(f"layer {index}: {error}") from None
            layers.append(layer)
            names.append(own)
        model = Sequential(layers)
        model.build((None, None, int(entries[0].get("inputs", 0)) or None))
    _assign(model, names, arrays)
    return model


def _join_relu6(entries: list[Config]) -> list[Config]:
    """relu6 stands in the file as two functions."""
    result: list[Config] = []
    for entry in entries:
        before = result[-1].get("activation") if result else None
        if (before, entry.get("activation")) == _RELU6:
            result[-1] = {"kind": "activation", "activation": "relu6"}
        else:
            result.append(entry)
    return result


def _layer(entry: Config, arrays: Mapping[str, Array]) -> tuple[Layer, dict[str, str]]:
    kind = entry.get("kind")
    if kind not in _FIELDS:
        raise choice_error("kind", _FIELDS, kind)
    if set(entry) != _FIELDS[str(kind)]:
        raise ValueError(f"expected the fields {', '.join(sorted(_FIELDS[str(kind)]))}, got {', '.join(sorted(entry))}")
    if kind in SOFTMAXES:
        return Activation(str(kind), dtype=_dtype_of(arrays)), {}
    if kind == "activation":
        return Activation(_own_activation(entry["activation"]), dtype=_dtype_of(arrays)), {}
    names = entry["arrays"]
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ValueError("arrays: expected names of arrays")
    if entry["dtype"] not in _DTYPES:
        raise choice_error("dtype", _DTYPES, entry["dtype"])
    dtype = _DTYPES[entry["dtype"]]
    if kind == "dense":
        return Dense(entry["outputs"], use_bias="bias" in names, dtype=dtype), names
    if entry["cell"] not in LAYERS:
        raise choice_error("cell", LAYERS, entry["cell"])
    return _recurrent(entry, names, arrays, dtype), names


def _dtype_of(arrays: Mapping[str, Array]) -> str:
    return "float64" if any(array.dtype == np.float64 for array in arrays.values()) else "float32"


def _own_activation(activation: Any) -> str:
    """The name of an activation in `fastrnn.activations`."""
    if isinstance(activation, list):
        name = _NUMBERED.get(tuple(activation))
    else:
        name = "linear" if activation == "identity" else None if activation in _UNLIKE else activation
    if name is None:
        raise ValueError(f"activation: expected one of fastrnn.activations, got {activation!r}; Model.load runs it")
    return str(name)


def _recurrent(entry: Config, names: Mapping[str, str], arrays: Mapping[str, Array], dtype: str) -> Recurrent:
    cls = LAYERS[entry["cell"]]
    options = dict(entry["options"])
    for name in ("activation", "recurrent_activation", "output_activation"):
        if name in options:
            options[name] = _cell_activation(options[name])
    if cls is IndRNN:
        options.setdefault("activation", "tanh")  # the file's default, which is not the layer's
    if "w_hr" in names:
        options["projection_units"] = entry["outputs"]
    if "w_peep" in names:
        options["peephole"] = "full" if arrays[names["w_peep"]].ndim == 3 else "diagonal"
    if "ln_hh" in names:
        options["layer_norm"] = True
    return cls(
        entry["hidden"], use_bias="b_ih" in names or "b_hh" in names, return_sequences=True, dtype=dtype, **options
    )


def _cell_activation(activation: Any) -> Any:
    if isinstance(activation, list):
        name, *numbers = activation
        return ("linear" if name == "identity" else name, *numbers)
    return {"identity": "linear", "leaky_relu": ("leaky_relu", 0.01), "hard_sigmoid": ("hard_sigmoid", 0.2, 0.5)}.get(
        activation, activation
    )


def _assign(model: Sequential, names: list[dict[str, str]], arrays: Mapping[str, Array]) -> None:
    used: set[str] = set()
    for index, (layer, own) in enumerate(zip(model.layers, names, strict=True)):
        parameters = {parameter.own_name: parameter for parameter in layer.parameters()}
        values = {}
        for name, key in own.items():
            if key not in arrays or key in used:
                raise ValueError(f"layer {index}: expected an array {key!r} of its own, got none")
            used.add(key)
            values[name] = arrays[key]
        values = join_biases(values, parameters)
        for name, value in values.items():
            if name not in parameters or value.shape != parameters[name].shape or value.dtype.kind != "f":
                expected = f"shape {parameters[name].shape}" if name in parameters else "no such parameter"
                raise ValueError(f"layer {index}: {name}: expected {expected}, got {value.dtype} {value.shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"layer {index}: {name}: expected finite numbers")
            parameters[name].assign(value)
        missing = set(parameters) - set(values) - {"b_ih", "b_hh"}
        if missing:
            raise ValueError(f"layer {index}: expected arrays {', '.join(sorted(missing))}, got none")
        for name in set(parameters) - set(values):
            parameters[name].value[...] = 0
    left = [key for key in arrays if key not in used]
    if left:
        raise ValueError(f"unexpected array {left[0]!r}")
