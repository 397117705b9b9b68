"""Saving and loading models.

One file holds the architecture (JSON), the weights under their own names, and, for a compiled model, what `compile` was
given, and the optimizer's state: its step counter, with the schedule's place, and its moments. `fit` on a loaded model
goes on from those. A model's file does not hold what belongs to one run of `fit`: epoch and batch, the order of the
examples, the place in the masks of dropout, the states of callbacks and of stateful layers. `fit(resume="folder")`
keeps all of it, and goes on to the bits of an unbroken run (`fastrnn.Checkpoints`). The suffix decides the container:

* `.npz`: NumPy's own, needs nothing else; its entries are stored uncompressed.
* `.safetensors`: https://github.com/huggingface/safetensors, needs `pip install fastrnn[io]`. The arrays have the
  same names; the JSON is the metadata entry "fastrnn", in the `.npz` the array of that name.

Neither can run code when it is read. A `.safetensors` file also has the metadata entry "fastrnn.native", by which C++
and C read it (docs/model-file.md): what runs step by step there is what this file holds, or the entry says why not.
`save_layers` writes such a file from arrays; `save_weights` writes the weights alone.

Weights are in the library's own layout (w_ih (G*H, I), gates i, f, g, o and r, z, n), which is PyTorch's. They are
finite: a model with a NaN or an infinity among its weights is neither saved nor loaded.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from .. import _file_writing
from .._core import Model
from .._file_reading import read_npz, read_safetensors
from .._file_writing import check_suffix, import_safetensors, suffix_of, write_file
from .._typing import Array, Config, PathLike
from ..layers.base import weights_from_file
from ..model import Sequential
from ..parameters import Parameter
from .described_layers import model_from_description
from .native_layers import describe_layers, describe_model

__all__ = ["check_path", "load_model", "load_weights", "save_layers", "save_model", "save_weights"]

_FORMAT_VERSION = 1
_CONFIG_KEY = "fastrnn"
_NATIVE_KEY = "fastrnn.native"
_T = TypeVar("_T")


def save_model(model: Sequential, path: PathLike, include_optimizer: bool = True) -> None:
    """Write a model to one file.

    The file is written under another name in the same folder and then renamed: an interrupted save leaves the one
    before as it was. It has the mode of the one before, and a link stays a link.

    Args:
        model: a built `Sequential`.
        path: ending in .npz or .safetensors.
        include_optimizer: also write what `compile` was given, and the optimizer's state.

    Raises:
        ValueError: for another suffix, a model not built, or weights that are not finite.
        ImportError: for .safetensors without the package of that name.
        OSError: if the file cannot be written.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)])
        >>> fastrnn.save_model(model, "model.npz")
        >>> fastrnn.load_model("model.npz").count_params() == model.count_params()
        True
    """
    path = os.fspath(path)
    suffix = check_suffix(path)
    parameters = _named_parameters(model)
    arrays = _finite_arrays(parameters)
    compile_config = _compile_config(model) if include_optimizer else None
    if compile_config is not None:
        arrays.update({f"optimizer/{key}": np.asarray(a) for key, a in model.optimizer.state_dict().items()})
    header = {"class_name": "Sequential", "config": model.get_config(), "compile": compile_config}
    _write(path, suffix, header, arrays, _native_entry(model, parameters) if suffix == ".safetensors" else {})


def save_weights(model: Sequential, path: PathLike) -> None:
    """Write the weights of a model alone to one file, for `load_weights` of a model of the same architecture.

    Arguments and errors as those of `save_model`.

    Args:
        model: built.
        path: ending in .npz or .safetensors.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)])
        >>> fastrnn.io.save_weights(model, "weights.npz")
    """
    path = os.fspath(path)
    suffix = check_suffix(path)
    _write(path, suffix, {"class_name": "Weights"}, _finite_arrays(_placed_parameters(model)), {})


def load_weights(model: Sequential, path: PathLike) -> None:
    """Set the weights of a built model from a file of `save_weights` or `save_model`.

    They are matched by the places of the layers, whatever the layers are called. Nothing is changed when one does not
    fit.

    Args:
        model: built, of the same layers.
        path: the file.

    Raises:
        ValueError: if the model is not built, the file is damaged, or an array is missing, superfluous or of another
            shape or dtype.
        ImportError, OSError: as `load_model`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)])
        >>> model.save_weights("weights.npz")
        >>> fastrnn.io.load_weights(model, "weights.npz")
    """
    path = os.fspath(path)
    wanted = _placed_parameters(model)
    header, arrays = _read(path)

    def restore() -> None:
        settings = _parse_header(header, ("Weights", "Sequential"))
        found = arrays
        if settings["class_name"] == "Sequential":
            source = _placed_parameters(_restore(settings, arrays, compile=False))
            found = {key: parameter.value for key, parameter in source.items()}
        _assign(wanted, found)

    _as_value_errors(path, restore)


def save_layers(path: PathLike, layers: Sequence[Mapping[str, Any]]) -> None:
    """Write layers given as arrays to one file, for `fastrnn::Model::load` in C++ and its likes in C and Python.

    For example::

        io.save_layers("model.safetensors", [
            {"cell": "lstm", "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh},
            {"kernel": kernel, "bias": bias, "activation": "softmax"},
        ])

    Args:
        path: ending in .safetensors.
        layers: in their order. A recurrent one is a dict of the arguments that ``pack_<cell>`` takes, and `cell`:
            "rnn", "lstm", "gru", "indrnn", "mgu" or "slstm". A dense one has `kernel` (I, O) and, if wished, `bias`
            (O,): y = x kernel + bias; with `groups` G the kernel is (I / G, O). Its `activation`, which may also be a
            layer by itself, is "softmax" or one of the cells'. Arrays are float32 or float64, those of a layer alike,
            and finite. docs/model-file.md has the kinds without a cell or a kernel, such as ``{"kind": "delay",
            "inputs": 3, "steps": 2}``, and `from`, the values that a layer reads where it is not the one before.

    Raises:
        ValueError, TypeError: naming the layer and the argument.
        ImportError: without the package safetensors.
        OSError: if the file cannot be written.

    Example:
        >>> layer = {"cell": "lstm", "w_ih": np.zeros((16, 3), np.float32), "w_hh": np.zeros((16, 4), np.float32)}
        >>> fastrnn.io.save_layers("layers.safetensors", [layer])
        >>> fastrnn.Model.load("layers.safetensors").output_size
        4
    """
    path = os.fspath(path)
    suffix_of(path, (".safetensors",))
    blob = pack_layers(layers)
    Model.load(blob)  # refuses what does not fit together
    write_file(path, lambda file: file.write(blob))


def pack_layers(layers: Sequence[Mapping[str, Any]]) -> bytes:
    """The file that `save_layers` writes, as bytes for `Model.load`, which checks how the layers fit together."""
    arrays, native = describe_layers(layers)
    return _pack(arrays, {_NATIVE_KEY: _json(native)})


def check_path(path: PathLike) -> None:
    """Raise what saving a model to `path` would raise for the path alone: before hours of training, not after them.

    Args:
        path: where the model will go.

    Raises:
        ValueError: for another suffix than .npz or .safetensors.
        ImportError: for .safetensors without the package of that name.
        OSError: if no file can be made in the folder, or something else than a file has that name.

    Example:
        >>> fastrnn.io.check_path("model.npz")
    """
    _file_writing.check_path(os.fspath(path))


def load_model(path: PathLike, compile: bool = True) -> Sequential:
    """Read a model written by `save_model`, ready to predict and, when it was compiled, to train on.

    A file of `save_layers` becomes a model of the same layers, whose recurrent ones give every step.

    Args:
        path: ending in .npz or .safetensors.
        compile: False leaves the model uncompiled.

    Raises:
        ValueError: if the file is no such model, is damaged, comes from a newer fastrnn, has a layer unknown here (see
            `fastrnn.layers.register_layer`), or an array is missing, superfluous, of another shape or dtype, or not
            finite. Nothing of any size is made on the word of the header alone.
        ImportError: for .safetensors without the package of that name.
        OSError: if the file cannot be read.

    Example:
        >>> fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4)]).save("loaded.npz")
        >>> fastrnn.load_model("loaded.npz").output_shape
        (None, 4)
    """
    path = os.fspath(path)
    header, arrays = _read(path)
    if header is None and check_suffix(path) == ".safetensors":
        native, arrays = read_safetensors(path, _NATIVE_KEY)
        if native is not None:
            return _as_value_errors(path, lambda: model_from_description(native, arrays))
    return _as_value_errors(path, lambda: _restore(_parse_header(header, ("Sequential",)), arrays, compile))


def _as_value_errors(path: str, restore: Callable[[], _T]) -> _T:
    """What the file says decides what `restore` calls, layers of a user's own among it: whatever fails is its fault."""
    try:
        return restore()
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _parse_header(header: str | None, classes: Sequence[str]) -> Config:
    if header is None:
        raise ValueError(f"expected a fastrnn model, found no entry {_CONFIG_KEY!r}")
    try:
        settings = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"damaged header: {error}") from None
    version = settings.get("format_version") if isinstance(settings, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"format_version: expected 1..{_FORMAT_VERSION}, got {version!r}")
    if version > _FORMAT_VERSION:
        raise ValueError(f"format_version: expected at most {_FORMAT_VERSION}, got {version} of a newer fastrnn")
    if settings.get("class_name") not in classes:
        raise ValueError(f"class_name: expected {' or '.join(map(repr, classes))}, got {settings.get('class_name')!r}")
    return dict(settings)


def _restore(settings: Config, arrays: dict[str, Array], compile: bool) -> Sequential:
    state = {key[len("optimizer/") :]: array for key, array in arrays.items() if key.startswith("optimizer/")}
    found = {key: array for key, array in arrays.items() if not key.startswith("optimizer/")}
    with weights_from_file(sum(array.nbytes for array in found.values())):
        model = Sequential.from_config(settings.get("config", {}))
    if not model.built:
        raise ValueError("config: expected the input_shape of a built model")
    _assign(_named_parameters(model), found)
    if compile and settings.get("compile") is not None:
        _restore_training(model, settings["compile"], state)
    return model


def _assign(wanted: Mapping[str, Parameter], found: Mapping[str, Array]) -> None:
    """Set the parameters once all arrays are known to fit."""
    for key, parameter in wanted.items():
        if key not in found:
            raise ValueError(f"missing array {key!r}")
        if found[key].shape != parameter.shape:
            raise ValueError(f"{key}: expected shape {parameter.shape}, got {found[key].shape}")
        if found[key].dtype != parameter.value.dtype:
            raise ValueError(f"{key}: expected dtype {parameter.value.dtype}, got {found[key].dtype}")
        _check_finite(key, found[key])
    for key in found:
        if key not in wanted:
            raise ValueError(f"unexpected array {key!r}")
    for key, parameter in wanted.items():
        parameter.assign(found[key])


def _check_finite(key: str, array: Array) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{key}: expected finite numbers, got {array[~finite][0]}")


def _finite_arrays(parameters: Mapping[str, Parameter]) -> dict[str, Array]:
    for key, parameter in parameters.items():
        _check_finite(key, parameter.value)
    return {key: parameter.value for key, parameter in parameters.items()}


def _restore_training(model: Sequential, settings: Any, state: dict[str, Array]) -> None:
    keys = ("optimizer", "loss", "metrics", "weighted_metrics")
    if not isinstance(settings, dict) or set(settings) != set(keys):
        raise ValueError(f"compile: expected the keys {', '.join(keys)}, got {settings!r}")
    model.compile(**settings)
    parameters = model.parameters()
    for key, array in state.items():
        position = key.partition("/")[0]
        if key == "iterations":
            if array.shape != () or array.dtype.kind not in "iu" or array < 0:
                raise ValueError(f"optimizer/iterations: expected an integer, got shape {array.shape}, {array.dtype}")
            continue
        if not position.isdigit() or int(position) >= len(parameters):
            raise ValueError(f"unexpected array 'optimizer/{key}'")
        value = parameters[int(position)].value
        if array.shape != value.shape or array.dtype != value.dtype:
            raise ValueError(f"optimizer/{key}: expected {value.dtype} {value.shape}, got {array.dtype} {array.shape}")
    model.optimizer.load_state_dict(state)


def _named_parameters(model: Sequential) -> dict[str, Parameter]:
    """Return "layers/<index>/<name>" for every weight; the index tells apart what names may not."""
    _check_built(model)
    named: dict[str, Parameter] = {}
    for index, layer in enumerate(model.layers):
        for parameter in layer.parameters():
            named[f"layers/{index}/{parameter.name}"] = parameter
    return named


def _placed_parameters(model: Sequential) -> dict[str, Parameter]:
    """Return "layers/<index>/<place>/<weight>" for every weight: what layers are called plays no part."""
    _check_built(model)
    return {
        f"layers/{index}/{place}/{parameter.own_name}": parameter
        for index, layer in enumerate(model.layers)
        for place, parameter in enumerate(layer.parameters())
    }


def _check_built(model: Sequential) -> None:
    if not model.built:
        raise ValueError("model: expected a built model; call build(input_shape) or give the data first")


def _compile_config(model: Sequential) -> Config | None:
    try:
        settings = model.get_compile_config()
        json.dumps(settings)
    except TypeError as error:
        warnings.warn(f"the model is saved without its training state: {error}", stacklevel=4)
        return None
    return settings


def native_model(model: Sequential, dtype: str, fast_activations: bool) -> Model:
    """What `Sequential.to_native` returns, by way of the file that `save_model` would write."""
    parameters = _named_parameters(model)
    arrays = {key: parameter.value for key, parameter in parameters.items()}
    return Model.load(_pack(arrays, _native_entry(model, parameters)), dtype, fast_activations)


def _native_entry(model: Sequential, parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """The metadata by which C++ and C read the model."""
    return {_NATIVE_KEY: _json(describe_model(model, {id(parameter): key for key, parameter in parameters.items()}))}


def _write(path: str, suffix: str, header: Config, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    text = json.dumps({"format_version": _FORMAT_VERSION, **header})
    if suffix == ".safetensors":
        blob = _pack(arrays, {_CONFIG_KEY: text, **metadata})
        write_file(path, lambda file: file.write(blob))
    else:
        entries: dict[str, Any] = {_CONFIG_KEY: np.array(text), **arrays}
        write_file(path, lambda file: np.savez(file, **entries))


def _pack(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    blob: bytes = import_safetensors().numpy.save(dict(arrays), metadata=dict(metadata))
    return blob


def _read(path: str) -> tuple[str | None, dict[str, Array]]:
    return (read_safetensors if check_suffix(path) == ".safetensors" else read_npz)(path, _CONFIG_KEY)


def _json(value: Config) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
