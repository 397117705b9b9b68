"""What each operator of a graph becomes: elements moved, or native layers that compute.

https://onnx.ai/onnx/operators/ has their definitions. Every attribute and input is used or refused by name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._onnx_attributes import DEFAULT_ACTIVATIONS
from .._onnx_node import native_parameters
from ._convolutions import convolution, transposed_convolution
from ._elementwise import affine, arithmetic, clip, function, power
from ._emit import Emitter, GraphError
from ._nodes import Node, Results, Symbol, attributes_of, constant_of, given_constant, result_of, symbol_of
from ._products import dense, einsum, gemm, matmul, refuse_time_last

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


def _softmax(emit: Emitter, node: Node) -> Results:
    numbers = symbol_of(node, 0, "input")
    axis = attributes_of(node, axis=-1)["axis"] % numbers.ndim
    moved = np.moveaxis(numbers, axis, -1)
    step = emit.step(moved)
    refuse_time_last(step, moved)
    value = emit.add(emit.widths[step.value], [step.value], kind="softmax", width=numbers.shape[axis])
    (made,) = result_of(emit, value, step)
    return [Symbol(np.moveaxis(made.numbers, -1, axis))]


def _mean(whole: bool) -> Callable[[Emitter, Node], Results]:
    """ReduceMean, or (whole) GlobalAveragePool."""

    def apply(emit: Emitter, node: Node) -> Results:
        numbers = symbol_of(node, 0, "data")
        given = attributes_of(node) if whole else attributes_of(node, axes=None, keepdims=1, noop_with_empty_axes=0)
        if whole:
            axes = list(range(2, numbers.ndim))
        else:
            axes = given["axes"] if constant_of(node, 1, "axes") is None else given_constant(node, 1, "axes").tolist()
            if axes is None:
                axes = [] if given["noop_with_empty_axes"] else list(range(numbers.ndim))
        axes = sorted(a % numbers.ndim for a in axes)
        count = int(np.prod([numbers.shape[a] for a in axes]))
        moved = np.moveaxis(numbers, axes, range(numbers.ndim - len(axes), numbers.ndim))
        rest = moved.shape[: numbers.ndim - len(axes)]
        if count == 1:
            made = moved.reshape(rest)
        else:
            step = emit.step(moved)
            if step.axis is not None and step.axis >= len(rest):
                raise GraphError("it takes the mean over time, of which a stream has not seen the end")
            value = dense(emit, step, np.full((count, 1), 1 / count))
            made = emit.number(value, step.shape[: len(step.shape) - len(axes)], step.axis)
        if whole or given["keepdims"]:
            made = np.expand_dims(made, axes)
        return [Symbol(made)]

    return apply


# -- recurrence --------------------------------------------------------------------------------------------------------


def _recurrent(emit: Emitter, node: Node) -> Results:
    names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    if len(node.inputs) > len(names) or node.kind not in DEFAULT_ACTIVATIONS:
        raise GraphError(f"expected at most {len(names)} inputs, got {len(node.inputs)}")
    arrays = {name: constant_of(node, i, name) for i, name in enumerate(names) if i in (1, 2, 3, 7)}
    numbers = symbol_of(node, 0, "X")
    if node.attributes.get("layout", 0):
        raise GraphError("layout: expected 0")
    if node.attributes.get("direction", b"forward") not in (b"forward", "forward"):
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
    if numbers.shape[0] != emit.steps:
        raise GraphError(f"X: expected {emit.steps} steps along the first axis in this example, got {numbers.shape}")
    step = emit.step_along(numbers[:, 0], 0)
    layer = native_parameters(node.kind, {k: v for k, v in arrays.items() if v is not None}, node.attributes)
    hidden = layer["w_hh"].shape[1]
    value = emit.add(hidden, [step.value], **layer)
    y = emit.number(value, (1, 1, hidden), 0)  # (T, D, B, H)
    # Y, Y_h and Y_c: Y_h is y of the last step; the cell state is none of the model's values.
    return [Symbol(y), Symbol(y[-1]), Symbol(emit.state((1, 1, hidden)))][: max(node.outputs, 1)]


def _cast(emit: Emitter, node: Node) -> Results:
    floats = (1, 10, 11, 16)  # FLOAT, FLOAT16, DOUBLE, BFLOAT16
    if attributes_of(node, to=None, saturate=1)["to"] not in floats:
        raise GraphError("to: expected a type of floats")
    return [Symbol(symbol_of(node, 0, "input"))]


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
    "Add": arithmetic("add"),
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": clip,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Div": arithmetic("divide"),
    "Dropout": _dropout,
    "Einsum": einsum,
    "Elu": function("elu", ("alpha", 1.0)),
    "Exp": function("exponential"),
    "GRU": _recurrent,
    "Gemm": gemm,
    "GlobalAveragePool": _mean(True),
    "HardSigmoid": function("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "LSTM": _recurrent,
    "LayerNormalization": _layer_normalization,
    "LeakyRelu": function("leaky_relu", ("alpha", 0.01)),
    "MatMul": matmul,
    "Mul": arithmetic("multiply"),
    "Neg": function("affine", -1.0, 0.0),
    "Pow": power(None),
    "RNN": _recurrent,
    "ReduceMean": _mean(False),
    "Relu": function("relu"),
    "Selu": function("selu"),
    "Sigmoid": function("sigmoid"),
    "Softmax": _softmax,
    "Softplus": function("softplus"),
    "Softsign": function("softsign"),
    "Sqrt": power(0.5),
    "Sub": arithmetic("subtract"),
    "Tanh": function("tanh"),
}
