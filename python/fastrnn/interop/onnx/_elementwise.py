"""Operators on each element: functions, powers, sums and products of two tensors or with constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._typing import Array
from ._emit import Emitter, GraphError, Numbers, Step, check_size
from ._nodes import Node, Results, Symbol, attributes_of, constant_of, given_constant, result_of, symbol_of

__all__ = ["affine", "arithmetic", "clip", "function", "power"]


def function(*native: Any) -> Callable[[Emitter, Node], Results]:
    """An activation of the cells; numbers that are texts are attributes, with their defaults."""
    name, *numbers = native
    defaults: dict[str, float] = dict(n for n in numbers if isinstance(n, tuple))

    def apply(emit: Emitter, node: Node) -> Results:
        given = attributes_of(node, **defaults)
        values = [given[n[0]] if isinstance(n, tuple) else n for n in numbers]
        activation = (name, *map(float, values)) if values else name
        return [Symbol(emit.map(symbol_of(node, 0, "X"), activation=activation))]

    return apply


def power(exponent: float | None) -> Callable[[Emitter, Node], Results]:
    def apply(emit: Emitter, node: Node) -> Results:
        attributes_of(node)
        number = exponent
        if number is None:
            given = given_constant(node, 1, "Y")
            if given.size != 1:
                raise GraphError(f"Y: expected one exponent, got {given.shape}")
            number = float(given.reshape(()))
        return [Symbol(emit.map(symbol_of(node, 0, "X"), kind="power", number=number))]

    return apply


def arithmetic(kind: str) -> Callable[[Emitter, Node], Results]:
    def apply(emit: Emitter, node: Node) -> Results:
        attributes_of(node)
        a, b = node.inputs
        if isinstance(a, Symbol) and isinstance(b, Symbol):
            check_size(np.broadcast_shapes(a.numbers.shape, b.numbers.shape))
            return [Symbol(emit.combine(kind, *np.broadcast_arrays(a.numbers, b.numbers)))]
        symbol, constant = (a, b) if isinstance(a, Symbol) else (b, a)
        return _with_constant(emit, node, kind, symbol.numbers, np.asarray(constant, np.float64), symbol is b)

    return apply


def _with_constant(
    emit: Emitter, node: Node, kind: str, numbers: Numbers, constant: Array, constant_first: bool
) -> Results:
    """`scale * x + shift`: what adding, subtracting, multiplying and dividing by numbers are."""
    scale = shift = None
    if kind == "add":
        shift = constant
    elif kind == "subtract":
        shift, scale = (constant, np.array(-1.0)) if constant_first else (-constant, None)
    elif kind == "multiply":
        scale = constant
    elif constant_first:
        raise GraphError("A: a constant divided by what depends on the model's input is not known")
    else:
        scale = 1 / constant
    shape = np.broadcast_shapes(numbers.shape, constant.shape)
    check_size(shape)
    numbers = np.broadcast_to(numbers, shape)
    step = emit.step(numbers)
    scales = np.ones(1) if scale is None else _of_a_step(scale, shape, step.axis)
    shifts = np.zeros(1) if shift is None else _of_a_step(shift, shape, step.axis)
    fused = emit.layers[-1] if emit.layers and step.value == len(emit.layers) else None
    if fused and scale is None and node.readers == 1 and "kernel" in fused and "bias" not in fused:
        outputs = fused["kernel"].shape[1]
        bias = _period(shifts, outputs)
        if bias is not None:
            fused["bias"] = bias.astype(np.float32)
            return result_of(emit, step.value, step)
    width = step.shape[-1] if step.shape else 1
    row = _period(scales, width), _period(shifts, width)
    if row[0] is not None and row[1] is not None:
        return affine(emit, step, row[0], row[1])
    width = emit.widths[step.value]
    return affine(emit, step, np.resize(scales, width), np.resize(shifts, width))


def affine(emit: Emitter, step: Step, scale: Array, shift: Array) -> Results:
    width = emit.widths[step.value]
    layer = {"inputs": width, "scale": scale.astype(np.float32), "shift": shift.astype(np.float32)}
    return result_of(emit, emit.add(width, [step.value], kind="affine", **layer), step)


def _of_a_step(constant: Array, shape: tuple[int, ...], axis: int | None) -> Array:
    """The elements that a constant has for one step, in their order."""
    whole = np.broadcast_to(constant, shape)
    if axis is None:
        return np.asarray(whole.reshape(-1))
    steps = np.moveaxis(whole, axis, 0).reshape(shape[axis], -1)
    if (steps != steps[0]).any():
        raise GraphError("a constant that is another for each step of the sequence is not known")
    return np.asarray(steps[0])


def _period(row: Array, width: int) -> Array | None:
    """The row's first `width` elements, if it repeats them."""
    if row.size == 1:
        return np.resize(row, width)
    rows = row.reshape(-1, width) if row.size % width == 0 else None
    return None if rows is None or (rows != rows[0]).any() else rows[0]


def clip(emit: Emitter, node: Node) -> Results:
    given = attributes_of(node, min=None, max=None)
    least, most = (
        given[name] if constant_of(node, index, name) is None else float(given_constant(node, index, name).reshape(()))
        for index, name in ((1, "min"), (2, "max"))
    )
    numbers = symbol_of(node, 0, "input")
    if least is None and most is None:
        return [Symbol(numbers)]
    if least is None or most is None or not np.isfinite([least, most]).all():
        if least == 0 and (most is None or most == np.inf):
            return function("relu")(emit, Node("Relu", node.inputs[:1], {}, 1, 1))
        raise GraphError(f"min, max: expected both, or a minimum of 0, got {least} and {most}")
    # least + (most - least) * clamp((x - least) / (most - least), 0, 1)
    span = most - least
    step = emit.step(numbers)
    width = emit.widths[step.value]
    unit = emit.add(width, [step.value], activation=("hard_sigmoid", 1 / span, -least / span))
    return result_of(emit, emit.add(width, [unit], activation=("affine", span, least)), step)
