"""Masks (B, T): True where a step counts.

A recurrent layer skips a masked step: the state passes it unchanged, and its output is the output before it, as in
Keras; zero before any valid step, and everywhere with `zero_output_for_mask`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..._typing import Array

__all__ = ["MaskPlan", "check_mask", "plan_mask"]


class MaskPlan(NamedTuple):
    """How a mask reaches the kernels: their options, and which rows (B, 1) have a last output of zero, None for none.

    A last output of zero is not the last state: that of a row without valid steps is its initial state.
    """

    options: dict[str, Any]
    zero_rows: Array | None


def plan_mask(mask: Array | None, *, sequences: bool, backwards: bool, zero_output: bool) -> MaskPlan:
    """Return the plan for a boolean mask (B, T) and a layer of these settings; None means every step is valid."""
    if mask is None or mask.all():
        return MaskPlan({}, None)
    zero_rows = None
    if not sequences:
        has_output = np.asarray(mask[:, 0 if backwards else -1] if zero_output else mask.any(axis=1))
        zero_rows = None if has_output.all() else ~has_output[:, np.newaxis]
    # True up to some step and False after it: `lengths` compute no step beyond a row's end. Their outputs there are
    # zero: right if they are not returned, if zero is asked for, and backwards, where no valid step comes before them.
    if not (mask[:, 1:] & ~mask[:, :-1]).any() and (not sequences or zero_output or backwards):
        return MaskPlan({"lengths": mask.sum(axis=1)}, zero_rows)
    return MaskPlan({"mask": np.ascontiguousarray(mask), "zero_output_for_mask": zero_output}, zero_rows)


def check_mask(mask: Any, x: Array, argument: str = "mask") -> Array | None:
    """Return a user's mask as booleans (B, T) that fit x (B, T, I)."""
    if mask is None:
        return None
    array = np.asarray(mask, dtype=bool)
    if array.shape != x.shape[:2]:
        raise ValueError(f"{argument}: expected shape {x.shape[:2]}, got {array.shape}")
    return array
