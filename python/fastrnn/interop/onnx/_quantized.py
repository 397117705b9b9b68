"""Weights of bytes, as onnxruntime's quantization writes them, as floats; x and h are not rounded to bytes here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._typing import Array
from ._convolutions import convolution
from ._emit import Emitter, GraphError
from ._nodes import Node, Results, attributes_of, constant_of, given_constant, symbol_of
from ._products import matmul

__all__ = ["dequantized", "dynamic_scale", "integer_product", "quantized_lstm"]


def dequantized(attributes: Mapping[str, Any], x: Any, scale: Any, zero: Any = 0) -> Array:
    """What DequantizeLinear gives, by one scale or one for each index of an axis: ONNX's reference has newer versions
    of it alone."""
    others = dict(attributes)
    axis = others.pop("axis", 1)
    if any(others.values()):
        raise GraphError(f"attributes {', '.join(others)} are not known")
    shape = [-1 if a == axis % x.ndim else 1 for a in range(x.ndim)] if np.ndim(scale) == 1 else [1] * np.ndim(x)
    scale, zero = (np.asarray(p, np.float32).reshape(shape) for p in (scale, 0 if zero is None else zero))
    return np.asarray((x.astype(np.float32) - zero) * scale)


def quantized_lstm(inputs: list[Any], attributes: dict[str, Any], outputs: int) -> Node:
    """An LSTM's inputs with W (D, I, 4H) and R (D, H, 4H) of bytes, then scale and zero point of W and of R."""
    x, w, r, *rest = inputs
    w_scale, w_zero, r_scale, r_zero = rest[5:9]

    def plain(q: Any, scale: Any, zero: Any) -> Array:
        scale, zero = (np.asarray(p, np.float32).reshape(len(q), 1, -1) for p in (scale, zero))
        return np.asarray(((q.astype(np.float32) - zero) * scale).transpose(0, 2, 1))

    given = [x, plain(w, w_scale, w_zero), plain(r, r_scale, r_zero), *rest[:5]]
    return Node("LSTM", given, attributes, outputs, 1)


def dynamic_scale(emit: Emitter, node: Node) -> Results:
    """DynamicQuantizeLinear would round x to bytes by a scale of its own: here it is x, by a scale of 1."""
    attributes_of(node)
    symbol_of(node, 0, "x")
    return [node.inputs[0], np.float32(1), np.uint8(0)][: node.outputs]


def integer_product(emit: Emitter, node: Node) -> Results:
    """MatMulInteger or ConvInteger of x, which stayed as it is, by weights of bytes less their zero points."""
    a_zero, b_zero = (constant_of(node, index, name) for index, name in ((2, "a_zero_point"), (3, "b_zero_point")))
    if a_zero is not None and np.any(a_zero):
        raise GraphError("a_zero_point: expected 0, that of DynamicQuantizeLinear")
    weights = given_constant(node, 1, "B").astype(np.float32)
    if b_zero is not None and node.kind == "ConvInteger":
        b_zero = np.reshape(b_zero, (-1, *[1] * (weights.ndim - 1)))  # one for all, or for each output channel
    if b_zero is not None:
        weights = weights - np.asarray(b_zero, np.float32)
    plain = node._replace(inputs=[node.inputs[0], weights])
    return convolution(emit, plain) if node.kind == "ConvInteger" else matmul(emit, plain)
