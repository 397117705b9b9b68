"""Files by their names' endings: one `load` and one `save` for every format that fastrnn reads and writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from .._core import Model
from .._file_reading import safetensors_metadata
from .._registry import choice_error
from .._typing import Config, PathLike
from ..model import Sequential
from ..saving import load_model
from . import keras, nam, onnx, rtneural, torch
from ._layers import LoadedLayer, assemble, check_model, parameters_of, with_dtype

__all__ = ["SUFFIXES", "TORCH_SUFFIXES", "cast", "is_own_file", "load", "save"]

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
SUFFIXES = (".npz", ".safetensors", ".keras", ".h5", ".hdf5", ".onnx", *TORCH_SUFFIXES, ".json", ".nam")


def load(path: PathLike, **options: Any) -> Sequential | Model:
    """Make a model of a file of any format.

    Args:
        path: ending in .npz or .safetensors (fastrnn's own; a .safetensors of PyTorch too), .keras, .h5, .hdf5, .pt,
            .pth, .bin, .ckpt (PyTorch's), .json (RTNeural's), .nam, or .onnx. Of .onnx, and of a .safetensors whose
            layers no `Sequential` has (what a graph became), a native `Model` is made.
        **options: of the format's own `load`, as ``parts=["lstm", "head"]`` of a state dict.

    Raises:
        ValueError: another ending, a damaged file, or one that holds what fastrnn has not.
        ImportError: without the package that reads the format.
        OSError: if the file cannot be read.

    Example:
        >>> fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)]).save("any.npz")
        >>> fastrnn.interop.load("any.npz").output_shape
        (None, 4)
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    readers: dict[str, Callable[..., Sequential | Model]] = {
        ".npz": load_model,
        ".keras": keras.load,
        ".h5": keras.load,
        ".hdf5": keras.load,
        ".json": rtneural.load,
        ".nam": nam.load,
        ".onnx": onnx.load,
        **dict.fromkeys(TORCH_SUFFIXES, torch.load),
    }
    if suffix == ".safetensors":
        return _load_own(path, **options) if is_own_file(os.fspath(path)) else torch.load(path, **options)
    if suffix not in readers:
        raise choice_error("path", sorted([*readers, ".safetensors"]), suffix or os.fspath(path))
    return readers[suffix](path, **options)


def _load_own(path: PathLike, **options: Any) -> Sequential | Model:
    """A file of `save_layers` may hold what no layers in Python make; then it is a native model."""
    try:
        return load_model(path, **options)
    except ValueError:
        if options or "fastrnn" in safetensors_metadata(os.fspath(path)):
            raise
        try:
            return Model.load(path)
        except ValueError:
            pass
        raise  # it is damaged


def native_layers(path: str) -> list[Config]:
    """The layers of a .safetensors file of fastrnn's as its native readers see them."""
    layers = json.loads(safetensors_metadata(path)["fastrnn.native"])["layers"]
    assert isinstance(layers, list)
    return layers


def is_own_file(path: str) -> bool:
    """Whether a .safetensors file is a model of fastrnn's, and not a dict of tensors. Errors as those of `load`."""
    return not {"fastrnn", "fastrnn.native"}.isdisjoint(safetensors_metadata(path))


def cast(model: Sequential, dtype: str) -> Sequential:
    """A copy of a built model whose layers compute in `dtype`, "float32" or "float64"."""
    shape = check_model(model).input_shape
    assert shape is not None
    layers = [
        LoadedLayer(with_dtype(layer, dtype), {name: p.value for name, p in parameters_of(layer).items()})
        for layer in model.layers
    ]
    result = assemble(shape[1:], layers, dtype, model.name, name=model.name, batch_size=shape[0])
    result.metadata = dict(model.metadata)
    return result


def save(model: Sequential, path: PathLike, **options: Any) -> None:
    """Write a model in the format that the ending names: those of `load`, .bin, .ckpt and .hdf5 left out, and .onnx.

    Args:
        model: built.
        path: .npz and .safetensors are fastrnn's own.
        **options: of the format's own `save`, as ``opset=17`` of ONNX.

    Raises:
        ValueError: another ending, or a layer that the format has not.
        ImportError: without the package that writes the format.
        OSError: if it cannot be written.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)])
        >>> fastrnn.interop.save(model, "other.npz")
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    writers: dict[str, Callable[..., None]] = {
        ".npz": Sequential.save,
        ".safetensors": Sequential.save,
        ".keras": keras.save,
        ".h5": keras.save,
        ".onnx": onnx.save,
        ".pt": torch.save,
        ".pth": torch.save,
        ".json": rtneural.save,
        ".nam": nam.save,
    }
    if suffix not in writers:
        raise choice_error("path", writers, suffix or os.fspath(path))
    writers[suffix](model, path, **options)
