"""Convolutions of any number of axes: the elements under the kernel are gathered, and multiplied row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._typing import Array
from ._elementwise import affine
from ._emit import ZERO, Emitter, GraphError, Numbers, check_size
from ._nodes import Node, Results, Symbol, attributes_of, constant_of, given_constant, symbol_of
from ._products import dense

__all__ = ["convolution", "transposed_convolution"]


def _windows(numbers: Numbers, node: Node, kernel: tuple[int, ...]) -> tuple[Numbers, dict[str, Any]]:
    """(N, C, *spatial) to the elements under the kernel, (N, *out, *kernel, C), zeros over the padding."""
    axes = len(kernel)
    given = attributes_of(
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
    check_size(n + before + after for n, (before, after) in zip(numbers.shape, edges, strict=True))
    padded = np.pad(numbers, edges, constant_values=ZERO)
    if any(span > extent for span, extent in zip(spans, padded.shape[2:], strict=True)):
        raise GraphError(f"X: expected no less than the kernel, {kernel}, got {numbers.shape[2:]}")
    spatial = tuple(range(2, 2 + axes))
    seen = np.lib.stride_tricks.sliding_window_view(padded, spans, spatial)  # (N, C, *out, *span)
    strided = tuple(slice(None, None, s) for s in given["strides"])
    dilated = tuple(slice(None, None, d) for d in given["dilations"])
    seen = seen[(slice(None), slice(None), *strided, *dilated)]
    check_size(seen.shape)
    return np.moveaxis(seen, 1, -1), given


def convolution(emit: Emitter, node: Node) -> Results:
    weights = given_constant(node, 1, "W").astype(np.float64)  # (M, C / group, *kernel)
    bias = constant_of(node, 2, "B")
    kernel = weights.shape[2:]
    seen, given = _windows(symbol_of(node, 0, "X"), node, kernel)
    return _convolve(emit, seen, weights, bias, given["group"])


def _convolve(emit: Emitter, seen: Numbers, weights: Array, bias: Array | None, group: int) -> Results:
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
        step = emit.step_along(seen[..., g * channels : (g + 1) * channels], axis)
        own = weights[g * each : (g + 1) * each]
        matrix = np.moveaxis(own, 1, -1).reshape(each, -1).T
        value = dense(emit, step, matrix, None if bias is None else bias[g * each : (g + 1) * each])
        shape = (*step.shape[: -1 - axes], each)
        made.append(emit.number(value, shape, step.axis))
    return [Symbol(np.moveaxis(np.concatenate(made, -1), -1, 1))]


def transposed_convolution(emit: Emitter, node: Node) -> Results:
    """A convolution, with the kernel turned round, of the input with zeros put between its elements."""
    weights = given_constant(node, 1, "W").astype(np.float64)  # (C, M / group, *kernel)
    kernel = weights.shape[2:]
    axes = len(kernel)
    given = attributes_of(
        node, dilations=[1] * axes, group=1, kernel_shape=None, output_padding=[0] * axes, pads=[0] * 2 * axes,
        strides=[1] * axes,
    )  # fmt: skip
    numbers, group = symbol_of(node, 0, "X"), given["group"]
    if given["kernel_shape"] is not None and tuple(given["kernel_shape"]) != kernel:
        raise GraphError(f"kernel_shape: expected {kernel}, that of W, got {tuple(given['kernel_shape'])}")
    extents = [(n - 1) * s + 1 for n, s in zip(numbers.shape[2:], given["strides"], strict=True)]
    check_size((*numbers.shape[:2], *extents))
    spread = np.full((*numbers.shape[:2], *extents), ZERO, np.int64)
    spread[(slice(None), slice(None), *(slice(None, None, s) for s in given["strides"]))] = numbers
    cuts = []
    edges = [(0, 0), (0, 0)]
    for axis, (k, d) in enumerate(zip(kernel, given["dilations"], strict=True)):
        before, after = ((k - 1) * d - given["pads"][axis + side * axes] for side in (0, 1))
        after += given["output_padding"][axis]
        edges.append((max(before, 0), max(after, 0)))
        cuts.append(slice(max(-before, 0), extents[axis] - max(-after, 0)))
    check_size(n + before + after for n, (before, after) in zip(spread.shape, edges, strict=True))
    padded = np.pad(spread[(slice(None), slice(None), *cuts)], edges, constant_values=ZERO)
    plain = node._replace(attributes={"dilations": given["dilations"]})
    seen, _ = _windows(padded, plain, kernel)
    groups = np.split(np.flip(weights, tuple(range(2, 2 + axes))), group)
    turned = np.concatenate([np.swapaxes(g, 0, 1) for g in groups])  # (M, C / group, *kernel)
    return _convolve(emit, seen, turned, constant_of(node, 2, "B"), group)


def _depthwise(
    emit: Emitter, seen: Numbers, axis: int | None, weights: Array, bias: Array | None, axes: int
) -> Results:
    """A kernel for each channel: the sum of what each of its places sees, scaled by channel."""
    places = seen.reshape(*seen.shape[: 1 + axes], -1, seen.shape[-1])
    total = None
    for k in range(places.shape[-2]):
        if (places[..., k, :] == ZERO).all():
            continue
        step = emit.step_along(places[..., k, :], axis)
        shift = np.zeros(len(weights)) if bias is None or total is not None else bias
        affine(emit, step, weights[:, k], np.asarray(shift))
        value = len(emit.layers)
        if total is not None:
            value = emit.add(emit.widths[value], [total, value], kind="add")
        total = value
    if total is None:
        raise GraphError("all of X is padding")
    return [Symbol(np.moveaxis(emit.number(total, step.shape, step.axis), -1, 1))]
