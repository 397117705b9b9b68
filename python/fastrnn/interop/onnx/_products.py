"""Products by a constant matrix, MatMul, Gemm, Einsum, and its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._typing import Array
from ._emit import Emitter, GraphError, Numbers, Step
from ._nodes import Node, Results, Symbol, attributes_of, constant_of, given_constant, result_of, symbol_of

__all__ = ["dense", "einsum", "embedding", "gemm", "matmul", "refuse_time_last"]


def dense(emit: Emitter, step: Step, kernel: Array, bias: Array | None = None) -> int:
    """Each row of the step, of kernel's height, times the kernel."""
    inputs, outputs = kernel.shape
    rows = emit.widths[step.value] // inputs
    layer: dict[str, Any] = {"kernel": np.ascontiguousarray(kernel, np.float32)}
    if bias is not None:
        layer["bias"] = np.ascontiguousarray(bias, np.float32)
    if rows > 1:
        layer["rows"] = rows
    return emit.add(rows * outputs, [step.value], **layer)


def refuse_time_last(step: Step, numbers: Numbers) -> None:
    if step.axis is not None and step.axis == numbers.ndim - 1:
        raise GraphError("the axis of time is the one that is summed over")


def matmul(emit: Emitter, node: Node) -> Results:
    attributes_of(node)
    numbers, kernel = symbol_of(node, 0, "A"), given_constant(node, 1, "B")
    if kernel.ndim != 2:
        raise GraphError(f"B: expected a matrix, got {kernel.shape}")
    step = emit.step(numbers)
    refuse_time_last(step, numbers)
    value = dense(emit, step, kernel)
    return result_of(emit, value, step._replace(shape=(*step.shape[:-1], kernel.shape[1])))


def embedding(emit: Emitter, node: Node) -> Results:
    """A Gather of a constant's rows by what depends on the model's input."""
    table, numbers = given_constant(node, 0, "data"), symbol_of(node, 1, "indices")
    if attributes_of(node, axis=0)["axis"] % max(table.ndim, 1):
        raise GraphError("axis: expected 0, the rows of the table")
    step = emit.step(numbers)
    rows = np.ascontiguousarray(table.reshape(len(table), -1), np.float32)
    inputs, outputs = emit.widths[step.value], rows.shape[1]
    value = emit.add(inputs * outputs, [step.value], kind="embedding", inputs=inputs, outputs=outputs, table=rows)
    return result_of(emit, value, step._replace(shape=(*step.shape, *table.shape[1:])))


def gemm(emit: Emitter, node: Node) -> Results:
    given = attributes_of(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    numbers, kernel = symbol_of(node, 0, "A"), given_constant(node, 1, "B")
    if given["transA"]:
        numbers = numbers.T
    if given["transB"]:
        kernel = kernel.T
    step = emit.step(numbers)
    refuse_time_last(step, numbers)
    bias = constant_of(node, 2, "C")
    if bias is not None:
        bias = np.broadcast_to(given["beta"] * bias, (1, kernel.shape[1]) if np.ndim(bias) < 2 else np.shape(bias))
        if len(bias) != 1:
            raise GraphError(f"C: expected one row, got {bias.shape}")
        bias = np.broadcast_to(bias[0], kernel.shape[1:])
    value = dense(emit, step, given["alpha"] * kernel, bias)
    return result_of(emit, value, step._replace(shape=(*step.shape[:-1], kernel.shape[1])))


def einsum(emit: Emitter, node: Node) -> Results:
    """One tensor of the model and one constant: a product for each index that both have and the result keeps."""
    equation = attributes_of(node, equation=b"")["equation"]
    equation = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "")
    if len(node.inputs) != 2 or equation.count(",") != 1 or "->" not in equation or "." in equation:
        raise GraphError(f"equation: expected one of two inputs with all axes named, got {equation!r}")
    (a, b), result = equation.split("->")[0].split(","), equation.split("->")[1]
    if isinstance(node.inputs[1], Symbol):
        node, a, b = node._replace(inputs=node.inputs[::-1]), b, a
    numbers, constant = symbol_of(node, 0, "inputs[0]"), given_constant(node, 1, "inputs[1]")
    if len({*a}) < len(a) or len({*b}) < len(b) or not {*result} <= {*a, *b} or len({*result}) < len(result):
        raise GraphError(f"equation: expected each axis once in an input and in the result, got {equation!r}")
    summed = [c for c in a if c in b and c not in result]
    shared = [c for c in a if c in b and c in result]
    own_a, own_b = [c for c in a if c not in b], [c for c in b if c not in a]
    if not summed or not {*own_a, *own_b} <= {*result}:
        raise GraphError(f"equation: expected a product that sums over axes of both inputs, got {equation!r}")
    numbers = np.moveaxis(numbers, [a.index(c) for c in shared + own_a + summed], range(len(a)))
    constant = np.moveaxis(constant, [b.index(c) for c in shared + summed + own_b], range(len(b)))
    axis_of_all = emit.time_axis(numbers)
    axis = None if axis_of_all is None else axis_of_all - len(shared)
    if axis is not None and not 0 <= axis < len(own_a):
        raise GraphError("the axis of time is one that the constant has too")
    extents = numbers.shape[: len(shared)]
    widths = constant.shape[len(shared) + len(summed) :]
    made = []
    for index in np.ndindex(*extents):
        step = emit.step_along(numbers[index], axis)
        height = int(np.prod(numbers.shape[len(shared) + len(own_a) :]))
        value = dense(emit, step, constant[index].reshape(height, -1))
        made.append(emit.number(value, (*step.shape[: len(step.shape) - len(summed)], *widths), step.axis))
    whole = np.stack(made).reshape(*extents, *made[0].shape)
    names = shared + own_a + own_b
    return [Symbol(np.moveaxis(whole, [names.index(c) for c in result], range(len(result))))]
