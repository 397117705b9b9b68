"""How far a run of `fit` is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Position"]


class Position(NamedTuple):
    """What comes next, and the loss of the epoch so far: its sum over examples, and their number."""

    epoch: int = 0
    batch: int = 0
    total: float = 0.0
    examples: int = 0
