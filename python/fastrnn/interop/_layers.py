"""Layers with given weights: what every importer ends in, and every exporter begins with."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._typing import Array
from ..layers import GRU, LSTM, Bidirectional, Conv1D, Dense, Embedding, Input, SimpleRNN, TimeDistributed
from ..layers.base import Layer, weights_from_file
from ..layers.recurrent.base import Recurrent
from ..layers.recurrent.weights import join_biases
from ..model import Sequential
from ..parameters import Parameter

__all__ = [
    "CELLS",
    "LoadedLayer",
    "Tensors",
    "assemble",
    "check_model",
    "check_plain",
    "dense_of",
    "folded_biases",
    "import_library",
    "input_shape_of",
    "parameters_of",
    "with_dtype",
]  # fmt: skip

CELLS: dict[str, type[Recurrent]] = {"rnn": SimpleRNN, "gru": GRU, "lstm": LSTM}


def import_library(name: str, what: str) -> Any:
    """Return a module of another project. ImportError that says what needs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(f"{what} needs the package {package} (pip install {package}): {error}") from None


# -- tensors that must all be used -------------------------------------------------------------------------------------


class Tensors:
    """A file's arrays, each to be taken once; `finish` names those that nobody took.

    Args:
        arrays: by name. Half precision becomes float32; integers stay what they are.
        where: what errors call the file.
    """

    def __init__(self, arrays: Mapping[str, Array], where: str) -> None:
        self.where = where
        self._left = {name: np.asarray(array) for name, array in arrays.items()}
        for name, array in self._left.items():
            if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
                raise ValueError(f"{where}: {name}: expected real numbers of at most 64 bits, got {array.dtype}")
            if array.dtype == np.float16:
                self._left[name] = array.astype(np.float32)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    @property
    def names(self) -> list[str]:
        """Those not taken yet."""
        return list(self._left)

    @property
    def dtype(self) -> str:
        """That of a model with these weights: float64 if any array is, else float32."""
        return "float64" if any(array.dtype == np.float64 for array in self._left.values()) else "float32"

    def axes(self, name: str) -> int:
        """How many axes an array has that is not taken yet."""
        return self._left[name].ndim

    def take(self, name: str) -> Array:
        """Return an array. ValueError if it is not there, or was taken before."""
        if name not in self._left:
            some = ", ".join(self._left) if len(self._left) <= 12 else f"{len(self._left)} others"
            raise ValueError(f"{self.where}: expected a tensor {name!r}, got {some or 'no other'}")
        return self._left.pop(name)

    def finish(self) -> None:
        """ValueError if any array is left: nothing is dropped in silence."""
        if self._left:
            names = ", ".join(f"{name} {array.shape}" for name, array in list(self._left.items())[:8])
            raise ValueError(f"{self.where}: expected every tensor to belong to a layer, got {names} beside them")


# -- layers ------------------------------------------------------------------------------------------------------------


class LoadedLayer(NamedTuple):
    """A layer, not built, and its weights as the library lays them out.

    `weights` are named as `parameters_of` names them, or a list in Keras' order and layout. A bias b_hh of a layer that
    has one bias is added to b_ih.
    """

    layer: Layer
    weights: dict[str, Array] | list[Array]

    @property
    def arrays(self) -> list[Array]:
        """The weights alone."""
        return list(self.weights.values()) if isinstance(self.weights, dict) else self.weights


def parameters_of(layer: Layer) -> dict[str, Parameter]:
    """The parameters of a built layer by their own names; those of a `Bidirectional` as forward/... and backward/..."""
    if isinstance(layer, Bidirectional):
        both = {"forward": layer.forward_layer, "backward": layer.backward_layer}
        return {f"{d}/{name}": p for d, part in both.items() for name, p in parameters_of(part).items()}
    if isinstance(layer, TimeDistributed):
        return parameters_of(layer.layer)
    return {parameter.own_name: parameter for parameter in layer.parameters()}


def input_shape_of(loaded: Sequence[LoadedLayer], where: str) -> tuple[int | None, ...]:
    """The shape of an example, without the batch axis, by the weights of the first layer. ValueError if it has none."""
    if not loaded:
        raise ValueError(f"{where}: expected at least one layer, got none")
    layer, weights = loaded[0]
    if isinstance(layer, Embedding):
        return (None,)
    assert isinstance(weights, dict)
    found = next((name for name in ("w_ih", "forward/w_ih", "kernel", "gamma", "moving_mean") if name in weights), None)
    if found is None:
        raise ValueError(f"{where}: expected a layer with weights to come first, got {layer.name}")
    inputs = weights[found].shape[1 if found.endswith("w_ih") else 0]
    if isinstance(layer, Conv1D):
        inputs = inputs // layer.windows.size * layer.groups
    return (None, inputs)


def with_dtype(layer: Layer, dtype: str) -> Layer:
    """A copy of a layer, not built, that computes in `dtype`; of a wrapper what it wraps, too."""
    settings = {**layer.get_config(), "dtype": dtype}
    for key in ("layer", "backward_layer"):
        if settings.get(key) is not None:
            settings[key] = {**settings[key], "config": {**settings[key]["config"], "dtype": dtype}}
    return type(layer).from_config(settings)


def assemble(
    input_shape: Sequence[int | None],
    layers: Iterable[LoadedLayer],
    dtype: str,
    where: str,
    *,
    name: str | None = None,
    batch_size: int | None = None,
) -> Sequential:
    """Make a model of layers and give them their weights.

    Args:
        input_shape: of an example, without the batch axis.
        layers: in their order.
        dtype: of the model: "float32" or "float64".
        where: what errors call the file.
        name: the model's.
        batch_size: where the model has a fixed one.

    Raises:
        ValueError: a weight that is missing, superfluous, of another shape, or not finite.
    """
    layers = list(layers)
    if not layers:
        raise ValueError(f"{where}: expected at least one layer, got none")
    size = sum(array.size for loaded in layers for array in loaded.arrays)
    with weights_from_file(size * np.dtype(dtype).itemsize):
        model = Sequential(name=name)
        try:
            model.add(Input(input_shape, batch_size, dtype=dtype))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: {error}") from error
        for index, loaded in enumerate(layers):
            try:
                model.add(loaded.layer)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{where}: layer {index}: {error}") from error
    for index, loaded in enumerate(layers):
        try:
            _assign(loaded)
        except ValueError as error:
            raise ValueError(f"{where}: layer {index} ({type(loaded.layer).__name__}): {error}") from error
    return model


def _assign(loaded: LoadedLayer) -> None:
    parameters = parameters_of(loaded.layer)
    if not isinstance(loaded.weights, dict):
        for index, array in enumerate(loaded.weights):
            _check_finite(f"weights[{index}]", array)
        loaded.layer.set_weights(loaded.weights)
        for name, parameter in parameters.items():
            _check_finite(name, parameter.value)
        return
    weights = join_biases(loaded.weights, parameters)
    for name, array in weights.items():
        if name not in parameters:
            raise ValueError(f"{name}: expected one of {', '.join(parameters)}, got an array of shape {array.shape}")
        if array.shape != parameters[name].shape:
            raise ValueError(f"{name}: expected shape {parameters[name].shape}, got {array.shape}")
        _check_finite(name, array)
    for name, parameter in parameters.items():
        if name in weights:
            with np.errstate(over="ignore"):
                parameter.assign(weights[name])
            _check_finite(name, parameter.value)
        elif not name.endswith("b_hh"):
            raise ValueError(f"expected an array for {name} {parameter.shape}, got none")
        else:
            parameter.value[...] = 0


def _check_finite(name: str, array: Array) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{name}: expected finite numbers of {array.dtype}, got {array[~finite][0]}")


# -- for exporters -----------------------------------------------------------------------------------------------------


def check_model(model: Any) -> Sequential:
    """Return a built model. TypeError or ValueError for anything else."""
    if not isinstance(model, Sequential):
        raise TypeError(f"model: expected a fastrnn.Sequential, got {type(model).__name__}")
    if not model.built:
        raise ValueError("model: expected a built model; call build(input_shape) or give the data first")
    return model


_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "activation": ("tanh",),
    "recurrent_activation": ("sigmoid",),
    "output_activation": ("tanh",),
    "peephole_output": ("current",),
    "coupled": (False,),
    "reset": ("after",),
}


def check_plain(layer: Recurrent, target: str, **allowed: tuple[Any, ...] | None) -> None:
    """ValueError if a layer computes what another framework's layer cannot.

    Args:
        layer: a SimpleRNN, GRU or LSTM.
        target: the framework, for the message.
        **allowed: for an option of the cell the values that the framework has beside the usual one, None for any.
            `weights`: names of parameters it has beside kernels and biases.
    """
    if type(layer) not in CELLS.values():
        names = ", ".join(cls.__name__ for cls in CELLS.values())
        raise ValueError(f"{layer.name}: expected one of {names} for {target}, got {type(layer).__name__}")
    for option, value in layer.weight_options().items():
        # weight_dropout acts in training alone, and forget_bias is added to the bias
        if option in ("weight_dropout", "forget_bias"):
            continue
        values = allowed.get(option, ())
        if values is None or value in (*_DEFAULTS.get(option, (None,)), *values):
            continue
        if option == "output_activation" and value == layer.weight_options()["activation"]:
            continue
        raise ValueError(f"{layer.name}: {target} has no cell with {option}={value!r}")
    extra = set(parameters_of(layer)) - {"w_ih", "w_hh", "b_ih", "b_hh"} - set(allowed.get("weights") or ())
    if extra:
        raise ValueError(f"{layer.name}: {target} has no cell with the weights {', '.join(sorted(extra))}")


def folded_biases(layer: Recurrent) -> dict[str, Array]:
    """The weights of a layer by name, its constant `forget_bias` added to the bias."""
    weights = {name: parameter.value for name, parameter in parameters_of(layer).items()}
    constant = getattr(layer, "forget_bias", 0.0)
    if constant:
        bias = weights.get("b_ih", np.zeros(len(layer.w_ih.value), layer.dtype)).copy()
        bias[layer.units : 2 * layer.units] += constant
        weights["b_ih"] = bias
    return weights


def dense_of(layer: Layer) -> Dense | None:
    """The Dense of a layer, that of a `TimeDistributed` too; None for others."""
    inner = layer.layer if isinstance(layer, TimeDistributed) else layer
    return inner if isinstance(inner, Dense) and type(inner) is Dense else None
