"""What each operator of a graph becomes: elements moved, or native layers that compute.

https://onnx.ai/onnx/operators/ has their definitions. Every attribute and input is used or refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..._typing import Array
from .._onnx_attributes import DEFAULT_ACTIVATIONS
from .._onnx_node import native_parameters
from ._emit import ZERO, Emitter, GraphError, Numbers, Step

__all__ = ["COMPUTES", "MOVES", "Node", "Symbol"]


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


# Operators that only move elements: their reference moves the numbers. The inputs that may depend on the model's input.
MOVES = {
    "Concat": None,
    "DepthToSpace": 1,
    "Expand": 1,
    "Flatten": 1,
    "Gather": 1,
    "Identity": 1,
    "Pad": 1,
    "Reshape": 1,
    "Slice": 1,
    "SpaceToDepth": 1,
    "Split": 1,
    "Squeeze": 1,
    "Tile": 1,
    "Transpose": 1,
    "Unsqueeze": 1,
}

_Results = list[Any]


def _use(node: Node, **known: Any) -> dict[str, Any]:
    """The attributes with their defaults; raises for one that is not known."""
    for name in node.attributes:
        if name not in known:
            raise GraphError(f"attribute {name}: expected {', '.join(known) or 'none'}")
    return {**known, **node.attributes}


def _symbol(node: Node, index: int, name: str) -> Numbers:
    value = node.inputs[index]
    if not isinstance(value, Symbol):
        raise GraphError(f"{name}: expected what depends on the model's input, got a constant")
    return value.numbers


def _constant(node: Node, index: int, name: str) -> Array | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    if isinstance(value, Symbol):
        raise GraphError(f"{name}: expected a constant, got what depends on the model's input")
    return value


def _given(node: Node, index: int, name: str) -> Array:
    value = _constant(node, index, name)
    if value is None:
        raise GraphError(f"{name}: expected one, got none")
    return np.asarray(value)


def _result(emit: Emitter, value: int, step: Step) -> _Results:
    return [Symbol(emit.number(value, step.shape, step.axis))]


# -- elementwise -------------------------------------------------------------------------------------------------------


def _function(*native: Any) -> Callable[[Emitter, Node], _Results]:
    """An activation of the cells; numbers that are texts are attributes, with their defaults."""
    name, *numbers = native
    defaults: dict[str, float] = dict(n for n in numbers if isinstance(n, tuple))

    def apply(emit: Emitter, node: Node) -> _Results:
        given = _use(node, **defaults)
        values = [given[n[0]] if isinstance(n, tuple) else n for n in numbers]
        activation = (name, *map(float, values)) if values else name
        return [Symbol(emit.map(_symbol(node, 0, "X"), activation=activation))]

    return apply


def _power(exponent: float | None) -> Callable[[Emitter, Node], _Results]:
    def apply(emit: Emitter, node: Node) -> _Results:
        _use(node)
        number = exponent
        if number is None:
            given = _given(node, 1, "Y")
            if given.size != 1:
                raise GraphError(f"Y: expected one exponent, got {given.shape}")
            number = float(given.reshape(()))
        return [Symbol(emit.map(_symbol(node, 0, "X"), kind="power", number=number))]

    return apply


def _arithmetic(kind: str) -> Callable[[Emitter, Node], _Results]:
    def apply(emit: Emitter, node: Node) -> _Results:
        _use(node)
        a, b = node.inputs
        if isinstance(a, Symbol) and isinstance(b, Symbol):
            return [Symbol(emit.combine(kind, *np.broadcast_arrays(a.numbers, b.numbers)))]
        symbol, constant = (a, b) if isinstance(a, Symbol) else (b, a)
        return _with_constant(emit, node, kind, symbol.numbers, np.asarray(constant, np.float64), symbol is b)

    return apply


def _with_constant(
    emit: Emitter, node: Node, kind: str, numbers: Numbers, constant: Array, constant_first: bool
) -> _Results:
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
    numbers = np.broadcast_to(numbers, shape)
    step = emit.step(numbers)
    rows = [np.ones(1) if p is None else _of_a_step(p, shape, step.axis) for p in (scale, shift)]
    if shift is None:
        rows[1] = np.zeros(1)
    fused = emit.layers[-1] if emit.layers and step.value == len(emit.layers) else None
    if fused and scale is None and node.readers == 1 and "kernel" in fused and "bias" not in fused:
        outputs = fused["kernel"].shape[1]
        bias = _period(rows[1], outputs)
        if bias is not None:
            fused["bias"] = bias.astype(np.float32)
            return _result(emit, step.value, step)
    width = step.shape[-1] if step.shape else 1
    row = [_period(r, width) for r in rows]
    if row[0] is None or row[1] is None:
        width = emit.widths[step.value]
        row = [np.resize(r, width) for r in rows]
    return _affine(emit, step, *(np.resize(r, width) for r in row))  # type: ignore[arg-type]


def _affine(emit: Emitter, step: Step, scale: Array, shift: Array) -> _Results:
    width = emit.widths[step.value]
    layer = {"inputs": width, "scale": scale.astype(np.float32), "shift": shift.astype(np.float32)}
    return _result(emit, emit.add(width, [step.value], kind="affine", **layer), step)


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


def _clip(emit: Emitter, node: Node) -> _Results:
    given = _use(node, min=None, max=None)
    least, most = (
        given[name] if _constant(node, index, name) is None else float(_given(node, index, name).reshape(()))
        for index, name in ((1, "min"), (2, "max"))
    )
    numbers = _symbol(node, 0, "input")
    if least is None and most is None:
        return [Symbol(numbers)]
    if least is None or most is None or not np.isfinite([least, most]).all():
        if least == 0 and (most is None or most == np.inf):
            return _function("relu")(emit, Node("Relu", node.inputs[:1], {}, 1, 1))
        raise GraphError(f"min, max: expected both, or a minimum of 0, got {least} and {most}")
    # least + (most - least) * clamp((x - least) / (most - least), 0, 1)
    span = most - least
    step = emit.step(numbers)
    width = emit.widths[step.value]
    unit = emit.add(width, [step.value], activation=("hard_sigmoid", 1 / span, -least / span))
    return _result(emit, emit.add(width, [unit], activation=("affine", span, least)), step)


# -- products ----------------------------------------------------------------------------------------------------------


def _dense(emit: Emitter, step: Step, kernel: Array, bias: Array | None = None) -> int:
    """Each row of the step, of kernel's height, times the kernel."""
    inputs, outputs = kernel.shape
    rows = emit.widths[step.value] // inputs
    layer: dict[str, Any] = {"kernel": np.ascontiguousarray(kernel, np.float32)}
    if bias is not None:
        layer["bias"] = np.ascontiguousarray(bias, np.float32)
    if rows > 1:
        layer["rows"] = rows
    return emit.add(rows * outputs, [step.value], **layer)


def _last_axis_in(step: Step, numbers: Numbers) -> None:
    if step.axis is not None and step.axis == numbers.ndim - 1:
        raise GraphError("the axis of time is the one that is summed over")


def _matmul(emit: Emitter, node: Node) -> _Results:
    _use(node)
    numbers, kernel = _symbol(node, 0, "A"), _given(node, 1, "B")
    if kernel.ndim != 2:
        raise GraphError(f"B: expected a matrix, got {kernel.shape}")
    step = emit.step(numbers)
    _last_axis_in(step, numbers)
    value = _dense(emit, step, kernel)
    return _result(emit, value, step._replace(shape=(*step.shape[:-1], kernel.shape[1])))


def _gemm(emit: Emitter, node: Node) -> _Results:
    given = _use(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    numbers, kernel = _symbol(node, 0, "A"), _given(node, 1, "B")
    if given["transA"]:
        numbers = numbers.T
    if given["transB"]:
        kernel = kernel.T
    step = emit.step(numbers)
    _last_axis_in(step, numbers)
    bias = _constant(node, 2, "C")
    if bias is not None:
        bias = np.broadcast_to(given["beta"] * bias, (1, kernel.shape[1]) if np.ndim(bias) < 2 else np.shape(bias))
        if len(bias) != 1:
            raise GraphError(f"C: expected one row, got {bias.shape}")
        bias = np.broadcast_to(bias[0], kernel.shape[1:])
    value = _dense(emit, step, given["alpha"] * kernel, bias)
    return _result(emit, value, step._replace(shape=(*step.shape[:-1], kernel.shape[1])))


# -- convolutions ------------------------------------------------------------------------------------------------------


def _windows(numbers: Numbers, node: Node, kernel: tuple[int, ...]) -> tuple[Numbers, dict[str, Any]]:
    """(N, C, *spatial) to the elements under the kernel, (N, *out, *kernel, C), zeros over the padding."""
    axes = len(kernel)
    given = _use(
        node, auto_pad=b"NOTSET", dilations=[1] * axes, group=1, kernel_shape=None, pads=None, strides=[1] * axes
    )
    if given["kernel_shape"] is not None and tuple(given["kernel_shape"]) != kernel:
        raise GraphError(f"kernel_shape: expected {kernel}, that of W, got {tuple(given['kernel_shape'])}")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, given["dilations"], strict=True)]
    pads = list(given["pads"]) if given["pads"] is not None else [0] * 2 * axes
    auto = given["auto_pad"].decode() if isinstance(given["auto_pad"], bytes) else given["auto_pad"]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for axis, (span, stride) in enumerate(zip(spans, given["strides"], strict=True)):
            extent = numbers.shape[2 + axis]
            total = max((-(-extent // stride) - 1) * stride + span - extent, 0)
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            pads[axis], pads[axes + axis] = before, total - before
    elif auto not in ("NOTSET", "VALID"):
        raise GraphError(f"auto_pad: expected NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {auto}")
    edges = [(0, 0), (0, 0), *((pads[a], pads[axes + a]) for a in range(axes))]
    padded = np.pad(numbers, edges, constant_values=ZERO)
    if any(span > extent for span, extent in zip(spans, padded.shape[2:], strict=True)):
        raise GraphError(f"X: expected no less than the kernel, {kernel}, got {numbers.shape[2:]}")
    spatial = tuple(range(2, 2 + axes))
    seen = np.lib.stride_tricks.sliding_window_view(padded, spans, spatial)  # (N, C, *out, *span)
    strided = tuple(slice(None, None, s) for s in given["strides"])
    dilated = tuple(slice(None, None, d) for d in given["dilations"])
    seen = seen[(slice(None), slice(None), *strided, *dilated)]
    return np.moveaxis(seen, 1, -1), given


def _convolution(emit: Emitter, node: Node) -> _Results:
    weights = _given(node, 1, "W").astype(np.float64)  # (M, C / group, *kernel)
    bias = _constant(node, 2, "B")
    kernel = weights.shape[2:]
    seen, given = _windows(_symbol(node, 0, "X"), node, kernel)
    return _convolve(emit, seen, weights, bias, given["group"])


def _convolve(emit: Emitter, seen: Numbers, weights: Array, bias: Array | None, group: int) -> _Results:
    axes = weights.ndim - 2
    outputs, channels = weights.shape[:2]
    if seen.shape[-1] != channels * group:
        raise GraphError(f"X: expected {channels * group} channels, got {seen.shape[-1]}")
    axis = emit.time_axis(seen)
    if axis is not None and axis > axes:
        raise GraphError("the axis of time is that of the channels")
    if channels == 1 and outputs == group and group > 1:
        return _depthwise(emit, seen, axis, weights.reshape(outputs, -1), bias, axes)
    each = outputs // group
    made = []
    for g in range(group):
        step = emit.step(seen[..., g * channels : (g + 1) * channels], axis)
        own = weights[g * each : (g + 1) * each]
        matrix = np.moveaxis(own, 1, -1).reshape(each, -1).T
        value = _dense(emit, step, matrix, None if bias is None else bias[g * each : (g + 1) * each])
        shape = (*step.shape[: -1 - axes], each)
        made.append(emit.number(value, shape, step.axis))
    return [Symbol(np.moveaxis(np.concatenate(made, -1), -1, 1))]


def _transposed_convolution(emit: Emitter, node: Node) -> _Results:
    """A convolution, with the kernel turned round, of the input with zeros put between its elements."""
    weights = _given(node, 1, "W").astype(np.float64)  # (C, M / group, *kernel)
    kernel = weights.shape[2:]
    axes = len(kernel)
    given = _use(
        node, dilations=[1] * axes, group=1, kernel_shape=None, output_padding=[0] * axes, pads=[0] * 2 * axes,
        strides=[1] * axes,
    )  # fmt: skip
    numbers, group = _symbol(node, 0, "X"), given["group"]
    if given["kernel_shape"] is not None and tuple(given["kernel_shape"]) != kernel:
        raise GraphError(f"kernel_shape: expected {kernel}, that of W, got {tuple(given['kernel_shape'])}")
    extents = [(n - 1) * s + 1 for n, s in zip(numbers.shape[2:], given["strides"], strict=True)]
    spread = np.full((*numbers.shape[:2], *extents), ZERO, np.int64)
    spread[(slice(None), slice(None), *(slice(None, None, s) for s in given["strides"]))] = numbers
    cuts = []
    edges = [(0, 0), (0, 0)]
    for axis, (k, d) in enumerate(zip(kernel, given["dilations"], strict=True)):
        before, after = ((k - 1) * d - given["pads"][axis + side * axes] for side in (0, 1))
        after += given["output_padding"][axis]
        edges.append((max(before, 0), max(after, 0)))
        cuts.append(slice(max(-before, 0), extents[axis] - max(-after, 0)))
    padded = np.pad(spread[(slice(None), slice(None), *cuts)], edges, constant_values=ZERO)
    plain = node._replace(attributes={"dilations": given["dilations"]})
    seen, _ = _windows(padded, plain, kernel)
    groups = np.split(np.flip(weights, tuple(range(2, 2 + axes))), group)
    turned = np.concatenate([np.swapaxes(g, 0, 1) for g in groups])  # (M, C / group, *kernel)
    return _convolve(emit, seen, turned, _constant(node, 2, "B"), group)


def _einsum(emit: Emitter, node: Node) -> _Results:
    """One tensor of the model and one constant: a product for each index that both have and the result keeps."""
    equation = _use(node, equation=b"")["equation"]
    equation = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "")
    if len(node.inputs) != 2 or equation.count(",") != 1 or "->" not in equation or "." in equation:
        raise GraphError(f"equation: expected one of two inputs with all axes named, got {equation!r}")
    (a, b), result = equation.split("->")[0].split(","), equation.split("->")[1]
    if isinstance(node.inputs[1], Symbol):
        node, a, b = node._replace(inputs=node.inputs[::-1]), b, a
    numbers, constant = _symbol(node, 0, "inputs[0]"), _given(node, 1, "inputs[1]")
    if len({*a}) < len(a) or len({*b}) < len(b) or not {*result} <= {*a, *b} or len({*result}) < len(result):
        raise GraphError(f"equation: expected each axis once in an input and in the result, got {equation!r}")
    summed = [c for c in a if c in b and c not in result]
    shared = [c for c in a if c in b and c in result]
    own_a, own_b = [c for c in a if c not in b], [c for c in b if c not in a]
    if not summed or not {*own_a, *own_b} <= {*result}:
        raise GraphError(f"equation: expected a product that sums over axes of both inputs, got {equation!r}")
    numbers = np.moveaxis(numbers, [a.index(c) for c in shared + own_a + summed], range(len(a)))
    constant = np.moveaxis(constant, [b.index(c) for c in shared + summed + own_b], range(len(b)))
    axis_of_all = emit.time_axis(numbers)
    axis = None if axis_of_all is None else axis_of_all - len(shared)
    if axis is not None and not 0 <= axis < len(own_a):
        raise GraphError("the axis of time is one that the constant has too")
    extents = numbers.shape[: len(shared)]
    widths = constant.shape[len(shared) + len(summed) :]
    made = []
    for index in np.ndindex(*extents):
        step = emit.step(numbers[index], axis)
        height = int(np.prod(numbers.shape[len(shared) + len(own_a) :]))
        value = _dense(emit, step, constant[index].reshape(height, -1))
        made.append(emit.number(value, (*step.shape[: len(step.shape) - len(summed)], *widths), step.axis))
    whole = np.stack(made).reshape(*extents, *made[0].shape)
    names = shared + own_a + own_b
    return [Symbol(np.moveaxis(whole, [names.index(c) for c in result], range(len(result))))]


def _depthwise(
    emit: Emitter, seen: Numbers, axis: int | None, weights: Array, bias: Array | None, axes: int
) -> _Results:
    """A kernel for each channel: the sum of what each of its places sees, scaled by channel."""
    places = seen.reshape(*seen.shape[: 1 + axes], -1, seen.shape[-1])
    total = None
    for k in range(places.shape[-2]):
        if (places[..., k, :] == ZERO).all():
            continue
        step = emit.step(places[..., k, :], axis)
        shift = np.zeros(len(weights)) if bias is None or total is not None else bias
        _affine(emit, step, weights[:, k], np.asarray(shift))
        value = len(emit.layers)
        if total is not None:
            value = emit.add(emit.widths[value], [total, value], kind="add")
        total = value
    if total is None:
        raise GraphError("all of X is padding")
    return [Symbol(np.moveaxis(emit.number(total, step.shape, step.axis), -1, 1))]


# -- normalizations, sums ----------------------------------------------------------------------------------------------


def _batch_normalization(emit: Emitter, node: Node) -> _Results:
    given = _use(node, epsilon=1e-5, momentum=0.9, spatial=1, training_mode=0)
    if given["training_mode"]:
        raise GraphError("training_mode: expected 0")
    scale, bias, mean, variance = (
        _given(node, i, name).astype(np.float64) for i, name in ((1, "scale"), (2, "B"), (3, "mean"), (4, "var"))
    )
    factor = scale / np.sqrt(variance + given["epsilon"])
    numbers = _symbol(node, 0, "X")
    step = emit.step(np.moveaxis(numbers, 1, -1))
    (made,) = _affine(emit, step, factor, bias - mean * factor)
    return [Symbol(np.moveaxis(made.numbers, -1, 1))]


def _layer_normalization(emit: Emitter, node: Node) -> _Results:
    given = _use(node, axis=-1, epsilon=1e-5, stash_type=1)
    numbers = _symbol(node, 0, "X")
    scale = _given(node, 1, "Scale").reshape(-1)
    shift = _constant(node, 2, "B")
    axis = given["axis"] % numbers.ndim
    if int(np.prod(numbers.shape[axis:])) != scale.size:
        raise GraphError(f"Scale: expected the shape of the axes from {axis} on, got {scale.size} numbers")
    step = emit.step(numbers)
    if step.axis is not None and step.axis >= axis:
        raise GraphError("the axis of time is one that is normalized over")
    layer = {
        "inputs": emit.widths[step.value],
        "number": float(given["epsilon"]),
        "scale": scale.astype(np.float32),
        "shift": np.zeros(scale.size, np.float32) if shift is None else shift.reshape(-1).astype(np.float32),
    }
    value = emit.add(emit.widths[step.value], [step.value], kind="layer_normalization", **layer)
    return _result(emit, value, step)


def _softmax(emit: Emitter, node: Node) -> _Results:
    numbers = _symbol(node, 0, "input")
    axis = _use(node, axis=-1)["axis"] % numbers.ndim
    moved = np.moveaxis(numbers, axis, -1)
    step = emit.step(moved)
    _last_axis_in(step, moved)
    value = emit.add(emit.widths[step.value], [step.value], kind="softmax", width=numbers.shape[axis])
    (made,) = _result(emit, value, step)
    return [Symbol(np.moveaxis(made.numbers, -1, axis))]


def _mean(whole: bool) -> Callable[[Emitter, Node], _Results]:
    """ReduceMean, or (whole) GlobalAveragePool."""

    def apply(emit: Emitter, node: Node) -> _Results:
        numbers = _symbol(node, 0, "data")
        given = _use(node) if whole else _use(node, axes=None, keepdims=1, noop_with_empty_axes=0)
        if whole:
            axes = list(range(2, numbers.ndim))
        else:
            axes = given["axes"] if _constant(node, 1, "axes") is None else _given(node, 1, "axes").tolist()
            if axes is None:
                axes = [] if given["noop_with_empty_axes"] else list(range(numbers.ndim))
        axes = sorted(a % numbers.ndim for a in axes)
        count = int(np.prod([numbers.shape[a] for a in axes]))
        moved = np.moveaxis(numbers, axes, range(numbers.ndim - len(axes), numbers.ndim))
        rest = moved.shape[: numbers.ndim - len(axes)]
        if count == 1:
            made = moved.reshape(rest)
        else:
            step = emit.step(moved)
            if step.axis is not None and step.axis >= len(rest):
                raise GraphError("it takes the mean over time, of which a stream has not seen the end")
            value = _dense(emit, step, np.full((count, 1), 1 / count))
            made = emit.number(value, step.shape[: len(step.shape) - len(axes)], step.axis)
        if whole or given["keepdims"]:
            made = np.expand_dims(made, axes)
        return [Symbol(made)]

    return apply


# -- recurrence --------------------------------------------------------------------------------------------------------


def _recurrent(emit: Emitter, node: Node) -> _Results:
    names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    if len(node.inputs) > len(names) or node.kind not in DEFAULT_ACTIVATIONS:
        raise GraphError(f"expected at most {len(names)} inputs, got {len(node.inputs)}")
    arrays = {name: _constant(node, i, name) for i, name in enumerate(names) if i in (1, 2, 3, 7)}
    numbers = _symbol(node, 0, "X")
    if node.attributes.get("layout", 0):
        raise GraphError("layout: expected 0")
    if node.attributes.get("direction", b"forward") not in (b"forward", "forward"):
        raise GraphError("direction: expected forward: a stream has no end to begin at")
    if _constant(node, 4, "sequence_lens") is not None:
        raise GraphError("sequence_lens: expected none: a stream has no end")
    for index in (5, 6):
        state = node.inputs[index] if index < len(node.inputs) else None
        if isinstance(state, Symbol):
            if not emit.is_state(state.numbers):
                raise GraphError(
                    f"{names[index]}: expected zeros or an input of the model, got what the model computes"
                )
        elif state is not None and np.any(state):
            raise GraphError(f"{names[index]}: expected zeros or an input of the model, got other numbers")
    if numbers.ndim != 3 or numbers.shape[1] != 1:
        raise GraphError(f"X: expected (T, 1, I), got {numbers.shape}: the axis of time is not the first")
    if numbers.shape[0] != emit.steps:
        raise GraphError(f"X: expected {emit.steps} steps along the first axis in this example, got {numbers.shape}")
    step = emit.step(numbers[:, 0], 0)
    layer = native_parameters(node.kind, {k: v for k, v in arrays.items() if v is not None}, node.attributes)
    hidden = layer["w_hh"].shape[1]
    value = emit.add(hidden, [step.value], **layer)
    y = emit.number(value, (1, 1, hidden), 0)  # (T, D, B, H)
    # What is given for the next call is the last step's; c is no value of the model.
    return [Symbol(y), Symbol(y[-1]), Symbol(emit.state((1, 1, hidden)))][: max(node.outputs, 1)]


def _cast(emit: Emitter, node: Node) -> _Results:
    floats = (1, 10, 11, 16)  # FLOAT, FLOAT16, DOUBLE, BFLOAT16
    if _use(node, to=None, saturate=1)["to"] not in floats:
        raise GraphError("to: expected a type of floats")
    return [Symbol(_symbol(node, 0, "input"))]


def _dropout(emit: Emitter, node: Node) -> _Results:
    return [Symbol(_symbol(node, 0, "data"))]


COMPUTES: dict[str, Callable[[Emitter, Node], _Results]] = {
    "Add": _arithmetic("add"),
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Div": _arithmetic("divide"),
    "Dropout": _dropout,
    "Einsum": _einsum,
    "Elu": _function("elu", ("alpha", 1.0)),
    "Exp": _function("exponential"),
    "GRU": _recurrent,
    "Gemm": _gemm,
    "GlobalAveragePool": _mean(True),
    "HardSigmoid": _function("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "LSTM": _recurrent,
    "LayerNormalization": _layer_normalization,
    "LeakyRelu": _function("leaky_relu", ("alpha", 0.01)),
    "MatMul": _matmul,
    "Mul": _arithmetic("multiply"),
    "Neg": _function("affine", -1.0, 0.0),
    "Pow": _power(None),
    "RNN": _recurrent,
    "ReduceMean": _mean(False),
    "Relu": _function("relu"),
    "Selu": _function("selu"),
    "Sigmoid": _function("sigmoid"),
    "Softmax": _softmax,
    "Softplus": _function("softplus"),
    "Softsign": _function("softsign"),
    "Sqrt": _power(0.5),
    "Sub": _arithmetic("subtract"),
    "Tanh": _function("tanh"),
}
