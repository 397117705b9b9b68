"""Optimizers with the names, defaults and update formulas of Keras 3.

They change `Parameter.value` in place and allocate nothing after the first step but what clipping needs once. In the
formulas w is the weight, g its (clipped) gradient, lr the learning rate and t the step counted from 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .._registry import Registry, fraction, positive, serialize
from .._typing import Array, Identifier
from .base import Clipping, CommonOptions, LearningRate, Optimizer, Slots

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop", "get", "serialize"]


class SGD(Optimizer):
    """Gradient descent: ``w -= lr * g``; with momentum ``v = momentum * v - lr * g``, ``w += v``.

    Nesterov's form is ``w += momentum * v - lr * g`` with the new v (Sutskever et al. 2013).

    Args:
        learning_rate: see `Optimizer`.
        momentum: in [0, 1).
        nesterov: look ahead.
        common: weight_decay, clipnorm, clipvalue, global_clipnorm; see `Optimizer`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((2,)), fastrnn.Dense(1)])
        >>> model.compile(fastrnn.optimizers.SGD(0.1, momentum=0.9), "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=5, verbose=0).history["loss"]
        >>> history[-1] < history[0]
        True
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.momentum = fraction("momentum", momentum)
        self.nesterov = nesterov

    def _slot_values(self) -> dict[str, float]:
        return {"velocity": 0.0} if self.momentum else {}

    def _update(self, value: Array, grad: Array, slots: Slots, rate: float) -> None:
        step = np.multiply(grad, rate, out=self._buffer(1, value))
        if not self.momentum:
            value -= step
            return
        velocity = slots["velocity"]
        velocity *= self.momentum
        velocity -= step
        if self.nesterov:
            value -= step
            value += np.multiply(velocity, self.momentum, out=step)
        else:
            value += velocity


class RMSprop(Optimizer):
    """``v = rho * v + (1 - rho) * g**2``, ``w -= lr * g / sqrt(v + epsilon)`` (Hinton 2012).

    Centered, the squared running mean of g is taken off v inside the root (Graves 2013). With momentum,
    ``m = momentum * m + lr * g / sqrt(...)``, ``w -= m``.

    Args:
        learning_rate: see `Optimizer`.
        rho: in [0, 1).
        momentum: in [0, 1).
        epsilon: > 0; inside the root, as in Keras 3.
        centered: normalise by the variance instead of the second moment.
        common: weight_decay, clipnorm, clipvalue, global_clipnorm; see `Optimizer`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((2,)), fastrnn.Dense(1)])
        >>> model.compile(fastrnn.optimizers.RMSprop(0.01), "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=5, verbose=0).history["loss"]
        >>> history[-1] < history[0]
        True
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.rho = fraction("rho", rho)
        self.momentum = fraction("momentum", momentum)
        self.epsilon = positive("epsilon", epsilon)
        self.centered = centered

    def _slot_values(self) -> dict[str, float]:
        wanted = {"velocity": True, "average": self.centered, "momentum": self.momentum > 0}
        return {name: 0.0 for name, on in wanted.items() if on}

    def _update(self, value: Array, grad: Array, slots: Slots, rate: float) -> None:
        velocity, tmp, denominator = slots["velocity"], self._buffer(1, value), self._buffer(2, value)
        velocity *= self.rho
        np.multiply(grad, grad, out=tmp)
        tmp *= 1.0 - self.rho
        velocity += tmp
        if self.centered:
            average = slots["average"]
            average *= self.rho
            average += np.multiply(grad, 1.0 - self.rho, out=tmp)
            np.subtract(velocity, np.multiply(average, average, out=tmp), out=denominator)
            denominator += self.epsilon
        else:
            np.add(velocity, self.epsilon, out=denominator)
        np.multiply(grad, rate, out=tmp)
        tmp /= np.sqrt(denominator, out=denominator)
        if self.momentum:
            momentum = slots["momentum"]
            momentum *= self.momentum
            momentum += tmp
            tmp = momentum
        value -= tmp


class Adam(Optimizer):
    """``m += (1 - b1)(g - m)``, ``v += (1 - b2)(g**2 - v)``, ``w -= lr_t * m / (sqrt(v) + epsilon)``.

    ``lr_t = lr * sqrt(1 - b2**t) / (1 - b1**t)``: Kingma & Ba 2015, the form before section 2.1, as Keras. AMSGrad
    (Reddi et al. 2018) takes the largest v so far.

    Args:
        learning_rate: see `Optimizer`.
        beta_1: b1, in [0, 1).
        beta_2: b2, in [0, 1).
        epsilon: > 0.
        amsgrad: see above.
        common: weight_decay, clipnorm, clipvalue, global_clipnorm; see `Optimizer`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((2,)), fastrnn.Dense(1)])
        >>> model.compile(fastrnn.optimizers.Adam(0.01), "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=5, verbose=0).history["loss"]
        >>> history[-1] < history[0]
        True
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = fraction("beta_1", beta_1)
        self.beta_2 = fraction("beta_2", beta_2)
        self.epsilon = positive("epsilon", epsilon)
        self.amsgrad = amsgrad

    def _slot_values(self) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0, "v_max": 0.0} if self.amsgrad else {"m": 0.0, "v": 0.0}

    def _update(self, value: Array, grad: Array, slots: Slots, rate: float) -> None:
        t = self.iterations + 1
        rate *= math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        m, v, tmp = slots["m"], slots["v"], self._buffer(1, value)
        np.subtract(grad, m, out=tmp)
        tmp *= 1.0 - self.beta_1
        m += tmp
        np.multiply(grad, grad, out=tmp)
        tmp -= v
        tmp *= 1.0 - self.beta_2
        v += tmp
        if self.amsgrad:
            v = np.maximum(slots["v_max"], v, out=slots["v_max"])
        np.sqrt(v, out=tmp)
        tmp += self.epsilon
        np.divide(m, tmp, out=tmp)
        tmp *= rate
        value -= tmp


class AdamW(Adam):
    """`Adam` with decoupled weight decay (Loshchilov & Hutter 2019).

    Args:
        weight_decay: >= 0; every weight loses ``lr * weight_decay`` of itself per step.
        learning_rate, beta_1, beta_2, epsilon, amsgrad: as in `Adam`.
        clipping: clipnorm, clipvalue, global_clipnorm; see `Optimizer`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((2,)), fastrnn.Dense(1)])
        >>> model.compile(fastrnn.optimizers.AdamW(0.01), "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=5, verbose=0).history["loss"]
        >>> history[-1] < history[0]
        True
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **clipping: Unpack[Clipping],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **clipping)


class Adagrad(Optimizer):
    """``a += g**2``, ``w -= lr * g / sqrt(a + epsilon)`` (Duchi et al. 2011).

    Args:
        learning_rate: see `Optimizer`.
        initial_accumulator_value: what a starts from, >= 0.
        epsilon: > 0.
        common: weight_decay, clipnorm, clipvalue, global_clipnorm; see `Optimizer`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((2,)), fastrnn.Dense(1)])
        >>> model.compile(fastrnn.optimizers.Adagrad(0.1), "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=5, verbose=0).history["loss"]
        >>> history[-1] < history[0]
        True
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.initial_accumulator_value = positive("initial_accumulator_value", initial_accumulator_value, zero=True)
        self.epsilon = positive("epsilon", epsilon)

    def _slot_values(self) -> dict[str, float]:
        return {"accumulator": self.initial_accumulator_value}

    def _update(self, value: Array, grad: Array, slots: Slots, rate: float) -> None:
        accumulator, tmp, root = slots["accumulator"], self._buffer(1, value), self._buffer(2, value)
        accumulator += np.multiply(grad, grad, out=tmp)
        np.add(accumulator, self.epsilon, out=root)
        np.multiply(grad, rate, out=tmp)
        tmp /= np.sqrt(root, out=root)
        value -= tmp


_REGISTRY: Registry[Optimizer] = Registry(
    "optimizer", Optimizer, {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW, "adagrad": Adagrad}
)


def get(identifier: Identifier | Optimizer | type[Optimizer]) -> Optimizer:
    """Return an optimizer from an instance, a class, a name or a serialized dict.

    Args:
        identifier: an `Optimizer`, a class of them, a name as "adam", or what `serialize` returned.

    Raises:
        ValueError: unknown name.
        TypeError: anything else.

    Example:
        >>> fastrnn.optimizers.get("adam").learning_rate
        0.001
    """
    return _REGISTRY.get(identifier)
