"""Methods and attributes of a model which are its trainer's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from .trainer import Trainer

__all__ = ["HandedOn", "handed_on"]

P = ParamSpec("P")
T = TypeVar("T")


def handed_on(method: Callable[Concatenate[Trainer, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method, with the signature and the words of `method`, that calls it on the model's trainer."""

    @functools.wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(self._trainer, *args, **kwargs)

    return cast("Callable[Concatenate[Any, P], T]", call)


class HandedOn(Generic[T]):
    """An attribute that is the trainer's of the same name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type | None = None) -> T:
        return cast("T", getattr(model._trainer, self._name)) if model is not None else cast("T", self)

    def __set__(self, model: Any, value: T) -> None:
        setattr(model._trainer, self._name, value)
