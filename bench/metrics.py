"""What a goal can be about: figures of one result of a run, and what is no figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .roofline import FAULT
from .work import Part


class NotMeasured(Exception):
    """A run has no figure for a goal; the message says why."""


class Fault(Exception):
    """A figure that cannot be true, so that it is neither reached nor missed; `value` says what was measured."""

    def __init__(self, value: float) -> None:
        super().__init__(f"{value:.0%} of the roofline")
        self.value = value


def _figure(result: dict[str, Any], name: str, figure: str = "median_us", part: Part = "total") -> float:
    """One figure of one contestant, of the whole call or a part of it."""
    if name in result["timings"]:
        return float(result["timings"][name][part][figure])
    raise NotMeasured(result["unable"].get(name, f"{name} is not in this run"))


@dataclass(frozen=True)
class Microseconds:
    """The median time of one call, or another figure of it."""

    of: str
    figure: str = "median_us"
    at_most = True
    text = "{:.4g} us"

    def value(self, result: dict[str, Any]) -> float:
        return _figure(result, self.of, self.figure)


@dataclass(frozen=True)
class Rate:
    """Operations of the matrix products per second, by the median time."""

    of: str
    part: Part = "total"
    at_most = False
    text = "{:.0f} GFLOP/s"

    def value(self, result: dict[str, Any]) -> float:
        return _figure(result, self.of, "gflops", self.part)


@dataclass(frozen=True)
class Faster:
    """How many times faster `ours` is than the fastest of `than` that was measured, by medians."""

    ours: str
    than: tuple[str, ...]
    at_most = False
    text = "{:.2f}x"

    def value(self, result: dict[str, Any]) -> float:
        theirs = [_figure(result, name) for name in self.than if name in result["timings"]]
        if not theirs:
            _figure(result, self.than[0])  # raises
        return min(theirs) / _figure(result, self.ours)


@dataclass(frozen=True)
class OfRoofline:
    """The least time that the roofline allows by the median time; for large batches, the part of the peak."""

    of: str = "fastrnn"
    at_most = False
    text = "{:.1%} of the roofline"

    def value(self, result: dict[str, Any]) -> float:
        dtype = result["dtypes"].get(self.of, "float32")
        if dtype not in result["bounds_us"]:
            raise NotMeasured(f"there is no {dtype} roofline")
        share = float(result["bounds_us"][dtype]) / _figure(result, self.of)
        if share > FAULT:
            raise Fault(share)
        return share


@dataclass(frozen=True)
class OverRoofline(OfRoofline):
    """The inverse: the median time by the least time that the roofline allows."""

    at_most = True
    text = "{:.2f}x the roofline's time"

    def value(self, result: dict[str, Any]) -> float:
        return 1 / super().value(result)


@dataclass(frozen=True)
class Cost:
    """How many times the median time of `than` a figure of `of` is."""

    of: str
    than: str = "fastrnn"
    figure: str = "median_us"
    at_most = True
    text = "{:.2f}x the time"

    def value(self, result: dict[str, Any]) -> float:
        return _figure(result, self.of, self.figure) / _figure(result, self.than)


@dataclass(frozen=True)
class PerFlop:
    """Operations per second relative to those of `than`, which may have another shape."""

    of: str
    than: str
    at_most = False
    text = "{:.2f}x per FLOP"

    def value(self, result: dict[str, Any]) -> float:
        return _figure(result, self.of, "gflops") / _figure(result, self.than, "gflops")


@dataclass(frozen=True)
class TimePerFlop(PerFlop):
    """The inverse: of a ragged batch, its time by that of the padded one times the share of its real steps."""

    at_most = True
    text = "{:.2f}x the time per FLOP"

    def value(self, result: dict[str, Any]) -> float:
        return 1 / super().value(result)


Metric = Microseconds | Rate | Faster | OfRoofline | OverRoofline | Cost | PerFlop | TimePerFlop
