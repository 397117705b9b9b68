"""An ONNX graph of a recurrent model as a native one, for streams or whole sequences: docs/onnx.md has what it holds.

Nothing here runs a graph in general. Constants are folded by ONNX's own reference; of the rest, each node becomes
native layers, or is refused by its name.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._core import Model
from ..._typing import Array
from ...saving.files import pack_layers
from ._emit import ZERO, Emitter, GraphError, check_size
from ._nodes import Node, Symbol
from ._operators import COMPUTES, MOVES, check_dropout
from ._products import embedding
from ._quantized import dequantized, quantized_lstm

__all__ = ["load", "read_layers"]

# Steps of an example, twice: what differs between them depends on the length of the sequence. Once more for layers that
# look far back.
_EXAMPLES = ((24, 25), (300, 301))
_FLOATS = (1, 10, 11)  # FLOAT, FLOAT16, DOUBLE
_INTEGERS = (6, 7)  # INT32, INT64


def load(
    path: str | os.PathLike[str] | Any,
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Sequence[str] | None = None,
    dtype: str = "float32",
    fast_activations: bool = False,
) -> Model:
    """Return the graph as a `fastrnn.Model`: for sessions and pools, or, where it needs later steps, for `forward`.

        model = fastrnn.interop.onnx.load("vad.onnx", inputs={"sr": 16000, "input": (1, 576)})
        session = fastrnn.Session(model)
        probability = session.step(frame)

    A step of the model is one of the sequence, if the graph reads a sequence, which is an axis of any length: x (T, I)
    of a session is the graph's input with the other axes flattened, a batch of any size being 1. Where the input's
    shape is fixed, in the graph or by `inputs`, a step is one call: of a graph that takes a frame. States that the
    graph takes as inputs are zero at the beginning, and the session keeps them. Several inputs along one axis of time
    (of one name) lie one behind the other in x, in the order of the graph. An input of whole numbers chooses rows of a
    table (an embedding).

    A graph with a direction backwards, a centred convolution, a mean or maximum over time needs whole sequences:
    ``model.stepwise`` is False then, and ``model.forward`` runs it. What it gives of the last step, or of all, is one
    value for a sequence.

    Args:
        path: of an .onnx file, or an ``onnx.ModelProto``.
        inputs: of the graph, by name: a number or array fixes an input (a sampling rate); a tuple of ints is the shape
            of the model's input, where the graph leaves it open.
        outputs: names of the graph's outputs that the model gives, one behind the other. None: all but states.
        dtype: of the recurrent layers' weights, as of :meth:`fastrnn.Model.load`.
        fast_activations: as there.

    Raises:
        ValueError: what is no ONNX file, or a graph that is more than this can do, naming the node and the reason.
        ImportError: without the package onnx.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4, return_sequences=True)])
        >>> fastrnn.interop.onnx.save(model, "model.onnx")
        >>> fastrnn.interop.onnx.load("model.onnx").output_size
        4
    """
    return Model.load(pack_layers(read_layers(path, inputs=inputs, outputs=outputs)), dtype, fast_activations)


def read_layers(
    path: str | os.PathLike[str] | Any,
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the graph's layers as `fastrnn.io.save_layers` takes them, for readers in C++ and C. Else as `load`.

    Args:
        path, inputs, outputs: as in `load`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.GRU(4, return_sequences=True)])
        >>> fastrnn.interop.onnx.save(model, "model.onnx")
        >>> [layer.get("cell") for layer in fastrnn.interop.onnx.read_layers("model.onnx")]
        ['gru']
    """
    return read_graph(path, inputs, outputs).layers


class Reading(NamedTuple):
    """A graph as it was read: what its native layers stand for."""

    layers: list[dict[str, Any]]
    input: str  # what a step of x is of
    shape: tuple[int, ...]  # of a step of that input
    axis: int | None  # of time, in that input; None: a step is a call
    whole: bool  # whether it needs later steps
    fixed: dict[str, Array]  # inputs that the caller fixed
    states: dict[str, tuple[int, ...]]  # inputs that are states, with their shapes
    outputs: dict[str, int | None]  # what y consists of, with the axis of time; None: of the last step or of all


def read_graph(path: Any, inputs: Mapping[str, Any] | None, outputs: Sequence[str] | None) -> Reading:
    """As `read_layers`, with what a caller needs to give the graph the same input."""
    onnx = _import_onnx()
    proto = _read(onnx, path)
    graph = _Graph(onnx, proto, dict(inputs or {}), outputs)
    reasons: list[GraphError] = []
    for whole, example in itertools.product((False, True), _EXAMPLES):
        for axis in graph.candidates():
            try:
                if axis is None:
                    return graph.reading(graph.walk(1, None), None, False)
                first, second = (graph.walk(steps, axis, whole) for steps in example)
            except GraphError as error:
                reasons.append(error)
                continue
            if _same(first, second):
                return graph.reading(first, axis, whole)
            reasons.append(GraphError("what it computes depends on the length of the sequence"))
    furthest = max(reasons, key=lambda error: getattr(error, "reached", (0, False)))
    raise ValueError(f"{graph.name}: {furthest}{graph.hint()}") from None


def _import_onnx() -> Any:
    try:
        import onnx
        import onnx.reference
    except ImportError:
        raise ImportError("an ONNX file needs the package onnx: pip install 'fastrnn[interop]'") from None
    return onnx


def _read(onnx: Any, path: Any) -> Any:
    if isinstance(path, onnx.ModelProto):
        return path
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: expected a path or an onnx.ModelProto, got {type(path).__name__}")
    try:
        return onnx.load(os.fspath(path))
    except OSError:
        raise
    except Exception as error:
        name = os.fspath(path)
        raise ValueError(f"{name}: expected an ONNX file, got one that onnx cannot read ({_line(error)})") from None


def _same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    def equal(p: Any, q: Any) -> bool:
        return np.array_equal(p, q) if isinstance(p, np.ndarray) else bool(p == q)

    return len(a) == len(b) and all(
        m.keys() == n.keys() and all(equal(m[key], n[key]) for key in m) for m, n in zip(a, b, strict=True)
    )


def _array(onnx: Any, tensor: Any) -> Array:
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {_line(error)}"
        raise GraphError(f"tensor {tensor.name!r}: expected one that onnx can read ({reason})") from None


def _count_readers(graph: Any) -> Counter[str]:
    """How often each tensor is read, by nodes, by the branches of nodes, and as an output."""
    readers = Counter(value.name for value in graph.output)
    for node in graph.node:
        readers.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                readers += _count_readers(attribute.g)
    return readers


def _line(error: BaseException) -> str:
    """An error's text in one line."""
    return " ".join(str(error).split())


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


class _Graph:
    """A graph with what its caller said of its inputs."""

    def __init__(self, onnx: Any, proto: Any, given: dict[str, Any], outputs: Sequence[str] | None) -> None:
        self.onnx, self.proto = onnx, proto
        self.name = f"graph {proto.graph.name!r}"
        self.opsets = {o.domain: o.version for o in proto.opset_import}
        initializers = {tensor.name for tensor in proto.graph.initializer}
        self.constants = {tensor.name: _array(onnx, tensor) for tensor in proto.graph.initializer}
        open_inputs = {value.name: value for value in proto.graph.input if value.name not in initializers}
        self.shapes: dict[str, list[int | None]] = {}
        self.symbols: dict[str, list[str]] = {}
        self.integers: set[str] = set()  # inputs of whole numbers
        self.fixed: list[str] = []  # inputs that the caller fixed
        self.output_axes: dict[str, int | None] = {}
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
                    f"{type_name}; if it is a setting, say which: {self._setting(name)}"
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

    def _setting(self, name: str) -> str:
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

    def reading(self, layers: list[dict[str, Any]], axis: int | None, whole: bool) -> Reading:
        """What the last walk found, with its layers."""
        shapes = {name: tuple(1 if e is None else e for e in extents) for name, extents in self.shapes.items()}
        streams = self._streams(axis)
        if len(streams) > 1:
            shapes[self.input] = ()  # x is of several
        shape = tuple(extent for a, extent in enumerate(shapes[self.input]) if a != axis)
        fixed = {name: self.constants[name] for name in self.fixed}
        states = {name: shapes[name] for name in shapes if name not in streams}
        return Reading(layers, self.input, shape, axis, whole, fixed, states, dict(self.output_axes))

    def walk(self, steps: int, axis: int | None, whole: bool = False) -> list[dict[str, Any]]:
        """The layers, for an example with so many steps along that axis of the input; `whole` as of an Emitter."""
        streams = self._streams(axis)
        of_step = {
            name: tuple(1 if extent is None else extent for a, extent in enumerate(self.shapes[name]) if a != time)
            for name, time in streams.items()
        }
        emit = Emitter(steps, sum(int(np.prod(shape)) for shape in of_step.values()), whole)
        values: dict[str, Any] = dict(self.constants)
        first = 0
        for name, shape in of_step.items():
            values[name] = Symbol(emit.number(0, shape, streams[name]) + first)
            if name in self.integers:
                emit.integers.update(range(first, first + int(np.prod(shape))))
            first += int(np.prod(shape))
        for name, extents in self.shapes.items():
            if name not in streams:
                if name in self.integers:
                    raise GraphError(
                        f"input {name!r}: expected whole numbers for each step, or a setting: {self._setting(name)}"
                    )
                values[name] = Symbol(emit.state(tuple(1 if e is None else e for e in extents)))
        self.reached = 0
        try:
            self._nodes(self.proto.graph, values, emit)
            return self._finish(values, emit)
        except GraphError as error:
            error.reached = self.reached + (axis is not None), whole  # type: ignore[attr-defined]
            raise

    def _streams(self, axis: int | None) -> dict[str, int | None]:
        """The inputs that a step reads, with their axes of time: the first, and those whose axis has the same name."""
        symbol = self.symbols[self.input][axis] if axis is not None else ""
        streams = {self.input: axis}
        for name, symbols in self.symbols.items():
            if symbol and symbol in symbols:
                streams[name] = symbols.index(symbol)
        return streams

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _nodes(self, graph: Any, values: dict[str, Any], emit: Emitter) -> None:
        for tensor in graph.initializer:
            values[tensor.name] = _array(self.onnx, tensor)
        for node in graph.node:
            where = f"node {node.name or next(iter(node.output), '')!r} ({node.op_type})"
            try:
                results = self._node(node, values, emit)
            except GraphError as error:
                if not hasattr(error, "placed"):
                    error = GraphError(f"{where}: {error}")
                    error.placed = True  # type: ignore[attr-defined]
                raise error from None
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                # A node that its operator does not allow, such as one with an input missing.
                placed = GraphError(f"{where}: it does not fit its operator ({type(error).__name__}: {_line(error)})")
                placed.placed = True  # type: ignore[attr-defined]
                raise placed from None
            self.reached += 1
            for name, result in zip(node.output, results, strict=False):
                if name:
                    values[name] = result

    def _node(self, node: Any, values: dict[str, Any], emit: Emitter) -> list[Any]:
        for name in node.input:
            if name and name not in values:
                raise GraphError(f"input {name!r}: expected a tensor that comes before it in the graph")
        inputs = [values[name] if name else None for name in node.input]
        kind = node.op_type
        if node.domain == "com.microsoft" and kind == "DynamicQuantizeLSTM":
            return COMPUTES["LSTM"](emit, quantized_lstm(inputs, self._attributes(node), len(node.output)))
        if node.domain not in ("", "ai.onnx"):
            raise GraphError(f"an operator of the domain {node.domain!r} is not known")
        if kind == "If":
            return self._if(node, inputs[0], values, emit)
        if not any(isinstance(value, Symbol) for value in inputs):
            if kind == "Dropout":
                check_dropout(Node(kind, inputs, self._attributes(node), len(node.output), 1))
            return self._fold(node, inputs)
        if kind in ("Shape", "Size"):
            return self._fold(node, [v.numbers if isinstance(v, Symbol) else v for v in inputs])
        if kind == "Gather" and not isinstance(inputs[0], Symbol):
            return embedding(emit, Node(kind, inputs, self._attributes(node), 1, 1))
        if kind in MOVES:
            return self._move(node, inputs)
        if kind not in COMPUTES:
            raise GraphError(f"operator {kind} is not known to a native model; it knows {', '.join(sorted(COMPUTES))}")
        readers, opset = self.readers[node.input[0]], self.opsets.get("", 1 << 30)
        node_read = Node(kind, inputs, self._attributes(node), len(node.output), readers, opset)
        if kind != "Cast" and any(isinstance(v, Symbol) and emit.is_integer(v.numbers) for v in inputs):
            raise GraphError(
                "it computes with whole numbers of the model's input, which may choose rows of a table alone"
            )
        return COMPUTES[kind](emit, node_read)

    def _attributes(self, node: Any) -> dict[str, Any]:
        return {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    def _fold(self, node: Any, inputs: Sequence[Array | None]) -> list[Array]:
        """What a node gives for constants, by ONNX's reference."""
        feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
        _check_growth(node.op_type, inputs)
        if node.op_type == "DequantizeLinear":
            return [dequantized(self._attributes(node), *inputs)]
        try:
            # A model of the one node: given a node alone, the reference of ONNX 1.22 forgets the operator set.
            helper = self.onnx.helper
            named = [helper.make_value_info(name, self.onnx.TypeProto()) for name in (*feeds, *node.output)]
            graph = helper.make_graph([node], "folded", named[: len(feeds)], named[len(feeds) :])
            model = helper.make_model(graph, opset_imports=self.proto.opset_import)
            return list(self.onnx.reference.ReferenceEvaluator(model).run(None, feeds))
        except Exception as error:  # ONNX's reference evaluator may raise anything
            raise GraphError(f"its constants could not be folded ({type(error).__name__}: {_line(error)})") from None

    def _move(self, node: Any, inputs: list[Any]) -> list[Any]:
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
        return [Symbol(np.asarray(result)) for result in self._fold(node, feeds)]

    def _pad(self, node: Any, inputs: list[Any]) -> Array:
        attributes = self._attributes(node)
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

    def _if(self, node: Any, condition: Any, values: dict[str, Any], emit: Emitter) -> list[Any]:
        if isinstance(condition, Symbol):
            raise GraphError("the condition depends on the model's input; fix an input by inputs= if it is a setting")
        branches = {a.name: a.g for a in node.attribute}
        branch = branches["then_branch" if bool(np.asarray(condition).reshape(-1)[0]) else "else_branch"]
        inner = dict(values)
        self._nodes(branch, inner, emit)
        return [inner[value.name] for value in branch.output]

    # -- outputs -----------------------------------------------------------------------------------------------------

    def _finish(self, values: dict[str, Any], emit: Emitter) -> list[dict[str, Any]]:
        wanted = self.outputs
        for name in self.known_outputs:
            if name not in values:
                raise GraphError(f"output {name!r}: expected a node that gives it")
        if wanted is None:
            wanted = [name for name in self.known_outputs if not self._is_state_output(values[name], emit)]
        if not wanted:
            raise GraphError(f"expected an output that is no state; outputs= may choose of {self.known_outputs}")
        steps = []
        self.output_axes = {}
        for name in wanted:
            if not isinstance(values[name], Symbol):
                raise GraphError(f"output {name!r} does not depend on the model's input")
            try:
                step = emit.step(values[name].numbers)
            except GraphError as error:
                raise GraphError(f"output {name!r}: {error}") from None
            steps.append(step.value)
            self.output_axes[name] = step.axis
        if len({emit.is_single(value) for value in steps}) > 1:
            raise GraphError(
                f"outputs: {', '.join(wanted)}: expected them all to have every step, or one value of the whole "
                "sequence; outputs= may choose"
            )
        if len(steps) > 1:
            emit.add(sum(emit.widths[value] for value in steps), steps, kind="concatenate")
        elif steps[0] != len(emit.layers) or not emit.layers:
            width = emit.widths[steps[0]]
            emit.add(width, steps, kind="gather", inputs=width, runs=[(0, width)])
        return emit.layers

    def _is_state_output(self, value: Any, emit: Emitter) -> bool:
        """Whether it is what recurrent nodes give for the next call: c, or the last step's h."""
        if not isinstance(value, Symbol):
            return False
        if emit.has_state(value.numbers):
            return True
        if emit.steps == 1 and len(self.shapes) == 1:
            return False
        sources = emit.sources_of_last_step(value.numbers)
        return sources is not None and all(source > 0 and "cell" in emit.layers[source - 1] for source in sources)
