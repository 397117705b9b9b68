"""Arrays under names of one's own, in .npz and .safetensors files, by a mapping that says which is which::

    model = fastrnn.interop.arrays.load("weights.npz", [
        {"layer": LSTM(64, return_sequences=True), "convention": "dynet", "w_ih": "enc/W", "w_hh": "enc/U",
         "b_ih": "enc/b"},
        {"layer": Dense(10, activation="softmax"), "weight": "out/W", "bias": "out/b"},
    ])

docs/interop.md has a table of the conventions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._file_writing import import_safetensors, suffix_of, write_file
from .._typing import Array, PathLike
from ..layers import Bidirectional, Dense, Embedding, TimeDistributed
from ..layers.base import Layer
from ..layers.recurrent.base import Recurrent
from ..model import Sequential
from ._layers import LoadedLayer, Tensors, assemble, check_model, input_shape_of, parameters_of, with_dtype
from ._tensors import read_tensors
from .conventions import Convention, find_convention, to_canonical

__all__ = ["from_arrays", "load", "save", "to_arrays"]

Entry = Mapping[str, Any]


def load(path: PathLike, mapping: Sequence[Entry]) -> Sequential:
    """Make a model of the arrays in a .npz or .safetensors file; see `from_arrays`.

    Raises:
        ValueError: a damaged file, an array that is missing, that no layer uses, or of a wrong shape.
        ImportError, OSError: without safetensors; if the file cannot be opened.
    """
    return from_arrays(read_tensors(path), mapping, os.fspath(path))


def from_arrays(arrays: Mapping[str, Any], mapping: Sequence[Entry], where: str = "arrays") -> Sequential:
    """Make a model of arrays.

    Args:
        arrays: by name. Every one must be used.
        mapping: for each layer a dict with

            * `layer`: a fastrnn layer with its options, of which a copy is made;
            * of a recurrent layer, the names of the arrays `w_ih`, `w_hh` and, if it has them, `b_ih`, `b_hh`, `w_hr`,
              `w_peep`, and `convention`: a framework of `fastrnn.interop.conventions`, or a `Convention`, in whose
              layout they are; "torch" when left out;
            * of a Bidirectional, dicts `forward` and `backward` of the same;
            * of a Dense, `kernel` (I, O) or `weight` (O, I), and `bias`; of an Embedding, `embeddings`.
        where: what errors call the arrays.

    Raises:
        ValueError: an array that is missing, that no layer uses, or of a wrong shape; an unknown key.
        TypeError: another kind of mapping.
    """
    if isinstance(mapping, str | Mapping) or not isinstance(mapping, Sequence):
        raise TypeError(f"mapping: expected a sequence of dicts, got {type(mapping).__name__}")
    tensors = Tensors(arrays, where)
    del arrays  # so that an array is freed once it is converted
    dtype = tensors.dtype
    loaded = []
    for index, entry in enumerate(mapping):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("layer"), Layer):
            raise TypeError(f"mapping[{index}]: expected a dict with a fastrnn layer under 'layer'")
        layer = with_dtype(entry["layer"], dtype)  # a copy: the caller's layer is not changed
        names = {key: value for key, value in entry.items() if key != "layer"}
        loaded.append(LoadedLayer(layer, _weights(layer, names, tensors, f"mapping[{index}]")))
    tensors.finish()
    return assemble(input_shape_of(loaded, where), loaded, dtype, where)


_RECURRENT = ("w_ih", "w_hh", "b_ih", "b_hh", "w_hr", "w_peep", "ln_ih", "ln_hh", "ln_c")


def _weights(layer: Layer, names: Entry, tensors: Tensors, at: str) -> dict[str, Array]:
    if isinstance(layer, TimeDistributed):
        return _weights(layer.layer, names, tensors, at)
    if isinstance(layer, Bidirectional):
        _check_keys(names, ("forward", "backward"), at)
        sides = {"forward": layer.forward_layer, "backward": layer.backward_layer}
        result: dict[str, Array] = {}
        for side, part in sides.items():
            if not isinstance(names.get(side), Mapping):
                raise ValueError(f"{at}: expected a dict {side}, got {type(names.get(side)).__name__}")
            weights = _weights(part, names[side], tensors, f"{at}: {side}")
            result |= {f"{side}/{name}": array for name, array in weights.items()}
        return result
    if isinstance(layer, Recurrent):
        return _recurrent(layer, names, tensors, at)
    known = {Dense: ("kernel", "weight", "bias"), Embedding: ("embeddings",)}.get(type(layer), ())
    _check_keys(names, known, at)
    weights = {key: tensors.take(_name(names, key, at)) for key in names}
    if "weight" in weights:
        if "kernel" in weights or weights["weight"].ndim != 2:
            raise ValueError(f"{at}: weight: expected one matrix (O, I), got shape {weights['weight'].shape}")
        weights["kernel"] = weights.pop("weight").T
    return weights


def _recurrent(layer: Recurrent, names: Entry, tensors: Tensors, at: str) -> dict[str, Array]:
    _check_keys(names, (*_RECURRENT, "convention"), at)
    for name in ("w_ih", "w_hh"):
        if name not in names:
            raise ValueError(f"{at}: expected the name of an array under {name!r}, got {', '.join(names) or 'none'}")
    given = {key: tensors.take(_name(names, key, at)) for key in names if key != "convention"}
    convention = names.get("convention", "torch")
    cell = f"{layer.cell}_before" if convention == "keras" and getattr(layer, "reset", "") == "before" else layer.cell
    if convention == "torch" and layer.cell not in ("rnn", "lstm", "gru"):
        return given  # a cell of no other framework: arrays as the functions take them
    try:
        rule: Convention = find_convention(convention, cell)
        kernels = {k: given.pop(k) for k in ("w_ih", "w_hh", "b_ih", "b_hh") if k in given}
        if layer.output_units != layer.units and rule.transposed:
            raise ValueError("expected a convention with kernels (G*H, I) for a projection")
        return {**given, **to_canonical(rule, kernels, layer.units)}
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from None


def _check_keys(names: Entry, known: Sequence[str], at: str) -> None:
    for key in names:
        if key not in known:
            raise ValueError(f"{at}: expected the keys {', '.join(known) or 'layer alone'}, got {key!r}")


def _name(names: Entry, key: str, at: str) -> str:
    if not isinstance(names[key], str):
        raise TypeError(f"{at}: {key}: expected the name of an array, got {type(names[key]).__name__}")
    return str(names[key])


# -- back --------------------------------------------------------------------------------------------------------------


def to_arrays(model: Sequential) -> dict[str, Array]:
    """Return a model's weights as "INDEX/NAME", in the layout of the functions (PyTorch's)."""
    return {
        f"{index}/{name}": parameter.value.copy()
        for index, layer in enumerate(check_model(model).layers)
        for name, parameter in parameters_of(layer).items()
    }


def save(model: Sequential, path: PathLike) -> None:
    """Write `to_arrays(model)` to a .npz or .safetensors file. ValueError for another suffix, OSError as usual."""
    path = os.fspath(path)
    suffix = suffix_of(path, (".npz", ".safetensors"))
    arrays: dict[str, Any] = to_arrays(model)
    if suffix == ".npz":
        write_file(path, lambda file: np.savez(file, **arrays))
    else:
        blob = import_safetensors().numpy.save(arrays)
        write_file(path, lambda file: file.write(blob))
