"""A Sequential as an ONNX graph: input `x` (batch, time, I) or (batch, I), output `y`, batch and time of any size."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..._file_writing import suffix_of, write_file
from ..._typing import Array
from ...layers import (
    LSTM,
    Activation,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    LayerNormalization,
    MaxPooling1D,
    RepeatVector,
)
from ...layers.base import Layer
from ...layers.recurrent.base import Recurrent
from ...model import Sequential
from .._layers import check_model, check_plain, dense_of, folded_biases, import_library, parameters_of
from .._onnx_attributes import native_to_onnx
from ..conventions import CONVENTIONS, from_canonical
from ._graph_writer import Graph
from ._time_layers import convolution, layer_normalization, pooling, scaled

__all__ = ["save", "to_model"]

OLDEST_OPSET = 14
_OPERATORS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
# fastrnn's activation: the ONNX operator, and its attributes.
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "softmax": ("Softmax", {"axis": -1}),
    "log_softmax": ("LogSoftmax", {"axis": -1}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "elu": ("Elu", {}),
    "selu": ("Selu", {}),
    "exponential": ("Exp", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}


def to_model(model: Sequential, *, opset: int | None = None, dtype: str | None = None) -> Any:
    """Return an ``onnx.ModelProto``, checked by ``onnx.checker``.

    Args:
        model: built. Dropout does nothing; states begin at zero, or where the layers have learned ones.
        opset: of ONNX's own operators, 14 or later; None takes the newest that the installed package `onnx` has.
        dtype: "float32" or "float64"; None is the model's. (onnxruntime runs recurrent nodes in float32 alone.)

    Raises:
        ValueError: a layer or an option that ONNX's operators have not.
        ImportError: without the package onnx.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4, return_sequences=True)])
        >>> fastrnn.interop.onnx.to_model(model).graph.node[1].op_type
        'GRU'
    """
    onnx = import_library("onnx", "an ONNX model")
    layers = check_model(model).layers
    newest = onnx.defs.onnx_opset_version()
    opset = newest if opset is None else opset
    if not OLDEST_OPSET <= opset <= newest:
        raise ValueError(f"opset: expected {OLDEST_OPSET}..{newest}, got {opset}")
    dtype = layers[0].dtype if dtype is None else dtype
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {dtype!r}")
    graph = Graph(onnx, np.dtype(dtype), opset)
    shape = model.input_shape
    assert shape is not None
    value, axes = "x", len(shape)
    for layer in layers:
        value, axes = _add(graph, layer, value, axes)
    graph.node("Identity", [value], outputs=["y"])
    return graph.finish(model, integers=isinstance(layers[0], Embedding))


def save(
    model: Sequential, path: str | os.PathLike[str], *, opset: int | None = None, dtype: str | None = None
) -> None:
    """Write `to_model(...)` to a file. Errors as its, and OSError if it cannot be written.

    Args:
        model: built.
        path: of the .onnx file.
        opset, dtype: as in `to_model`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4, return_sequences=True)])
        >>> fastrnn.interop.onnx.save(model, "model.onnx")
    """
    path = os.fspath(path)
    suffix_of(path, (".onnx",))
    blob = to_model(model, opset=opset, dtype=dtype).SerializeToString()
    write_file(path, lambda file: file.write(blob))


def _add(graph: Graph, layer: Layer, x: str, axes: int) -> tuple[str, int]:
    """Append a layer's nodes. Returns the name of its output, and how many axes that has."""
    dense = dense_of(layer)
    if dense is not None:
        y = graph.node("MatMul", [x, graph.constant(dense.kernel.value, "kernel")])
        if dense.bias is not None:
            y = graph.node("Add", [y, graph.constant(dense.bias.value, "bias")])
        return _activate(graph, dense.activation.name, y, layer), axes
    if isinstance(layer, Bidirectional):
        return _bidirectional(graph, layer, x)
    if isinstance(layer, Recurrent):
        y = _recurrent(graph, layer, x, reverse=layer.go_backwards)
        if layer.go_backwards and layer.return_sequences:
            ends = [graph.constant(np.array([n])) for n in (-1, -(2**31), 1, -1)]  # reverses the time axis
            y = graph.node("Slice", [y, *ends])
        return y, 3 if layer.return_sequences else 2
    if type(layer) is Activation:
        return _activate(graph, layer.activation.name, x, layer), axes
    if type(layer) is Dropout:
        return x, axes
    if type(layer) is Embedding:
        if layer.mask_zero:
            raise ValueError(f"{layer.name}: ONNX has no masks; expected mask_zero=False")
        table = graph.constant(parameters_of(layer)["embeddings"].value, "table")
        return graph.node("Gather", [table, x]), axes + 1
    if isinstance(layer, Conv1D):
        return _activate(graph, layer.activation.name, convolution(graph, layer, x), layer), 3
    if isinstance(layer, LayerNormalization):
        return layer_normalization(graph, layer, x), axes
    if isinstance(layer, BatchNormalization):
        return scaled(graph, layer, x), axes
    if isinstance(layer, MaxPooling1D | AveragePooling1D):
        return pooling(graph, layer, x), 3
    if isinstance(layer, GlobalAveragePooling1D | GlobalMaxPooling1D):
        op = "ReduceMean" if isinstance(layer, GlobalAveragePooling1D) else "ReduceMax"
        return graph.reduce(op, x, 1, keepdims=layer.keepdims), 3 if layer.keepdims else 2
    if type(layer) is Flatten:
        return graph.node("Flatten", [x], axis=1), 2
    if type(layer) is RepeatVector:
        y = graph.node("Unsqueeze", [x, graph.constant(np.array([1]))])
        return graph.node("Tile", [y, graph.constant(np.array([1, layer.n, 1]))]), 3
    raise ValueError(f"{layer.name}: no ONNX operators do what {type(layer).__name__} does")


def _activate(graph: Graph, name: str, x: str, layer: Layer) -> str:
    if name == "linear":
        return x
    if name == "relu6":
        return graph.node("Clip", [x, graph.constant(np.float64(0)), graph.constant(np.float64(6))])
    if name not in _ACTIVATIONS:
        raise ValueError(f"{layer.name}: ONNX has no activation {name!r}")
    op, attributes = _ACTIVATIONS[name]
    return graph.node(op, [x], **attributes)


def _bidirectional(graph: Graph, layer: Bidirectional, x: str) -> tuple[str, int]:
    sides = (layer.forward_layer, layer.backward_layer)
    both = [_recurrent(graph, side, x, reverse=side.go_backwards) for side in sides]
    axes = 3 if layer.return_sequences else 2
    if layer.merge_mode == "concat":
        return graph.node("Concat", both, axis=axes - 1), axes
    y = graph.node("Mul" if layer.merge_mode == "mul" else "Add", both)
    if layer.merge_mode == "ave":
        y = graph.node("Mul", [y, graph.constant(np.float64(0.5))])
    return y, axes


def _recurrent(graph: Graph, layer: Recurrent, x: str, *, reverse: bool) -> str:
    """One direction: (batch, time, H) in the order of time, or (batch, H)."""
    check_plain(
        layer, "ONNX", activation=None, recurrent_activation=None, output_activation=None, coupled=(True,),
        reset=("before",), clip=None, weights=("w_peep", "h0", "c0"),
    )  # fmt: skip
    if layer.stateful:
        raise ValueError(f"{layer.name}: an ONNX graph carries nothing to the next call; expected stateful=False")
    op = _OPERATORS[layer.cell]
    weights = folded_biases(layer)
    arrays = from_canonical(CONVENTIONS["onnx"][layer.cell], weights, layer.units)
    steps = graph.node("Transpose", [x], perm=[1, 0, 2])
    inputs = [steps, *(graph.constant(arrays[n][np.newaxis], n) for n in ("w_ih", "w_hh", "b_ih"))]
    inputs += ["", *_states(graph, weights, x)]
    if "w_peep" in weights:
        if weights["w_peep"].ndim != 2:
            raise ValueError(f"{layer.name}: ONNX has no cell with peephole='full'")
        inputs += [""] * (7 - len(inputs))
        inputs.append(graph.constant(weights["w_peep"][[0, 2, 1]].reshape(1, -1), "w_peep"))  # i, f, o to i, o, f
    names = [graph.name("Y"), ""] if layer.return_sequences else ["", graph.name("Y_h")]
    y = graph.node(
        op, inputs, outputs=names, hidden_size=layer.units, direction="reverse" if reverse else "forward",
        **_attributes(layer),
    )  # fmt: skip
    if layer.return_sequences:  # (T, 1, B, H)
        squeezed = graph.node("Squeeze", [y, graph.constant(np.array([1]))])
        return graph.node("Transpose", [squeezed], perm=[1, 0, 2])
    return graph.node("Squeeze", [y, graph.constant(np.array([0]))])  # (1, B, H)


def _states(graph: Graph, weights: dict[str, Array], x: str) -> list[str]:
    """Learned states, spread over the batch."""
    states = [name for name in ("h0", "c0") if name in weights]
    if not states:
        return []
    batch = graph.node("Gather", [graph.node("Shape", [x]), graph.constant(np.array([0]))])
    result = []
    for name in states:
        ends = [graph.constant(np.array([1])), batch, graph.constant(np.array([len(weights[name])]))]
        shape = graph.node("Concat", ends, axis=0)
        result.append(graph.node("Expand", [graph.constant(weights[name].reshape(1, 1, -1), name), shape]))
    return result


def _attributes(layer: Recurrent) -> dict[str, Any]:
    options = layer.weight_options()
    attributes: dict[str, Any] = {}
    names = ["activation"] if layer.cell == "rnn" else ["recurrent_activation", "activation"]
    chosen = [options[name] for name in names]
    if isinstance(layer, LSTM):
        chosen.append(options.get("output_activation", options["activation"]))
        if layer.coupled:
            attributes["input_forget"] = 1
    if layer.cell == "gru":
        attributes["linear_before_reset"] = int(options["reset"] == "after")
    if options.get("clip") is not None:
        attributes["clip"] = options["clip"]
    try:
        return attributes | native_to_onnx(chosen)
    except ValueError as error:
        raise ValueError(f"{layer.name}: {error}") from None
