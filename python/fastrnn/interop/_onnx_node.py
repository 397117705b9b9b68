"""ONNX's recurrent operators on the native cells.

Shapes in this file: D directions (1 or 2), T steps, B batch, I inputs, H hidden, G gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._registry import choice_error
from .._typing import Array
from ..functional._cells import CELLS
from ..functional.stack import stack_forward
from ._onnx_attributes import Attributes, read_attributes
from .conventions import CONVENTIONS, to_canonical

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


class _Operator(NamedTuple):
    cell: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


_OPERATORS = {
    "RNN": _Operator("rnn", INPUTS[:6], ("Y", "Y_h")),
    "GRU": _Operator("gru", INPUTS[:6], ("Y", "Y_h")),
    "LSTM": _Operator("lstm", INPUTS, ("Y", "Y_h", "Y_c")),
}


def onnx_node(
    node: Any,
    inputs: Sequence[Array | None] | Mapping[str, Array | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    threads: int | None = None,
) -> tuple[Array | None, ...]:
    """Run one RNN, GRU or LSTM operator node of ONNX, of opset 7 or later.

    Args:
        node: an ``onnx.NodeProto``, or the operator's name, "RNN", "GRU" or "LSTM". The package ``onnx`` is not needed.
        inputs: X (T, B, I), W (D, G*H, I), R (D, G*H, H), B (D, 2*G*H), sequence_lens (B,), initial_h (D, B, H), and
            for an LSTM initial_c (D, B, H) and P (D, 3*H). As a sequence in that order, None for one that is not there;
            or as a mapping from names: the operator's, or with a NodeProto those of the graph's values. With the
            attribute ``layout=1`` X is (B, T, I) and the states are (B, D, H). All float32 or all float64; float16 and
            bfloat16 are computed in float32 and rounded at the end. Gates lie in ONNX's order: z, r, h and i, o, f, c.
        attributes: the node's, by name, where `node` is a name: activations, activation_alpha, activation_beta, clip,
            direction, hidden_size, layout, linear_before_reset (GRU) and input_forget (LSTM).
        threads: how many may work on this call; None is :func:`fastrnn.set_num_threads`'s number.

    Returns:
        Y (T, D, B, H), or (B, T, D, H) with ``layout=1``; Y_h (D, B, H) or (B, D, H); of an LSTM Y_c in the same
        shape. With a NodeProto as many as it has outputs, None for those without a name. Y is zero beyond a row's
        length; Y_h and Y_c are the states at the row's own end, the initial ones for a length of 0.

    Raises:
        TypeError: an input or attribute of the wrong type.
        ValueError: an unknown operator or attribute, a wrong shape or value, or an activation that the kernels have
            not. The message names it, what was expected and what came; nothing is ever ignored. docs/onnx.md has the
            list of what is refused, and where the specification leaves a choice.

    Example:
        >>> from types import SimpleNamespace
        >>> node = SimpleNamespace(op_type="GRU", domain="", attribute=[], input=["x", "w", "r"], output=["y", "h"])
        >>> x, w, r = np.ones((5, 2, 3), np.float32), np.zeros((1, 12, 3), np.float32), np.zeros((1, 12, 4), np.float32)
        >>> y, h = fastrnn.interop.onnx_node(node, [x, w, r])
        >>> y.shape, h.shape
        ((5, 1, 2, 4), (1, 2, 4))
    """
    op_type, given, wanted = _read_node(node, attributes)
    if op_type not in _OPERATORS:
        raise choice_error("op_type", _OPERATORS, op_type)
    operator = _OPERATORS[op_type]
    arrays = _read_inputs(operator, node, inputs)
    options = read_attributes(op_type, given)
    _check(operator, options, arrays)
    results = _run(operator, options, arrays, threads)
    if wanted is None:
        return results
    if len(wanted) > len(results):
        raise ValueError(f"output: expected at most {len(results)} of {op_type}, got {len(wanted)}")
    return tuple(result if name else None for name, result in zip(wanted, results, strict=False))


# -- the node ----------------------------------------------------------------------------------------------------------

# AttributeProto.type to the field that holds the value: FLOAT, INT, STRING, FLOATS, INTS, STRINGS.
_FIELDS = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}


def _read_node(node: Any, attributes: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any], list[str] | None]:
    """The operator's name, its attributes, and the names of the wanted outputs, None for all."""
    if isinstance(node, str):
        return node, {} if attributes is None else attributes, None
    if not hasattr(node, "op_type") or not hasattr(node, "attribute"):
        raise TypeError(f"node: expected an onnx.NodeProto or the name of an operator, got {type(node).__name__}")
    if attributes is not None:
        raise ValueError("attributes: expected None with a NodeProto, which has its own, got a mapping")
    if node.domain not in ("", "ai.onnx"):
        raise ValueError(f"domain: expected ONNX's own, got {node.domain!r}")
    given = {}
    for attribute in node.attribute:
        if attribute.type not in _FIELDS:
            raise TypeError(f"{attribute.name}: expected numbers or strings, got an attribute of type {attribute.type}")
        value = getattr(attribute, _FIELDS[attribute.type])
        given[attribute.name] = list(value) if attribute.type > 3 else value
    return node.op_type, given, list(node.output)


def _read_inputs(operator: _Operator, node: Any, inputs: Any) -> dict[str, Array]:
    """Those inputs that are there, by the operator's names for them."""
    names = operator.inputs
    if isinstance(inputs, Mapping):
        if isinstance(node, str):
            for name in inputs:
                if name not in names:
                    raise ValueError(f"inputs: expected {', '.join(names)}, got {name!r}")
            inputs = [inputs.get(name) for name in names]
        else:
            for value in node.input:
                if value and value not in inputs:
                    raise ValueError(f"inputs: expected the node's input {value!r}, got {', '.join(inputs)}")
            inputs = [inputs[value] if value else None for value in node.input]
    elif not isinstance(inputs, Sequence):
        raise TypeError(f"inputs: expected a sequence or a mapping of arrays, got {type(inputs).__name__}")
    if len(inputs) > len(names):
        raise ValueError(f"inputs: expected at most {len(names)} ({', '.join(names)}), got {len(inputs)}")
    arrays = {name: array for name, array in zip(names, inputs, strict=False) if array is not None}
    for name in names[:3]:
        if name not in arrays:
            raise ValueError(f"{name}: expected an array, got none")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: expected a numpy.ndarray, got {type(array).__name__}")
    return arrays


# -- shapes and types --------------------------------------------------------------------------------------------------


def _check(operator: _Operator, options: Attributes, arrays: dict[str, Array]) -> None:
    """Check every input against the others, so that errors speak of ONNX's names."""
    x, r = arrays["X"], arrays["R"]
    directions, gates = len(options.options), len(CONVENTIONS["onnx"][operator.cell].gates)
    for name, array, axes in (("X", x, "(B, T, I)" if options.batch_first else "(T, B, I)"), ("R", r, "(D, G*H, H)")):
        if array.ndim != 3:
            raise ValueError(f"{name}: expected shape {axes}, got {array.shape}")
    hidden = r.shape[2] if options.hidden_size is None else options.hidden_size
    steps, batch = x.shape[1::-1] if options.batch_first else x.shape[:2]
    state = (batch, directions, hidden) if options.batch_first else (directions, batch, hidden)
    shapes = {
        "X": x.shape,
        "W": (directions, gates * hidden, x.shape[2]),
        "R": (directions, gates * hidden, hidden),
        "B": (directions, 2 * gates * hidden),
        "sequence_lens": (batch,),
        "initial_h": state,
        "initial_c": state,
        "P": (directions, 3 * hidden),
    }
    for name, array in arrays.items():
        if array.shape != shapes[name]:
            raise ValueError(f"{name}: expected shape {shapes[name]}, got {array.shape}")
        if name == "sequence_lens":
            if array.dtype.kind not in "iu":
                raise TypeError(f"sequence_lens: expected integers, got {array.dtype}")
            if array.size and not (array.min() >= 0 and array.max() <= steps):
                raise ValueError(f"sequence_lens: expected integers in 0..{steps}, got {array.tolist()}")
        elif name == "X" and array.dtype.name not in _COMPUTED_IN:
            raise TypeError(f"X: expected one of {', '.join(_COMPUTED_IN)}, got {array.dtype}")
        elif array.dtype != x.dtype:
            raise TypeError(f"{name}: expected {x.dtype} (the dtype of X), got {array.dtype}")


_COMPUTED_IN = {"float32": "float32", "float64": "float64", "float16": "float32", "bfloat16": "float32"}


# -- the run -----------------------------------------------------------------------------------------------------------


def _run(operator: _Operator, options: Attributes, arrays: dict[str, Array], threads: int | None) -> tuple[Array, ...]:
    dtype = arrays["X"].dtype
    floats = {
        name: np.ascontiguousarray(array, _COMPUTED_IN[dtype.name])
        for name, array in arrays.items()
        if name != "sequence_lens"
    }
    states = {ours: floats[name] for ours, name in (("h0", "initial_h"), ("c0", "initial_c")) if name in floats}
    if options.batch_first:
        states = {name: np.ascontiguousarray(state.swapaxes(0, 1)) for name, state in states.items()}
    cell = CELLS[operator.cell]
    weights = [
        cell.pack(**_parameters(operator, floats, direction), **keywords)
        for direction, keywords in enumerate(options.options)
    ]
    run: dict[str, Any] = {
        **states,
        "lengths": arrays.get("sequence_lens"),
        "batch_first": options.batch_first,
        "threads": threads,
    }
    if len(weights) == 2:
        y, *final = stack_forward(floats["X"], [weights], **run)
    else:
        y, *final = cell.forward(floats["X"], weights[0], reverse=options.direction == "reverse", **run)
    y = y.reshape(*y.shape[:2], len(weights), final[0].shape[2])
    if options.batch_first:
        final = [state.swapaxes(0, 1) for state in final if state is not None]
    else:
        y = y.swapaxes(1, 2)
    return tuple(np.ascontiguousarray(a, dtype) for a in (y, *final[: len(operator.outputs) - 1]))


def _parameters(operator: _Operator, floats: Mapping[str, Array], direction: int) -> dict[str, Array]:
    """The parameters of one direction as the functions take them."""
    names = {"w_ih": "W", "w_hh": "R", "b_ih": "B"}
    given = {ours: floats[theirs][direction] for ours, theirs in names.items() if theirs in floats}
    parameters = to_canonical(CONVENTIONS["onnx"][operator.cell], given, floats["R"].shape[2])
    if "P" in floats:
        parameters["w_peep"] = floats["P"][direction].reshape(3, -1)[[0, 2, 1]]  # i, o, f to i, f, o
    return parameters


def native_parameters(op_type: str, arrays: Mapping[str, Array], attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each direction of a node as `fastrnn.io.save_layers` takes it: the cell, its weights and options.

    Errors as of `onnx_node`.
    """
    options = read_attributes(op_type, attributes).options
    floats = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    return [
        {"cell": _OPERATORS[op_type].cell, **_parameters(_OPERATORS[op_type], floats, direction), **keywords}
        for direction, keywords in enumerate(options)
    ]
