"""Convolution, normalisation and pooling over time as ONNX nodes, which have time last."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...layers import AveragePooling1D, BatchNormalization, Conv1D, LayerNormalization, MaxPooling1D
from ...layers.windows import Windows
from ._graph_writer import Graph

__all__ = ["convolution", "layer_normalization", "pooling", "scaled"]


def convolution(graph: Graph, layer: Conv1D, x: str) -> str:
    """A Conv; the activation is not in it."""
    kernel, *bias = layer.get_weights()
    inputs = [graph.constant(kernel.transpose(2, 1, 0), "kernel"), *(graph.constant(b, "bias") for b in bias)]
    attributes = {"kernel_shape": [layer.windows.size], "dilations": [layer.windows.dilation], "group": layer.groups}
    return _time_last(graph, "Conv", x, inputs, attributes | _padding(layer.windows))


def pooling(graph: Graph, layer: MaxPooling1D | AveragePooling1D, x: str) -> str:
    """A MaxPool, or an AveragePool in which padding does not count, as is its default."""
    op = "MaxPool" if isinstance(layer, MaxPooling1D) else "AveragePool"
    return _time_last(graph, op, x, [], {"kernel_shape": [layer.windows.size], **_padding(layer.windows)})


def _padding(windows: Windows) -> dict[str, Any]:
    if windows.padding == "same" and windows.strides > 1:
        return {"strides": [windows.strides], "auto_pad": "SAME_UPPER"}  # depends on the number of steps
    return {"strides": [windows.strides], "pads": list(windows.pad(windows.span))}


def _time_last(graph: Graph, op: str, x: str, inputs: list[str], attributes: dict[str, Any]) -> str:
    moved = graph.node("Transpose", [x], perm=[0, 2, 1])
    return graph.node("Transpose", [graph.node(op, [moved, *inputs], **attributes)], perm=[0, 2, 1])


def layer_normalization(graph: Graph, layer: LayerNormalization, x: str) -> str:
    """A LayerNormalization, or what it consists of in opsets before 17."""
    assert layer.built_shape is not None
    ones = np.ones(layer.built_shape[-1] or 0)
    scale = ones if layer.gamma is None else layer.gamma.value
    shift = 0 * ones if layer.beta is None else layer.beta.value
    ends = [graph.constant(scale, "scale"), graph.constant(shift, "shift")]
    if graph.opset >= 17:
        return graph.node("LayerNormalization", [x, *ends], axis=-1, epsilon=layer.epsilon)
    centred = graph.node("Sub", [x, graph.reduce("ReduceMean", x, -1, keepdims=True)])
    variance = graph.reduce("ReduceMean", graph.node("Mul", [centred, centred]), -1, keepdims=True)
    spread = graph.node("Sqrt", [graph.node("Add", [variance, graph.constant(np.float64(layer.epsilon))])])
    return graph.node("Add", [graph.node("Mul", [graph.node("Div", [centred, spread]), ends[0]]), ends[1]])


def scaled(graph: Graph, layer: BatchNormalization, x: str) -> str:
    """A product and a sum, by the moving statistics."""
    factor = 1 / np.sqrt(layer.moving_variance.value.astype(np.float64) + layer.epsilon)
    if layer.gamma is not None:
        factor = factor * layer.gamma.value
    shift = -layer.moving_mean.value * factor
    if layer.beta is not None:
        shift = shift + layer.beta.value
    return graph.node("Add", [graph.node("Mul", [x, graph.constant(factor)]), graph.constant(shift)])
