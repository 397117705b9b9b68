"""The seeds of what a layer draws in training: one for each step, by counter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from .. import config
from .._typing import Array

__all__ = ["StepSeeds", "kept_elements", "shard_draws"]

_shard: ContextVar[int | None] = ContextVar("shard", default=None)


@contextmanager
def shard_draws(number: int) -> Iterator[None]:
    """Within it a step's seeds are those of shard `number` of the batch, whatever process computes the shard."""
    token = _shard.set(number)
    try:
        yield
    finally:
        _shard.reset(token)


class StepSeeds:
    """A seed for every training step of a layer: a function of the layer's own seed and of the step's number.

    From a step's seed masks are drawn by counter, so that an element of a mask depends on the layer's seed, the step
    and its own place, and two numbers are all that a checkpoint has to hold.

    Args:
        seed: of the layer; None draws one as `config.random_generator` does.

    Attributes:
        seed: of the layer.
        step: number of the next step.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = config.random_seed() if seed is None else seed
        self.step = 0
        self._generator = np.random.default_rng(self.seed)

    def next(self) -> int:
        """Return the seed of this step, in 0..2**63-1, and go on to the next."""
        self.step += 1
        seed = int(self._generator.integers(2**63))
        shard = _shard.get()
        if shard is not None:
            seed = int(np.random.SeedSequence((seed, shard)).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return seed

    def get_state(self) -> dict[str, Any]:
        """Return seed and step, for `set_state`."""
        return {"seed": self.seed, "step": self.step}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from the seed and the step that `get_state` returned."""
        self.seed, self.step = state["seed"], state["step"]
        # The seed of a step is one number of PCG64, which can skip any count of numbers at once.
        self._generator = np.random.Generator(np.random.PCG64(self.seed).advance(self.step))


def kept_elements(seed: int, shape: tuple[int, ...], rate: float) -> Array:
    """Return which elements of a batch (B, ...) stay, False with probability `rate`.

    Row b is drawn by Philox4x64-10 (Salmon et al. 2011) with `seed` for its key, from the counter b * blocks on, blocks
    being the eighths of a row rounded up: whatever part of the batch is computed, its rows are the same.
    """
    width = int(np.prod(shape[1:], dtype=np.int64))
    blocks = -(-width // 8)
    draws = np.random.Generator(np.random.Philox(key=seed)).random((shape[0], 8 * blocks), dtype=np.float32)
    kept: Array = draws[:, :width] >= rate
    return kept.reshape(shape)
