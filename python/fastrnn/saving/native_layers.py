"""How a model's layers stand in its file for the readers in C++ and C: docs/model-file.md has the schema.

Those compute step by step. A layer that needs more than the steps so far has no place there, and the file says so.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import functional
from .._registry import choice_error
from .._typing import Array, Config
from ..functional._cells import CELLS
from ..functional._options import PARAMETERS
from ..layers import (
    Activation,
    AveragePooling1D,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Masking,
    MaxPooling1D,
    RepeatVector,
    TimeDistributed,
)
from ..layers.base import Layer
from ..layers.recurrent.activation import native_activation
from ..layers.recurrent.base import Recurrent
from ..layers.recurrent.variants import LAYERS
from ..model import Sequential

__all__ = ["describe_layers", "describe_model", "stepwise"]

_VERSION = 1
_DTYPES = {"float32": "F32", "float64": "F64"}
_ACTIVATIONS = ("activation", "recurrent_activation", "output_activation")

_REASONS: dict[type[Layer], str] = {
    Bidirectional: "it reads the sequence from its end too, and a stream has none",
    Embedding: "its inputs are integers, and a stream's are vectors of floats",
    Masking: "a stream has no padded steps; a model without it takes the same weights",
    Flatten: "it makes one vector of all steps",
    RepeatVector: "it makes several steps of one",
    GlobalAveragePooling1D: "it makes one vector of all steps",
    GlobalMaxPooling1D: "it makes one vector of all steps",
    MaxPooling1D: "it gives fewer steps than it takes",
    AveragePooling1D: "it gives fewer steps than it takes",
}


class _RefusedError(Exception):
    """Why a layer cannot run step by step."""


# -- models ----------------------------------------------------------------------------------------------------------


def describe_model(model: Sequential, names: Mapping[int, str]) -> Config:
    """Return the description of a built model; `names` has the array of each parameter, by the parameter's id."""
    entries: list[Config] = []
    if model.input_shape is None or len(model.input_shape) not in (2, 3):
        return _refusal(f"an input of shape {model.input_shape}: a step of a stream is a vector")
    for index, layer in enumerate(model.layers):
        try:
            entries += _entries(layer, names)
            if entries and entries[0]["kind"] in ("activation", "softmax"):
                raise _RefusedError("expected a layer with weights to come first")
        except _RefusedError as reason:
            return _refusal(f"layer {index} ({layer.name}), {type(layer).__name__}: {reason}")
    return _description(entries) if entries else _refusal("no layer with weights")


def stepwise(model: Sequential) -> list[str]:
    """For each layer of a built model why it cannot run step by step, "" for one that can."""
    names = {id(parameter): parameter.name for parameter in model.parameters()}
    reasons = []
    for layer in model.layers:
        try:
            _entries(layer, names)
            reasons.append("")
        except _RefusedError as reason:
            reasons.append(str(reason))
    return reasons


def _description(entries: list[Config]) -> Config:
    return {"version": _VERSION, "layers": entries}


def _refusal(reason: str) -> Config:
    return {"version": _VERSION, "refused": reason}


def _entries(layer: Layer, names: Mapping[int, str]) -> list[Config]:
    # By the very class: one of a user's own may compute something else than what it was derived from.
    kind = type(layer)
    if kind is Dropout:
        return []  # does nothing outside training
    if kind is Flatten and layer.built_shape is not None and len(layer.built_shape) == 2:
        return []
    if isinstance(layer, TimeDistributed) and kind is TimeDistributed:
        if isinstance(layer.layer, Recurrent):
            raise _RefusedError("it runs a sequence of its own at every step")
        return _entries(layer.layer, names)
    if isinstance(layer, Recurrent) and kind in LAYERS.values():
        return [_recurrent(layer, names)]
    if isinstance(layer, Dense) and kind is Dense:
        return [_dense(layer, names), *_activation(layer.activation.name)]
    if isinstance(layer, Conv1D) and kind is Conv1D:
        return [*_windows(layer), _dense(layer, names), *_activation(layer.activation.name)]
    if isinstance(layer, Activation) and kind is Activation:
        return _activation(layer.activation.name)
    raise _RefusedError(_REASONS.get(kind, "it has no native form"))


def _recurrent(layer: Recurrent, names: Mapping[int, str]) -> Config:
    if layer.go_backwards:
        raise _RefusedError("go_backwards: it begins at the end of the sequence, and a stream has none")
    if layer.learned_initial_state:
        raise _RefusedError("learned_initial_state: a stream begins with zeros")
    return _recurrent_entry(
        layer.cell,
        layer.w_ih.value,
        layer.output_units,
        layer.weight_options(),
        {name: names[id(parameter)] for name, parameter in layer._native.items()},
    )


def _windows(layer: Conv1D) -> list[Config]:
    """The steps that a convolution's kernel meets at each step."""
    size, strides, padding, dilation = layer.windows
    if strides > 1:
        raise _RefusedError(f"strides={strides}: a stream gives a step for each that it takes")
    if padding != "causal" and size > 1:
        raise _RefusedError(f"padding={padding!r}: a stream's is 'causal', with which a layer takes the same weights")
    if layer.groups > 1:
        raise _RefusedError(f"groups={layer.groups} has no native form")
    if size == 1:
        return []
    inputs = len(layer.kernel.value) // size
    entries: list[Config] = [{"kind": "delay", "inputs": inputs, "steps": layer.windows.span - 1}]
    if dilation > 1:
        runs = [number for place in range(size) for number in (place * dilation * inputs, inputs)]
        entries.append({"kind": "gather", "inputs": layer.windows.span * inputs, "runs": runs})
    return entries


def _dense(layer: Dense | Conv1D, names: Mapping[int, str]) -> Config:
    arrays = {"kernel": names[id(layer.kernel)]}
    if layer.bias is not None:
        arrays["bias"] = names[id(layer.bias)]
    return _dense_entry(layer.kernel.value, arrays)


def _activation(name: str) -> list[Config]:
    """What a Keras-like layer ends in."""
    if name == "linear":
        return []
    if name == "softmax":
        return [{"kind": "softmax"}]
    if name == "relu6":  # 6 clamp(x / 6, 0, 1)
        return [_function(("hard_sigmoid", 1 / 6, 0.0)), _function(("affine", 6.0, 0.0))]
    if name == "log_softmax":
        raise _RefusedError("log_softmax has no native form")
    return [_function(native_activation(name))]


# -- layers of parameters --------------------------------------------------------------------------------------------


def describe_layers(layers: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Array], Config]:
    """Return the arrays and the description of what `fastrnn.io.save_layers` takes."""
    if isinstance(layers, Mapping | str) or not isinstance(layers, Sequence):
        raise TypeError(f"layers: expected a sequence of dicts, got {type(layers).__name__}")
    arrays: dict[str, Array] = {}
    entries: list[Config] = []
    width: int | None = None
    for index, layer in enumerate(layers):
        where = f"layers[{index}]"
        if not isinstance(layer, Mapping):
            raise TypeError(f"{where}: expected a dict, got {type(layer).__name__}")
        try:
            made = _from_parameters(layer, f"layers/{index}", arrays, first=not entries)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from None
        first = made[0]
        if _is_chained(first) and width is not None and first.get("inputs", width) != width:
            got = first["inputs"]
            raise ValueError(f"{where}: expected {width} inputs, the outputs of the layer before, got {got}")
        # Those of a graph are told by the reader, which knows the width of every value.
        width = first.get("outputs", width) if _is_chained(first) else None
        entries += made
    if not entries:
        raise ValueError("layers: expected at least one layer, got none")
    return arrays, _description(entries)


def _is_chained(entry: Config) -> bool:
    return "from" not in entry and "rows" not in entry and entry["kind"] not in _KINDS.keys() - {"softmax"}


_ELSEWHERE = {
    "dtype": "whoever loads the file chooses it",
    "fast_activations": "whoever loads the file chooses them",
    "weight_dropout": "it is for training alone",
    "seed": "it is for training alone",
}


def _from_parameters(layer: Mapping[str, Any], prefix: str, arrays: dict[str, Array], first: bool) -> list[Config]:
    given = {name: value for name, value in layer.items() if value is not None}
    if "from" in given:
        values = [_whole("from", value) for value in given.pop("from")]
        entries = _from_parameters(given, prefix, arrays, first)
        entries[0]["from"] = values
        return entries
    if "kind" in given:
        return [_from_kind(given, prefix, arrays)]
    if "cell" in given:
        cell = given.pop("cell")
        if cell not in CELLS:
            raise choice_error("cell", CELLS, cell)
        for name, reason in _ELSEWHERE.items():
            if name in given:
                raise ValueError(f"{name}: expected None, as {reason}")
        packed = CELLS[cell].pack(**given)  # checks all of it
        own = {name: given[name] for name in given if name in PARAMETERS}
        options = {name: value for name, value in given.items() if name not in PARAMETERS}
        return [_recurrent_entry(cell, own["w_ih"], packed.output_size, options, _keep(own, prefix, arrays))]
    unknown = given.keys() - {"kernel", "bias", "rows", "activation", "inputs"}
    if unknown or not given:
        raise ValueError(f"expected a key 'cell', 'kernel', 'kind' or 'activation', got {sorted(map(str, layer))}")
    entries = []
    if "kernel" in given or "bias" in given:
        own = {name: given[name] for name in ("kernel", "bias") if name in given}
        _check_dense(own)
        entries = [_dense_entry(own["kernel"], _keep(own, prefix, arrays))]
        if "rows" in given:
            entries[0]["rows"] = _whole("rows", given["rows"])
    elif first and "inputs" not in given:
        raise ValueError("expected a layer with weights to come first, or inputs, got an activation")
    if "activation" not in given:
        return entries
    if given["activation"] == "softmax":
        return [*entries, {"kind": "softmax"}]
    one = np.zeros((1, 1), np.float32)
    functional.pack_rnn(one, one, activation=given["activation"])  # checks it
    entries = [*entries, _function(given["activation"])]
    if "inputs" in given:
        entries[0]["inputs"] = _whole("inputs", given["inputs"])
    return entries


# The kinds without a cell or a kernel: the fields and the arrays that each must have, and fields that it may.
_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "gather": (("inputs", "runs"), (), ()),
    "delay": (("inputs", "steps"), (), ()),
    "concatenate": ((), (), ("inputs",)),
    "add": ((), (), ("inputs",)),
    "subtract": ((), (), ("inputs",)),
    "multiply": ((), (), ("inputs",)),
    "divide": ((), (), ("inputs",)),
    "affine": (("inputs",), ("scale", "shift"), ()),
    "power": (("number",), (), ("inputs",)),
    "layer_normalization": (("inputs", "number"), ("scale", "shift"), ()),
    "softmax": ((), (), ("width", "inputs")),
}


def _from_kind(given: Mapping[str, Any], prefix: str, arrays: dict[str, Array]) -> Config:
    kind = given["kind"]
    if kind not in _KINDS:
        raise choice_error("kind", _KINDS, kind)
    fields, own, optional = _KINDS[kind]
    if not {"kind", *fields, *own} <= given.keys() <= {"kind", *fields, *own, *optional}:
        expected = ", ".join((*fields, *own, *(f"{name} or not" for name in optional))) or "nothing"
        raise ValueError(
            f"{kind}: expected {expected} beside its kind, got {sorted(map(str, given.keys() - {'kind'}))}"
        )
    entry: Config = {"kind": kind}
    for name in (*fields, *optional):
        if name == "runs":
            entry[name] = [_whole(name, number) for run in given[name] for number in run]
        elif name in given:
            entry[name] = float(given[name]) if name == "number" else _whole(name, given[name])
    if own:
        kept = {name: np.ascontiguousarray(given[name]) for name in own}
        dtypes = {array.dtype.name for array in kept.values()}
        if len(dtypes) != 1 or not dtypes <= _DTYPES.keys():
            raise TypeError(f"{kind}: expected scale and shift both of float32 or of float64, got {sorted(dtypes)}")
        entry["dtype"] = _DTYPES[kept["scale"].dtype.name]
        entry["arrays"] = _keep(kept, prefix, arrays)
    return entry


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}") from None


def _check_dense(own: Mapping[str, Any]) -> None:
    for name, array in own.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: expected a numpy.ndarray, got {type(array).__name__}")
    kernel, bias = own.get("kernel"), own.get("bias")
    if kernel is None or kernel.ndim != 2 or 0 in kernel.shape:
        raise ValueError(f"kernel: expected shape (I, O), got {None if kernel is None else kernel.shape}")
    if kernel.dtype.name not in _DTYPES:
        raise TypeError(f"kernel: expected float32 or float64, got {kernel.dtype}")
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ValueError(f"bias: expected shape {kernel.shape[1:]}, got {bias.shape}")
    if bias is not None and bias.dtype != kernel.dtype:
        raise TypeError(f"bias: expected {kernel.dtype} (the dtype of kernel), got {bias.dtype}")


def _keep(own: Mapping[str, Array], prefix: str, arrays: dict[str, Array]) -> dict[str, str]:
    names = {name: f"{prefix}/{name}" for name in own}
    for name, array in own.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers")
        arrays[names[name]] = np.ascontiguousarray(array)
    return names


# -- entries ---------------------------------------------------------------------------------------------------------


def _recurrent_entry(cell: str, w_ih: Array, outputs: int, options: Config, arrays: dict[str, str]) -> Config:
    settings: Config = {}
    for name, value in options.items():
        # What is None or infinite bounds nothing; weights are dropped in training alone.
        if value is None or name in ("weight_dropout", "seed") or (isinstance(value, float) and math.isinf(value)):
            continue
        settings[name] = _function(value)["activation"] if name in _ACTIVATIONS else _plain(value)
    rows, inputs = w_ih.shape
    return {
        "kind": "recurrent",
        "cell": cell,
        "dtype": _DTYPES[w_ih.dtype.name],
        "inputs": inputs,
        "hidden": rows // _GATES[cell],
        "outputs": outputs,
        "options": settings,
        "arrays": arrays,
    }


_GATES = {layer.cell: layer.gates for layer in LAYERS.values()}


def _dense_entry(kernel: Array, arrays: dict[str, str]) -> Config:
    inputs, outputs = kernel.shape
    dtype = _DTYPES[kernel.dtype.name]
    return {"kind": "dense", "dtype": dtype, "inputs": inputs, "outputs": outputs, "arrays": arrays}


def _function(activation: Any) -> Config:
    """An activation as the functions take it: a name, or (name, alpha) or (name, alpha, beta)."""
    name, *numbers = [activation] if isinstance(activation, str) else activation
    name = "identity" if name == "linear" else name
    return {"kind": "activation", "activation": [name, *map(float, numbers)] if numbers else name}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return bool(value) if isinstance(value, bool | np.bool_) else float(value)
