"""One walk through a graph's nodes, for an example of so many steps: each becomes native layers, or is refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._constants import Reference, array_of, one_line
from ._emit import Emitter, GraphError
from ._inputs import Inputs
from ._nodes import Node, Symbol
from ._operators import COMPUTES, MOVES, check_dropout
from ._products import embedding
from ._quantized import quantized_lstm

__all__ = ["Walked", "walk"]


class Walked(NamedTuple):
    """What a walk found."""

    layers: list[dict[str, Any]]
    outputs: dict[str, int | None]  # what y consists of, with the axis of time; None: of the last step or of all


def walk(inputs: Inputs, steps: int, axis: int | None, whole: bool = False) -> Walked:
    """The layers, for an example with so many steps along that axis of the input; `whole` as of an Emitter.

    Raises:
        GraphError: what no native layer does; its `reached` tells how far the walk came.
    """
    streams = inputs.streams(axis)
    of_step = {
        name: tuple(1 if extent is None else extent for a, extent in enumerate(inputs.shapes[name]) if a != time)
        for name, time in streams.items()
    }
    emit = Emitter(steps, sum(int(np.prod(shape)) for shape in of_step.values()), whole)
    values: dict[str, Any] = dict(inputs.constants)
    first = 0
    for name, shape in of_step.items():
        values[name] = Symbol(emit.number(0, shape, streams[name]) + first)
        if name in inputs.integers:
            emit.integers.update(range(first, first + int(np.prod(shape))))
        first += int(np.prod(shape))
    for name, extents in inputs.shapes.items():
        if name not in streams:
            if name in inputs.integers:
                raise GraphError(
                    f"input {name!r}: expected whole numbers for each step, or a setting: {inputs.setting(name)}"
                )
            values[name] = Symbol(emit.state(tuple(1 if e is None else e for e in extents)))
    walker = _Walk(inputs, emit)
    try:
        walker.run(inputs.proto.graph, values)
        return walker.finish(values)
    except GraphError as error:
        error.reached = walker.reached + (axis is not None), whole  # type: ignore[attr-defined]
        raise


class _Walk:
    """The nodes so far, and what their tensors are."""

    def __init__(self, inputs: Inputs, emit: Emitter) -> None:
        self.inputs, self.emit = inputs, emit
        self.reference = Reference(inputs.onnx, inputs.proto.opset_import)
        self.reached = 0  # nodes

    def run(self, graph: Any, values: dict[str, Any]) -> None:
        for tensor in graph.initializer:
            values[tensor.name] = array_of(self.inputs.onnx, tensor)
        for node in graph.node:
            operator = one_line(node.op_type)  # of a damaged file it may have line breaks
            where = f"node {node.name or next(iter(node.output), '')!r} ({operator})"
            try:
                results = self._node(node, values)
            except GraphError as error:
                if not hasattr(error, "placed"):
                    error = GraphError(f"{where}: {error}")
                    error.placed = True  # type: ignore[attr-defined]
                raise error from None
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                # A node that its operator does not allow, such as one with an input missing.
                placed = GraphError(
                    f"{where}: it does not fit its operator ({type(error).__name__}: {one_line(error)})"
                )
                placed.placed = True  # type: ignore[attr-defined]
                raise placed from None
            self.reached += 1
            for name, result in zip(node.output, results, strict=False):
                if name:
                    values[name] = result

    def _node(self, node: Any, values: dict[str, Any]) -> list[Any]:
        for name in node.input:
            if name and name not in values:
                raise GraphError(f"input {name!r}: expected a tensor that comes before it in the graph")
        inputs = [values[name] if name else None for name in node.input]
        kind = node.op_type
        if node.domain == "com.microsoft" and kind == "DynamicQuantizeLSTM":
            return COMPUTES["LSTM"](
                self.emit, quantized_lstm(inputs, self.reference.attributes(node), len(node.output))
            )
        if node.domain not in ("", "ai.onnx"):
            raise GraphError(f"an operator of the domain {node.domain!r} is not known")
        if kind == "If":
            return self._if(node, inputs[0], values)
        if not any(isinstance(value, Symbol) for value in inputs):
            if kind == "Dropout":
                check_dropout(Node(kind, inputs, self.reference.attributes(node), len(node.output), 1))
            return self.reference.fold(node, inputs)
        if kind in ("Shape", "Size"):
            return self.reference.fold(node, [v.numbers if isinstance(v, Symbol) else v for v in inputs])
        if kind == "Gather" and not isinstance(inputs[0], Symbol):
            return embedding(self.emit, Node(kind, inputs, self.reference.attributes(node), 1, 1))
        if kind in MOVES:
            return self.reference.move(node, inputs)
        if kind not in COMPUTES:
            raise GraphError(
                f"operator {one_line(kind)} is not known to a native model; it knows {', '.join(sorted(COMPUTES))}"
            )
        readers, opset = self.inputs.readers[node.input[0]], self.inputs.opsets.get("", 1 << 30)
        node_read = Node(kind, inputs, self.reference.attributes(node), len(node.output), readers, opset)
        if kind != "Cast" and any(isinstance(v, Symbol) and self.emit.is_integer(v.numbers) for v in inputs):
            raise GraphError(
                "it computes with whole numbers of the model's input, which may choose rows of a table alone"
            )
        return COMPUTES[kind](self.emit, node_read)

    def _if(self, node: Any, condition: Any, values: dict[str, Any]) -> list[Any]:
        if isinstance(condition, Symbol):
            raise GraphError("the condition depends on the model's input; fix an input by inputs= if it is a setting")
        branches = {a.name: a.g for a in node.attribute}
        branch = branches["then_branch" if bool(np.asarray(condition).reshape(-1)[0]) else "else_branch"]
        inner = dict(values)
        self.run(branch, inner)
        return [inner[value.name] for value in branch.output]

    def finish(self, values: dict[str, Any]) -> Walked:
        wanted = self.inputs.outputs
        for name in self.inputs.known_outputs:
            if name not in values:
                raise GraphError(f"output {name!r}: expected a node that gives it")
        if wanted is None:
            wanted = [name for name in self.inputs.known_outputs if not self._is_state_output(values[name])]
        if not wanted:
            raise GraphError(f"expected an output that is no state; outputs= may choose of {self.inputs.known_outputs}")
        steps = []
        axes: dict[str, int | None] = {}
        for name in wanted:
            if not isinstance(values[name], Symbol):
                raise GraphError(f"output {name!r} does not depend on the model's input")
            try:
                step = self.emit.step(values[name].numbers)
            except GraphError as error:
                raise GraphError(f"output {name!r}: {error}") from None
            steps.append(step.value)
            axes[name] = step.axis
        if len({self.emit.is_single(value) for value in steps}) > 1:
            raise GraphError(
                f"outputs: {', '.join(wanted)}: expected them all to have every step, or one value of the whole "
                "sequence; outputs= may choose"
            )
        if len({self.emit.extents[value] for value in steps}) > 1:
            raise GraphError(f"outputs: {', '.join(wanted)}: expected them to have as many steps; outputs= may choose")
        if len(steps) > 1:
            self.emit.add(sum(self.emit.widths[value] for value in steps), steps, kind="concatenate")
        elif steps[0] != len(self.emit.layers) or not self.emit.layers:
            width = self.emit.widths[steps[0]]
            self.emit.add(width, steps, kind="gather", inputs=width, runs=[(0, width)])
        return Walked(self.emit.layers, axes)

    def _is_state_output(self, value: Any) -> bool:
        """Whether it is what recurrent nodes give for the next call: c, or the last step's h."""
        if not isinstance(value, Symbol):
            return False
        if self.emit.has_state(value.numbers):
            return True
        if self.emit.steps == 1 and len(self.inputs.shapes) == 1:
            return False
        sources = self.emit.sources_of_last_step(value.numbers)
        return sources is not None and all(source > 0 and "cell" in self.emit.layers[source - 1] for source in sources)
