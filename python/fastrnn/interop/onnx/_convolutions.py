"""Convolutions of any number of axes: the elements under the kernel are gathered, and multiplied row by row."""

from __future__ import annotations

import numpy as np

from ..._typing import Array
from ._elementwise import affine
from ._emit import ZERO, Emitter, GraphError, Numbers, check_size
from ._nodes import Node, Results, Symbol, attributes_of, constant_of, given_constant, symbol_of
from ._products import dense
from ._windows import Kernel, kernel_of, under_kernel, windows_of_time

__all__ = ["convolution", "transposed_convolution"]


def convolution(emit: Emitter, node: Node) -> Results:
    weights = given_constant(node, 1, "W").astype(np.float64)  # (M, C / group, *kernel)
    bias = constant_of(node, 2, "B")
    numbers = symbol_of(node, 0, "X")
    given = attributes_of(node, auto_pad=b"NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None)
    kernel = kernel_of(given, weights.shape[2:], numbers.shape[2:])
    seen = windows_of_time(emit, numbers, kernel)
    if seen is None:
        seen = under_kernel(numbers, kernel)
    return _convolve(emit, np.moveaxis(seen, 1, -1), weights, bias, given["group"])


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
    plain = Kernel(kernel, [1] * axes, given["dilations"], [(0, 0)] * axes, "")
    seen = np.moveaxis(under_kernel(padded, plain), 1, -1)
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
