"""Saving and loading models.

One file holds the architecture (JSON), the weights under their own names, and, for a compiled model, the optimizer's
state, so that training goes on where it stopped. The suffix decides the container:

* `.npz`: NumPy's own, needs nothing else; read with allow_pickle=False.
* `.safetensors`: https://github.com/huggingface/safetensors, needs `pip install fastrnn[io]`. The arrays have the
  same names; the JSON is the metadata entry "fastrnn", in the `.npz` the array of that name.

Neither can run code when it is read. A `.safetensors` file also has the metadata entry "fastrnn.native", by which C++
and C read it (docs/model-file.md): what runs step by step there is what this file holds, or the entry says why not.
`save_layers` writes such a file from arrays.

Weights are in the library's own layout (w_ih (G*H, I), gates i, f, g, o and
r, z, n), which is PyTorch's. What stateful layers carry is not saved.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np

from .._core import Model
from .._typing import Array, Config
from ..model import Sequential
from ..parameters import Parameter
from .native_layers import describe_layers, describe_model

__all__ = ["load_model", "save_layers", "save_model"]

_FORMAT_VERSION = 1
_CONFIG_KEY = "fastrnn"
_NATIVE_KEY = "fastrnn.native"
_PathLike = Union[str, "os.PathLike[str]"]


def save_model(model: Sequential, path: _PathLike, include_optimizer: bool = True) -> None:
    """Write a model to one file.

    The file is written under another name in the same folder and then renamed: an interrupted save leaves the one
    before as it was.

    Args:
        model: a built `Sequential`.
        path: ending in .npz or .safetensors.
        include_optimizer: also write what `compile` was given, and the optimizer's state.

    Raises:
        ValueError: for another suffix or a model not built.
        ImportError: for .safetensors without the package of that name.
        OSError: if the file cannot be written.
    """
    path = os.fspath(path)
    suffix = _suffix(path)
    if not model.built:
        raise ValueError("model: expected a built model; call build(input_shape) or give the data first")
    parameters = _named_parameters(model)
    arrays = {key: parameter.value for key, parameter in parameters.items()}
    compile_config = _compile_config(model) if include_optimizer else None
    if compile_config is not None:
        arrays.update({f"optimizer/{key}": np.asarray(a) for key, a in model.optimizer.state_dict().items()})
    header = json.dumps(
        {
            "format_version": _FORMAT_VERSION,
            "class_name": "Sequential",
            "config": model.get_config(),
            "compile": compile_config,
        }
    )
    if suffix == ".safetensors":
        native = describe_model(model, {id(parameter): key for key, parameter in parameters.items()})
        _write_safetensors(path, arrays, {_CONFIG_KEY: header, _NATIVE_KEY: _json(native)})
    else:
        entries: dict[str, Any] = {_CONFIG_KEY: np.array(header), **arrays}
        _write(path, lambda file: np.savez(file, **entries))


def save_layers(path: _PathLike, layers: Sequence[Mapping[str, Any]]) -> None:
    """Write layers given as arrays to one file, which `fastrnn::Model::load` in C++ and its likes in C and Python read.

        io.save_layers("model.safetensors", [
            {"cell": "lstm", "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh},
            {"kernel": kernel, "bias": bias, "activation": "softmax"},
        ])

    Args:
        path: ending in .safetensors.
        layers: in their order. A recurrent one is a dict of the arguments that ``pack_<cell>`` takes, and `cell`:
            "rnn", "lstm", "gru", "indrnn", "mgu" or "slstm". A dense one has `kernel` (I, O) and, if wished, `bias`
            (O,): y = x kernel + bias. Its `activation`, which may also be a layer by itself, is "softmax" or one of
            the cells'. Arrays are float32 or float64, those of a layer alike, and finite.

    Raises:
        ValueError, TypeError: naming the layer and the argument.
        ImportError: without the package safetensors.
        OSError: if the file cannot be written.
    """
    path = os.fspath(path)
    if _suffix(path) != ".safetensors":
        raise ValueError(f"path: expected a name ending in .safetensors, got {path!r}")
    arrays, native = describe_layers(layers)
    _write_safetensors(path, arrays, {_NATIVE_KEY: _json(native)})


def load_model(path: _PathLike, compile: bool = True) -> Sequential:
    """Read a model written by `save_model`, ready to predict and, when it was compiled, to train on.

    Args:
        path: ending in .npz or .safetensors.
        compile: False leaves the model uncompiled.

    Raises:
        ValueError: if the file is no such model, is damaged, comes from a newer fastrnn, has a layer unknown here (see
            `fastrnn.layers.register_layer`), or an array is missing, superfluous or of another shape or dtype.
        ImportError: for .safetensors without the package of that name.
        OSError: if the file cannot be read.
    """
    path = os.fspath(path)
    header, arrays = (_read_safetensors if _suffix(path) == ".safetensors" else _read_npz)(path)
    try:
        return _restore(header, arrays, compile)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: {error}") from error


def _restore(header: str | None, arrays: dict[str, Array], compile: bool) -> Sequential:
    if header is None:
        raise ValueError(f"expected a fastrnn model, found no entry {_CONFIG_KEY!r}")
    try:
        settings = json.loads(header)
    except ValueError as error:
        raise ValueError(f"damaged header: {error}") from None
    version = settings.get("format_version") if isinstance(settings, dict) else None
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"format_version: expected 1..{_FORMAT_VERSION}, got {version!r}")
    if version > _FORMAT_VERSION:
        raise ValueError(f"format_version: expected at most {_FORMAT_VERSION}, got {version} of a newer fastrnn")
    if settings.get("class_name") != "Sequential":
        raise ValueError(f"class_name: expected 'Sequential', got {settings.get('class_name')!r}")
    model = Sequential.from_config(settings.get("config"))
    if not model.built:
        raise ValueError("config: expected the input_shape of a built model")
    wanted = _named_parameters(model)
    state = {key[len("optimizer/") :]: array for key, array in arrays.items() if key.startswith("optimizer/")}
    found = {key: array for key, array in arrays.items() if not key.startswith("optimizer/")}
    for key, parameter in wanted.items():
        if key not in found:
            raise ValueError(f"missing array {key!r}")
        if found[key].shape != parameter.shape:
            raise ValueError(f"{key}: expected shape {parameter.shape}, got {found[key].shape}")
        if found[key].dtype != parameter.value.dtype:
            raise ValueError(f"{key}: expected dtype {parameter.value.dtype}, got {found[key].dtype}")
    for key in found:
        if key not in wanted:
            raise ValueError(f"unexpected array {key!r}")
    for key, parameter in wanted.items():
        parameter.assign(found[key])
    if compile and settings.get("compile") is not None:
        _restore_training(model, settings["compile"], state)
    return model


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
    named: dict[str, Parameter] = {}
    for index, layer in enumerate(model.layers):
        for parameter in layer.parameters():
            named[f"layers/{index}/{parameter.name}"] = parameter
    return named


def _compile_config(model: Sequential) -> Config | None:
    try:
        settings = model.get_compile_config()
        json.dumps(settings)
    except TypeError as error:
        warnings.warn(f"the model is saved without its training state: {error}", stacklevel=4)
        return None
    return settings


def _suffix(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(f"path: expected a name ending in .npz or .safetensors, got {path!r}")
    return suffix


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "a .safetensors file needs an extra: pip install fastrnn[io]; a name ending in .npz needs none"
        ) from None
    return safetensors


def native_model(model: Sequential, dtype: str, fast_activations: bool) -> Model:
    """What `Sequential.to_native` returns, by way of the file that `save_model` would write."""
    if not model.built:
        raise ValueError("model: expected a built model; call build(input_shape) or give the data first")
    parameters = _named_parameters(model)
    native = describe_model(model, {id(parameter): key for key, parameter in parameters.items()})
    arrays = {key: parameter.value for key, parameter in parameters.items()}
    blob = _safetensors().numpy.save(arrays, metadata={_NATIVE_KEY: _json(native)})
    return Model.load(blob, dtype, fast_activations)


def _write(path: str, write: Any) -> None:
    """Call `write(file)` for a new file beside `path`, then put it in its place."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name on empty contents
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _write_safetensors(path: str, arrays: dict[str, Array], metadata: dict[str, str]) -> None:
    blob = _safetensors().numpy.save(arrays, metadata=metadata)
    _write(path, lambda file: file.write(blob))


def _json(value: Config) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _read_npz(path: str) -> tuple[str | None, dict[str, Array]]:
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        except (ValueError, EOFError, OSError, AttributeError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: not a readable .npz file: {error}") from error
    header = arrays.pop(_CONFIG_KEY, None)
    if header is None or header.dtype.kind != "U" or header.shape != ():
        return None, arrays
    return str(header[()]), arrays


def _read_safetensors(path: str) -> tuple[str | None, dict[str, Array]]:
    library = _safetensors()
    with open(path, "rb"):
        pass  # the library's own error for a missing file is no OSError
    try:
        with library.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
    except library.SafetensorError as error:
        raise ValueError(f"{path}: not a readable .safetensors file: {error}") from error
    return metadata.get(_CONFIG_KEY), arrays
