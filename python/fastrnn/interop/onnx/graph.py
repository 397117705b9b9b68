"""An ONNX graph of a recurrent model as a native one, for streams or whole sequences: docs/onnx.md has what it holds.

Nothing here runs a graph in general. Constants are folded by ONNX's own reference; of the rest, each node becomes
native layers, or is refused by its name.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._core import Model
from ..._typing import Array
from ...saving.files import pack_layers
from ._constants import one_line
from ._emit import GraphError
from ._inputs import Inputs
from ._walk import Walked, walk

__all__ = ["load", "read_layers"]

# Steps of an example, twice: what differs between them depends on the length of the sequence. Once more for layers that
# look far back.
_EXAMPLES = ((24, 25), (300, 301))


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
    graph = Inputs(onnx, proto, dict(inputs or {}), outputs)
    reasons: list[GraphError] = []
    for whole, example in itertools.product((False, True), _EXAMPLES):
        for axis in graph.candidates():
            try:
                if axis is None:
                    return _reading(graph, walk(graph, 1, None), None, False)
                first, second = (walk(graph, steps, axis, whole) for steps in example)
            except GraphError as error:
                reasons.append(error)
                continue
            if _same(first.layers, second.layers):
                return _reading(graph, first, axis, whole)
            reasons.append(GraphError("what it computes depends on the length of the sequence"))
    furthest = max(reasons, key=lambda error: getattr(error, "reached", (0, False)))
    raise ValueError(f"{graph.name}: {furthest}{graph.hint()}") from None


def _reading(graph: Inputs, found: Walked, axis: int | None, whole: bool) -> Reading:
    """What a walk found, with what its layers stand for."""
    shapes = {name: tuple(1 if e is None else e for e in extents) for name, extents in graph.shapes.items()}
    streams = graph.streams(axis)
    if len(streams) > 1:
        shapes[graph.input] = ()  # x is of several
    shape = tuple(extent for a, extent in enumerate(shapes[graph.input]) if a != axis)
    fixed = {name: graph.constants[name] for name in graph.fixed}
    states = {name: shapes[name] for name in shapes if name not in streams}
    return Reading(found.layers, graph.input, shape, axis, whole, fixed, states, found.outputs)


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
        raise ValueError(f"{name}: expected an ONNX file, got one that onnx cannot read ({one_line(error)})") from None


def _same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    def equal(p: Any, q: Any) -> bool:
        return np.array_equal(p, q) if isinstance(p, np.ndarray) else bool(p == q)

    return len(a) == len(b) and all(
        m.keys() == n.keys() and all(equal(m[key], n[key]) for key in m) for m, n in zip(a, b, strict=True)
    )
