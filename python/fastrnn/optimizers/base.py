"""What all optimizers share: clipping, weight decay, the learning rate, state. The update rules are in `optimizers`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import numpy as np

from .. import schedules
from .._registry import Configured, positive
from .._typing import Array, Config
from ..parameters import Parameter

Slots = dict[str, Array]
LearningRate = schedules.Schedule | float | Config


class Clipping(TypedDict, total=False):
    """How gradients are limited: one of these at most."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None


class CommonOptions(Clipping, total=False):
    """Arguments that every optimizer hands on to `Optimizer`."""

    weight_decay: float | None


class Optimizer(Configured):
    """Base class. A subclass names its state in `_slot_values` and implements `_update`.

    Args:
        learning_rate: a number or a `schedules.Schedule`, which is asked at every step.
        weight_decay: if given, every weight shrinks by ``learning_rate * weight_decay`` of itself before the update
            (decoupled, Loshchilov & Hutter 2019), as in Keras 3.
        clipnorm: scale each parameter's gradient down to this L2 norm; a GRU's two biases are one, as in Keras.
        clipvalue: clip each gradient element to +-clipvalue.
        global_clipnorm: scale all gradients together down to this L2 norm.

    Raises:
        ValueError: more than one kind of clipping, or a value out of range.

    Example:
        >>> class SignDescent(fastrnn.optimizers.Optimizer):
        ...     def _update(self, value, grad, slots, rate):
        ...         value -= rate * np.sign(grad)
        ...
        >>> model = fastrnn.Sequential([fastrnn.Input((2,)), fastrnn.Dense(1)])
        >>> model.compile(SignDescent(0.01), "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=5, verbose=0).history["loss"]
        >>> history[-1] < history[0]
        True
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = {name: value for name, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"clipnorm: expected at most one of {', '.join(clips)}, got {', '.join(given)}")
        for name, value in given.items():
            positive(name, value)
        if weight_decay is not None:
            positive("weight_decay", weight_decay, zero=True)
        self._learning_rate: schedules.Schedule | float
        if isinstance(learning_rate, (schedules.Schedule, dict)):
            self._learning_rate = schedules.get(learning_rate)
        else:
            self._learning_rate = positive("learning_rate", learning_rate, zero=True)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.iterations = 0
        self._no_decay: tuple[str, ...] = ()
        # By identity, in order of first sight. Holding the parameter keeps its id from being reused.
        self._slots: dict[int, tuple[Parameter, Slots]] = {}
        self._loaded: list[Slots] = []
        self._scratch: dict[tuple[int, np.dtype[np.generic]], Array] = {}

    # -- learning rate and configuration --

    @property
    def scheduled(self) -> bool:
        """Whether a schedule decides the rate."""
        return isinstance(self._learning_rate, schedules.Schedule)

    @property
    def learning_rate(self) -> float:
        """The rate of the next update. Settable, unless a schedule decides it (TypeError)."""
        rate = self._learning_rate
        return rate(self.iterations) if isinstance(rate, schedules.Schedule) else rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if isinstance(self._learning_rate, schedules.Schedule):
            raise TypeError(
                f"learning_rate: expected an optimizer without a schedule to set it, got {self._learning_rate!r}"
            )
        self._learning_rate = positive("learning_rate", value, zero=True)

    def exclude_from_weight_decay(self, names: Sequence[str]) -> None:
        """Leave parameters whose name contains one of `names` (e.g. ``["bias"]``) out of the weight decay."""
        if isinstance(names, str):
            raise TypeError("names: expected a sequence of str, got str")
        self._no_decay = tuple(names)

    def get_config(self) -> Config:
        """Return the constructor's arguments as a JSON-serialisable dict."""
        rate = self._learning_rate
        shown = schedules.serialize(rate) if isinstance(rate, schedules.Schedule) else rate
        return {"learning_rate": shown, **super().get_config()}

    # -- the update --

    def apply(self, parameters: Iterable[Parameter]) -> None:
        """Make one step: change the `value` of every trainable parameter that has a `grad`, in place.

        Gradients are only read. Nothing is written when an argument is wrong.

        Args:
            parameters: the model's parameters, the same ones in the same order at every call.

        Raises:
            ValueError: a gradient's shape is not its parameter's.
        """
        work: list[tuple[Parameter, Array, Slots]] = []
        for parameter in parameters:
            slots = self._slots_of(parameter)
            grad = parameter.grad
            if not parameter.trainable or grad is None:
                continue
            if grad.shape != parameter.value.shape:
                raise ValueError(f"{parameter.name}.grad: expected shape {parameter.value.shape}, got {grad.shape}")
            work.append((parameter, grad, slots))
        rate = self.learning_rate
        factors = self._norm_factors([(parameter, grad) for parameter, grad, _ in work])
        for (parameter, grad, slots), factor in zip(work, factors, strict=True):
            value = parameter.value
            if self.weight_decay and not any(name in parameter.name for name in self._no_decay):
                value *= 1.0 - rate * self.weight_decay
            self._update(value, self._clip(grad, factor), slots, rate)
        self.iterations += 1

    def _update(self, value: Array, grad: Array, slots: Slots, rate: float) -> None:
        """Change `value` and `slots` in place; `self.iterations` is the step counted from 0."""
        raise NotImplementedError

    def _slot_values(self) -> dict[str, float]:
        """Return the name of each state array and the number it starts from."""
        return {}

    def _norm_factors(self, work: Sequence[tuple[Parameter, Array]]) -> list[float]:
        """What each gradient is multiplied by to bring a norm down: its variable's, or that of all together."""
        limit = self.clipnorm if self.clipnorm is not None else self.global_clipnorm
        if limit is None:
            return [1.0] * len(work)
        keys = [id(parameter.keras_variable or parameter) if self.clipnorm is not None else 0 for parameter, _ in work]
        squares = dict.fromkeys(keys, 0.0)
        for key, (_, grad) in zip(keys, work, strict=True):
            squares[key] += _squared_norm(grad)
        return [_shrink(math.sqrt(squares[key]), limit) for key in keys]

    def _clip(self, grad: Array, factor: float) -> Array:
        """Return the clipped gradient: `grad` itself, or a scratch array when something has to change."""
        if self.clipvalue is not None:
            return np.clip(grad, -self.clipvalue, self.clipvalue, out=self._buffer(0, grad))
        if factor == 1.0:
            return grad
        return np.multiply(grad, factor, out=self._buffer(0, grad))

    def _buffer(self, which: int, like: Array) -> Array:
        """Return scratch of the shape and dtype of `like`. One block per `which` serves all parameters in turn."""
        block = self._scratch.get((which, like.dtype))
        if block is None or block.size < like.size:
            block = self._scratch[which, like.dtype] = np.empty(like.size, like.dtype)
        return block[: like.size].reshape(like.shape)

    # -- state --

    def _slots_of(self, parameter: Parameter) -> Slots:
        known = self._slots.get(id(parameter))
        if known is None:
            slots = {name: np.full_like(parameter.value, start) for name, start in self._slot_values().items()}
            if self._loaded:
                for name, array in self._loaded.pop(0).items():
                    if name not in slots or slots[name].shape != array.shape:
                        raise ValueError(
                            f"state: expected slots {sorted(slots)} of shape {parameter.value.shape} "
                            f"for {parameter.name}, got {name!r} of shape {array.shape}"
                        )
                    slots[name][...] = array
            known = self._slots[id(parameter)] = (parameter, slots)
        return known[1]

    def __getstate__(self) -> dict[str, object]:
        """For pickle and copy: the identities of parameters, by which slots are found, are others then."""
        return {**self.__dict__, "_slots": list(self._slots.values()), "_scratch": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        slots: Iterable[tuple[Parameter, Slots]] = self.__dict__["_slots"]
        self._slots = {id(parameter): (parameter, arrays) for parameter, arrays in slots}

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the step counter and all state arrays, under "iterations" and "<position>/<slot>"."""
        state: dict[str, Array] = {"iterations": np.array(self.iterations, dtype=np.int64)}
        all_slots = [slots for _, slots in self._slots.values()] + self._loaded
        for position, slots in enumerate(all_slots):
            state.update({f"{position}/{name}": array.copy() for name, array in slots.items()})
        return state

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned; parameters are matched by position at the next `apply`.

        Raises:
            ValueError: "iterations" is missing or a key has another form. (Shapes are checked by `apply`.)
        """
        if "iterations" not in state:
            raise ValueError(f"state: expected a key 'iterations', got {sorted(state)}")
        loaded: dict[int, Slots] = {}
        for key, array in state.items():
            if key == "iterations":
                continue
            position, _, name = key.partition("/")
            if not position.isdigit() or not name:
                raise ValueError(f"state: expected keys like '0/m', got {key!r}")
            loaded.setdefault(int(position), {})[name] = np.array(array)
        self.iterations = int(state["iterations"])
        self._slots.clear()
        self._loaded = [loaded.get(i, {}) for i in range(max(loaded, default=-1) + 1)]


def _squared_norm(grad: Array) -> float:
    return float(np.vdot(grad, grad))


def _shrink(norm: float, limit: float) -> float:
    """Return the factor that brings `norm` to at most `limit`; NaN stays NaN so that the trouble shows."""
    return limit / norm if not norm <= limit else 1.0
