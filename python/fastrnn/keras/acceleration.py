"""An existing Keras model, its recurrent layers computed by fastrnn, and the way back."""

from __future__ import annotations

from typing import Any

import keras

from .._acceleration import Report
from . import layers

_OURS = {ours._counterpart: ours for ours in (layers.LSTM, layers.GRU, layers.SimpleRNN)}


def accelerate(model: Any) -> Report:
    """Have every SimpleRNN, LSTM and GRU of a model computed by fastrnn, in place, those in Bidirectional too.

    The layers stay the same objects, with their weights, names and configs; what changes is their class. Functions that
    Keras has already made of the model are made anew: compiled metrics and the optimizer stay.

    Args:
        model: a model, or a layer.

    Returns:
        Report: what was replaced, what was left, and why; print it.

    Raises:
        TypeError: no model and no layer.

    Example:
        >>> import keras
        >>> import fastrnn.keras
        >>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4, name="lstm")])
        >>> fastrnn.keras.accelerate(model).replaced
        ('lstm',)
    """
    replaced, left = [], {}
    for layer in _layers(model):
        ours = _OURS.get(type(layer))
        if type(layer) in _OURS.values():
            left[layer.name] = "it is fastrnn's already"
        elif ours is not None:
            try:
                layers.options_of(layer, ours._cell)
            except (TypeError, ValueError) as error:
                left[layer.name] = str(error)
                continue
            object.__setattr__(layer, "__class__", ours)
            replaced.append(layer.name)
        elif isinstance(layer, keras.layers.RNN):
            left[layer.name] = f"{type(layer).__name__} is none of SimpleRNN, LSTM and GRU"
    _forget_functions(model)
    return Report(tuple(replaced), left)


def restore(model: Any) -> Report:
    """Undo :func:`accelerate`: every layer of fastrnn becomes Keras' own again, in place.

    A ``.keras`` file of the model then loads where there is no fastrnn.

    Args:
        model: a model, or a layer.

    Returns:
        Report: what was replaced; nothing is left.

    Raises:
        TypeError: no model and no layer.

    Example:
        >>> import keras
        >>> import fastrnn.keras
        >>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4, name="lstm")])
        >>> _ = fastrnn.keras.accelerate(model)
        >>> fastrnn.keras.restore(model).replaced
        ('lstm',)
    """
    replaced = []
    for layer in _layers(model):
        if type(layer) in _OURS.values():
            object.__setattr__(layer, "__class__", type(layer)._counterpart)
            layer.__dict__.pop("_fastrnn", None)
            replaced.append(layer.name)
    _forget_functions(model)
    return Report(tuple(replaced), {})


def _layers(model: Any) -> list[Any]:
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"model: expected a keras.Model or a keras.layers.Layer, got {type(model).__name__}")
    return [model, *model._flatten_layers(include_self=False)]


def _forget_functions(model: Any) -> None:
    """Have Keras trace the model's steps again."""
    for name in ("train_function", "test_function", "predict_function"):
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
