"""A graph run by onnxruntime on what its native model takes: to compare the two."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._typing import Array
from .._layers import import_library
from .graph import Reading, read_graph

__all__ = ["Original", "open_session", "original"]


class Original(NamedTuple):
    """A graph in the place of its native model: x (T, I) to y (T', O), or (1, O) for one value of a sequence."""

    by: str
    inputs: int
    vocabulary: int | None  # x is of whole numbers below it
    run: Callable[[Array], Array]


def open_session(path: str, options: Any = None) -> tuple[str, Any]:
    """Return onnxruntime with its version, and its session of a graph. ValueError for a graph that it refuses."""
    runtime = import_library("onnxruntime", "an .onnx file")
    try:
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of exception for every kind of damage
        raise ValueError(f"{path}: not readable by onnxruntime: {error}") from error
    return f"onnxruntime {runtime.__version__}", session


def original(
    path: str | os.PathLike[str], inputs: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None
) -> Original:
    """Open a graph in onnxruntime. Arguments and errors as of `fastrnn.interop.onnx.load`; ValueError, too, for what
    onnxruntime refuses and for several inputs along time."""
    runtime = import_library("onnxruntime", "an .onnx file")
    reading = read_graph(path, inputs, outputs)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    # As the graph stands: what optimization makes of one of PyTorch's may fit the length of its example alone.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    by, session = open_session(os.fspath(path), options)
    given = [value.name for value in session.get_inputs()]
    if set(given) - {reading.input} - reading.fixed.keys() - reading.states.keys():
        raise ValueError(f"{os.fspath(path)}: expected one input that has an axis of time, got {', '.join(given)}")
    first = reading.layers[0]
    vocabulary = len(first["table"]) if first.get("kind") == "embedding" else None
    run = _frames if reading.axis is None else _sequence

    def run_rows(x: Array) -> Array:
        try:
            return run(session, reading, x)
        except Exception as error:  # of onnxruntime's own classes
            if isinstance(error, ValueError):
                raise
            raise ValueError(f"{os.fspath(path)}: onnxruntime could not run it: {error}") from error

    return Original(by, int(np.prod(reading.shape)), vocabulary, run_rows)


def _dtypes(session: Any) -> dict[str, str]:
    kinds = {"tensor(double)": "float64", "tensor(float16)": "float16"}
    kinds |= {"tensor(int64)": "int64", "tensor(int32)": "int32"}
    return {value.name: kinds.get(value.type, "float32") for value in session.get_inputs()}


def _sequence(session: Any, reading: Reading, x: Array) -> Array:
    dtypes = _dtypes(session)
    fed = np.moveaxis(x.reshape(-1, *reading.shape), 0, reading.axis or 0).astype(dtypes[reading.input])
    states = {name: np.zeros(shape, dtypes[name]) for name, shape in reading.states.items()}
    names = list(reading.outputs)
    results = session.run(names, {reading.input: fed, **reading.fixed, **states})
    rows = []
    for axis, result in zip(reading.outputs.values(), results, strict=True):
        rows.append(
            result.reshape(1, -1) if axis is None else np.moveaxis(result, axis, 0).reshape(result.shape[axis], -1)
        )
    return np.concatenate(rows, 1)


def _frames(session: Any, reading: Reading, x: Array) -> Array:
    """A call for each step, which is given the states that the one before gave, in the order of the graph."""
    dtypes = _dtypes(session)
    states = {name: np.zeros(shape, dtypes[name]) for name, shape in reading.states.items()}
    known = [value.name for value in session.get_outputs()]
    kept = [name for name in known if name not in reading.outputs][: len(states)]
    if len(kept) < len(states):
        raise ValueError(f"outputs: expected one for each state, {', '.join(states)}, got {', '.join(kept) or 'none'}")
    rows = []
    for frame in x:
        fed = {reading.input: frame.reshape(reading.shape).astype(dtypes[reading.input])}
        results = session.run([*reading.outputs, *kept], {**fed, **reading.fixed, **states})
        rows.append(np.concatenate([result.reshape(-1) for result in results[: len(reading.outputs)]]))
        states = dict(zip(states, results[len(reading.outputs) :], strict=True))
    return np.stack(rows)
