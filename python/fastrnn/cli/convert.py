"""``fastrnn convert IN OUT``: a model's file in another format."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .._core import Model
from ..interop import save
from ..interop import torch as torch_files
from ..interop.formats import cast
from ..interop.onnx import read_layers
from ..layers import Input, Masking
from ..model import Sequential
from ..saving import save_layers
from ._models import add_graph_options, add_parts, graph_options, is_graph, load_file

HELP = "write a model's file in another format"
DESCRIPTION = (
    "Read a model of fastrnn, Keras, PyTorch, RTNeural or NAM, and write it as the ending of OUT says: .npz or "
    ".safetensors (fastrnn's own), .keras, .h5, .onnx, .pt, .json (RTNeural's) or .nam. An ONNX graph becomes a "
    ".safetensors file that Session, C++ and C run: step by step, or on whole sequences if it needs later steps."
)
EXAMPLES = """examples:
  fastrnn convert model.keras model.safetensors
  fastrnn convert model.safetensors model.onnx --opset 17
  fastrnn convert vad.onnx vad.safetensors
  fastrnn convert silero_vad.onnx vad.safetensors --inputs sr=16000 input=1x576
  fastrnn convert model.npz stream.safetensors --without-masking
  fastrnn convert tagger.pt tagger.npz --parts embedding:kind=embedding lstm head:activation=softmax
  fastrnn verify model.keras model.safetensors      afterwards: do they compute the same?

exit status: 0, or 2 if IN cannot be read or OUT cannot hold the model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("source", metavar="IN")
    parser.add_argument("target", metavar="OUT")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="of the weights in OUT; default: as in IN")
    parser.add_argument("--opset", type=int, help="of an .onnx file; default: the newest of the package onnx")
    parser.add_argument("--names", choices=("fastrnn", "torch"), default="fastrnn",
                        help="whose names a .safetensors file has; default: %(default)s")  # fmt: skip
    parser.add_argument("--without-masking", action="store_true",
                        help="leave out Masking, so that the model runs step by step")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")
    add_parts(parser)
    add_graph_options(parser)


def command(options: dict[str, Any]) -> int:
    """Convert; return the exit status."""
    source, target = options["source"], options["target"]
    suffix = os.path.splitext(target)[1].lower()
    if os.path.exists(target) and not options["force"]:
        raise ValueError(f"{target}: it is there already; --force replaces it")
    if options["opset"] is not None and suffix != ".onnx":
        raise ValueError(f"opset: expected only for an .onnx file, got {target}")
    given = graph_options(options, source)
    if is_graph(source):
        return _layers_of_a_graph(source, target, given)
    model = load_file(source, options["parts"])
    if not isinstance(model, Sequential):
        raise ValueError(f"{source}: a native model that no layers in Python make cannot be written in another format")
    if options["without_masking"]:
        model = _without_masking(model, source)
    if options["dtype"] is not None:
        model = cast(model, options["dtype"])
    if options["names"] == "torch":
        if suffix != ".safetensors":
            raise ValueError(f"names: expected only for a .safetensors file, got {target}")
        torch_files.save(model, target)
    else:
        save(model, target, **({} if options["opset"] is None else {"opset": options["opset"]}))
    print(f"{target}: {model.count_params():,} parameters, {os.path.getsize(target):,} bytes")
    return 0


def _without_masking(model: Sequential, source: str) -> Sequential:
    """A copy of the other layers, with the same weights and metadata."""
    kept = [layer for layer in model.layers if not isinstance(layer, Masking)]
    if len(kept) == len(model.layers):
        raise ValueError(f"without-masking: expected a model with Masking, got {source} without")
    assert model.input_shape is not None
    copies = [type(layer).from_config(layer.get_config()) for layer in kept]
    twin = Sequential([Input(model.input_shape[1:]), *copies], name=model.name)
    twin.set_weights(model.get_weights())
    twin.metadata.update(model.metadata)
    return twin


def _layers_of_a_graph(source: str, target: str, given: dict[str, Any]) -> int:
    if os.path.splitext(target)[1].lower() != ".safetensors":
        raise ValueError(f"{target}: expected a name ending in .safetensors for what an ONNX graph becomes")
    layers = read_layers(source, **given)
    save_layers(target, layers)
    runs = "that run step by step" if Model.load(target).stepwise else "for whole sequences"
    print(f"{target}: {len(layers)} layers {runs}, {os.path.getsize(target):,} bytes")
    return 0
