"""Keras' files: configs and weights of .keras and .h5, read by h5py. The file is hostile until proved otherwise.

Nothing in it is run, no link is followed, and no dataset is read that has less in the file than its shape says.
"""

from __future__ import annotations

import io
import json
import mmap
import re
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .._file_reading import open_regular
from .._typing import Array, Config
from ..layers.base import snake_case
from ._layers import import_library

__all__ = ["KerasFile", "read_h5", "read_keras"]

_MOST_NODES = 100_000


class KerasFile(NamedTuple):
    """What a file says: the model's class and config, Keras' version, and each layer's arrays by the layer's name."""

    class_name: str
    config: Config
    version: str
    weights: dict[str, list[Array]]


def read_keras(path: str) -> KerasFile:
    """Read a .keras file: a zip of a config and the weights. ValueError if it is damaged."""
    h5py = import_library("h5py", "a .keras file")
    with open_regular(path) as file:
        try:
            entries = _unzip(file)
            saved = _json(entries["config.json"])
            version = str(_json(entries["metadata.json"]).get("keras_version", "3"))
            kind, config = str(saved["class_name"]), saved["config"]
            _check_heaps(entries["model.weights.h5"])
            with h5py.File(io.BytesIO(entries["model.weights.h5"]), "r") as stored:
                weights = _keras_weights(h5py, stored, _layer_entries(config))
        except Exception as error:  # h5py's and zipfile's errors for damaged files are of many classes
            raise ValueError(f"{path}: not a readable .keras file: {_text(error)}") from error
    return KerasFile(kind, config, version, weights)


def read_h5(path: str) -> KerasFile:
    """Read a .h5 file of a whole model, as Keras 2 and 3 write it. ValueError if it is damaged."""
    h5py = import_library("h5py", "a .h5 file")
    with open_regular(path) as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _check_heaps(content)
            with h5py.File(file, "r") as stored:
                if "model_config" not in stored.attrs:
                    raise ValueError("expected a whole model with its config, got weights alone")
                saved = _json(stored.attrs["model_config"])
                kind, config = str(saved["class_name"]), saved["config"]
                version = _decode(stored["model_weights"].attrs.get("keras_version", b"2"))
                weights = _h5_weights(h5py, stored["model_weights"])
        except Exception as error:
            raise ValueError(f"{path}: not a readable .h5 file: {_text(error)}") from error
    return KerasFile(kind, config, version, weights)


def _text(error: Exception) -> str:
    message = f"no entry {error}" if isinstance(error, KeyError) else str(error)
    return message.partition("\n")[0][:300] or type(error).__name__


# -- .keras ------------------------------------------------------------------------------------------------------------


def _unzip(file: Any) -> dict[str, bytes]:
    """The entries, which must be stored uncompressed, as Keras does, so that nothing unpacks to more than the file."""
    result = {}
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if entry.filename not in ("config.json", "metadata.json", "model.weights.h5"):
                raise ValueError(f"{entry.filename}: expected config.json, metadata.json and model.weights.h5 alone")
            if entry.filename in result:
                raise ValueError(f"{entry.filename}: expected one entry of this name, got two")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise ValueError(f"{entry.filename}: expected an entry that is stored uncompressed")
            result[entry.filename] = archive.read(entry)
    return result


def _layer_entries(config: Any) -> list[tuple[str, str]]:
    """Class and name of each layer of a model's config."""
    return [(str(entry["class_name"]), str(entry["config"]["name"])) for entry in config["layers"]]


# Where the variables of a layer's parts stand below its group, in the order of `get_weights`.
_PLACES = {
    "SimpleRNN": ("cell/vars",),
    "LSTM": ("cell/vars",),
    "GRU": ("cell/vars",),
    "Bidirectional": ("forward_layer/cell/vars", "backward_layer/cell/vars"),
    "TimeDistributed": ("layer/vars", "layer/cell/vars"),
}


def _keras_weights(h5py: Any, stored: Any, layers: list[tuple[str, str]]) -> dict[str, list[Array]]:
    found = dict(_datasets(h5py, stored))
    counts: dict[str, int] = {}
    weights: dict[str, list[Array]] = {}
    for class_name, name in layers:
        group = snake_case(class_name)
        count = counts.get(group, 0)
        counts[group] = count + 1
        group = f"{group}_{count}" if count else group
        weights[name] = []
        for place in _PLACES.get(class_name, ("vars",)):
            for index in range(len(found)):
                key = next((k for r in _ROOTS if (k := f"{r}/{group}/{place}/{index}") in found), None)
                if key is None:
                    break
                weights[name].append(_read(key, found.pop(key)))
    # Left aside is what only training needs: optimizers' moments, seeds of generators, counts of metrics.
    left = [key for key in found if not re.search(r"^(optimizer|metrics|compile_metrics|loss)/|seed_generator/", key)]
    if left:
        raise ValueError(f"expected every array to belong to a layer, got {', '.join(left[:8])} beside them")
    return weights


_ROOTS = ("layers", "_layer_checkpoint_dependencies")


# -- .h5 ---------------------------------------------------------------------------------------------------------------


def _h5_weights(h5py: Any, group: Any) -> dict[str, list[Array]]:
    found = dict(_datasets(h5py, group))
    weights: dict[str, list[Array]] = {}
    for layer in [*_names(group.attrs["layer_names"]), "top_level_model_weights"]:
        if layer not in group and layer == "top_level_model_weights":
            continue
        keys = [f"{layer}/{name}" for name in _names(group[layer].attrs["weight_names"])]
        weights[layer] = [_read(key, found.pop(key)) for key in keys]
    if weights.pop("top_level_model_weights", []):
        raise ValueError("expected weights of layers, got weights of the model itself")
    if found:
        raise ValueError(f"expected every array to belong to a layer, got {', '.join(list(found)[:8])} beside them")
    return weights


def _names(attribute: Any) -> list[str]:
    return [_decode(name) for name in attribute]


# -- HDF5 --------------------------------------------------------------------------------------------------------------


def _check_heaps(content: bytes | mmap.mmap) -> None:
    """ValueError if a heap of texts is damaged, which HDF5's library walks through without an end.

    "III.E. Disk Format: Level 1E - Global Heap" of its specification: a collection has a size and then objects, each
    with its index and size; index 0 is what is free, its header counted.
    """
    start = content.find(_HEAP)
    while start >= 0:
        place, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
        if end > len(content):
            raise ValueError(f"expected a heap of texts within the file, got one of {end - start} bytes at {start}")
        while end - place >= 16:
            index = int.from_bytes(content[place : place + 2], "little")
            size = int.from_bytes(content[place + 8 : place + 16], "little")
            room = size if index == 0 else 16 + -(-size // 8) * 8
            if not 16 <= room <= end - place:
                raise ValueError(
                    f"expected texts without gaps in the heap at {start}, got one of {size} bytes at {place}"
                )
            place += room
        start = content.find(_HEAP, start + 1)


_HEAP = b"GCOL\x01\0\0\0"


def _datasets(h5py: Any, root: Any) -> Iterator[tuple[str, Any]]:
    """Paths and datasets below a group, by hard links alone, which cannot point out of the file."""
    pending, count = [("", root)], 0
    while pending:
        path, group = pending.pop()
        for name in group:
            count += 1
            if count > _MOST_NODES or len(path) > 4096:
                raise ValueError(f"expected at most {_MOST_NODES} groups and arrays")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{path}{name}: expected no links to elsewhere")
            child = group[name]
            if isinstance(child, h5py.Group):
                pending.append((f"{path}{name}/", child))
            elif isinstance(child, h5py.Dataset):
                yield f"{path}{name}", child
            else:
                raise ValueError(f"{path}{name}: expected a group or an array")


def _read(path: str, dataset: Any) -> Array:
    if dataset.dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected numbers, got {dataset.dtype}")
    plain = dataset.id.get_create_plist().get_nfilters() == 0 and not dataset.external and not dataset.is_virtual
    if not plain or dataset.id.get_storage_size() < dataset.size * dataset.dtype.itemsize:
        raise ValueError(f"{path}: expected numbers that are stored uncompressed in the file, as Keras does")
    array: Array = np.asarray(dataset[()])
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _json(text: Any) -> Config:
    try:
        value = json.loads(_decode(text))
    except RecursionError:
        raise ValueError("expected JSON that is not nested so deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def _decode(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)
