"""How a model's layers stand in its file for the readers in C++ and C: docs/model-file.md has the schema.

A model whose layers need the steps so far alone runs step by step, another on whole sequences. A model with a layer
that has no native form has none, and the file says so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import functional
from .._registry import choice_error
from .._typing import Array, Config
from ..functional._cells import CELLS
from ..functional._options import PARAMETERS
from ..layers.base import Layer
from ..model import Sequential
from .layer_entries import (
    DTYPES,
    SOFTMAXES,
    RefusedError,
    dense_entry,
    function_entry,
    recurrent_entry,
    sequence_entries,
    step_entries,
)

__all__ = ["describe_layers", "describe_model", "stepwise"]

_VERSION = 1

# -- models ----------------------------------------------------------------------------------------------------------


def describe_model(model: Sequential, names: Mapping[int, str]) -> Config:
    """Return the description of a built model; `names` has the array of each parameter, by the parameter's id.

    It runs step by step if all layers can, else on whole sequences; if one can do neither, it says why.
    """
    if model.input_shape is None or len(model.input_shape) not in (2, 3):
        return _refusal(f"an input of shape {model.input_shape}: a step of a stream is a vector")
    try:
        entries = _chain(model, lambda layer, before: step_entries(layer, names))
        if entries and entries[0]["kind"] in ("activation", *SOFTMAXES):
            return _refusal(f"layer 0 ({model.layers[0].name}): expected a layer with weights to come first")
    except RefusedError:
        try:
            entries = _chain(model, lambda layer, before: sequence_entries(layer, names, before))
        except RefusedError as reason:
            return _refusal(str(reason))
        entries[0]["inputs"] = entries[0].get("inputs", model.input_shape[-1])
    return _description(entries) if entries else _refusal("no layer with weights")


def _chain(model: Sequential, entries_of: Callable[[Layer, int], list[Config]]) -> list[Config]:
    """The entries of all layers. RefusedError names the layer that has none."""
    entries: list[Config] = []
    for index, layer in enumerate(model.layers):
        try:
            entries += entries_of(layer, len(entries))
        except RefusedError as reason:
            raise RefusedError(f"layer {index} ({layer.name}), {type(layer).__name__}: {reason}") from None
    return entries


def stepwise(model: Sequential) -> list[str]:
    """For each layer of a built model why it cannot run step by step, "" for one that can."""
    names = {id(parameter): parameter.name for parameter in model.parameters()}
    reasons = []
    for layer in model.layers:
        try:
            step_entries(layer, names)
            reasons.append("")
        except RefusedError as reason:
            reasons.append(str(reason))
    return reasons


def _description(entries: list[Config]) -> Config:
    return {"version": _VERSION, "layers": entries}


def _refusal(reason: str) -> Config:
    return {"version": _VERSION, "refused": reason}


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
        # In a graph widths are checked by the native reader, which knows the width of every value.
        width = first.get("outputs", width) if _is_chained(first) else None
        entries += made
    if not entries:
        raise ValueError("layers: expected at least one layer, got none")
    return arrays, _description(entries)


def _is_chained(entry: Config) -> bool:
    return "from" not in entry and "rows" not in entry and entry["kind"] not in _KINDS.keys() - set(SOFTMAXES)


_OF_DENSE = ("rows", "width", "groups")
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
        packed = CELLS[cell].pack(**given)  # raises where arrays or options do not fit
        own = {name: given[name] for name in given if name in PARAMETERS}
        options = {name: value for name, value in given.items() if name not in PARAMETERS}
        return [recurrent_entry(cell, own["w_ih"], packed.output_size, options, _keep(own, prefix, arrays))]
    unknown = given.keys() - {"kernel", "bias", *_OF_DENSE, "activation", "inputs"}
    if unknown or not given:
        raise ValueError(f"expected a key 'cell', 'kernel', 'kind' or 'activation', got {sorted(map(str, layer))}")
    entries = []
    if "kernel" in given or "bias" in given:
        own = {name: given[name] for name in ("kernel", "bias") if name in given}
        _check_dense(own)
        entries = [dense_entry(own["kernel"], _keep(own, prefix, arrays))]
        entries[0] |= {name: _whole(name, given[name]) for name in _OF_DENSE if name in given}
        entries[0]["inputs"] *= entries[0].get("groups", 1)
    elif first and "inputs" not in given:
        raise ValueError("expected a layer with weights to come first, or inputs, got an activation")
    if "activation" not in given:
        return entries
    if given["activation"] in SOFTMAXES:
        return [*entries, {"kind": given["activation"]}]
    one = np.zeros((1, 1), np.float32)
    functional.pack_rnn(one, one, activation=given["activation"])  # checks it
    entries = [*entries, function_entry(given["activation"])]
    if "inputs" in given:
        entries[0]["inputs"] = _whole("inputs", given["inputs"])
    return entries


_OF_WINDOWS = ("stride", "dilation", "before", "after", "same")
# The kinds without a cell or a kernel: the fields and the arrays that each must have, and fields that it may.
_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "gather": (("inputs", "runs"), (), ()),
    "delay": (("inputs", "steps"), (), ("ahead",)),
    "concatenate": ((), (), ("inputs",)),
    "add": ((), (), ("inputs",)),
    "subtract": ((), (), ("inputs",)),
    "multiply": ((), (), ("inputs",)),
    "divide": ((), (), ("inputs",)),
    "affine": (("inputs",), ("scale", "shift"), ()),
    "power": (("number",), (), ("inputs",)),
    "layer_normalization": (("inputs", "number"), ("scale", "shift"), ()),
    "softmax": ((), (), ("width", "inputs")),
    "batch_normalization": (("inputs", "number"), ("scale", "shift", "mean", "variance"), ()),
    "embedding": (("inputs", "outputs"), ("table",), ()),
    "reverse": ((), (), ("inputs",)),
    "last": ((), (), ("inputs",)),
    "mean": ((), (), ("inputs",)),
    "maximum": ((), (), ("inputs",)),
    "log": ((), (), ("inputs",)),
    "erf": ((), (), ("inputs",)),
    "at_least": (("number",), (), ("inputs",)),
    "at_most": (("number",), (), ("inputs",)),
    "log_softmax": ((), (), ("width", "inputs")),
    **dict.fromkeys(("windows", "window_maximum", "window_mean"), (("size",), (), (*_OF_WINDOWS, "inputs"))),
}


_TYPES: dict[str, Callable[[Any], Any]] = {"number": float, "same": bool}


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
            entry[name] = _TYPES[name](given[name]) if name in _TYPES else _whole(name, given[name])
    if own:
        kept = {name: np.ascontiguousarray(given[name]) for name in own}
        dtypes = {array.dtype.name for array in kept.values()}
        if len(dtypes) != 1 or not dtypes <= DTYPES.keys():
            raise TypeError(f"{kind}: expected {', '.join(own)}, all of float32 or of float64, got {sorted(dtypes)}")
        entry["dtype"] = DTYPES[dtypes.pop()]
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
    if kernel.dtype.name not in DTYPES:
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
