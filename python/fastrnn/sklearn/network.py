"""The network of an estimator, from its parameters: recurrent layers over padded sequences, and a dense one."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import optimizers
from .._registry import choice_error
from ..initializers import GlorotUniform, Orthogonal, RandomUniform
from ..layers import Bidirectional, Dense, IndRNN, Input, Masking
from ..layers.recurrent.base import Recurrent
from ..layers.recurrent.variants import LAYERS
from ..model import Sequential
from .sequences import PADDING

__all__ = ["build", "optimizer"]

SOLVERS = ("adam", "sgd", "rmsprop", "adamw", "adagrad")


def build(estimator: Any, inputs: int, outputs: int, activation: str, random: np.random.RandomState) -> Sequential:
    """Return the network, built, with weights drawn from `random` alone.

    Args:
        estimator: whose parameters say what is built.
        inputs: features of a step.
        outputs: of the last layer.
        activation: of the last layer.
        random: source of every seed.
    """
    if estimator.cell not in LAYERS:
        raise choice_error("cell", LAYERS, estimator.cell)
    cell = LAYERS[estimator.cell]
    sizes = hidden_sizes(estimator.hidden_layer_sizes)

    def seed() -> int:
        return int(random.randint(2**31 - 1))

    def recurrent(index: int, units: int, backwards: bool = False) -> Recurrent:
        # IndRNN has a vector where the others have a matrix; the interval is its layer's own.
        start = RandomUniform(0.0, 1.0, seed=seed()) if cell is IndRNN else Orthogonal(seed=seed())
        return cell(
            units,
            kernel_initializer=GlorotUniform(seed=seed()),
            recurrent_initializer=start,
            dropout=estimator.dropout,
            recurrent_dropout=estimator.recurrent_dropout,
            return_sequences=index < len(sizes) - 1,
            go_backwards=backwards,
            seed=seed(),
            dtype=estimator.dtype,
            name=f"{'backward_' if backwards else ''}{estimator.cell}_{index}",
            **(estimator.cell_options or {}),
        )

    dtype = estimator.dtype
    model = Sequential([Input((None, inputs), dtype=dtype), Masking(PADDING, dtype=dtype, name="masking")])
    for index, units in enumerate(sizes):
        layer: Any = recurrent(index, units)
        if estimator.bidirectional:
            layer = Bidirectional(layer, backward_layer=recurrent(index, units, True), name=f"bidirectional_{index}")
        model.add(layer)
    initializer = GlorotUniform(seed=seed())
    model.add(Dense(outputs, activation=activation, kernel_initializer=initializer, dtype=dtype, name="output"))
    return model


def optimizer(estimator: Any) -> optimizers.Optimizer:
    """Return the optimizer that the estimator's parameters describe."""
    if estimator.solver not in SOLVERS:
        raise choice_error("solver", SOLVERS, estimator.solver)
    own: dict[str, Any] = {}
    if estimator.solver in ("adam", "adamw"):
        own = {"beta_1": estimator.beta_1, "beta_2": estimator.beta_2, "epsilon": estimator.epsilon}
    elif estimator.solver == "sgd":
        own = {"momentum": estimator.momentum, "nesterov": estimator.nesterovs_momentum and estimator.momentum > 0}
    made: optimizers.Optimizer = optimizers.get({
        "class_name": estimator.solver,
        "config": {
            "learning_rate": estimator.learning_rate_init,
            "weight_decay": estimator.weight_decay,
            "global_clipnorm": estimator.global_clipnorm,
            **own,
        },
    })  # fmt: skip
    made.exclude_from_weight_decay(["bias", "b_ih", "b_hh", "ln_"])
    return made


def hidden_sizes(sizes: Any) -> list[int]:
    """Return hidden_layer_sizes, an integer or several, as a list."""
    units = [sizes] if np.ndim(sizes) == 0 else list(sizes)
    if not units or not all(isinstance(u, (int, np.integer)) and not isinstance(u, bool) and u > 0 for u in units):
        raise ValueError(f"hidden_layer_sizes: expected one or more integers > 0, got {sizes!r}")
    return [int(u) for u in units]
