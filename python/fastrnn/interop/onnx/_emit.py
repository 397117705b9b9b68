"""Tensors of a graph as the native layers' values hold them: each element by its number.

A graph is read by example: once with a sequence of some steps, in which every element of the input has a number. What
only moves elements (Transpose, Slice, Pad, Reshape, a convolution's windows) moves these numbers, by ONNX's own
reference; what computes asks here for a native layer that gathers the elements of a step, whatever way they came, and
for the steps before it where it reads them. So nothing in this package knows how axes lie.

A graph that needs a whole sequence is read with `whole`: its layers may read later steps, and what holds the last step
of a value, or one value of all steps, is a value with a single step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..._typing import Array

__all__ = ["ZERO", "Emitter", "GraphError", "Numbers", "check_size"]

Numbers = Array  # int64: the elements of a tensor, see Emitter.number
ZERO = -1  # an element that padding made
_STATE = -2  # an element of an initial state that the caller gives
_PLACES, _TIMES = 1 << 28, 1 << 14
_REDUCTIONS = ("last", "mean", "maximum")
_MOST = 1 << 25  # elements of a tensor; a damaged file may say anything


class GraphError(ValueError):
    """What a native model cannot do, or what an example cannot show."""


def check_size(shape: Iterable[int]) -> None:
    """Refuse a tensor that is too large for an example, before it is made."""
    extents = [int(extent) for extent in shape]
    if min(extents, default=0) < 0 or math.prod(extents) > _MOST:
        raise GraphError(f"expected at most {_MOST} elements in an example, got {tuple(extents)}")


class Step(NamedTuple):
    """What a tensor holds for one step: its elements' shape, and where the axis of time was (None: the last step's)."""

    value: int
    shape: tuple[int, ...]
    axis: int | None


class Emitter:
    """The native layers so far, for an example of `steps` steps. Value 0 is the input, n what layer n - 1 gives."""

    def __init__(self, steps: int, width: int, whole: bool = False) -> None:
        self.steps, self.whole = steps, whole
        self.layers: list[dict[str, Any]] = []
        self.widths = [width]
        self.extents = [steps]  # of each value, its steps in the example; of one of all steps, those of the input
        self.integers: set[int] = set()  # elements of the input that are whole numbers
        self._gathered: dict[bytes, int] = {}
        self._mapped: dict[tuple[int, str], int] = {}
        self._single: set[int] = set()  # values with one step for a whole sequence

    def add(self, width: int, sources: list[int], /, **layer: Any) -> int:
        """Append a layer, as `fastrnn.io.save_layers` takes it, and return its value."""
        if not self.layers and "kernel" not in layer and "cell" not in layer:
            layer["inputs"] = self.widths[0]
        self.layers.append({**layer, "from": sources})
        self.widths.append(width)
        self.extents.append(self.extents[sources[0]])
        value = len(self.layers)
        if layer.get("kind") in _REDUCTIONS or self._single.issuperset(sources):
            self._single.add(value)
            self.extents[value] = self.steps
        return value

    def windows(self, kind: str, source: int, count: int, /, **settings: Any) -> int:
        """Append a layer that goes over windows of steps, of which there are `count` in the example."""
        width = self.widths[source] * (settings["size"] if kind == "windows" else 1)
        value = self.add(width, [source], kind=kind, **settings)
        self.extents[value] = count
        return value

    def extent(self, numbers: Numbers) -> int:
        """How many steps there are in the example of what a tensor is made of.

        Raises:
            GraphError: it is made of values of different lengths.
        """
        if all(extent == self.steps for extent in self.extents):
            return self.steps
        found = np.unique(np.asarray(self.extents)[np.unique(numbers[numbers >= 0] // (_TIMES * _PLACES))])
        if found.size > 1:
            raise GraphError("it is made of sequences of different lengths, which windows over time have given")
        return int(found[0]) if found.size else self.steps

    def is_single(self, value: int) -> bool:
        """Whether a value has one step for a whole sequence."""
        return value in self._single

    # -- numbers -----------------------------------------------------------------------------------------------------

    def number(self, value: int, shape: tuple[int, ...], axis: int | None) -> Numbers:
        """Number the elements of a value whose steps have this shape, with the axis of time put back where it was."""
        steps = self.extents[value]
        check_size((*shape, steps))
        places = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
        base = value * _TIMES * _PLACES
        if axis is None:
            return base + (steps - 1) * _PLACES + places
        times = np.arange(steps, dtype=np.int64) * _PLACES
        return np.moveaxis(base + times.reshape(-1, *[1] * len(shape)) + places, 0, axis)

    @staticmethod
    def state(shape: tuple[int, ...]) -> Numbers:
        """Number the elements of an initial state."""
        check_size(shape)
        return np.full(shape, _STATE, np.int64)

    @staticmethod
    def is_state(numbers: Numbers) -> bool:
        """Whether all of it is an initial state."""
        return numbers.size > 0 and bool((numbers == _STATE).all())

    @staticmethod
    def has_state(numbers: Numbers) -> bool:
        """Whether any of it is a state that is no value of the model."""
        return bool((numbers == _STATE).any())

    def is_integer(self, numbers: Numbers) -> bool:
        """Whether any of it is whole numbers of the input."""
        if not self.integers:
            return False
        of_input = numbers[(numbers >= 0) & (numbers < _TIMES * _PLACES)]
        return not self.integers.isdisjoint(np.unique(of_input % _PLACES).tolist())

    def sources_of_last_step(self, numbers: Numbers) -> set[int] | None:
        """The values whose last step it is made of, None if it has other steps or zeros."""
        if numbers.size == 0 or (numbers < 0).any():
            return None
        values = numbers // (_TIMES * _PLACES)
        if (numbers // _PLACES % _TIMES != np.asarray(self.extents)[values] - 1).any():
            return None
        return {int(value) for value in np.unique(values)}

    # -- steps -------------------------------------------------------------------------------------------------------

    def step(self, numbers: Numbers) -> Step:
        """Make the elements that a tensor has for one step a value, in the tensor's order without the axis of time.

        Raises:
            GraphError: no axis is that of time, or a step reads later ones.
        """
        return self.step_along(numbers, self.time_axis(numbers))

    def step_along(self, numbers: Numbers, axis: int | None) -> Step:
        """As `step`, with the axis of time that is known; None where the tensor is of the last step alone."""
        pattern = self._pattern(numbers, axis)
        if isinstance(pattern, str):
            raise GraphError(pattern)
        shape = numbers.shape if axis is None else np.delete(numbers.shape, axis)
        return Step(self._gather(pattern, axis is None), tuple(int(n) for n in shape), axis)

    def map(self, numbers: Numbers, **layer: Any) -> Numbers:
        """Apply an elementwise layer, where the elements lie if they are most of a value, else to a step of them."""
        if not (numbers < 0).any():
            sources = np.unique(numbers // (_TIMES * _PLACES))
            used = np.unique(numbers % _PLACES).size
            if sources.size == 1 and 4 * used >= self.widths[int(sources[0])]:
                source = int(sources[0])
                return numbers + (self._map(source, layer) - source) * (_TIMES * _PLACES)
        step = self.step(numbers)
        return self.number(self._map(step.value, layer), step.shape, step.axis)

    def whole_value(self, source: int, kind: str) -> int:
        """A value's steps in reverse, its last one, their mean or their maximum."""
        return self._map(source, {"kind": kind})

    def _map(self, source: int, layer: dict[str, Any]) -> int:
        key = (source, repr(layer))
        if key not in self._mapped:
            self._mapped[key] = self.add(self.widths[source], [source], **layer)
        return self._mapped[key]

    def combine(self, kind: str, a: Numbers, b: Numbers) -> Numbers:
        """Apply a layer to two tensors of one shape, element by element."""
        axis = self.time_axis(a)
        order = self._order(a, axis)
        flat = None if axis is None else 0
        first, second = (self.step_along(self._reorder(n, axis, order), flat) for n in (a, b))
        value = self.add(self.widths[first.value], [first.value, second.value], kind=kind)
        made = self.number(value, first.shape, first.axis)
        shape = a.shape if axis is None else np.moveaxis(a, axis, 0).shape
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        rows = made.reshape(1 if axis is None else a.shape[axis], -1)[:, back].reshape(shape)
        return rows if axis is None else np.moveaxis(rows, 0, axis)

    def _order(self, numbers: Numbers, axis: int | None) -> Array:
        """The elements of a step in the order in which they lie, so that they are gathered in long stretches."""
        last = numbers if axis is None else np.moveaxis(numbers, axis, 0)[-1]
        return np.argsort(last.reshape(-1), kind="stable")

    def _reorder(self, numbers: Numbers, axis: int | None, order: Array) -> Numbers:
        rows = (
            numbers.reshape(1, -1) if axis is None else np.moveaxis(numbers, axis, 0).reshape(numbers.shape[axis], -1)
        )
        return rows[0, order] if axis is None else rows[:, order]

    def time_axis(self, numbers: Numbers) -> int | None:
        """Find the axis along which the steps follow each other.

        Raises:
            GraphError: there is none.
        """
        reason = "its elements are not those of one step after the other"
        steps = self.extent(numbers)
        if steps > 1:
            for axis, extent in enumerate(numbers.shape):
                if extent == steps:
                    pattern = self._pattern(numbers, axis)
                    if not isinstance(pattern, str):
                        return axis
                    reason = pattern
        if not isinstance(self._pattern(numbers, None), str):
            return None
        raise GraphError(reason)

    def _pattern(self, numbers: Numbers, axis: int | None) -> Numbers | str:
        """Value, steps back and place of each element of a step, (3, M), with -1 for zeros; or why there is none."""
        if self.has_state(numbers):
            raise GraphError(
                "it computes with a state that the caller passes from call to call; only the initial "
                "states of recurrent nodes may be given"
            )
        steps = self.extent(numbers)
        if axis is None:
            rows, times = numbers.reshape(1, -1), np.array([steps - 1])
        elif numbers.shape[axis] != steps:
            return "its elements are not those of one step after the other"
        else:
            rows, times = np.moveaxis(numbers, axis, 0).reshape(steps, -1), np.arange(steps)
        value, back, place = self._split(rows, times)
        if (back < 0).any() and not self.whole:
            return "a step reads later ones: it looks ahead, and a stream has no later steps yet"
        typical = len(times) // 2 if self.whole else -1  # in the middle, where neither end is near
        last = np.stack([value[typical], back[typical], place[typical]])
        # Other rows must have the same elements, with zeros in place of steps before the first or after the last.
        read = times[:, None] - last[1]
        expected = np.where((read < 0) | (read >= steps), ZERO, last[0])
        if not (value == expected).all():
            return "its elements are not those of one step after the other"
        there = value != ZERO
        if not ((back == last[1]) & (place == last[2]))[there].all():
            return "its elements are not those of one step after the other"
        if axis is None and last[1].any():
            return "it reads single steps of a sequence"
        return last

    @staticmethod
    def _split(rows: Numbers, times: Array) -> tuple[Numbers, Numbers, Numbers]:
        zero = rows == ZERO
        value = np.where(zero, ZERO, rows // (_TIMES * _PLACES))
        back = np.where(zero, 0, times[:, None] - rows // _PLACES % _TIMES)
        return value, back, np.where(zero, 0, rows % _PLACES)

    def _gather(self, pattern: Numbers, last: bool) -> int:
        last = last and self.whole
        key = pattern.tobytes() + b"last" * last
        if key not in self._gathered:
            self._gathered[key] = self._gather_new(pattern, last)
        return self._gathered[key]

    def _gather_new(self, pattern: Numbers, last: bool) -> int:
        value, back, place = pattern
        sources = [int(v) for v in np.unique(value) if v != ZERO]
        if not sources:
            raise GraphError("all of it is padding")
        delayed = []  # a value with its own steps before it, the oldest first
        for source in sources:
            mine = value == source
            most, ahead = max(int(back[mine].max()), 0), max(int(-back[mine].min()), 0)
            width = self.widths[source]
            place = np.where(mine, place + (most - back) * width, place)
            if last and not self.is_single(source):
                source = self.whole_value(source, "last")
            elif most or ahead:
                layer = {"inputs": width, "steps": most + ahead, **({"ahead": ahead} if ahead else {})}
                source = self.add((most + ahead + 1) * width, [source], kind="delay", **layer)
            delayed.append(source)
        whole = delayed[0]
        if len(delayed) > 1:
            whole = self.add(sum(self.widths[d] for d in delayed), delayed, kind="concatenate")
            first = np.cumsum([0, *(self.widths[d] for d in delayed)])
            for source, offset in zip(sources, first, strict=False):
                place = np.where(value == source, place + offset, place)
        width = self.widths[whole]
        place = np.where(value == ZERO, width, place)  # a gather reads a zero from behind its input's last element
        if place.size == width and (place == np.arange(width)).all():
            return whole
        return self.add(place.size, [whole], kind="gather", inputs=width, runs=_runs(place, width))


def _runs(places: Numbers, width: int) -> list[tuple[int, int]]:
    """Stretches of places that follow each other; zeros are all at `width`."""
    zero = places == width
    follows = np.where(zero[1:], zero[:-1], ~zero[:-1] & (np.diff(places) == 1))
    begins = np.concatenate([[0], np.flatnonzero(~follows) + 1])
    counts = np.diff(np.concatenate([begins, [places.size]]))
    return [(int(places[b]), int(c)) for b, c in zip(begins, counts, strict=True)]
