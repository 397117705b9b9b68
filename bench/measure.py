"""Measure contestants in turn: check that they agree, then time them in interleaved rounds.

Only ratios within one run mean something on a shared machine, so every round times every contestant for the same
short while before the next round begins: what slows the machine slows them all.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .work import Array, Part, Work

try:
    import resource
except ImportError:  # not on Windows; only the count of preemptions is lost
    resource = None  # type: ignore[assignment]

# Largest difference from fastrnn's float32, relative to the largest value of the array. In float32 libraries differ in
# the order of their sums and in their tanh. Otherwise the factors of every product are rounded: to 8 bits of mantissa
# (2^-9 relative), or to one of 255 levels (half a level is 2^-8 of the largest); sixteen such errors are allowed, as a
# sequence carries them on. A gate out of place is off by 1e-1 and more. Gradients sum over T*B terms.
# Of a fit, Adam's epsilon stands in another place in PyTorch than in Keras: 1e-2 of the change after an epoch.
TOLERANCE = {
    "float32": 5e-5,
    "bfloat16": 16 / 2**9,
    "bfloat16_weights": 16 / 2**9,
    "int8": 16 / 2**8,
    "fast": 2e-3,
    "fit": 5e-2,
}
TOLERANCE_GRADIENT = 2e-4
# Until a contestant's data is back in the caches that the one before it has filled. A call as long as _LONG_CALL fills
# them itself in a small part of its time.
_WARM_UP_SECONDS = 0.02
_LONG_CALL_SECONDS = 0.1
_CALLS_AT_MOST = 50_000
# One whose calls are so long that it has used this many times its seconds sits out the rounds that are left.
_OVERTIME = 6
PARTS: tuple[Part, ...] = ("total", "forward", "backward")


class Disagreement(Exception):
    """A contestant computes something else, so its time would mean nothing."""


class Unable(Exception):
    """A library cannot do a work as it is installed here; the message says why."""


@dataclass
class Contestant:
    """One library, or one way to run it, ready to do one work.

    ``forward()`` is the timed call. Where a training step can be told apart, ``backward(result of forward)`` is its
    second part, timed on its own; otherwise ``forward`` is the whole step. ``arrays(result of the last part)`` gives
    named arrays in PyTorch's layout to compare: ``y`` and gradients ``d_x``, ``d_w_ih``, ... ``precision`` is a key of
    TOLERANCE; None where the data is not that of the first contestant, so that there is nothing to compare.
    """

    name: str
    work: Work
    forward: Callable[[], Any]
    arrays: Callable[[Any], dict[str, Array]]
    backward: Callable[[Any], Any] | None = None
    precision: str | None = "float32"


@dataclass
class Timing:
    """Times of one contestant on one work, in seconds, one entry per call."""

    name: str
    work: Work
    difference: float | None = None
    total: list[float] = field(default_factory=list)
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    round_ends: list[int] = field(default_factory=list)
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    preemptions: int = 0

    def round_medians(self, part: Part = "total") -> list[float]:
        """Median of each round."""
        times = getattr(self, part)
        starts = [0, *self.round_ends[:-1]]
        return [float(np.median(times[a:b])) for a, b in zip(starts, self.round_ends, strict=True)]

    def summary(self) -> dict[str, Any]:
        """Median and p99 in microseconds and GFLOP/s per part."""
        out: dict[str, Any] = {
            "calls": len(self.total),
            "difference": self.difference,
            # More than the threads it was allowed means that the comparison is not fair.
            "cores_used": round(self.cpu_seconds / self.wall_seconds, 2) if self.wall_seconds else None,
            "preemptions": self.preemptions,
        }
        for part in PARTS:
            times = getattr(self, part)
            if times:
                median = float(np.median(times))
                out[part] = {
                    "median_us": median * 1e6,
                    "p99_us": float(np.percentile(times, 99)) * 1e6,
                    "min_us": min(times) * 1e6,
                    "gflops": self.work.flops(part) / median * 1e-9,
                }
        return out


def difference(ours: dict[str, Array], theirs: dict[str, Array]) -> dict[str, float]:
    """Per array that both have, the largest difference relative to the largest value.

    Raises:
        Disagreement: nothing in common, or a shape differs.
    """
    names = [name for name in ours if name in theirs]
    if not names:
        raise Disagreement("no array in common to compare")
    out = {}
    for name in names:
        a, b = np.asarray(ours[name], np.float64), np.asarray(theirs[name], np.float64)
        if a.shape != b.shape:
            raise Disagreement(f"{name}: expected shape {a.shape}, got {b.shape}")
        out[name] = float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(a))), 1e-30))
    return out


def run_once(contestant: Contestant) -> dict[str, Array]:
    """One call; its arrays are copies, as a library may hand out its own buffer and write it again at the next call."""
    result = contestant.forward()
    if contestant.backward is not None:
        result = contestant.backward(result)
    return {name: np.array(value) for name, value in contestant.arrays(result).items()}


def compare(ours: dict[str, Array], theirs: dict[str, Array], precision: str) -> float:
    """The largest of the differences.

    Raises:
        Disagreement: it is beyond TOLERANCE or TOLERANCE_GRADIENT; names the array.
    """
    found = difference(ours, theirs)
    for name, value in found.items():
        limit = TOLERANCE_GRADIENT if name.startswith("d_") else TOLERANCE[precision]
        if not value <= limit:  # a NaN is a disagreement too
            raise Disagreement(f"{name} differs by {value:.2g}, expected {limit:.2g} at most")
    return max(found.values())


def check_agreement(contestants: Sequence[Contestant]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Run each once and compare it with the first.

    Returns:
        tuple: by name, the largest difference of those that agree (None: not comparable), and of the others what is
        wrong.

    Raises:
        Disagreement: the first one has a NaN, so that there is nothing to compare with.
    """
    ours = run_once(contestants[0])
    agreed: dict[str, float | None] = {}
    refused: dict[str, str] = {}
    for contestant in contestants:
        theirs = ours if contestant is contestants[0] else run_once(contestant)
        try:
            precision = contestant.precision
            agreed[contestant.name] = None if precision is None else compare(ours, theirs, precision)
        except Disagreement as error:
            if contestant is contestants[0]:
                raise Disagreement(f"{contestant.name}: {error}") from None
            refused[contestant.name] = str(error)
    return agreed, refused


def measure(
    contestants: Sequence[Contestant], rounds: int = 7, seconds: float = 2.0
) -> tuple[list[Timing], dict[str, str]]:
    """Time the contestants, the first being ours.

    Args:
        contestants: those that do not agree with the first are not timed.
        rounds: every round times each contestant once, in order.
        seconds: for each contestant in all rounds together; a call is never cut, and the first round has at least one.

    Returns:
        tuple: the timings in the order of `contestants`, and by name what is wrong with those that do not agree.

    Raises:
        Disagreement: see :func:`check_agreement`.
    """
    if rounds < 1 or not seconds > 0:
        raise ValueError(f"rounds, seconds: expected at least 1 and more than 0, got {rounds} and {seconds}")
    agreed, refused = check_agreement(contestants)
    timed = [(c, Timing(c.name, c.work, agreed[c.name])) for c in contestants if c.name in agreed]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for contestant, timing in timed:
                if timing.wall_seconds < _OVERTIME * seconds:
                    _one_slot(contestant, timing, seconds / rounds)
    finally:
        if collecting:
            gc.enable()
    return [timing for _, timing in timed], refused


def _call(forward: Callable[[], Any], backward: Callable[[Any], Any] | None) -> tuple[float, float]:
    """Seconds of the forward and of the backward part."""
    clock = time.perf_counter
    start = clock()
    result = forward()
    middle = clock()
    if backward is None:
        return middle - start, 0.0
    backward(result)
    return middle - start, clock() - middle


def _one_slot(contestant: Contestant, timing: Timing, seconds: float) -> None:
    """Warm up, then time calls one by one until `seconds` have passed."""
    forward, backward = contestant.forward, contestant.backward
    if not timing.total or timing.total[-1] < _LONG_CALL_SECONDS:
        end = time.perf_counter() + min(_WARM_UP_SECONDS, seconds)
        while time.perf_counter() < end:
            _call(forward, backward)
    preempted, cpu, start = _preemptions(), time.process_time(), time.perf_counter()
    end = start + seconds
    for _ in range(_CALLS_AT_MOST):
        first, second = _call(forward, backward)
        timing.total.append(first + second)
        if backward is not None:
            timing.forward.append(first)
            timing.backward.append(second)
        if time.perf_counter() >= end:
            break
    timing.wall_seconds += time.perf_counter() - start
    timing.cpu_seconds += time.process_time() - cpu
    timing.preemptions += _preemptions() - preempted
    timing.round_ends.append(len(timing.total))


def _preemptions() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def ratios(ours: Timing, theirs: Timing, part: Part = "total") -> dict[str, float] | None:
    """How many times faster ours is: ratio of the medians, and the range of the same ratio over the rounds of both.

    None where one of them did not time that part on its own.
    """
    if not getattr(ours, part) or not getattr(theirs, part):
        return None
    per_round = [b / a for a, b in zip(ours.round_medians(part), theirs.round_medians(part), strict=False)]
    ratio = float(np.median(getattr(theirs, part)) / np.median(getattr(ours, part)))
    return {"ratio": ratio, "lowest_round": min(per_round), "highest_round": max(per_round)}
