"""Keras' models: live ones, .keras and .h5 files, both ways.

    model = fastrnn.interop.keras.load("model.keras")        # Keras itself is not needed, h5py is
    model = fastrnn.interop.keras.from_model(keras_model)
    keras_model = fastrnn.interop.keras.to_model(model)

A Sequential, and a functional model that is one chain of layers. The layers are those that fastrnn has under the same
names, and Keras 2's CuDNNLSTM and CuDNNGRU. Weights of half precision become float32. What a file holds for training
alone is left out: the optimizer's moments, the seeds of generators, initialisers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .._file_writing import suffix_of
from .._typing import Array, Config, PathLike
from ..layers import GRU, LSTM, Bidirectional, Embedding, TimeDistributed
from ..layers.base import Layer
from ..layers.recurrent.base import Recurrent
from ..model import Sequential
from ._keras_config import LAYERS, RECURRENT, input_shape_of, layers_of
from ._keras_files import read_h5, read_keras
from ._layers import assemble, check_model, check_plain, import_library

__all__ = ["from_model", "load", "save", "to_model"]


def from_model(model: Any) -> Sequential:
    """Make a model of a live, built Keras 3 model.

    Args:
        model: a ``keras.Sequential``, or a functional model that is a chain.

    Raises:
        ValueError: a layer or a setting that fastrnn has not, or a model that is no chain of layers.
        TypeError: no Keras model.

    Example:
        >>> import keras
        >>> live = keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(4)])
        >>> fastrnn.interop.keras.from_model(live).output_shape
        (None, 4)
    """
    keras = import_library("keras", "a live Keras model")
    if not isinstance(model, keras.Model):
        raise TypeError(f"model: expected a keras.Model, got {type(model).__name__}")
    if not model.built:
        raise ValueError("model: expected a built model; call it or build(input_shape) first")
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    kind = "Sequential" if isinstance(model, keras.Sequential) else "Functional"
    where = f"model {model.name!r}"
    return _from_config(kind, model.get_config(), "3", weights, where, model.input_shape)


def load(path: PathLike) -> Sequential:
    """Make a model of a .keras file, or of a .h5 (.hdf5) file of a whole model, the layout of cuDNN's layers too.

    Args:
        path: ending in .keras, .h5 or .hdf5.

    Raises:
        ValueError: another suffix, a damaged file, and as `from_model`.
        ImportError: without h5py.
        OSError: if the file cannot be opened.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)])
        >>> fastrnn.interop.keras.save(model, "model.keras")
        >>> fastrnn.interop.keras.load("model.keras").output_shape
        (None, 4)
    """
    path = os.fspath(path)
    file = read_keras(path) if suffix_of(path, (".keras", ".h5", ".hdf5")) == ".keras" else read_h5(path)
    return _from_config(file.class_name, file.config, file.version, file.weights, path, None)


def _from_config(
    kind: str, config: Any, version: str, weights: Mapping[str, list[Array]], where: str, shape: Any
) -> Sequential:
    try:
        found, names = layers_of(kind, config, version, dict(weights))
        dtype = found[0].layer.dtype if found else "float32"
        if shape is None:
            shape = input_shape_of(config, found)
        name = config.get("name")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        text = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{where}: {text}") from error
    for layer, arrays in weights.items():
        if layer not in names and arrays:
            raise ValueError(f"{where}: expected weights of layers in the config, got those of {layer!r}")
    if not isinstance(shape, (tuple, list)):
        raise ValueError(f"{where}: expected one input, got {shape!r}")
    return assemble(
        tuple(shape)[1:], found, dtype, where, name=name if isinstance(name, str) else None, batch_size=shape[0]
    )


# -- back --------------------------------------------------------------------------------------------------------------

_ACTIVATIONS = (
    "tanh", "sigmoid", "relu", "linear", "elu", "selu", "softplus", "softsign", "exponential", "leaky_relu",
    "hard_sigmoid",
)  # fmt: skip
_ANYTHING = {name: None for name in ("activation", "recurrent_activation", "reset")}


def to_model(model: Sequential) -> Any:
    """Return a ``keras.Sequential`` with the layers and weights of a built model.

    Args:
        model: built.

    Raises:
        ValueError: a layer or an option that Keras has not.
        ImportError: without keras.

    Example:
        >>> import keras
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)])
        >>> fastrnn.interop.keras.to_model(model).output_shape
        (None, 4)
    """
    keras = import_library("keras", "a Keras model")
    layers = check_model(model).layers
    shape = model.input_shape
    assert shape is not None
    kind = {"dtype": "int32"} if isinstance(layers[0], Embedding) else {"dtype": layers[0].dtype}
    result = keras.Sequential(
        [keras.Input(shape[1:], batch_size=shape[0], **kind), *(_to_layer(keras, layer) for layer in layers)],
        name=model.name,
    )
    for layer, made in zip(layers, result.layers, strict=True):
        made.set_weights(_keras_weights(layer))
    return result


def save(model: Sequential, path: PathLike) -> None:
    """Write a model as Keras does, to a .keras or .h5 file. Errors as those of `to_model`, and OSError.

    Args:
        model: built.
        path: ending in .keras or .h5.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)])
        >>> fastrnn.interop.keras.save(model, "model.keras")
    """
    path = os.fspath(path)
    suffix_of(path, (".keras", ".h5"))
    to_model(model).save(path)


def _to_layer(keras: Any, layer: Layer) -> Any:
    kind = type(layer).__name__
    classes = keras.layers
    common = {"name": layer.name, "trainable": layer.trainable, "dtype": layer.dtype}
    if isinstance(layer, Bidirectional):
        inner = [_to_layer(keras, side) for side in (layer.forward_layer, layer.backward_layer)]
        return classes.Bidirectional(inner[0], layer.merge_mode, backward_layer=inner[1], **common)
    if isinstance(layer, TimeDistributed):
        return classes.TimeDistributed(_to_layer(keras, layer.layer), **common)
    config = layer.get_config()
    if isinstance(layer, Recurrent):
        settings = _recurrent_settings(layer, config)
        return getattr(classes, kind)(**settings)
    if kind not in LAYERS:
        raise ValueError(f"{layer.name}: Keras has no layer as {kind}")
    if config.get("use_mask"):
        raise ValueError(f"{layer.name}: Keras' GlobalMaxPooling1D knows no masks, expected use_mask=False")
    settings = {name: config[name] for name in LAYERS[kind][1]}
    if settings.get("noise_shape") is not None:
        settings["noise_shape"] = tuple(settings["noise_shape"])
    return getattr(classes, kind)(**common, **settings)


def _recurrent_settings(layer: Recurrent, config: Config) -> Config:
    check_plain(layer, "Keras", output_activation=(), **_ANYTHING)
    settings = {name: config[name] for name in ("name", "trainable", "dtype", *RECURRENT)}
    if isinstance(layer, LSTM | GRU):
        settings["recurrent_activation"] = config["recurrent_activation"]
    if isinstance(layer, GRU):
        if layer.reset == "output":
            raise ValueError(f"{layer.name}: Keras has no cell with reset='output'")
        settings["reset_after"] = layer.reset_after
    for name in ("activation", "recurrent_activation"):
        if settings.get(name, "tanh") not in _ACTIVATIONS:
            raise ValueError(f"{layer.name}: Keras has no cell with {name}={settings[name]!r}")
    if getattr(layer, "forget_bias", 0) and not layer.use_bias:
        raise ValueError(f"{layer.name}: expected use_bias, to which Keras' layer adds forget_bias, got False")
    return settings


def _keras_weights(layer: Layer) -> list[Array]:
    """`get_weights`, with the constant of forget gates in their biases."""
    if isinstance(layer, Bidirectional):
        return [*_keras_weights(layer.forward_layer), *_keras_weights(layer.backward_layer)]
    weights = layer.get_weights()
    if getattr(layer, "forget_bias", 0) and isinstance(layer, LSTM):
        weights[2][layer.units : 2 * layer.units] += layer.forget_bias
    return weights
