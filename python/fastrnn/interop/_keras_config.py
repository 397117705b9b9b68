"""Keras' configs, of versions 2 and 3: what a layer's means, and which layers stand in a model's, in a chain."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .._typing import Array, Config
from ..layers import (
    GRU,
    LSTM,
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
    SimpleRNN,
    TimeDistributed,
)
from ..layers.base import Layer
from ..layers.recurrent.base import Recurrent
from ._layers import LoadedLayer
from .conventions import CONVENTIONS, from_canonical, to_canonical

__all__ = ["LAYERS", "RECURRENT", "input_shape_of", "layers_of"]

# Keys that change nothing of what a trained model computes.
_FREE = {
    "build_config", "build_input_shape", "implementation", "input_length", "optional", "registered_name", "unroll",
    "use_cudnn", "kernel_initializer", "recurrent_initializer", "bias_initializer", "embeddings_initializer",
    "beta_initializer", "gamma_initializer", "moving_mean_initializer", "moving_variance_initializer",
    "renorm_clipping", "renorm_momentum",
}  # fmt: skip
# Keys of what fastrnn does not have, and the values that switch it off: any other value is refused.
_FIXED: dict[str, tuple[Any, ...]] = {
    "time_major": (False, None),
    "data_format": ("channels_last", None),
    "sparse": (False, None),
    "ragged": (False, None),
    "quantization_config": (None,),
    "lora_rank": (None,),
    "lora_alpha": (None,),
    "return_state": (False,),
    "renorm": (False,),
    "rms_scaling": (False,),
    "synchronized": (False, None),
}
# The settings of a layer that have the same meaning in Keras and here.
RECURRENT = (
    "units", "use_bias", "return_sequences", "go_backwards", "stateful", "dropout", "recurrent_dropout", "seed",
    "zero_output_for_mask", "activation",
)  # fmt: skip
_COMMON = ("name", "trainable")
_POOLING = ("pool_size", "strides", "padding")
_NORMALIZATION = ("axis", "epsilon", "center", "scale")
_CONVOLUTION = (
    "filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation", "use_bias",
)  # fmt: skip
LAYERS: dict[str, tuple[type[Layer], tuple[str, ...]]] = {
    "SimpleRNN": (SimpleRNN, RECURRENT),
    "LSTM": (LSTM, (*RECURRENT, "recurrent_activation", "unit_forget_bias")),
    "GRU": (GRU, (*RECURRENT, "recurrent_activation", "reset_after")),
    "Dense": (Dense, ("units", "activation", "use_bias")),
    "Activation": (Activation, ("activation",)),
    "Dropout": (Dropout, ("rate", "noise_shape", "seed")),
    "Flatten": (Flatten, ()),
    "RepeatVector": (RepeatVector, ("n",)),
    "Masking": (Masking, ("mask_value",)),
    "Embedding": (Embedding, ("input_dim", "output_dim", "mask_zero")),
    "Conv1D": (Conv1D, _CONVOLUTION),
    "LayerNormalization": (LayerNormalization, _NORMALIZATION),
    "BatchNormalization": (BatchNormalization, (*_NORMALIZATION, "momentum")),
    "GlobalAveragePooling1D": (GlobalAveragePooling1D, ("keepdims",)),
    "GlobalMaxPooling1D": (GlobalMaxPooling1D, ("keepdims",)),
    "MaxPooling1D": (MaxPooling1D, _POOLING),
    "AveragePooling1D": (AveragePooling1D, _POOLING),
}
_CUDNN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
# Keras layers that become an Activation, its name, and the settings for which the two compute the same.
_ACTIVATIONS: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "ReLU": ("relu", {"max_value": (None,), "negative_slope": (0, None), "threshold": (0, None)}),
    "Softmax": ("softmax", {"axis": (-1,)}),
    "LeakyReLU": ("leaky_relu", {"negative_slope": (0.2,), "alpha": (0.2,)}),
    "ELU": ("elu", {"alpha": (1, 1.0)}),
}


def layers_of(
    kind: str, config: Config, version: str, weights: dict[str, list[Array]]
) -> tuple[list[LoadedLayer], list[str]]:
    """The layers of a model's config with their weights, and the names of all.

    Raises:
        ValueError: no chain of layers, or a layer or a setting that fastrnn has not.
    """
    if kind == "Sequential":
        entries = list(config["layers"])
    elif kind in ("Functional", "Model"):
        entries = list(_chain(config))
    else:
        raise ValueError(f"class_name: expected 'Sequential' or 'Functional', got {kind!r}")
    loaded, names = [], []
    for entry in entries:
        settings = entry["config"]
        name = settings.get("name")
        names.append(name)
        arrays = [np.asarray(array) for array in weights.get(name, [])]
        if entry["class_name"] == "InputLayer":
            continue
        try:
            layer = _layer(entry, version)
            loaded.append(LoadedLayer(layer, _arrange(layer, entry, arrays)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"layer {name!r} ({entry['class_name']}): {error}") from error
    return loaded, names


def input_shape_of(config: Config, found: list[LoadedLayer]) -> tuple[int | None, ...]:
    """The shape of the model's input, batch axis included, from wherever a version of Keras writes it."""
    first = config["layers"][0]
    settings = first["config"]
    shapes = [
        settings.get("batch_shape"),
        settings.get("batch_input_shape"),
        first.get("build_config", {}).get("input_shape"),
        config.get("build_input_shape"),
    ]
    for shape in shapes:
        if isinstance(shape, (list, tuple)):
            return tuple(shape)
    kernel = found[0].arrays[0] if found and found[0].arrays else None
    if kernel is None or kernel.ndim != 2:
        raise ValueError("expected an input shape in the config, got none")
    return (None, None) if isinstance(found[0].layer, Embedding) else (None, None, len(kernel))


# -- the chain ---------------------------------------------------------------------------------------------------------


def _chain(config: Config) -> Iterator[Config]:
    before: str | None = None
    for entry in config["layers"]:
        name = entry["config"]["name"]
        sources = list(_sources(entry.get("inbound_nodes", [])))
        if len(entry.get("inbound_nodes", [])) > 1 or sources != ([] if before is None else [before]):
            got = ", ".join(map(repr, sources)) or "none"
            raise ValueError(
                f"layer {name!r}: expected a chain of layers, its input {before!r}, got {got}; a graph stays Keras', "
                "and fastrnn.keras.accelerate replaces its recurrent layers"
            )
        before = name
        yield entry


def _sources(node: Any) -> Iterator[str]:
    """The names of the layers whose outputs a node takes, in the forms of Keras 2 and 3."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            yield str(node["config"]["keras_history"][0])
        else:
            for value in node.values():
                yield from _sources(value)
    elif isinstance(node, (list, tuple)):
        if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
            yield node[0]
            yield from _sources(list(node[3:]))
        else:
            for value in node:
                yield from _sources(value)


# -- one layer ---------------------------------------------------------------------------------------------------------


def _layer(entry: Config, version: str) -> Layer:
    kind, settings = str(entry["class_name"]), dict(entry["config"])
    dtype = _dtype(settings.pop("dtype", None))
    if kind in ("Bidirectional", "TimeDistributed"):
        return _wrapper(kind, settings, dtype, version)
    if kind in _ACTIVATIONS:
        name, fixed = _ACTIVATIONS[kind]
        chosen = _take(settings, (*_COMMON,), fixed)
        return Activation(name, dtype=dtype, **chosen)
    if kind == "SpatialDropout1D":
        chosen = _take(settings, (*_COMMON, "rate", "seed"), {})
        return Dropout(noise_shape=(None, 1, None), dtype=dtype, **chosen)
    if _CUDNN.get(kind, kind) not in LAYERS:
        known = ", ".join([*LAYERS, *_CUDNN, *_ACTIVATIONS, "Bidirectional", "TimeDistributed", "SpatialDropout1D"])
        raise ValueError(f"class_name: expected one of {known}, got {kind!r}")
    make, kept = LAYERS[_CUDNN.get(kind, kind)]
    chosen = _take(settings, (*_COMMON, *kept), {})
    for name in ("activation", "recurrent_activation"):
        if name in chosen:
            chosen[name] = _activation(chosen[name], version, name, recurrent=issubclass(make, Recurrent))
    if kind in _CUDNN:
        chosen["use_bias"] = True
    return make(dtype=dtype, **chosen)


# Keys of the inner layer that Keras repeats in the config of a Bidirectional.
_OF_THE_INNER_LAYER: dict[str, tuple[Any, ...] | None] = dict.fromkeys(RECURRENT)


def _wrapper(kind: str, settings: Config, dtype: str, version: str) -> Layer:
    inner = _layer(settings.pop("layer"), version)
    if kind == "TimeDistributed":
        chosen = _take(settings, _COMMON, {})
        return TimeDistributed(inner, dtype=dtype, **chosen)
    backward = settings.pop("backward_layer", None)
    chosen = _take(settings, (*_COMMON, "merge_mode"), _OF_THE_INNER_LAYER)
    if not isinstance(inner, Recurrent):
        raise ValueError(f"layer: expected a recurrent layer, got {type(inner).__name__}")
    second = None if backward is None else _layer(backward, version)
    assert second is None or isinstance(second, Recurrent)
    return Bidirectional(inner, backward_layer=second, dtype=dtype, **chosen)


def _take(settings: Config, kept: tuple[str, ...], fixed: Mapping[str, tuple[Any, ...] | None]) -> Config:
    """Those settings that a layer of ours takes; ValueError for one that it cannot have."""
    chosen: Config = {}
    for key, value in settings.items():
        if key in kept:
            chosen[key] = value
        elif key in fixed or key in _FIXED:
            allowed = fixed.get(key, _FIXED.get(key, ()))
            if allowed is not None and value not in allowed:
                raise ValueError(f"{key}: expected {allowed[0]!r}, got {value!r}")
        elif key.endswith(("_regularizer", "_constraint")):
            if value is not None:
                warnings.warn(f"{settings.get('name')}: {key} is for training and is left out", stacklevel=2)
        elif key not in _FREE and key not in ("batch_input_shape", "batch_shape"):
            raise ValueError(f"{key}: expected a setting that fastrnn knows, got {value!r}")
    if chosen.get("noise_shape") is not None:
        chosen["noise_shape"] = tuple(chosen["noise_shape"])
    return chosen


def _dtype(dtype: Any) -> str:
    """float64 or float32, in which half precision and mixed policies are computed too."""
    if isinstance(dtype, dict):
        dtype = dtype["config"]["name"]
    if dtype in (None, "float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16"):
        return "float32"
    if dtype != "float64":
        raise ValueError(f"dtype: expected a policy of floats, got {dtype!r}")
    return "float64"


def _activation(value: Any, version: str, argument: str, *, recurrent: bool) -> Any:
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{argument}: expected a name, got {value!r}")
    if value == "hard_sigmoid" and re.match("[012]\\.", version + "."):
        if not recurrent:
            raise ValueError(f"{argument}: expected another one than Keras 2's hard_sigmoid of slope 0.2")
        return ("hard_sigmoid", 0.2, 0.5)
    return value


def _arrange(layer: Layer, entry: Config, arrays: list[Array]) -> list[Array]:
    """The weights in the layout of today's layers."""
    if isinstance(layer, Bidirectional):
        if len(arrays) % 2:
            raise ValueError(f"expected as many arrays of both directions, got {len(arrays)}")
        half, inner = len(arrays) // 2, entry["config"]["layer"]
        return [
            *_arrange(layer.forward_layer, inner, arrays[:half]),
            *_arrange(layer.backward_layer, entry["config"].get("backward_layer") or inner, arrays[half:]),
        ]
    if not isinstance(layer, LSTM | GRU) or len(arrays) != 3:
        return arrays
    # Keras 2 wrote a cuDNN layer's arrays under the plain layer's class too; the bias of two halves tells.
    joined = arrays[2].shape == (2 * layer.gates * layer.units,)
    if not joined or (entry["class_name"] not in _CUDNN and isinstance(layer, GRU) and layer.reset != "after"):
        return arrays
    rows = dict(zip(("w_ih", "w_hh", "b_ih"), arrays, strict=True))
    canonical = to_canonical(CONVENTIONS["keras_cudnn"][layer.cell], rows, layer.units)
    return list(from_canonical(CONVENTIONS["keras"][layer.cell], canonical, layer.units).values())
