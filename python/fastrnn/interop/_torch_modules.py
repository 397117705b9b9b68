"""PyTorch's modules, one by one: what they are called, what they hold, and the layers that compute the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .._typing import Array
from ..layers import Activation, Bidirectional, Dense, Dropout, Embedding, Flatten
from ..layers.base import Layer
from ..layers.recurrent.base import Recurrent
from ._layers import CELLS, LoadedLayer, Tensors, with_dtype

__all__ = ["Part", "layers_of", "options_of"]


class Part(NamedTuple):
    """A submodule with weights: its name, and the options that its tensors do not tell."""

    prefix: str
    options: dict[str, Any]


# -- tensors to layers -------------------------------------------------------------------------------------------------

_NAMES = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh", "weight_hr": "w_hr"}
_KEY = re.compile(rf"({'|'.join(_NAMES)})(?:_l(\d{{1,4}})(_reverse)?)?")
_GATES = {1: "rnn", 3: "gru", 4: "lstm"}


def layers_of(part: Part | Layer, tensors: Tensors, dtype: str) -> Iterator[LoadedLayer]:
    """The layers of one part, whose tensors are taken."""
    if isinstance(part, Layer):
        if part.built or type(part) in (Dense, Embedding) or isinstance(part, Recurrent | Bidirectional):
            raise ValueError(f"parts: expected layers without weights beside names, got {part!r}")
        yield LoadedLayer(with_dtype(part, dtype), {})
        return
    prefix = f"{part.prefix}." if part.prefix else ""
    own = {name[len(prefix) :]: name for name in tensors.names if name.startswith(prefix)}
    if any(_KEY.fullmatch(key) for key in own):
        yield from _recurrent_layers(part, own, tensors, dtype)
    elif set(own) & {"weight"}:
        yield _matrix(part, own, tensors, dtype)
    else:
        found = ", ".join(list(own)[:8]) or "none"
        raise ValueError(f"{part.prefix or 'state'}: expected tensors as weight_ih_l0 or weight, got {found}")


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
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{name}: expected names as {part.prefix}.weight_ih_l0 beside it, got {key!r}")
        parameter, layer, reverse = match.groups()
        place = (int(layer or 0), int(reverse is not None))
        if _NAMES[parameter] in found.setdefault(place, {}):
            raise ValueError(f"{name}: expected the layer's names once, got two of {parameter}")
        found[place][_NAMES[parameter]] = tensors.take(name)
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
    gates, rest = divmod(len(arrays["w_hh"]), state[1]) if state[1] else (0, 1)
    if rest or gates not in _GATES:
        shape = arrays["w_hh"].shape
        raise ValueError(f"{where}: weight_hh: expected shape (G*H, H) with G of 1, 3 or 4 gates, got {shape}")
    cell = _GATES[gates]
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
    kind = type(module)
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
    known = "RNN, GRU, LSTM, their cells, Linear, Embedding, Sequential, Dropout, Flatten, Identity and activations"
    raise ValueError(f"{where}: expected {known}, got {kind.__name__}; name the order of its submodules in parts")


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
