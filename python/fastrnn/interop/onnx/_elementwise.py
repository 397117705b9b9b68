"""Operators on each element: functions, powers, bounds, sums and products of two tensors or with constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._typing import Array
from ._emit import Emitter, GraphError, Numbers, Step, check_size
from ._nodes import Node, Results, Symbol, attributes_of, constant_of, given_constant, result_of, symbol_of

__all__ = [
    "absolute",
    "affine",
    "arithmetic",
    "bound",
    "clip",
    "function",
    "gated",
    "gelu",
    "kind_of",
    "power",
    "prelu",
]


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


def kind_of(kind: str) -> Callable[[Emitter, Node], Results]:
    """An elementwise layer without a number."""

    def apply(emit: Emitter, node: Node) -> Results:
        attributes_of(node)
        return [Symbol(emit.map(symbol_of(node, 0, "X"), kind=kind))]

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
        numbers, scale = emit.map(numbers, kind="power", number=-1.0), constant
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
    numbers = symbol_of(node, 0, "input")
    for index, name, kind in ((1, "min", "at_least"), (2, "max", "at_most")):
        constant = constant_of(node, index, name)
        limit = given[name] if constant is None else _only(name, constant)
        if limit is not None and np.isfinite(limit):
            numbers = emit.map(numbers, kind=kind, number=float(limit))
    return [Symbol(numbers)]


def bound(kind: str) -> Callable[[Emitter, Node], Results]:
    """The larger or smaller of a tensor and of numbers that are the same everywhere."""

    def apply(emit: Emitter, node: Node) -> Results:
        attributes_of(node)
        tensors = [index for index, value in enumerate(node.inputs) if isinstance(value, Symbol)]
        if len(tensors) != 1:
            raise GraphError("expected one input that depends on the model's, and numbers")
        numbers = node.inputs[tensors[0]].numbers
        for index, value in enumerate(node.inputs):
            if index != tensors[0]:
                limit = _only(f"data_{index}", value)
                if np.shape(value) and np.broadcast_shapes(numbers.shape, np.shape(value)) != numbers.shape:
                    raise GraphError(f"data_{index}: expected a number, got shape {np.shape(value)}")
                numbers = emit.map(numbers, kind=kind, number=limit)
        return [Symbol(numbers)]

    return apply


def _only(name: str, constant: Array) -> float:
    """The number that a constant holds once or many times."""
    values = np.unique(constant)
    if values.size != 1:
        raise GraphError(f"{name}: expected one number, got {values.size} that differ")
    return float(values[0])


# -- what consists of others -------------------------------------------------------------------------------------------


def absolute(emit: Emitter, node: Node) -> Results:
    attributes_of(node)
    numbers = symbol_of(node, 0, "X")
    above, below = (emit.map(numbers, kind=kind, number=0.0) for kind in ("at_least", "at_most"))
    return [Symbol(emit.combine("subtract", above, below))]


def gelu(emit: Emitter, node: Node) -> Results:
    """x / 2 * (1 + erf(x / sqrt(2))), or with tanh of a polynomial in place of erf."""
    kind = attributes_of(node, approximate=b"none")["approximate"]
    kind = kind.decode() if isinstance(kind, bytes) else kind
    numbers = symbol_of(node, 0, "X")
    if kind == "none":
        inner = emit.map(_scaled(emit, numbers, 0.5**0.5), kind="erf")
    elif kind == "tanh":
        cube = emit.combine("add", numbers, _scaled(emit, emit.map(numbers, kind="power", number=3.0), 0.044715))
        inner = emit.map(_scaled(emit, cube, (2 / np.pi) ** 0.5), activation="tanh")
    else:
        raise GraphError(f"approximate: expected none or tanh, got {kind}")
    return [Symbol(emit.combine("multiply", numbers, emit.map(inner, activation=("affine", 0.5, 0.5))))]


def _scaled(emit: Emitter, numbers: Numbers, factor: float) -> Numbers:
    return emit.map(numbers, activation=("affine", float(factor), 0.0))


def gated(*native: Any) -> Callable[[Emitter, Node], Results]:
    """x times a function of x."""

    def apply(emit: Emitter, node: Node) -> Results:
        attributes_of(node)
        numbers = gate = symbol_of(node, 0, "X")
        for activation in native:
            gate = emit.map(gate, activation=activation)
        return [Symbol(emit.combine("multiply", numbers, gate))]

    return apply


def prelu(emit: Emitter, node: Node) -> Results:
    """What is above zero, and what is below times a slope."""
    attributes_of(node)
    numbers = symbol_of(node, 0, "X")
    above, below = (emit.map(numbers, kind=kind, number=0.0) for kind in ("at_least", "at_most"))
    slope = np.asarray(given_constant(node, 1, "slope"), np.float64)
    (sloped,) = _with_constant(emit, node, "multiply", below, slope, False)
    return [Symbol(emit.combine("add", above, sloped.numbers))]
