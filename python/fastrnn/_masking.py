"""Masks (B, T): True where a step counts.

A recurrent layer skips a masked step: the state passes it unchanged. A mask that is True up to some step and False
after it becomes the kernels' `lengths`; for any other one the valid steps of each row are first moved to its front,
which is the same thing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._typing import Array

__all__ = ["MaskPlan", "check_mask", "move_steps", "plan_mask"]


class MaskPlan(NamedTuple):
    """How a mask reaches the kernels: lengths (B,) and, where steps must move, their order and its inverse (B, T)."""

    lengths: Array | None
    order: Array | None
    inverse: Array | None


def plan_mask(mask: Array | None) -> MaskPlan:
    """Return the plan for a boolean mask (B, T); None means every step is valid."""
    if mask is None or mask.all():
        return MaskPlan(None, None, None)
    lengths = mask.sum(axis=1)
    if not (mask[:, 1:] & ~mask[:, :-1]).any():
        return MaskPlan(lengths, None, None)
    order = np.argsort(~mask, axis=1, kind="stable")
    return MaskPlan(lengths, order, np.argsort(order, axis=1))


def move_steps(sequence: Array, order: Array | None) -> Array:
    """Return sequence (B, T, ...) with the steps of each row in `order`; itself when that is None."""
    return sequence if order is None else np.take_along_axis(sequence, order[:, :, np.newaxis], axis=1)


def check_mask(mask: Any, x: Array) -> Array | None:
    """Return a user's mask as booleans (B, T) that fit x (B, T, I)."""
    if mask is None:
        return None
    array = np.asarray(mask, dtype=bool)
    if array.shape != x.shape[:2]:
        raise ValueError(f"mask: expected shape {x.shape[:2]}, got {array.shape}")
    return array
