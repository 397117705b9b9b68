"""A node of a graph as the operators read it: what depends on the model's input, constants, attributes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..._typing import Array
from ._emit import Emitter, GraphError, Numbers, Step

__all__ = ["Node", "Results", "Symbol", "attributes_of", "constant_of", "given_constant", "result_of", "symbol_of"]


class Symbol(NamedTuple):
    """A tensor that depends on the model's input: its elements by number. A NumPy array is a constant."""

    numbers: Numbers


class Node(NamedTuple):
    """A node with its inputs (None where one is left out), and how often the first of them is read in the graph."""

    kind: str
    inputs: list[Any]
    attributes: dict[str, Any]
    outputs: int
    readers: int
    opset: int = 1 << 30


Results = list[Any]


def attributes_of(node: Node, **known: Any) -> dict[str, Any]:
    """The attributes with their defaults; raises for one that is not known."""
    for name in node.attributes:
        if name not in known:
            raise GraphError(f"attribute {name}: expected {', '.join(known) or 'none'}")
    return {**known, **node.attributes}


def symbol_of(node: Node, index: int, name: str) -> Numbers:
    value = node.inputs[index]
    if not isinstance(value, Symbol):
        raise GraphError(f"{name}: expected what depends on the model's input, got a constant")
    return value.numbers


def constant_of(node: Node, index: int, name: str) -> Array | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    if isinstance(value, Symbol):
        raise GraphError(f"{name}: expected a constant, got what depends on the model's input")
    return value


def given_constant(node: Node, index: int, name: str) -> Array:
    value = constant_of(node, index, name)
    if value is None:
        raise GraphError(f"{name}: expected one, got none")
    return np.asarray(value)


def result_of(emit: Emitter, value: int, step: Step) -> Results:
    return [Symbol(emit.number(value, step.shape, step.axis))]
