"""A graph's inputs and outputs, with what a caller said of them: which axes may be that of time, what is fixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._constants import array_of

__all__ = ["Inputs"]

_FLOATS = (1, 10, 11)  # FLOAT, FLOAT16, DOUBLE
_INTEGERS = (6, 7)  # INT32, INT64


def _count_readers(graph: Any) -> Counter[str]:
    """How often each tensor is read, by nodes, by the branches of nodes, and as an output."""
    readers = Counter(value.name for value in graph.output)
    for node in graph.node:
        readers.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                readers += _count_readers(attribute.g)
    return readers


class Inputs:
    """A graph with what its caller said of its inputs."""

    def __init__(self, onnx: Any, proto: Any, given: dict[str, Any], outputs: Sequence[str] | None) -> None:
        self.onnx, self.proto = onnx, proto
        self.name = f"graph {proto.graph.name!r}"
        self.opsets = {o.domain: o.version for o in proto.opset_import}
        initializers = {tensor.name for tensor in proto.graph.initializer}
        self.constants = {tensor.name: array_of(onnx, tensor) for tensor in proto.graph.initializer}
        open_inputs = {value.name: value for value in proto.graph.input if value.name not in initializers}
        self.shapes: dict[str, list[int | None]] = {}
        self.symbols: dict[str, list[str]] = {}
        self.integers: set[str] = set()  # inputs of whole numbers
        self.fixed: list[str] = []  # inputs that the caller fixed
        for name, value in given.items():
            if name not in open_inputs:
                raise ValueError(f"inputs: expected names of {', '.join(open_inputs)}, got {name!r}")
            if not isinstance(value, tuple):
                kind = onnx.helper.tensor_dtype_to_np_dtype(open_inputs[name].type.tensor_type.elem_type)
                self.constants[name] = np.asarray(value, kind)
                self.fixed.append(name)
        for name, value in open_inputs.items():
            if name in self.constants:
                continue
            kind = value.type.tensor_type
            if kind.elem_type in _INTEGERS:
                self.integers.add(name)
            elif kind.elem_type not in _FLOATS:
                type_name = self.onnx.TensorProto.DataType.Name(kind.elem_type)
                raise ValueError(
                    f"{self.name}: input {name!r}: expected floats, or whole numbers that choose rows of a table, got "
                    f"{type_name}; if it is a setting, say which: {self.setting(name)}"
                )
            self.symbols[name] = [d.dim_param for d in kind.shape.dim]
            shape = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]
            if name in given:
                if len(given[name]) != len(shape):
                    raise ValueError(f"inputs: {name}: expected {len(shape)} axes, got {given[name]}")
                shape = list(given[name])
            self.shapes[name] = shape
        if not self.shapes:
            raise ValueError(f"{self.name}: expected an input that is not fixed")
        self.input = next(iter(self.shapes))
        self.readers = _count_readers(proto.graph)
        known = [value.name for value in proto.graph.output]
        for name in outputs or ():
            if name not in known:
                raise ValueError(f"outputs: expected names of {', '.join(known)}, got {name!r}")
        self.outputs = list(outputs) if outputs is not None else None
        self.known_outputs = known

    def setting(self, name: str) -> str:
        """How to fix an input, in Python and on the command line."""
        return f"inputs={{{name!r}: ...}}, --inputs {name}=..."

    def candidates(self) -> list[int | None]:
        """Axes of the input that may be that of time: those of any length. None, if there is none: a step is a call."""
        unknown = [axis for axis, extent in enumerate(self.shapes[self.input]) if extent is None]
        return list(unknown) or [None]

    def hint(self) -> str:
        """What a caller may have to say of a graph that could not be read."""
        if self.candidates() == [None] or len(self.shapes) == 1:  # without states a call has nothing to go on from
            return ""
        shape = "x".join(str(extent or "N") for extent in self.shapes[self.input])
        return (
            f"; if each call of this graph is a step, its input's shape has to be known: --inputs {self.input}={shape}"
        )

    def streams(self, axis: int | None) -> dict[str, int | None]:
        """The inputs that a step reads, with their axes of time: the first, and those whose axis has the same name."""
        symbol = self.symbols[self.input][axis] if axis is not None else ""
        streams = {self.input: axis}
        for name, symbols in self.symbols.items():
            if symbol and symbol in symbols:
                streams[name] = symbols.index(symbol)
        return streams
