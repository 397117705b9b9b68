"""Models as the commands take them: a file of any format, and what must be said beside it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from .._core import Model
from ..interop import load
from ..interop.formats import TORCH_SUFFIXES, is_own_file
from ..interop.torch import read_state
from ..model import Sequential

__all__ = [
    "add_graph_options",
    "add_parts",
    "format_of",
    "graph_options",
    "is_graph",
    "is_state_dict",
    "load_file",
    "parse_part",
    "read_state",
]

_FORMATS = {
    ".npz": "fastrnn", ".safetensors": "fastrnn", ".keras": "Keras", ".h5": "Keras", ".hdf5": "Keras", ".onnx": "ONNX",
    ".json": "RTNeural", ".nam": "Neural Amp Modeler", **dict.fromkeys(TORCH_SUFFIXES, "PyTorch"),
}  # fmt: skip
Part = tuple[str, Mapping[str, Any]]
MASKED = "; fastrnn convert --without-masking writes one for streams, which have no padded steps"


def add_parts(parser: argparse.ArgumentParser) -> None:
    """The option that names a state dict's parts."""
    parser.add_argument(
        "--parts", nargs="+", type=parse_part, metavar="NAME[:OPTION=VALUE,...]",
        help="of a PyTorch state dict: its parts in the order in which they run, as embedding:kind=embedding lstm "
        "head:activation=softmax",
    )  # fmt: skip


def add_graph_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what an ONNX graph leaves open."""
    parser.add_argument(
        "--inputs", nargs="+", type=_parse_input, metavar="NAME=VALUE", default=[],
        help="of an ONNX graph: a number fixes an input, as sr=16000; extents are the shape of its input, as 1x576",
    )  # fmt: skip
    parser.add_argument("--outputs", nargs="+", metavar="NAME", help="of an ONNX graph: those that the model gives")


def graph_options(options: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Those of `add_graph_options` as `interop.onnx.load` takes them. ValueError if given for another file."""
    inputs, outputs = dict(options["inputs"]), options["outputs"]
    if not is_graph(path):
        if inputs or outputs:
            raise ValueError(f"inputs, outputs: expected them with an .onnx file alone, got {path}")
        return {}
    return {"inputs": inputs, "outputs": outputs}


def is_graph(path: str) -> bool:
    """Whether a file is an ONNX graph by its name."""
    return path.lower().endswith(".onnx")


def _parse_input(text: str) -> tuple[str, Any]:
    """ "sr=16000" or "input=1x576", or "frame=576x" of one axis."""
    name, _, value = text.partition("=")
    try:
        if "x" in value:
            return name, tuple(int(extent) for extent in value.split("x") if extent)
        return name, float(value) if "." in value or "e" in value else int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER or NAME=EXTENTxEXTENT, got {text!r}") from None


def parse_part(text: str) -> Part:
    """A part of a state dict: "head:activation=softmax,return_sequences=false"."""
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"expected NAME:OPTION=VALUE, got {text!r}")
        options[key] = {"true": True, "false": False}.get(value.lower(), value)
    return name, options


def format_of(path: str) -> str:
    """What a file is called for people."""
    suffix = os.path.splitext(path)[1].lower()
    if is_state_dict(path):
        return "PyTorch"
    return _FORMATS.get(suffix, suffix)


def is_state_dict(path: str) -> bool:
    """Whether a file holds tensors under PyTorch's names, and not a model."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in TORCH_SUFFIXES or (suffix == ".safetensors" and not is_own_file(path))


def load_file(path: str, parts: list[Part] | None) -> Sequential | Model:
    """The model in a file. ValueError if `parts` are given for a file that needs none, and as `interop.load`."""
    if is_state_dict(path):
        return load(path, parts=parts)
    if parts is not None:
        raise ValueError(f"parts: expected none with a file of {format_of(path)}, which tells its layers itself")
    return load(path)
