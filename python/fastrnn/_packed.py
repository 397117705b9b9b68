"""Packed weights that are kept while weights do not change: within an evaluation or a prediction."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = ["forget", "keeping", "packed"]

T = TypeVar("T")

_kept: ContextVar[dict[int, tuple[object, Any]] | None] = ContextVar("packed", default=None)


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """Let each layer pack once in here. Who changes a weight's numbers in place has to say so by `forget`."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def packed(owner: object, pack: Callable[[], T]) -> T:
    """Return what `pack()` makes of the weights of `owner`, or made before within the same `keeping`."""
    kept = _kept.get()
    if kept is None:
        return pack()
    found = kept.get(id(owner))
    if found is None:
        found = kept[id(owner)] = (owner, pack())  # holding the owner keeps its id from being reused
    result: T = found[1]
    return result


def forget() -> None:
    """Pack anew from now on: weights have changed."""
    kept = _kept.get()
    if kept is not None:
        kept.clear()
