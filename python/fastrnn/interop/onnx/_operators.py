"""What each operator of a graph becomes: elements moved, or native layers that compute.

https://onnx.ai/onnx/operators/ has their definitions. Every attribute and input is used or refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._onnx_attributes import DEFAULT_ACTIVATIONS
from .._onnx_node import native_parameters
from ._convolutions import convolution, transposed_convolution
from ._elementwise import absolute, affine, arithmetic, bound, clip, function, gated, gelu, kind_of, power, prelu
from ._emit import Emitter, GraphError, Numbers, Step
from ._nodes import Node, Results, Symbol, attributes_of, constant_of, given_constant, result_of, symbol_of
from ._products import dense, einsum, gemm, matmul, refuse_time_last
from ._quantized import dynamic_scale, integer_product
from ._windows import pooling

__all__ = ["COMPUTES", "MOVES", "check_dropout"]

# Operators that only move elements, run by ONNX's reference on the elements' numbers; and how many of their first
# inputs may depend on the model's input (None: all).
MOVES = {
    "Concat": None,
    "DepthToSpace": 1,
    "Expand": 1,
    "Flatten": 1,
    "Gather": 1,
    "Identity": 1,
    "Pad": 1,
    "Reshape": 1,
    "Slice": 1,
    "SpaceToDepth": 1,
    "Split": 1,
    "Squeeze": 1,
    "Tile": 1,
    "Transpose": 1,
    "Unsqueeze": 1,
}


# -- normalizations, sums ----------------------------------------------------------------------------------------------


def _batch_normalization(emit: Emitter, node: Node) -> Results:
    given = attributes_of(node, epsilon=1e-5, momentum=0.9, spatial=1, training_mode=0)
    if given["training_mode"]:
        raise GraphError("training_mode: expected 0")
    scale, bias, mean, variance = (
        given_constant(node, i, name).astype(np.float64)
        for i, name in ((1, "scale"), (2, "B"), (3, "mean"), (4, "var"))
    )
    factor = scale / np.sqrt(variance + given["epsilon"])
    numbers = symbol_of(node, 0, "X")
    step = emit.step(np.moveaxis(numbers, 1, -1))
    (made,) = affine(emit, step, factor, bias - mean * factor)
    return [Symbol(np.moveaxis(made.numbers, -1, 1))]


def _layer_normalization(emit: Emitter, node: Node) -> Results:
    given = attributes_of(node, axis=-1, epsilon=1e-5, stash_type=1)
    numbers = symbol_of(node, 0, "X")
    scale = given_constant(node, 1, "Scale").reshape(-1)
    shift = constant_of(node, 2, "B")
    axis = given["axis"] % numbers.ndim
    if int(np.prod(numbers.shape[axis:])) != scale.size:
        raise GraphError(f"Scale: expected the shape of the axes from {axis} on, got {scale.size} numbers")
    step = emit.step(numbers)
    if step.axis is not None and step.axis >= axis:
        raise GraphError("the axis of time is one that is normalized over")
    layer = {
        "inputs": emit.widths[step.value],
        "number": float(given["epsilon"]),
        "scale": scale.astype(np.float32),
        "shift": np.zeros(scale.size, np.float32) if shift is None else shift.reshape(-1).astype(np.float32),
    }
    value = emit.add(emit.widths[step.value], [step.value], kind="layer_normalization", **layer)
    return result_of(emit, value, step)


def _softmax(kind: str) -> Callable[[Emitter, Node], Results]:
    def apply(emit: Emitter, node: Node) -> Results:
        numbers = symbol_of(node, 0, "input")
        axis = attributes_of(node, axis=-1 if node.opset >= 13 else 1)["axis"] % numbers.ndim
        if node.opset < 13 and axis != numbers.ndim - 1:
            raise GraphError(
                "axis: expected the last one in operator sets before 13, which take all axes behind it too"
            )
        moved = np.moveaxis(numbers, axis, -1)
        step = emit.step(moved)
        refuse_time_last(step, moved)
        value = emit.add(emit.widths[step.value], [step.value], kind=kind, width=numbers.shape[axis])
        (made,) = result_of(emit, value, step)
        return [Symbol(np.moveaxis(made.numbers, -1, axis))]

    return apply


def _reduction(name: str, pools: bool = False) -> Callable[[Emitter, Node], Results]:
    """The mean, sum or maximum over axes; of a pool over all behind the channels."""

    def apply(emit: Emitter, node: Node) -> Results:
        numbers = symbol_of(node, 0, "data")
        axes, keeps = (list(range(2, numbers.ndim)), True) if pools else _axes_of(node, numbers.ndim)
        if pools:
            attributes_of(node)
        moved = np.moveaxis(numbers, axes, range(numbers.ndim - len(axes), numbers.ndim))
        rest = moved.shape[: numbers.ndim - len(axes)]
        count = int(np.prod(moved.shape[len(rest) :]))
        made = moved.reshape(rest)[()] if count == 1 else _reduced(emit, moved, len(rest), name)
        return [Symbol(np.expand_dims(made, axes) if keeps else made)]

    return apply


def _axes_of(node: Node, axes_there: int) -> tuple[list[int], bool]:
    """The axes that a node reduces, and whether they stay with an extent of 1."""
    given = attributes_of(node, axes=None, keepdims=1, noop_with_empty_axes=0)
    axes = given["axes"] if constant_of(node, 1, "axes") is None else given_constant(node, 1, "axes").tolist()
    if axes is None:
        axes = [] if given["noop_with_empty_axes"] else range(axes_there)
    return sorted(a % axes_there for a in axes), bool(given["keepdims"])


def _reduced(emit: Emitter, moved: Numbers, kept: int, name: str) -> Numbers:
    """Reduce the axes behind the first `kept`."""
    step = emit.step(moved)
    shape, axis = step.shape, step.axis
    count = int(np.prod(shape[kept - (axis is not None and axis < kept) :]))
    value = step.value
    if axis is not None and axis >= kept:
        if not emit.whole:
            raise GraphError(f"it takes the {name} over time, of which a stream has not seen the end")
        if name == "sum":
            raise GraphError("axes: expected others than time, of which a sum is not known")
        value, axis = emit.whole_value(value, name), None
        count = int(np.prod(shape[kept:]))
    if count > 1 and name == "maximum":
        raise GraphError("axes: expected time alone for a maximum")
    if count > 1:
        kernel = np.full((count, 1), 1 / count if name == "mean" else 1.0)
        value = dense(emit, Step(value, shape, axis), kernel)
    return emit.number(value, shape[: kept - (axis is not None)], axis)


# -- recurrence --------------------------------------------------------------------------------------------------------


def _recurrent(emit: Emitter, node: Node) -> Results:
    names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    if len(node.inputs) > len(names) or node.kind not in DEFAULT_ACTIVATIONS:
        raise GraphError(f"expected at most {len(names)} inputs, got {len(node.inputs)}")
    arrays = {name: constant_of(node, i, name) for i, name in enumerate(names) if i in (1, 2, 3, 7)}
    numbers = symbol_of(node, 0, "X")
    if node.attributes.get("layout", 0):
        raise GraphError("layout: expected 0")
    backwards = _directions(node.attributes)
    if any(backwards) and not emit.whole:
        raise GraphError("direction: expected forward: a stream has no end to begin at")
    if constant_of(node, 4, "sequence_lens") is not None:
        raise GraphError("sequence_lens: expected none: a stream has no end")
    for index in (5, 6):
        state = node.inputs[index] if index < len(node.inputs) else None
        if isinstance(state, Symbol):
            if not emit.is_state(state.numbers):
                raise GraphError(
                    f"{names[index]}: expected zeros or an input of the model, got what the model computes"
                )
        elif state is not None and np.any(state):
            raise GraphError(f"{names[index]}: expected zeros or an input of the model, got other numbers")
    if numbers.ndim != 3 or numbers.shape[1] != 1:
        raise GraphError(f"X: expected (T, 1, I), got {numbers.shape}: the axis of time is not the first")
    steps = emit.extent(numbers)
    if numbers.shape[0] != steps:
        raise GraphError(f"X: expected {steps} steps along the first axis in this example, got {numbers.shape}")
    step = emit.step_along(numbers[:, 0], 0)
    layers = native_parameters(node.kind, {k: v for k, v in arrays.items() if v is not None}, node.attributes)
    hidden = layers[0]["w_hh"].shape[1]
    y, last = [], []
    for layer, backward in zip(layers, backwards, strict=True):
        source = emit.whole_value(step.value, "reverse") if backward else step.value
        value = emit.add(hidden, [source], **layer)
        last.append(emit.number(value, (1, 1, hidden), 0)[-1])
        if backward:
            value = emit.whole_value(value, "reverse")
        y.append(emit.number(value, (1, 1, hidden), 0))  # (T, D, B, H)
    # Y, Y_h and Y_c: Y_h is y of the last step; the cell state is none of the model's values.
    results = [np.concatenate(y, 1), np.concatenate(last), emit.state((len(layers), 1, hidden))]
    return [Symbol(numbers) for numbers in results[: max(node.outputs, 1)]]


def _directions(attributes: Mapping[str, Any]) -> list[bool]:
    """Of each direction, whether it begins at the end."""
    given = attributes.get("direction", b"forward")
    known = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    name = given.decode() if isinstance(given, bytes) else given
    if name not in known:
        raise GraphError(f"direction: expected one of {', '.join(known)}, got {name!r}")
    return known[name]


def _cast(emit: Emitter, node: Node) -> Results:
    floats, integers = (1, 10, 11, 16), (6, 7)  # FLOAT, FLOAT16, DOUBLE, BFLOAT16; INT32, INT64
    to = attributes_of(node, to=None, saturate=1)["to"]
    numbers = symbol_of(node, 0, "input")
    whole = emit.is_integer(numbers)
    if to not in floats and not (whole and to in integers):
        raise GraphError("to: expected a type of floats")
    return [Symbol(emit.map(numbers, activation="identity") if whole and to in floats else numbers)]


def _dropout(emit: Emitter, node: Node) -> Results:
    check_dropout(node)
    return [Symbol(symbol_of(node, 0, "data"))]


def check_dropout(node: Node) -> None:
    """Refuse one that draws: by its input training_mode, or by the attribute is_test of operator sets before 7."""
    given = attributes_of(node, ratio=0.5, seed=0, is_test=1, consumed_inputs=None)
    mode = constant_of(node, 2, "training_mode")
    if not given["is_test"]:
        raise GraphError("is_test: expected 1: a native model drops nothing")
    if mode is not None and np.any(mode):
        raise GraphError("training_mode: expected false: a native model drops nothing")


COMPUTES: dict[str, Callable[[Emitter, Node], Results]] = {
    "Abs": absolute,
    "Add": arithmetic("add"),
    "AveragePool": pooling("window_mean"),
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": clip,
    "Conv": convolution,
    "ConvInteger": integer_product,
    "ConvTranspose": transposed_convolution,
    "Div": arithmetic("divide"),
    "Dropout": _dropout,
    "DynamicQuantizeLinear": dynamic_scale,
    "Einsum": einsum,
    "Elu": function("elu", ("alpha", 1.0)),
    "Erf": kind_of("erf"),
    "Exp": function("exponential"),
    "GRU": _recurrent,
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": _reduction("mean", pools=True),
    "GlobalMaxPool": _reduction("maximum", pools=True),
    "HardSigmoid": function("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "HardSwish": gated(("hard_sigmoid", 1 / 6, 0.5)),
    "LSTM": _recurrent,
    "LayerNormalization": _layer_normalization,
    "LeakyRelu": function("leaky_relu", ("alpha", 0.01)),
    "Log": kind_of("log"),
    "LogSoftmax": _softmax("log_softmax"),
    "MatMul": matmul,
    "MatMulInteger": integer_product,
    "MaxPool": pooling("window_maximum"),
    "Max": bound("at_least"),
    "Min": bound("at_most"),
    "Mish": gated("softplus", "tanh"),
    "Mul": arithmetic("multiply"),
    "Neg": function("affine", -1.0, 0.0),
    "PRelu": prelu,
    "Pow": power(None),
    "RNN": _recurrent,
    "Reciprocal": power(-1.0),
    "ReduceMax": _reduction("maximum"),
    "ReduceMean": _reduction("mean"),
    "ReduceSum": _reduction("sum"),
    "Relu": function("relu"),
    "Selu": function("selu"),
    "Sigmoid": function("sigmoid"),
    "Softmax": _softmax("softmax"),
    "Softplus": function("softplus"),
    "Softsign": function("softsign"),
    "Sqrt": power(0.5),
    "Sub": arithmetic("subtract"),
    "Tanh": function("tanh"),
    "ThresholdedRelu": function("thresholded_relu", ("alpha", 1.0)),
}
