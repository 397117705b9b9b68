"""Layers of several inputs, which a chain of layers has no place for: an error that says what to take instead."""

from __future__ import annotations

from typing import Any

__all__ = ["Concatenate"]


class Concatenate:
    """A placeholder for Keras' layer, which a chain cannot have: making one raises an error that says what to use."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(
            f"{type(self).__name__}: a Sequential is a chain, whose layers have one input; a model with skips or "
            "several inputs is one of Keras or PyTorch with fastrnn's layers in it: fastrnn.keras, fastrnn.torch"
        )


def _named(name: str) -> type[Concatenate]:
    return type(name, (Concatenate,), {"__doc__": f"See `Concatenate`; this is Keras' {name}."})


Add, Average, Dot, Maximum, Minimum, Multiply, Subtract = map(
    _named, ("Add", "Average", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")
)
