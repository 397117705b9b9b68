"""What a graph's nodes make of constants, and of the numbers of elements that they only move: ONNX's own reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._typing import Array
from ._emit import ZERO, GraphError, check_size
from ._nodes import Symbol
from ._operators import MOVES
from ._quantized import dequantized

__all__ = ["Reference", "array_of", "one_line"]


def array_of(onnx: Any, tensor: Any) -> Array:
    """A tensor of a graph as an array."""
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise GraphError(f"tensor {tensor.name!r}: expected one that onnx can read ({reason})") from None


def one_line(text: object) -> str:
    """A text, of an error or from a file, in one line."""
    return " ".join(str(text).split())


def _check_growth(kind: str, inputs: Sequence[Any]) -> None:
    """Refuse what makes a large tensor of little, before it is made."""
    if kind == "ConstantOfShape":
        check_size(np.asarray(inputs[0]).reshape(-1))
    elif kind == "Expand":
        check_size(np.maximum(1, np.abs(np.asarray(inputs[1]).reshape(-1))))
        check_size([np.size(inputs[0]) * int(np.prod(np.abs(np.asarray(inputs[1], np.float64)).clip(1)))])
    elif kind == "Tile":
        check_size([np.size(inputs[0]), *np.asarray(inputs[1]).reshape(-1)])
    elif kind == "Range":
        start, stop, step = (float(np.asarray(value).reshape(-1)[0]) for value in inputs)
        check_size([0 if step == 0 else int(min(max((stop - start) / step, 0), 2**40))])


class Reference:
    """ONNX's reference, for a graph of some operator sets."""

    def __init__(self, onnx: Any, opsets: Any) -> None:
        self.onnx, self.opsets = onnx, opsets

    def attributes(self, node: Any) -> dict[str, Any]:
        """The attributes of a node."""
        return {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    def fold(self, node: Any, inputs: Sequence[Array | None]) -> list[Array]:
        """What a node gives for constants, by ONNX's reference."""
        feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
        _check_growth(node.op_type, inputs)
        if node.op_type == "DequantizeLinear":
            return [dequantized(self.attributes(node), *inputs)]
        try:
            # A model of the one node: given a node alone, the reference of ONNX 1.22 forgets the operator set.
            helper = self.onnx.helper
            named = [helper.make_value_info(name, self.onnx.TypeProto()) for name in (*feeds, *node.output)]
            graph = helper.make_graph([node], "folded", named[: len(feeds)], named[len(feeds) :])
            model = helper.make_model(graph, opset_imports=self.opsets)
            return list(self.onnx.reference.ReferenceEvaluator(model).run(None, feeds))
        except Exception as error:  # ONNX's reference evaluator may raise anything
            raise GraphError(f"its constants could not be folded ({type(error).__name__}: {one_line(error)})") from None

    def move(self, node: Any, inputs: list[Any]) -> list[Any]:
        """What a node that only moves elements makes of their numbers."""
        first = MOVES[node.op_type]
        for index, value in enumerate(inputs):
            if isinstance(value, Symbol) and first is not None and index >= first:
                raise GraphError(f"input {index}: expected a constant, got what depends on the model's input")
            if first is None and not isinstance(value, Symbol):
                if np.any(value):
                    raise GraphError(f"input {index}: a constant beside what depends on the model's input is not known")
                inputs[index] = Symbol(np.full(np.shape(value), ZERO, np.int64))
        if node.op_type == "Pad":
            return [Symbol(self._pad(node, inputs))]
        feeds = [value.numbers if isinstance(value, Symbol) else value for value in inputs]
        return [Symbol(np.asarray(result)) for result in self.fold(node, feeds)]

    def _pad(self, node: Any, inputs: list[Any]) -> Array:
        attributes = self.attributes(node)
        mode = attributes.get("mode", b"constant").decode()
        numbers = inputs[0].numbers
        pads = np.asarray(inputs[1] if len(inputs) > 1 else attributes["pads"]).tolist()
        fill = inputs[2] if len(inputs) > 2 and inputs[2] is not None else attributes.get("value", 0)
        axes = [int(a) % numbers.ndim for a in inputs[3]] if len(inputs) > 3 else list(range(numbers.ndim))
        edges = [(0, 0)] * numbers.ndim
        cut = [slice(None)] * numbers.ndim
        for k, axis in enumerate(axes):
            before, after = int(pads[k]), int(pads[len(axes) + k])
            edges[axis] = (max(before, 0), max(after, 0))
            cut[axis] = slice(max(-before, 0), numbers.shape[axis] - max(-after, 0))
        numbers = numbers[tuple(cut)]
        check_size(n + before + after for n, (before, after) in zip(numbers.shape, edges, strict=True))
        if mode == "constant":
            if np.any(fill):
                raise GraphError("constant_value: expected 0")
            return np.pad(numbers, edges, constant_values=ZERO)
        if mode not in ("reflect", "edge", "wrap"):
            raise GraphError(f"mode: expected constant, reflect, edge or wrap, got {mode}")
        return np.pad(numbers, edges, mode=mode)
