"""One layer of a model as entries of its file: for a stream, step by step, or for whole sequences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._typing import Array, Config
from ..layers import (
    Activation,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    LayerNormalization,
    Masking,
    MaxPooling1D,
    RepeatVector,
    TimeDistributed,
)
from ..layers.base import Layer
from ..layers.recurrent.activation import native_activation
from ..layers.recurrent.base import Recurrent
from ..layers.recurrent.variants import LAYERS
from ..layers.windows import Windows
from ..parameters import Parameter

__all__ = [
    "DTYPES",
    "SOFTMAXES",
    "RefusedError",
    "dense_entry",
    "function_entry",
    "recurrent_entry",
    "sequence_entries",
    "step_entries",
]

DTYPES = {"float32": "F32", "float64": "F64"}
SOFTMAXES = ("softmax", "log_softmax")  # activations that are layers of their own
_ACTIVATIONS = ("activation", "recurrent_activation", "output_activation")

_NO_FORM: dict[type[Layer], str] = {
    Masking: "lengths take the place of a mask; a model without it takes the same weights",
    Flatten: "it makes one vector of all steps",
    RepeatVector: "it makes several steps of one",
}
_NO_STEPS: dict[type[Layer], str] = {
    Bidirectional: "it reads the sequence from its end too, and a stream has none",
    Masking: "a stream has no padded steps; a model without it takes the same weights",
    GlobalAveragePooling1D: "it makes one vector of all steps",
    GlobalMaxPooling1D: "it makes one vector of all steps",
    MaxPooling1D: "it gives fewer steps than it takes",
    AveragePooling1D: "it gives fewer steps than it takes",
}
_NARROW = 8  # inputs or outputs of a group, below which a native layer has no product for it
_POOLING: dict[type[Layer], str] = {GlobalAveragePooling1D: "mean", GlobalMaxPooling1D: "maximum"}


class RefusedError(Exception):
    """Why a layer has no place in a native model."""


Names = Mapping[int, str]  # the array of each parameter, by the parameter's id


# -- whole sequences ---------------------------------------------------------------------------------------------------


def sequence_entries(layer: Layer, names: Names, before: int) -> list[Config]:
    """The layer for `Model.forward`, reading the value of number `before`. RefusedError if it has no native form."""
    kind = type(layer)
    if isinstance(layer, Bidirectional) and kind is Bidirectional:
        return _both(layer, names, before)
    if isinstance(layer, Recurrent) and kind in LAYERS.values():
        backwards = [{"kind": "reverse"}] if layer.go_backwards else []
        return [*backwards, _recurrent(layer, names), *([] if layer.return_sequences else [{"kind": "last"}])]
    if kind in _POOLING:
        if layer.get_config()["keepdims"]:
            raise RefusedError("keepdims=True: a value of all steps is no sequence")
        return [{"kind": _POOLING[kind]}]
    if isinstance(layer, Conv1D) and kind is Conv1D:
        return _convolution(layer, names, whole=True)
    if isinstance(layer, MaxPooling1D | AveragePooling1D) and kind in (MaxPooling1D, AveragePooling1D):
        return [_windows("window_maximum" if kind is MaxPooling1D else "window_mean", layer.windows)]
    return step_entries(layer, names, _NO_FORM)


def _both(layer: Bidirectional, names: Names, before: int) -> list[Config]:
    entries: list[Config] = []
    merged: list[int] = []
    for side in (layer.forward_layer, layer.backward_layer):
        made: list[Config] = [{"kind": "reverse"}] if side.go_backwards else []
        made.append(_recurrent(side, names))
        if not side.return_sequences:
            made.append({"kind": "last"})
        elif side.go_backwards:
            made.append({"kind": "reverse"})
        made[0]["from"] = [before]
        entries += made
        merged.append(before + len(entries))
    kinds = {"concat": "concatenate", "mul": "multiply"}
    entries.append({"kind": kinds.get(str(layer.merge_mode), "add"), "from": merged})
    return [*entries, function_entry(("affine", 0.5, 0.0))] if layer.merge_mode == "ave" else entries


# -- step by step ------------------------------------------------------------------------------------------------------


def step_entries(layer: Layer, names: Names, reasons: Mapping[type[Layer], str] | None = None) -> list[Config]:
    """The layer for sessions and pools. RefusedError if it cannot run step by step."""
    # By the very class: one of a user's own may compute something else than what it was derived from.
    kind = type(layer)
    if kind is Dropout:
        return []  # does nothing outside training
    if kind is Flatten and layer.built_shape is not None and len(layer.built_shape) == 2:
        return []
    if isinstance(layer, TimeDistributed) and kind is TimeDistributed:
        if isinstance(layer.layer, Recurrent):
            raise RefusedError("it runs a sequence of its own at every step")
        return step_entries(layer.layer, names, reasons)
    if isinstance(layer, Recurrent) and kind in LAYERS.values():
        if layer.go_backwards:
            raise RefusedError("go_backwards: it begins at the end of the sequence, and a stream has none")
        return [_recurrent(layer, names)]
    if isinstance(layer, Dense) and kind is Dense:
        return [_dense(layer, names), *_activation(layer.activation.name)]
    if isinstance(layer, Conv1D) and kind is Conv1D:
        return _convolution(layer, names, whole=False)
    if isinstance(layer, Activation) and kind is Activation:
        return _activation(layer.activation.name)
    if isinstance(layer, Embedding) and kind is Embedding:
        return [_embedding(layer, names)]
    if isinstance(layer, LayerNormalization | BatchNormalization) and kind in (LayerNormalization, BatchNormalization):
        return [_normalization(layer, names)]
    known = {**_NO_FORM, **_NO_STEPS} if reasons is None else reasons
    raise RefusedError(known.get(kind, "it has no native form"))


def _recurrent(layer: Recurrent, names: Names) -> Config:
    parameters = {**layer._native, **layer._initial}
    return recurrent_entry(
        layer.cell,
        layer.w_ih.value,
        layer.output_units,
        layer.weight_options(),
        {name: names[id(parameter)] for name, parameter in parameters.items()},
    )


def _convolution(layer: Conv1D, names: Names, whole: bool) -> list[Config]:
    """Each step with those before it (and after it, where it is `whole`), and the kernel's product with them."""
    size, strides, padding, dilation = layer.windows
    if strides > 1 and not whole:
        raise RefusedError(f"strides={strides}: it gives fewer steps than it takes")
    if padding != "causal" and size > 1 and not whole:
        raise RefusedError(f"padding={padding!r}: a stream's is 'causal', with which a layer takes the same weights")
    read, written, groups = len(layer.kernel.value) // size, layer.filters // layer.groups, layer.groups
    inputs = read * groups
    entries: list[Config] = []
    if strides > 1 or (size > 1 and padding == "valid"):
        entries.append({**_windows("windows", layer.windows), "inputs": inputs})
        dilation = 1  # the windows have no steps between those that are read
    elif size > 1:
        entries.append({"kind": "delay", "inputs": inputs, "steps": layer.windows.span - 1})
        ahead = layer.windows.pad(layer.windows.span)[1]
        if ahead:
            entries[0]["ahead"] = ahead
    product = _dense(layer, names)
    if groups > 1:
        product |= {"inputs": size * inputs, "groups": groups}
    pieces = 1  # in which a window is put together anew
    if size > 1 and groups > 1 and min(read, written) >= _NARROW:
        pieces = groups  # each group is a product, whose factor has to lie in one piece
    elif size > 1 and groups > 1:
        product["width"] = inputs
    if pieces > 1 or (size > 1 and dilation > 1):
        width, there = inputs // pieces, ((size - 1) * dilation + 1) * inputs
        places = range(0, there, dilation * inputs)
        runs = [n for piece in range(pieces) for place in places for n in (place + piece * width, width)]
        entries.append({"kind": "gather", "inputs": there, "runs": runs})
    return [*entries, product, *_activation(layer.activation.name)]


def _windows(kind: str, windows: Windows) -> Config:
    """What a step for each window is made of."""
    entry: Config = {"kind": kind, "size": windows.size, "stride": windows.strides}
    if windows.dilation > 1:
        entry["dilation"] = windows.dilation
    if windows.padding == "same":
        entry["same"] = True
    elif windows.padding == "causal" and windows.span > 1:
        entry["before"] = windows.span - 1
    return entry


def _dense(layer: Dense | Conv1D, names: Names) -> Config:
    arrays = {"kernel": names[id(layer.kernel)]}
    if layer.bias is not None:
        arrays["bias"] = names[id(layer.bias)]
    return dense_entry(layer.kernel.value, arrays)


def _embedding(layer: Embedding, names: Names) -> Config:
    if layer.mask_zero:
        raise RefusedError("mask_zero: lengths take the place of a mask; a model without it takes the same weights")
    if layer.built_shape is None or len(layer.built_shape) != 2:
        raise RefusedError(f"an input of shape {layer.built_shape}: expected a number for each step")
    return {
        "kind": "embedding",
        "dtype": DTYPES[layer.dtype],
        "inputs": 1,
        "outputs": layer.output_dim,
        "arrays": {"table": names[id(layer.embeddings)]},
    }


def _normalization(layer: LayerNormalization | BatchNormalization, names: Names) -> Config:
    assert layer.built_shape is not None
    own: dict[str, Parameter | None] = {"scale": layer.gamma, "shift": layer.beta}
    if isinstance(layer, BatchNormalization):
        own |= {"mean": layer.moving_mean, "variance": layer.moving_variance}
    return {
        "kind": "batch_normalization" if isinstance(layer, BatchNormalization) else "layer_normalization",
        "dtype": DTYPES[layer.dtype],
        "inputs": layer.built_shape[-1],
        "number": layer.epsilon,
        "arrays": {name: names[id(parameter)] for name, parameter in own.items() if parameter is not None},
    }


def _activation(name: str) -> list[Config]:
    """What a Keras-like layer ends in."""
    if name == "linear":
        return []
    if name in SOFTMAXES:
        return [{"kind": name}]
    if name == "relu6":  # 6 clamp(x / 6, 0, 1)
        return [function_entry(("hard_sigmoid", 1 / 6, 0.0)), function_entry(("affine", 6.0, 0.0))]
    return [function_entry(native_activation(name))]


# -- entries ---------------------------------------------------------------------------------------------------------


def recurrent_entry(cell: str, w_ih: Array, outputs: int, options: Config, arrays: dict[str, str]) -> Config:
    settings: Config = {}
    for name, value in options.items():
        # What is None or infinite bounds nothing; weights are dropped in training alone.
        if value is None or name in ("weight_dropout", "seed") or (isinstance(value, float) and math.isinf(value)):
            continue
        settings[name] = function_entry(value)["activation"] if name in _ACTIVATIONS else _plain(value)
    rows, inputs = w_ih.shape
    return {
        "kind": "recurrent",
        "cell": cell,
        "dtype": DTYPES[w_ih.dtype.name],
        "inputs": inputs,
        "hidden": rows // _GATES[cell],
        "outputs": outputs,
        "options": settings,
        "arrays": arrays,
    }


_GATES = {layer.cell: layer.gates for layer in LAYERS.values()}


def dense_entry(kernel: Array, arrays: dict[str, str]) -> Config:
    inputs, outputs = kernel.shape
    dtype = DTYPES[kernel.dtype.name]
    return {"kind": "dense", "dtype": dtype, "inputs": inputs, "outputs": outputs, "arrays": arrays}


def function_entry(activation: Any) -> Config:
    """An activation as the functions take it: a name, or (name, alpha) or (name, alpha, beta)."""
    name, *numbers = [activation] if isinstance(activation, str) else activation
    name = "identity" if name == "linear" else name
    return {"kind": "activation", "activation": [name, *map(float, numbers)] if numbers else name}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return bool(value) if isinstance(value, bool | np.bool_) else float(value)
