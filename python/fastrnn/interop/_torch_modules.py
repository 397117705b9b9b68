"""PyTorch's modules, one by one: what they are called, what they hold, and the layers that compute the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .._typing import Array
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
    LayerNormalization,
    MaxPooling1D,
)
from ..layers.base import Layer
from ..layers.recurrent.base import Recurrent
from ._layers import CELLS, LoadedLayer, Tensors, with_dtype
from ._torch_layers import KEY, NAMES, cell_of

__all__ = ["Part", "check_sequential", "layers_of", "options_of"]


class Part(NamedTuple):
    """A submodule with weights: its name, and the options that its tensors do not tell."""

    prefix: str
    options: dict[str, Any]


# -- tensors to layers -------------------------------------------------------------------------------------------------


def layers_of(part: Part | Layer, tensors: Tensors, dtype: str) -> Iterator[LoadedLayer]:
    """The layers of one part, whose tensors are taken."""
    if isinstance(part, Layer):
        weighted = (Dense, Embedding, Conv1D, LayerNormalization, BatchNormalization)
        if part.built or type(part) in weighted or isinstance(part, Recurrent | Bidirectional):
            raise ValueError(f"parts: expected layers without weights beside names, got {part!r}")
        yield LoadedLayer(with_dtype(part, dtype), {})
        return
    prefix = f"{part.prefix}." if part.prefix else ""
    own = {name[len(prefix) :]: name for name in tensors.names if name.startswith(prefix)}
    if any(KEY.fullmatch(key) for key in own):
        yield from _recurrent_layers(part, own, tensors, dtype)
    elif "running_mean" in own or _axes_of(own, tensors) == 1:
        yield _normalization(part, own, tensors, dtype)
    elif _axes_of(own, tensors) == 3:
        yield _convolution(part, own, tensors, dtype)
    elif "weight" in own:
        yield _matrix(part, own, tensors, dtype)
    else:
        found = ", ".join(list(own)[:8]) or "none"
        raise ValueError(f"{part.prefix or 'state'}: expected tensors as weight_ih_l0 or weight, got {found}")


def _axes_of(own: dict[str, str], tensors: Tensors) -> int | None:
    return tensors.axes(own["weight"]) if "weight" in own else None


def _convolution(part: Part, own: dict[str, str], tensors: Tensors, dtype: str) -> LoadedLayer:
    """A Conv1d's weight (O, I / groups, K); PyTorch's module sees (B, I, T), the layer (B, T, I)."""
    options = dict(part.options)
    _no_more(part, options, ("padding", "strides", "dilation_rate", "groups", "activation"))
    weight = tensors.take(own["weight"])
    filters, _, size = weight.shape
    arrays = {"kernel": np.ascontiguousarray(weight.transpose(2, 1, 0)).reshape(-1, filters)}
    if "bias" in own:
        arrays["bias"] = tensors.take(own["bias"])
    if size > 1 and options.get("padding") is None:
        raise ValueError(
            f"{part.prefix}: padding: expected 'valid', 'same' or 'causal' in its part, as the tensors do not tell how "
            "the module pads"
        )
    options["padding"] = options.get("padding") or "valid"
    return LoadedLayer(Conv1D(filters, size, use_bias="bias" in arrays, dtype=dtype, **options), arrays)


def _normalization(part: Part, own: dict[str, str], tensors: Tensors, dtype: str) -> LoadedLayer:
    """A BatchNorm1d, which has running statistics, or a LayerNorm over the features."""
    options = {"epsilon": 1e-5, **part.options}  # PyTorch's default
    of_batch = "running_mean" in own
    _no_more(part, options, ("epsilon", "momentum") if of_batch else ("epsilon",))
    names = {"weight": "gamma", "bias": "beta"}
    if of_batch:
        names |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
        if "num_batches_tracked" in own:
            tensors.take(own["num_batches_tracked"])  # a counter of training batches, of no use to a trained model
    arrays = {ours: tensors.take(own[theirs]) for theirs, ours in names.items() if theirs in own}
    settings = {"scale": "gamma" in arrays, "center": "beta" in arrays, "dtype": dtype, **options}
    return LoadedLayer(BatchNormalization(**settings) if of_batch else LayerNormalization(**settings), arrays)


def _matrix(part: Part, own: dict[str, str], tensors: Tensors, dtype: str) -> LoadedLayer:
    options = dict(part.options)
    kind = options.pop("kind", "linear")
    if kind not in ("linear", "embedding"):
        raise ValueError(f"{part.prefix}: kind: expected 'linear' or 'embedding', got {kind!r}")
    weight = tensors.take(own["weight"])
    if weight.ndim != 2:
        raise ValueError(f"{own['weight']}: expected a matrix, got shape {weight.shape}")
    if kind == "embedding":
        _no_more(part, options, ())
        return LoadedLayer(Embedding(*weight.shape, dtype=dtype), {"embeddings": weight})
    _no_more(part, options, ("activation",))
    arrays = {"kernel": weight.T}
    if "bias" in own:
        arrays["bias"] = tensors.take(own["bias"])
    layer = Dense(len(weight), options.get("activation"), use_bias="bias" in arrays, dtype=dtype)
    return LoadedLayer(layer, arrays)


def _recurrent_layers(part: Part, own: dict[str, str], tensors: Tensors, dtype: str) -> Iterator[LoadedLayer]:
    found: dict[tuple[int, int], dict[str, Array]] = {}
    for key, name in own.items():
        match = KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{name}: expected names as {part.prefix}.weight_ih_l0 beside it, got {key!r}")
        parameter, layer, reverse = match.groups()
        place = (int(layer or 0), int(reverse is not None))
        if NAMES[parameter] in found.setdefault(place, {}):
            raise ValueError(f"{name}: expected the layer's names once, got two of {parameter}")
        found[place][NAMES[parameter]] = tensors.take(name)
    depth, directions = (1 + max(index) for index in zip(*found, strict=True))
    if len(found) != depth * directions:
        raise ValueError(f"{part.prefix or 'state'}: expected tensors of {depth} layers, got those of {sorted(found)}")
    options = dict(part.options)
    sequences = options.pop("return_sequences", True)
    dropout = options.pop("dropout", 0.0)
    for k in range(depth):
        last = k == depth - 1
        sides = [
            _recurrent(part, found[k, d], options, sequences if last else True, d, dtype) for d in range(directions)
        ]
        yield sides[0] if directions == 1 else _both(sides[0], sides[1], dtype)
        if dropout and not last:
            yield LoadedLayer(Dropout(dropout, dtype=dtype), {})


def _both(forward: LoadedLayer, backward: LoadedLayer, dtype: str) -> LoadedLayer:
    assert isinstance(forward.layer, Recurrent)
    assert isinstance(backward.layer, Recurrent)
    layer = Bidirectional(forward.layer, backward_layer=backward.layer, dtype=dtype)
    weights: dict[str, Array] = {}
    for direction, side in (("forward", forward), ("backward", backward)):
        assert isinstance(side.weights, dict)
        weights |= {f"{direction}/{name}": array for name, array in side.weights.items()}
    return LoadedLayer(layer, weights)


def _recurrent(
    part: Part, arrays: dict[str, Array], options: dict[str, Any], sequences: bool, direction: int, dtype: str
) -> LoadedLayer:
    where = part.prefix or "state"
    for name in ("w_ih", "w_hh"):
        if name not in arrays or arrays[name].ndim != 2:
            got = arrays[name].shape if name in arrays else "none"
            raise ValueError(f"{where}: expected a matrix weight{name[1:]} of every layer, got {got}")
    state = arrays.get("w_hr", arrays["w_hh"]).shape
    if len(state) != 2:
        raise ValueError(f"{where}: expected a matrix weight_hr, got shape {state}")
    cell = cell_of(arrays, f"{where}: weight_hh")
    keywords: dict[str, Any] = {"return_sequences": sequences, "dtype": dtype, "use_bias": "b_ih" in arrays}
    if cell == "rnn":
        keywords["activation"] = options.get("activation", "tanh")
    _no_more(part, options, ("activation",) if cell == "rnn" else ())
    if "w_hr" in arrays:
        if cell != "lstm":
            raise ValueError(f"{where}: weight_hr: expected a projection of an LSTM alone, got one of {cell}")
        keywords["projection_units"] = len(arrays["w_hr"])
    if direction:
        keywords["go_backwards"] = True
    return LoadedLayer(CELLS[cell](state[1], **keywords), arrays)


def _no_more(part: Part, options: dict[str, Any], known: tuple[str, ...]) -> None:
    for name, value in options.items():
        if name not in known:
            expected = ", ".join(known) or "none beside those of its kind"
            raise ValueError(f"{part.prefix or 'state'}: {name}: expected options {expected}, got {value!r}")


# -- live modules ------------------------------------------------------------------------------------------------------


def options_of(torch: Any, module: Any, where: str) -> Part | Layer | None:
    """What a module without submodules is: a part with its options, a layer without weights, None for nothing at all.

    Raises:
        ValueError: a kind or a setting that no layer of fastrnn has.
    """
    nn = torch.nn
    kind = _class_of(module, where)
    _check_hooks(module, where)
    if kind in (nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell):
        options: dict[str, Any] = {}
        if kind in (nn.RNN, nn.RNNCell):
            options["activation"] = module.nonlinearity
        if getattr(module, "dropout", 0.0):
            options["dropout"] = float(module.dropout)
        return Part(where, options)
    if kind is nn.Linear:
        return Part(where, {})
    if kind is nn.Embedding:
        if module.max_norm is not None:
            raise ValueError(f"{where}: expected an Embedding without max_norm, got {module.max_norm}")
        return Part(where, {"kind": "embedding"})
    if kind is nn.Conv1d:
        return Part(where, _convolution_options(module, where))
    if kind in (nn.MaxPool1d, nn.AvgPool1d):
        return _pooling(kind is nn.MaxPool1d, module, where)
    if kind is nn.LayerNorm:
        if len(module.normalized_shape) != 1 or module.weight is None:
            raise ValueError(f"{where}: expected a LayerNorm over the features, with a weight, got {module}")
        return Part(where, {"epsilon": module.eps})
    if kind is nn.BatchNorm1d:
        if not module.track_running_stats or module.momentum is None:
            raise ValueError(f"{where}: expected a BatchNorm1d with running statistics and a momentum, got {module}")
        return Part(where, {"epsilon": module.eps, "momentum": 1 - module.momentum})
    if kind in (nn.Identity,):
        return None
    if kind is nn.Dropout:
        return Dropout(module.p)
    if kind is nn.Flatten:
        if (module.start_dim, module.end_dim) != (1, -1):
            raise ValueError(f"{where}: expected Flatten(1, -1), got {module}")
        return Flatten()
    for cls, (name, fits) in _activations(nn).items():
        if kind is cls:
            if not fits(module):
                raise ValueError(f"{where}: expected {cls.__name__} with the settings of Keras' {name}, got {module}")
            return Activation(name)
    known = (
        "RNN, GRU, LSTM, their cells, Linear, Embedding, Conv1d, MaxPool1d, AvgPool1d, LayerNorm, BatchNorm1d, "
        "Sequential, Dropout, Flatten, Identity and activations"
    )
    raise ValueError(f"{where}: expected {known}, got {kind.__name__}; name the order of its submodules in parts")


def _class_of(module: Any, where: str) -> Any:
    """Its class; of a layer that fastrnn.torch computes, torch.nn's, which has the same weights and results."""
    settings = getattr(module, "_fast", None)
    if settings is None or not hasattr(type(module), "_counterpart"):
        return type(module)
    if not settings.plain():
        raise ValueError(f"{where}: expected a layer that torch.nn has, too, got one with options of fastrnn, {module}")
    return type(module)._counterpart


def _convolution_options(module: Any, where: str) -> dict[str, Any]:
    (size,), (strides,), (dilation,) = module.kernel_size, module.stride, module.dilation
    if module.padding_mode != "zeros":
        raise ValueError(f"{where}: expected padding of zeros, got padding_mode={module.padding_mode!r}")
    padding = module.padding if isinstance(module.padding, str) else module.padding[0]
    options = {"strides": strides, "dilation_rate": dilation, "groups": module.groups}
    if padding in ("valid", 0):
        return {**options, "padding": "valid"}
    if padding == "same" or (strides == 1 and 2 * padding == dilation * (size - 1)):
        return {**options, "padding": "same"}
    return options  # any other padding has to be named by the part


def _pooling(largest: bool, module: Any, where: str) -> Layer:
    size, strides, padding, dilation = (
        value[0] if isinstance(value, tuple) else value
        for value in (module.kernel_size, module.stride, module.padding, getattr(module, "dilation", 1))
    )
    centred = strides == 1 and 2 * padding == size - 1 and (largest or not module.count_include_pad)
    if dilation != 1 or module.ceil_mode or getattr(module, "return_indices", False) or not (padding == 0 or centred):
        raise ValueError(
            f"{where}: expected a pool over windows within the sequence, of steps that follow each other (padding=0, "
            f"dilation=1, ceil_mode=False, return_indices=False), got {module}"
        )
    return (MaxPooling1D if largest else AveragePooling1D)(size, strides, "valid" if padding == 0 else "same")


def check_sequential(torch: Any, module: Any, where: str) -> None:
    """A Conv1d hands on (B, C, T), and a pool too: a module of the last axis would take time for features."""
    nn = torch.nn
    last = (nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d)
    inner = [child for _, child in module.named_children()]
    along = (nn.Linear, nn.LayerNorm, nn.RNN, nn.GRU, nn.LSTM, nn.Softmax, nn.LogSoftmax, nn.Flatten, nn.Embedding)
    other = next((type(child).__name__ for child in inner if isinstance(child, along)), None)
    found = next((type(child).__name__ for child in inner if type(child) in last), None)
    if other is not None and found is not None:
        raise ValueError(
            f"{where or 'module'}: expected a {found}, which sees time last, apart from a {other}, which sees it "
            "before the features; name the parts of a module that swaps the axes between them"
        )


def _activations(nn: Any) -> dict[Any, tuple[str, Callable[[Any], bool]]]:
    """PyTorch's classes, our names, and whether a module's settings are ours."""

    def always(_: Any) -> bool:
        return True

    return {
        nn.Tanh: ("tanh", always),
        nn.Sigmoid: ("sigmoid", always),
        nn.ReLU: ("relu", always),
        nn.ReLU6: ("relu6", always),
        nn.SELU: ("selu", always),
        nn.Softsign: ("softsign", always),
        nn.Hardsigmoid: ("hard_sigmoid", always),
        nn.ELU: ("elu", lambda m: bool(m.alpha == 1)),
        nn.LeakyReLU: ("leaky_relu", lambda m: bool(m.negative_slope == 0.2)),
        nn.Softplus: ("softplus", lambda m: bool(m.beta == 1 and np.isfinite(m.threshold) and m.threshold >= 20)),
        nn.Softmax: ("softmax", lambda m: m.dim == -1),
        nn.LogSoftmax: ("log_softmax", lambda m: m.dim == -1),
    }


def _check_hooks(module: Any, where: str) -> None:
    """A hook or a parametrisation changes what a module computes, and nobody can tell how."""
    for name in ("_forward_hooks", "_forward_pre_hooks"):
        if getattr(module, name, None):
            raise ValueError(f"{where}: expected a module without hooks, got some in {name}")
    if hasattr(module, "parametrizations"):
        raise ValueError(
            f"{where}: expected plain weights, got parametrizations; torch.nn.utils.parametrize removes them"
        )
