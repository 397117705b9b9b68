"""Measure contestants in turn: check that they agree, then time them in interleaved rounds.

Only ratios within one run mean something on a shared machine, so every round times every contestant for the same
short while before the next round begins: what slows the machine slows them all.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .work import Array

try:
    import resource
except ImportError:  # not on Windows; only the count of preemptions is lost
    resource = None  # type: ignore[assignment]

# Largest difference from fastrnn, relative to the largest value of the array. Libraries differ in the order of their
# sums and in their tanh; a gate out of place or a bias left out is off by 1e-1. Gradients sum over T*B terms.
TOLERANCE_OUTPUT = 5e-5
TOLERANCE_GRADIENT = 2e-4
# Until a contestant's data is back in the caches that the one before it has filled. A call as long as _LONG_CALL fills
# them itself in a small part of its time.
_WARM_UP_SECONDS = 0.02
_LONG_CALL_SECONDS = 0.1
_CALLS_AT_MOST = 50_000


class Disagreement(Exception):
    """A contestant computes something else, so its time would mean nothing."""


@dataclass
class Contestant:
    """One library ready to do one work.

    ``forward()`` is the timed call. Where a training step can be told apart, ``backward(result of forward)`` is its
    second part, timed on its own; otherwise ``forward`` is the whole step. ``arrays(result of the last part)`` gives
    named arrays in PyTorch's layout to compare: ``y`` and gradients ``d_x``, ``d_w_ih``, ...
    """

    name: str
    forward: Callable[[], Any]
    arrays: Callable[[Any], dict[str, Array]]
    backward: Callable[[Any], Any] | None = None


@dataclass
class Timing:
    """Times of one contestant on one work, in seconds, one entry per call."""

    name: str
    difference: float = 0.0
    total: list[float] = field(default_factory=list)
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    round_ends: list[int] = field(default_factory=list)
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    preemptions: int = 0

    def round_medians(self, part: str = "total") -> list[float]:
        """Median of each round."""
        times = getattr(self, part)
        starts = [0, *self.round_ends[:-1]]
        return [float(np.median(times[a:b])) for a, b in zip(starts, self.round_ends, strict=True)]

    def summary(self, flops: int, training: bool) -> dict[str, Any]:
        """Median and p99 in microseconds and GFLOP/s per part; `flops` are those of the forward pass."""
        factor = {"total": 3 if training else 1, "forward": 1, "backward": 2}
        out: dict[str, Any] = {
            "calls": len(self.total),
            "difference": self.difference,
            # More than the threads it was allowed means that the comparison is not fair.
            "cores_used": round(self.cpu_seconds / self.wall_seconds, 2) if self.wall_seconds else None,
            "preemptions": self.preemptions,
        }
        for part in ("total", "forward", "backward"):
            times = getattr(self, part)
            if times:
                median = float(np.median(times))
                out[part] = {
                    "median_us": median * 1e6,
                    "p99_us": float(np.percentile(times, 99)) * 1e6,
                    "min_us": min(times) * 1e6,
                    "gflops": factor[part] * flops / median * 1e-9,
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


def check_agreement(contestants: Sequence[Contestant]) -> dict[str, float]:
    """Run each once and compare it with the first; returns the largest difference of each.

    Raises:
        Disagreement: beyond TOLERANCE_OUTPUT or TOLERANCE_GRADIENT; names the contestant and the array.
    """
    ours: dict[str, Array] = {}
    worst = {}
    for contestant in contestants:
        result = contestant.forward()
        if contestant.backward is not None:
            result = contestant.backward(result)
        # Copies: a library may hand out its own buffer and write it again at the next call.
        arrays = {name: np.array(value) for name, value in contestant.arrays(result).items()}
        ours = ours or arrays
        try:
            found = difference(ours, arrays)
        except Disagreement as error:
            raise Disagreement(f"{contestant.name}: {error}") from None
        for name, value in found.items():
            limit = TOLERANCE_GRADIENT if name.startswith("d_") else TOLERANCE_OUTPUT
            if not value <= limit:  # a NaN is a disagreement too
                raise Disagreement(f"{contestant.name}: {name} differs by {value:.2g}, expected {limit:.2g} at most")
        worst[contestant.name] = max(found.values())
    return worst


def measure(contestants: Sequence[Contestant], rounds: int = 7, seconds: float = 2.0) -> list[Timing]:
    """Time all contestants, the first being ours.

    Args:
        contestants: they must agree, or nothing is timed.
        rounds: every round times each contestant once, in order.
        seconds: for each contestant in all rounds together; a call is never cut, and each round has at least one.

    Returns:
        list[Timing]: in the order of `contestants`.

    Raises:
        Disagreement: see :func:`check_agreement`.
    """
    if rounds < 1 or not seconds > 0:
        raise ValueError(f"rounds, seconds: expected at least 1 and more than 0, got {rounds} and {seconds}")
    differences = check_agreement(contestants)
    timings = [Timing(c.name, differences[c.name]) for c in contestants]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for contestant, timing in zip(contestants, timings, strict=True):
                _one_slot(contestant, timing, seconds / rounds)
    finally:
        if collecting:
            gc.enable()
    return timings


def _call(contestant: Contestant) -> tuple[float, float]:
    """Seconds of the forward and of the backward part."""
    clock = time.perf_counter
    start = clock()
    result = contestant.forward()
    middle = clock()
    if contestant.backward is None:
        return middle - start, 0.0
    contestant.backward(result)
    return middle - start, clock() - middle


def _one_slot(contestant: Contestant, timing: Timing, seconds: float) -> None:
    """Warm up, then time calls one by one until `seconds` have passed."""
    if not timing.total or timing.total[-1] < _LONG_CALL_SECONDS:
        end = time.perf_counter() + min(_WARM_UP_SECONDS, seconds)
        while time.perf_counter() < end:
            _call(contestant)
    preempted, cpu, start = _preemptions(), time.process_time(), time.perf_counter()
    end = start + seconds
    for _ in range(_CALLS_AT_MOST):
        forward, backward = _call(contestant)
        timing.total.append(forward + backward)
        if contestant.backward is not None:
            timing.forward.append(forward)
            timing.backward.append(backward)
        if time.perf_counter() >= end:
            break
    timing.wall_seconds += time.perf_counter() - start
    timing.cpu_seconds += time.process_time() - cpu
    timing.preemptions += _preemptions() - preempted
    timing.round_ends.append(len(timing.total))


def _preemptions() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def ratios(ours: Timing, theirs: Timing, part: str = "total") -> dict[str, float] | None:
    """How many times faster ours is: ratio of the medians, and the range of the same ratio round by round.

    None where one of them did not time that part on its own.
    """
    if not getattr(ours, part) or not getattr(theirs, part):
        return None
    per_round = [b / a for a, b in zip(ours.round_medians(part), theirs.round_medians(part), strict=True)]
    ratio = float(np.median(getattr(theirs, part)) / np.median(getattr(ours, part)))
    if not math.isfinite(ratio):
        return None
    return {"ratio": ratio, "lowest_round": min(per_round), "highest_round": max(per_round)}
