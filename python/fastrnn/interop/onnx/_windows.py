"""Windows of convolutions and pools: what they go over, and those over time, which give a step for each window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._emit import ZERO, Emitter, GraphError, Numbers, Step, check_size
from ._nodes import Node, Results, attributes_of, result_of, symbol_of

__all__ = ["Kernel", "kernel_of", "pooling", "under_kernel", "windows_of_time"]


class Kernel(NamedTuple):
    """What a node says of its windows, for each axis behind the channels."""

    sizes: tuple[int, ...]
    strides: list[int]
    dilations: list[int]
    pads: list[tuple[int, int]]
    automatic: str  # SAME_UPPER, SAME_LOWER, or "" where the pads do not depend on the extents

    def span(self, axis: int) -> int:
        """From the first element under the kernel to the last, both counted."""
        return (self.sizes[axis] - 1) * self.dilations[axis] + 1


def kernel_of(given: dict[str, Any], sizes: tuple[int, ...], extents: tuple[int, ...]) -> Kernel:
    """The windows of a node with these attributes, over axes of these extents."""
    axes = len(sizes)
    if given["kernel_shape"] is not None and tuple(given["kernel_shape"]) != sizes:
        raise GraphError(f"kernel_shape: expected {sizes}, that of W, got {tuple(given['kernel_shape'])}")
    strides, dilations = (list(given[name] or [1] * axes) for name in ("strides", "dilations"))
    if min([*sizes, *strides, *dilations]) < 1 or len(strides) != axes or len(dilations) != axes:
        raise GraphError(f"expected sizes, strides and dilations of 1 or more for {axes} axes")
    spans = [(k - 1) * d + 1 for k, d in zip(sizes, dilations, strict=True)]
    ends = list(given["pads"]) if given["pads"] is not None else [0] * 2 * axes
    auto = given["auto_pad"].decode() if isinstance(given["auto_pad"], bytes) else given["auto_pad"]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for axis, (span, stride) in enumerate(zip(spans, strides, strict=True)):
            total = max((-(-extents[axis] // stride) - 1) * stride + span - extents[axis], 0)
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            ends[axis], ends[axes + axis] = before, total - before
    elif auto not in ("NOTSET", "VALID"):
        raise GraphError(f"auto_pad: expected NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {auto}")
    pads = [(ends[axis], ends[axes + axis]) for axis in range(axes)]
    return Kernel(sizes, strides, dilations, pads, auto if auto.startswith("SAME") else "")


def under_kernel(numbers: Numbers, kernel: Kernel) -> Numbers:
    """(N, C, *spatial, ...) to the elements under the kernel, (N, C, *out, ..., *kernel), zeros over the padding."""
    axes = len(kernel.sizes)
    edges = [(0, 0), (0, 0), *kernel.pads, *[(0, 0)] * (numbers.ndim - 2 - axes)]
    check_size(n + before + after for n, (before, after) in zip(numbers.shape, edges, strict=True))
    padded = np.pad(numbers, edges, constant_values=ZERO)
    spans = [kernel.span(axis) for axis in range(axes)]
    if any(span > extent for span, extent in zip(spans, padded.shape[2:], strict=False)):
        raise GraphError(f"X: expected no less than the kernel, {kernel.sizes}, got {numbers.shape[2 : 2 + axes]}")
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, tuple(range(2, 2 + axes)))
    strided = tuple(slice(None, None, s) for s in kernel.strides)
    dilated = tuple(slice(None, None, d) for d in kernel.dilations)
    places: tuple[Any, ...] = (slice(None), slice(None), *strided, ..., *dilated)
    seen: Numbers = view[places]
    check_size(seen.shape)
    return seen


class _OverTime(NamedTuple):
    """The windows of a node along the axis of time."""

    step: Step  # what they go over
    axis: int  # of the kernel
    windows: int  # of the example
    settings: dict[str, Any]  # of the native layer


def _over_time(emit: Emitter, numbers: Numbers, kernel: Kernel, *, changes: bool) -> _OverTime | None:
    """The windows along time, None where no axis of the kernel is that; `changes`: or where as many as steps."""
    steps = emit.extent(numbers)
    for axis, (stride, (before, after)) in enumerate(zip(kernel.strides, kernel.pads, strict=True)):
        rows = np.moveaxis(numbers, 2 + axis, 0).reshape(numbers.shape[2 + axis], -1)
        there = np.flatnonzero((rows != ZERO).any(axis=1))  # the rest is the work of a Pad
        if there.size == 0 or there[-1] + 1 - there[0] != steps or steps == 1:
            continue
        extra = int(there[0]), len(rows) - 1 - int(there[-1])
        before, after, span = before + extra[0], after + extra[1], kernel.span(axis)
        if changes and stride == 1 and before + after == span - 1:
            return None
        inner = np.take(numbers, range(int(there[0]), int(there[-1]) + 1), 2 + axis)
        try:
            step = emit.step_along(inner, 2 + axis)
        except GraphError:
            continue
        settings: dict[str, Any] = {"size": kernel.sizes[axis], "stride": stride, "dilation": kernel.dilations[axis]}
        if kernel.automatic and stride > 1:
            if kernel.automatic == "SAME_LOWER" or extra != (0, 0):
                raise GraphError(f"auto_pad: {kernel.automatic} is not known here with strides over time")
            settings["same"] = True
        else:
            if min(before, after) < 0 or before + after >= span:
                raise GraphError(
                    f"pads: expected 0 or more over time, and fewer than {span}, which the kernel goes over, got "
                    f"{before} and {after}"
                )
            settings |= {name: pad for name, pad in (("before", before), ("after", after)) if pad}
        count = (before + steps + after - span) // stride + 1
        if count < 1:
            raise GraphError(f"X: expected no less than the kernel, {kernel.sizes}, got {steps} steps")
        return _OverTime(step, axis, count, settings)
    return None


def windows_of_time(emit: Emitter, numbers: Numbers, kernel: Kernel) -> Numbers | None:
    """As `under_kernel`, where the windows change how many steps there are; None where they do not."""
    found = _over_time(emit, numbers, kernel, changes=True) if emit.whole else None
    if found is None:
        return None
    axes, axis = len(kernel.sizes), found.axis
    size = kernel.sizes[axis]
    value = emit.windows("windows", found.step.value, found.windows, **found.settings)
    made = emit.number(value, (size, *found.step.shape), 0)  # (T', size, N, C, the other axes)
    placed = np.moveaxis(np.moveaxis(made, 1, -1), 0, 2 + axis)  # (N, C, *spatial, size)
    rest = kernel._replace(
        sizes=tuple(1 if a == axis else k for a, k in enumerate(kernel.sizes)),
        strides=[1 if a == axis else s for a, s in enumerate(kernel.strides)],
        dilations=[1 if a == axis else d for a, d in enumerate(kernel.dilations)],
        pads=[(0, 0) if a == axis else p for a, p in enumerate(kernel.pads)],
    )
    seen = under_kernel(placed, rest)  # (N, C, *out, size, *kernel)
    return np.moveaxis(np.squeeze(seen, 3 + axes + axis), 2 + axes, 2 + axes + axis)


def pooling(kind: str) -> Callable[[Emitter, Node], Results]:
    """A MaxPool or an AveragePool over time."""

    def apply(emit: Emitter, node: Node) -> Results:
        numbers = symbol_of(node, 0, "X")
        given = attributes_of(
            node, auto_pad=b"NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, kernel_shape=None, pads=None,
            storage_order=0, strides=None,
        )  # fmt: skip
        if given["kernel_shape"] is None or len(given["kernel_shape"]) != numbers.ndim - 2:
            raise GraphError(f"kernel_shape: expected a size for each of {numbers.ndim - 2} axes")
        if node.outputs > 1:
            raise GraphError("outputs: expected Y alone; the places of the largest values are not known")
        if not emit.whole:
            raise GraphError("it gives a step for each window of steps, and a stream one for each step")
        kernel = kernel_of(given, tuple(given["kernel_shape"]), numbers.shape[2:])
        found = _over_time(emit, numbers, kernel, changes=False)
        others = [a for a in range(len(kernel.sizes)) if found is None or a != found.axis]
        if found is None or any((kernel.sizes[a], kernel.strides[a], kernel.pads[a]) != (1, 1, (0, 0)) for a in others):
            raise GraphError("kernel_shape: expected windows over time alone")
        if given["ceil_mode"]:
            raise GraphError("ceil_mode: expected 0: a window lies within the sequence and its padding")
        if given["count_include_pad"] and not found.settings.keys().isdisjoint(("before", "after", "same")):
            raise GraphError("count_include_pad: expected 0: padding does not count")
        value = emit.windows(kind, found.step.value, found.windows, **found.settings)
        return result_of(emit, value, found.step)

    return apply
