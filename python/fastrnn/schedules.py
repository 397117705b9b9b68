"""Learning-rate schedules with Keras' names, arguments and formulas (keras.optimizers.schedules, Keras 3).

A schedule is a function of the optimizer's step, counted from 0: ``schedule(step) -> float``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ._registry import Configured, Registry, positive, serialize
from ._typing import Identifier

__all__ = [
    "CosineDecay", "ExponentialDecay", "InverseTimeDecay", "PiecewiseConstantDecay", "PolynomialDecay", "Schedule",
    "get", "serialize",
]  # fmt: skip


class Schedule(Configured):
    """Base class. A subclass implements `__call__`, and keeps its arguments as attributes of their names.

    Example:
        >>> class Halving(fastrnn.schedules.Schedule):
        ...     def __call__(self, step):
        ...         return 0.1 / 2 ** (step // 100)
        ...
        >>> fastrnn.optimizers.Adam(Halving()).learning_rate
        0.1
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate for `step` (>= 0; 0 is the first update)."""
        raise NotImplementedError


class _Decay(Schedule):
    """What the exponential and the inverse-time decay share."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = float(initial_learning_rate)
        self.decay_steps = positive("decay_steps", decay_steps)
        self.decay_rate = float(decay_rate)
        self.staircase = staircase

    def _progress(self, step: int) -> float:
        progress = step / self.decay_steps
        return math.floor(progress) if self.staircase else progress


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; `staircase` floors the exponent.

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: after which `decay_rate` has acted once.
        decay_rate: how much the rate falls.
        staircase: whether it falls once in `decay_steps`, and not at every step.

    Example:
        >>> rate = fastrnn.schedules.ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
        >>> [round(float(rate(step)), 3) for step in (0, 100, 200)]
        [0.1, 0.05, 0.025]
    """

    def __call__(self, step: int) -> float:
        return float(self.initial_learning_rate * self.decay_rate ** self._progress(step))


class InverseTimeDecay(_Decay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``; `staircase` floors the quotient.

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: after which `decay_rate` has acted once.
        decay_rate: how much the rate falls.
        staircase: whether it falls once in `decay_steps`, and not at every step.

    Example:
        >>> rate = fastrnn.schedules.InverseTimeDecay(0.1, decay_steps=100, decay_rate=1.0)
        >>> [round(float(rate(step)), 3) for step in (0, 100, 300)]
        [0.1, 0.05, 0.025]
    """

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1.0 + self.decay_rate * self._progress(step))


class CosineDecay(Schedule):
    """Half a cosine from the initial rate to `alpha` times it, optionally after a linear warmup (Loshchilov & Hutter).

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: length of the cosine.
        alpha: the final rate as a fraction of the rate the cosine starts from.
        warmup_target: None for no warmup; else the rate reached after `warmup_steps`, from which the cosine starts.
        warmup_steps: length of the warmup.

    Example:
        >>> rate = fastrnn.schedules.CosineDecay(0.1, decay_steps=100)
        >>> [round(float(rate(step)), 3) for step in (0, 50, 100)]
        [0.1, 0.05, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = float(initial_learning_rate)
        self.decay_steps = positive("decay_steps", decay_steps)
        self.alpha = float(alpha)
        self.warmup_target = warmup_target
        self.warmup_steps = positive("warmup_steps", warmup_steps, zero=True)

    def __call__(self, step: int) -> float:
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * step / self.warmup_steps
            start, step = self.warmup_target, step - int(self.warmup_steps)
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / self.decay_steps)))
        return start * ((1.0 - self.alpha) * cosine + self.alpha)


class PiecewiseConstantDecay(Schedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, and so on.

    Args:
        boundaries: steps in rising order.
        values: rates, one more than boundaries.

    Example:
        >>> rate = fastrnn.schedules.PiecewiseConstantDecay([100], [0.1, 0.01])
        >>> [float(rate(step)) for step in (0, 100, 101)]
        [0.1, 0.1, 0.01]
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        if len(values) != len(boundaries) + 1:
            raise ValueError(f"values: expected {len(boundaries) + 1} (one more than boundaries), got {len(values)}")
        if sorted(set(boundaries)) != list(boundaries):
            raise ValueError(f"boundaries: expected rising steps, got {list(boundaries)}")
        self.boundaries = list(boundaries)
        self.values = [float(v) for v in values]

    def __call__(self, step: int) -> float:
        return self.values[sum(step > b for b in self.boundaries)]


class PolynomialDecay(Schedule):
    """From the initial to the end rate along ``(1 - step / decay_steps) ** power``.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: length of the decay; afterwards the rate stays at `end_learning_rate`.
        end_learning_rate: the rate at the end.
        power: 1 is linear.
        cycle: start over instead, with `decay_steps` stretched to the next multiple that holds the step.

    Example:
        >>> rate = fastrnn.schedules.PolynomialDecay(0.1, decay_steps=100, end_learning_rate=0.0)
        >>> [round(float(rate(step)), 3) for step in (0, 50, 100)]
        [0.1, 0.05, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = float(initial_learning_rate)
        self.decay_steps = positive("decay_steps", decay_steps)
        self.end_learning_rate = float(end_learning_rate)
        self.power = float(power)
        self.cycle = cycle

    def __call__(self, step: int) -> float:
        length, at = self.decay_steps, float(step)
        if self.cycle:
            length *= max(1, math.ceil(step / self.decay_steps))
        else:
            at = min(at, length)
        span = self.initial_learning_rate - self.end_learning_rate
        return float(span * (1.0 - at / length) ** self.power + self.end_learning_rate)


_REGISTRY: Registry[Schedule] = Registry(
    "schedule",
    Schedule,
    {
        "exponential_decay": ExponentialDecay,
        "cosine_decay": CosineDecay,
        "piecewise_constant_decay": PiecewiseConstantDecay,
        "polynomial_decay": PolynomialDecay,
        "inverse_time_decay": InverseTimeDecay,
    },
)


def get(identifier: Identifier | Schedule) -> Schedule:
    """Return a schedule from an instance or its serialized dict.

    Args:
        identifier: a `Schedule`, or what `serialize` returned.

    Raises:
        ValueError: unknown class name.
        TypeError: anything else.

    Example:
        >>> rate = fastrnn.schedules.CosineDecay(0.1, decay_steps=100)
        >>> fastrnn.schedules.get(fastrnn.schedules.serialize(rate)).__class__.__name__
        'CosineDecay'
    """
    return _REGISTRY.get(identifier)
