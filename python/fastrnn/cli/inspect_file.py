"""``fastrnn inspect FILE``: the layers of a model's file, and what of it runs step by step."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from .._core import Model
from ..interop import load
from ..interop._layers import import_library
from ..interop.formats import native_layers
from ..layers import Masking
from ..model import Sequential
from ..saving.native_layers import stepwise
from ._console import one_line, show_table
from ._models import (
    add_graph_options,
    add_parts,
    format_of,
    graph_options,
    is_graph,
    is_state_dict,
    load_file,
    read_state,
)
from ._recipe import KEY, Recipe

HELP = "show what is in a model's file: layers, shapes, parameters, what runs step by step"
DESCRIPTION = (
    "Show a model's file, of fastrnn, Keras, PyTorch, ONNX, RTNeural or NAM: layers, shapes, dtypes, parameters, and "
    "which layers run step by step in a Session, in C++ and in C. Of a PyTorch state dict without --parts the tensors."
)
EXAMPLES = """examples:
  fastrnn inspect model.keras
  fastrnn inspect weights.safetensors
  fastrnn inspect silero_vad.onnx --inputs sr=16000 input=1x576
  fastrnn inspect tagger.pt --parts embedding:kind=embedding lstm head:activation=softmax

exit status: 0, or 2 if the file cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("file", metavar="FILE")
    add_parts(parser)
    add_graph_options(parser)


def command(options: dict[str, Any]) -> int:
    """Print; return the exit status."""
    path, parts = options["file"], options["parts"]
    if is_state_dict(path) and parts is None:
        return _show_tensors(path)
    given = graph_options(options, path)
    if is_graph(path):
        return _show_graph(path, given)
    model = load_file(path, parts)
    print(f"{path}: {format_of(path)}")
    if isinstance(model, Sequential):
        _show_layers(model)
    else:
        if path.lower().endswith(".safetensors"):
            _show_entries(native_layers(path))
        _show_native(model)
    return 0


_SIZES = (
    "inputs", "hidden", "outputs", "rows", "groups", "steps", "ahead", "size", "stride", "dilation", "before", "after",
)  # fmt: skip


def _show_entries(entries: list[dict[str, Any]]) -> None:
    rows = []
    for index, entry in enumerate(entries):
        own = [f"{name} {entry[name]}" for name in _SIZES if name in entry]
        reads = ", ".join(map(str, entry.get("from", [index])))
        rows.append((index + 1, entry.get("cell", entry["kind"]), reads, ", ".join(own)))
    show_table(("value", "layer", "of values", "sizes"), rows)


def _show_native(model: Model) -> None:
    print(f"{model.input_size} inputs, {model.output_size} outputs, {model.layers} recurrent layers")
    whole = "one output for a sequence" if not model.return_sequences else "one for each step"
    if model.return_sequences and model.output_steps(1000) < 1000:
        whole = "one for each window of steps"
    print(f"Runs step by step: {'yes' if model.stepwise else f'no, on whole sequences alone: {whole}'}")


def _show_layers(model: Sequential) -> None:
    rows, shape = [], model.input_shape
    assert shape is not None
    reasons = stepwise(model)
    for index, (layer, reason) in enumerate(zip(model.layers, reasons, strict=True)):
        shape = layer.compute_output_shape(shape)
        kind = type(layer).__name__
        steps = "no" if reason else "yes"
        rows.append((index, layer.name, kind, _shape(shape), layer.dtype, f"{layer.count_params():,}", steps))
    print(f"{model.name}: {_shape(model.input_shape)} to {_shape(model.output_shape)}")
    show_table(("# ", "layer", "kind", "output", "dtype", "parameters ", "step by step"), rows)
    size = sum(parameter.value.nbytes for parameter in model.parameters())
    print(f"{model.count_params():,} parameters, {size:,} bytes")
    refused = [f"{layer.name}: {why}" for layer, why in zip(model.layers, reasons, strict=True) if why]
    print(f"Runs step by step: {'no' if refused else 'yes'}")
    for line in refused:
        print(f"  {line}")
    if any(isinstance(layer, Masking) for layer in model.layers):
        print("  fastrnn convert --without-masking writes the model without it.")
    if KEY in model.metadata:
        print(Recipe.from_metadata(model.metadata, model.name).about())
    if model.metadata:
        print(f"Metadata: {', '.join(sorted(model.metadata))}")


def _shape(shape: tuple[int | None, ...] | None) -> str:
    names = ("batch", "time", "features")
    sizes = [names[min(k, 2)] if size is None else str(size) for k, size in enumerate(shape or ())]
    return f"({', '.join(sizes)})"


def _show_graph(path: str, given: dict[str, Any]) -> int:
    onnx = import_library("onnx", "an .onnx file")
    open(path, "rb").close()
    try:
        proto = onnx.load(path)
    except Exception as error:  # protobuf raises exceptions of its own classes
        raise ValueError(f"{path}: not readable by onnx: {error}") from error
    graph = proto.graph
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    versions = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in proto.opset_import)
    print(f"{path}: ONNX, a graph of {len(graph.node)} nodes, operators of {versions}")
    rows = [
        (node.op_type, node.name, " ".join(str(constants[name]) for name in node.input if name in constants))
        for node in graph.node
    ]
    show_table(("operator", "node", "constants"), rows)
    print(f"{sum(int(np.prod(shape)) for shape in constants.values()):,} numbers")
    try:
        model = load(path, **given)
    except ValueError as error:
        print(f"Runs step by step: no\n  {one_line(error)}")
    else:
        assert isinstance(model, Model)
        _show_native(model)
    return 0


def _show_tensors(path: str) -> int:
    state = read_state(path)
    print(f"{path}: PyTorch, a state dict of {len(state)} tensors")
    rows = [(name, str(array.shape), array.dtype, f"{array.size:,}") for name, array in state.items()]
    show_table(("tensor", "shape", "dtype", "numbers "), rows)
    print(f"{sum(int(np.prod(array.shape)) for array in state.values()):,} numbers")
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    print(f"Its parts: {' '.join(repr(name) for name in names)}. Say in which order they run, to see layers: --parts")
    return 0
