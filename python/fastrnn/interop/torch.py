"""PyTorch's models: modules, state dicts, .safetensors and .pt files, both ways.

PyTorch's modules do not say in which order a forward pass runs them, so that whoever has more than one layer says it:

    model = fastrnn.interop.torch.load("model.safetensors", ["embedding", "encoder.lstm", "head"])
    model = fastrnn.interop.torch.from_module(module, ["lstm", ("head", {"activation": "sigmoid"})])

PyTorch itself is needed for live modules and for .pt files alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._file_writing import import_safetensors, suffix_of, write_file
from .._typing import Array, PathLike
from ..layers import (
    Activation,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dropout,
    Embedding,
    Flatten,
    LayerNormalization,
    MaxPooling1D,
)
from ..layers.base import Layer
from ..model import Sequential
from ._layers import (
    Tensors,
    assemble,
    check_model,
    check_plain,
    dense_of,
    folded_biases,
    import_library,
    input_shape_of,
    parameters_of,
)
from ._tensors import read_tensors
from ._torch_layers import NAMES
from ._torch_modules import Part, check_sequential, layers_of, options_of

__all__ = ["from_module", "from_state_dict", "load", "read_state", "save", "to_state_dict"]

Parts = Sequence["str | Layer | tuple[str, Mapping[str, Any]]"]


def from_module(module: Any, parts: Parts | None = None) -> Sequential:
    """Make a model of a live module: a recurrent one, a Linear, an Embedding, or a Sequential of such.

    Args:
        module: a ``torch.nn.Module`` on the CPU or elsewhere.
        parts: of any other module, the names of its submodules in the order in which its forward pass runs them; see
            `from_state_dict`. Options as nonlinearity and dropout come from the submodules themselves.

    Returns:
        A Sequential, batch first, with all outputs of a recurrent module unless its part says otherwise. A Conv1d sees
        (B, C, T) in PyTorch; here features are last everywhere.

    Raises:
        ValueError: a submodule or setting that fastrnn has not, or a tensor that no part uses.
        TypeError: no module.

    Example:
        >>> import torch
        >>> fastrnn.interop.torch.from_module(torch.nn.LSTM(3, 4, batch_first=True)).output_shape
        (None, None, 4)
    """
    torch = import_library("torch", "a live PyTorch module")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
    where = type(module).__name__
    pairs: list[Any] = []
    for part in _parts(parts) if parts is not None else [Part("", {})]:
        if isinstance(part, Layer):
            pairs.append(part)
            continue
        names = dict(module.named_modules())
        if part.prefix not in names:
            known = ", ".join(name for name in names if name)
            raise ValueError(f"parts: expected submodules of {where} ({known}), got {part.prefix!r}")
        for name, child in _flatten(torch, part.prefix, names[part.prefix]):
            made = options_of(torch, child, name or where)
            options = made.options | part.options if isinstance(made, Part) else part.options
            pairs.append(Part(name, options) if isinstance(made, Part) else made)
    return _from_parts(_arrays(module.state_dict()), [p for p in pairs if p is not None], where)


def from_state_dict(state: Mapping[str, Any], parts: Parts | None = None) -> Sequential:
    """Make a model of a ``state_dict()``.

    Args:
        state: names to tensors or arrays; half precision and bfloat16 become float32.
        parts: what the model consists of, in order. Each is the name of a submodule ("encoder.lstm"; "" for a state
            dict of a single one), a tuple of it and options, or a fastrnn layer without weights. Options of a recurrent
            part: `return_sequences` (default True; False gives h_n of the last layer) and, of an RNN, `activation`. Of
            a matrix: `activation`, or `kind="embedding"` for a table. Of a Conv1d: `padding` ("valid", "same" or
            "causal"), `strides`, `dilation_rate`, `groups`, `activation`; of a LayerNorm or BatchNorm1d: `epsilon`,
            `momentum`, as Keras has them. None takes the whole as one recurrent module.

    Raises:
        ValueError: a tensor that no part uses, one that is missing, or a wrong shape; it names the tensor.
        TypeError: no mapping.

    Example:
        >>> state = {"weight_ih_l0": np.zeros((16, 3), np.float32), "weight_hh_l0": np.zeros((16, 4), np.float32)}
        >>> fastrnn.interop.torch.from_state_dict(state).output_shape
        (None, None, 4)
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected a mapping from names to tensors, got {type(state).__name__}")
    chosen = _parts(parts) if parts is not None else [Part("", {})]
    if parts is None and not any(re.match(r"weight_ih(_l0)?$", str(key)) for key in state):
        found = list(dict.fromkeys(str(key).rpartition(".")[0] for key in state))
        raise ValueError(
            f"parts: expected the order in which the parts run, of {', '.join(map(repr, found))}, got None"
        )
    return _from_parts(_arrays(state), chosen, "state")


def load(path: PathLike, parts: Parts | None = None, key: str | None = None) -> Sequential:
    """Make a model of the state dict in a .safetensors or a .pt (.pth, .bin, .ckpt) file.

    Args:
        path: the file. A .pt is read by ``torch.load(weights_only=True)`` alone; fastrnn itself loads no pickle.
        parts: see `from_state_dict`.
        key: where the state dict stands in a checkpoint of several things: "state_dict". Only it is read.

    Raises:
        ValueError: a damaged file, one that holds more than tensors, and as `from_state_dict`.
        ImportError: without safetensors, or torch for a .pt.
        OSError: if the file cannot be opened.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.LSTM(4, name="lstm")])
        >>> fastrnn.interop.torch.save(model, "lstm.safetensors")
        >>> fastrnn.interop.torch.load("lstm.safetensors", ["0"]).output_shape
        (None, None, 4)
    """
    path = os.fspath(path)
    state = _read(path, key)
    try:
        return from_state_dict(state, parts)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error  # names of tensors may have line breaks


def read_state(path: PathLike, key: str | None = None) -> dict[str, Array]:
    """The tensors of a file as arrays, by name; arguments and errors as those of `load`.

    Args:
        path, key: as in `load`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.LSTM(4, name="lstm")])
        >>> fastrnn.interop.torch.save(model, "lstm.safetensors")
        >>> sorted(fastrnn.interop.torch.read_state("lstm.safetensors"))
        ['0.bias_hh_l0', '0.bias_ih_l0', '0.weight_hh_l0', '0.weight_ih_l0']
    """
    path = os.fspath(path)
    try:
        return _arrays(_read(path, key))
    except (ValueError, TypeError) as error:
        raise error if str(error).startswith(path) else ValueError(f"{path}: {error}") from error


def _read(path: str, key: str | None) -> Any:
    state: Any = read_tensors(path) if path.lower().endswith(".safetensors") else _load_pickled(path)
    if key is not None:
        if not isinstance(state, Mapping) or key not in state:
            known = ", ".join(map(repr, state)) if isinstance(state, Mapping) else type(state).__name__
            raise ValueError(f"key: expected one of {known}, got {key!r}")
        return state[key]
    if not isinstance(state, Mapping):
        raise ValueError(f"{path}: expected a state dict, got {type(state).__name__}")
    return state


def _load_pickled(path: str) -> Any:
    torch = import_library("torch", "a .pt file")
    open(path, "rb").close()
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the library makes of a damaged file
        text = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path}: not readable by torch.load(weights_only=True): {text[:300]}") from error


# -- parts -------------------------------------------------------------------------------------------------------------


def _parts(parts: Any) -> list[Part | Layer]:
    if isinstance(parts, str) or not isinstance(parts, Sequence):
        raise TypeError(f"parts: expected a sequence of names, got {type(parts).__name__}")
    result: list[Part | Layer] = []
    for part in parts:
        if isinstance(part, Layer):
            result.append(part)
        elif isinstance(part, str):
            result.append(Part(part.rstrip("."), {}))
        elif isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], Mapping):
            result.append(Part(part[0].rstrip("."), dict(part[1])))
        else:
            raise TypeError(f"parts: expected names, tuples (name, options) or layers, got {part!r}")
    return result


def _flatten(torch: Any, name: str, module: Any) -> list[tuple[str, Any]]:
    """A module, or those of a torch.nn.Sequential in their order."""
    if type(module) is not torch.nn.Sequential:
        return [(name, module)]
    check_sequential(torch, module, name)
    inner = module.named_children()
    return [pair for key, child in inner for pair in _flatten(torch, f"{name}.{key}" if name else key, child)]


def _from_parts(arrays: dict[str, Array], parts: Sequence[Part | Layer], where: str) -> Sequential:
    tensors = Tensors(arrays, where)
    dtype = tensors.dtype
    loaded = [made for part in parts for made in layers_of(part, tensors, dtype)]
    tensors.finish()
    return assemble(input_shape_of(loaded, where), loaded, dtype, where)


def _arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise TypeError(f"state: expected names, got a key of type {type(name).__name__}")
        if hasattr(value, "detach"):
            value = _as_array(name, value)
        elif not isinstance(value, np.ndarray | np.generic | float | int):
            raise ValueError(f"{name}: expected a tensor, got {type(value).__name__}")
        arrays[name] = np.asarray(value)
    return arrays


def _as_array(name: str, tensor: Any) -> Array:
    try:
        tensor = tensor.detach().cpu()
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{name}: expected a tensor of its own numbers, got a view that repeats them")
        if str(tensor.dtype) in ("torch.bfloat16", "torch.float16"):
            tensor = tensor.float()
        array: Array = tensor.numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:  # sparse and quantised tensors have no NumPy form
        raise ValueError(f"{name}: expected a plain tensor, got {str(error)[:200]}") from error
    return array


# -- back --------------------------------------------------------------------------------------------------------------


def to_state_dict(model: Sequential, parts: Sequence[str] | None = None, *, tensors: bool = True) -> dict[str, Any]:
    """Return a model's weights under PyTorch's names.

    Args:
        model: built; layers of torch.nn.RNN, LSTM, GRU, Linear, Embedding, Conv1d, LayerNorm and BatchNorm1d, and what
            has no weights. The last three have settings that no state dict tells, their epsilon and padding.
        parts: a name for each layer with weights, in order; layers that share a name one after the other are those of
            one recurrent module (``num_layers``). None takes their places: "0", "2", ...
        tensors: as ``torch.Tensor``; False as NumPy arrays, for which PyTorch is not needed.

    Raises:
        ValueError: a layer that computes what PyTorch's do not.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.LSTM(4, name="lstm")])
        >>> list(fastrnn.interop.torch.to_state_dict(model, tensors=False))
        ['0.weight_ih_l0', '0.weight_hh_l0', '0.bias_ih_l0', '0.bias_hh_l0']
    """
    weighted = [(index, layer) for index, layer in enumerate(check_model(model).layers) if layer.parameters()]
    names = [str(index) for index, _ in weighted] if parts is None else [name.rstrip(".") for name in parts]
    if len(names) != len(weighted):
        raise ValueError(f"parts: expected {len(weighted)} names, one for each layer with weights, got {len(names)}")
    state: dict[str, Any] = {}
    depth = 0
    for place, (name, (_, layer)) in enumerate(zip(names, weighted, strict=True)):
        depth = depth + 1 if place and names[place - 1] == name else 0
        prefix = f"{name}." if name else ""
        for key, array in _state_of(layer, depth).items():
            if prefix + key in state:
                raise ValueError(f"parts: expected one name for each layer, got {name!r} twice")
            state[prefix + key] = np.asarray(array, order="C")
    _check_between(model)
    if tensors:
        torch = import_library("torch", "a state dict of tensors")
        return {name: torch.from_numpy(array.copy()) for name, array in state.items()}
    return state


def save(model: Sequential, path: PathLike, parts: Sequence[str] | None = None) -> None:
    """Write `to_state_dict(model, parts)` to a .safetensors or .pt file.

    Args:
        model: built, as in `to_state_dict`.
        path: ending in .safetensors or .pt.
        parts: as in `to_state_dict`.

    Raises:
        ValueError: another suffix, and as `to_state_dict`.
        ImportError: without safetensors, or torch for a .pt.
        OSError: if the file cannot be written.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.LSTM(4, name="lstm")])
        >>> fastrnn.interop.torch.save(model, "lstm.safetensors")
    """
    path = os.fspath(path)
    if suffix_of(path, (".safetensors", ".pt", ".pth")) == ".safetensors":
        blob = import_safetensors().numpy.save(to_state_dict(model, parts, tensors=False))
        write_file(path, lambda file: file.write(blob))
    else:
        torch = import_library("torch", "a .pt file")
        state = to_state_dict(model, parts)
        write_file(path, lambda file: torch.save(state, file))


def _state_of(layer: Layer, depth: int) -> dict[str, Array]:
    dense = dense_of(layer)
    if dense is not None:
        state = {"weight": dense.kernel.value.T}
        return state if dense.bias is None else {**state, "bias": dense.bias.value}
    if isinstance(layer, Conv1D):
        kernel, *bias = layer.get_weights()
        return {"weight": kernel.transpose(2, 1, 0), **({"bias": bias[0]} if bias else {})}
    if isinstance(layer, LayerNormalization | BatchNormalization):
        return _normalization_state(layer)
    if type(layer) is Embedding:
        return {"weight": parameters_of(layer)["embeddings"].value}
    if isinstance(layer, Bidirectional):
        if layer.merge_mode != "concat" or layer.forward_layer.go_backwards:
            raise ValueError(f"{layer.name}: PyTorch's bidirectional modules put outputs side by side, forward first")
        both = (("", layer.forward_layer), ("_reverse", layer.backward_layer))
        return {f"{k}{end}": a for end, part in both for k, a in _recurrent_state(part, depth).items()}
    return _recurrent_state(layer, depth)


def _normalization_state(layer: LayerNormalization | BatchNormalization) -> dict[str, Array]:
    own = {name: parameter.value for name, parameter in parameters_of(layer).items()}
    assert layer.built_shape is not None
    ones = np.ones(layer.built_shape[-1] or 0, layer.dtype)
    state = {"weight": own.get("gamma", ones), "bias": own.get("beta", 0 * ones)}
    if isinstance(layer, BatchNormalization):
        state |= {"running_mean": own["moving_mean"], "running_var": own["moving_variance"]}
        state["num_batches_tracked"] = np.zeros((), np.int64)
    return state


def _recurrent_state(layer: Any, depth: int) -> dict[str, Array]:
    check_plain(layer, "PyTorch", activation=("relu",) if layer.cell == "rnn" else (), weights=("w_hr",))
    weights = folded_biases(layer)
    if "b_ih" in weights:
        weights.setdefault("b_hh", np.zeros_like(weights["b_ih"]))
    return {f"{name}_l{depth}": weights[ours] for name, ours in NAMES.items() if ours in weights}


def _check_between(model: Sequential) -> None:
    """Layers that change what the weights meet, and that no state dict can tell."""
    for layer in model.layers:
        known = isinstance(layer, Activation | Dropout | Flatten)
        if isinstance(layer, MaxPooling1D | AveragePooling1D):
            known = layer.windows.padding == "valid"
        if not layer.parameters() and not known:
            raise ValueError(f"{layer.name}: PyTorch has no module as {type(layer).__name__}")
        if getattr(layer, "go_backwards", False):
            raise ValueError(f"{layer.name}: PyTorch has no module that reads backwards alone")
