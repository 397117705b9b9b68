"""Looking up a class by name, with one error message for everybody.

Keras users write ``"glorot_uniform"``, ``"GlorotUniform"`` or an instance; model files hold
``{"class_name": ..., "config": {...}}``. All four arrive here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from ._hints import did_you_mean, kind_of
from ._typing import Config

T = TypeVar("T")


def choice_error(argument: str, choices: Iterable[str], got: object) -> ValueError:
    """Return the error for a value outside a closed set: ``argument: expected one of 'a', 'b', got 'c'``."""
    choices = list(choices)
    names = ", ".join(repr(c) for c in choices)
    return ValueError(f"{argument}: expected one of {names}, got {got!r}{did_you_mean(got, choices)}")


def positive(argument: str, value: float, *, zero: bool = False) -> float:
    """Return `value` as float if it is > 0 (>= 0 with `zero`), else raise ValueError naming `argument`."""
    if not (value >= 0 if zero else value > 0):
        raise ValueError(f"{argument}: expected a number {'>=' if zero else '>'} 0, got {value!r}")
    return float(value)


def fraction(argument: str, value: float) -> float:
    """Return `value` as float if 0 <= value < 1, else raise ValueError naming `argument`."""
    if not 0 <= value < 1:
        raise ValueError(f"{argument}: expected a number in [0, 1), got {value!r}")
    return float(value)


def serialize(thing: Any) -> Config:
    """Return ``{"class_name": ..., "config": {...}}`` from which the matching ``get`` rebuilds `thing`.

    Args:
        thing: an initializer, a loss, a metric, an optimizer, a regularizer, a schedule or a layer of this library,
            or one that is registered.

    Example:
        >>> fastrnn.initializers.serialize(fastrnn.initializers.Constant(2.0))
        {'class_name': 'Constant', 'config': {'value': 2.0}}
    """
    return {"class_name": type(thing).__name__, "config": thing.get_config()}


def argument_names(cls: type) -> tuple[str, ...]:
    """The names of a constructor's arguments, those of a base class that it hands on as ``**kwargs`` among them."""
    names: list[str] = []
    for base in cls.__mro__:
        _, *parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]  # without self
        names += [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return tuple(dict.fromkeys(names))


class Configured:
    """What can be made again from its config: base class of layers, initializers, losses, optimizers and so on.

    A class keeps its constructor's arguments as attributes of the same names, or overrides `get_config`.
    """

    def get_config(self) -> Config:
        """Return the constructor's arguments as a JSON-serialisable dict."""
        kept = vars(self)
        return {name: _plain(kept[name]) for name in argument_names(type(self)) if name in kept}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


def _plain(value: Any) -> Any:
    """An argument as JSON gives it back."""
    if isinstance(value, Configured):
        return serialize(value)
    return list(value) if isinstance(value, tuple) else value


class Registry(Generic[T]):
    """Classes of one kind, reachable by name.

    Args:
        argument: what errors call the looked-up value, e.g. ``"optimizer"``.
        base: the common base class; instances of it pass through `get` unchanged.
        classes: short name to class. The class's own name is accepted as well, and case and underscores are ignored.
    """

    def __init__(self, argument: str, base: type[T], classes: dict[str, type[T]]) -> None:
        self.argument = argument
        self.base = base
        self.classes = classes
        self._by_key = {self._key(name): cls for name, cls in classes.items()}
        self._by_key.update({self._key(cls.__name__): cls for cls in classes.values()})

    @staticmethod
    def _key(name: str) -> str:
        return name.replace("_", "").lower()

    def find(self, name: str) -> type[T]:
        """Return the class called `name`; ValueError lists the known names."""
        cls = self._by_key.get(self._key(name))
        if cls is None:
            raise choice_error(self.argument, self.classes, name)
        return cls

    def get(self, identifier: object) -> T:
        """Return an object of the kind from an instance, a class, a name or a serialized dict.

        Raises:
            ValueError: the name is not known.
            TypeError: `identifier` is something else altogether.
        """
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, str):
            return self.find(identifier)()
        if isinstance(identifier, type) and issubclass(identifier, self.base):
            return identifier()
        if isinstance(identifier, dict) and set(identifier) == {"class_name", "config"}:
            return self.find(identifier["class_name"])(**identifier["config"])
        raise TypeError(
            f"{self.argument}: expected a name, an instance of {self.base.__name__} or a serialized dict, "
            f"got {kind_of(identifier)}"
        )
