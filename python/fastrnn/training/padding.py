"""Whether a model leaves out the steps that batches are padded with."""

from __future__ import annotations

from typing import Any

from .._hints import warn
from ..layers import Embedding, Masking
from ..layers.base import Layer

__all__ = ["check_masked"]


def check_masked(layers: list[Layer], batches: Any) -> None:
    """Warn of a model that reads the padding of `fastrnn.data.BatchesByLength` as steps."""
    value = getattr(batches, "padding", None)
    if value is None:
        return
    masks = [layer for layer in layers if isinstance(layer, Masking)]
    words = [layer for layer in layers if isinstance(layer, Embedding) and layer.mask_zero]
    if any(layer.mask_value == value for layer in masks) or (words and value == 0):
        return
    got = f"Masking({masks[0].mask_value})" if masks else "none"
    warn(
        f"x: the batches are padded with {value}, which this model reads as steps of the sequences: expected it to "
        f"begin with Masking({value}), got {got}",
        UserWarning,
    )
