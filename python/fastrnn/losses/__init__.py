"""Losses with Keras' names and semantics, each with its gradient."""

from .base import Loss, mask_to_weight
from .functions import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    FunctionLoss,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    get,
    serialize,
)

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "FunctionLoss",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
    "mask_to_weight",
    "serialize",
]
