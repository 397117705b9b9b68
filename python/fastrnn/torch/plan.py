"""What a call computes, apart from its tensors: the cell, its options, and how the weights are listed.

An operator of PyTorch takes tensors, numbers and strings, so a plan is written as a string, and read once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from .._hints import unknown_keyword
from ..functional._cells import CELLS

# Beginning of the name of a parameter in PyTorch -> its name in the functions.
PARAMETERS = {
    "weight_ih": "w_ih",
    "weight_hh": "w_hh",
    "bias_ih": "b_ih",
    "bias_hh": "b_hh",
    "weight_hr": "w_hr",
    "weight_peep": "w_peep",
    "norm_ih": "ln_ih",
    "norm_hh": "ln_hh",
    "norm_c": "ln_c",
}
_RUN_RATES = ("dropout", "recurrent_dropout", "candidate_dropout")
_ZONEOUT = ("zoneout_h", "zoneout_c")


class Plan:
    """One stack of layers of a cell, read off its text, which is what `describe` and `write` gave.

    Args:
        cell: "rnn", "lstm" or "gru".
        layers, directions: L and D.
        names: those of the parameters of one layer in one direction, in order; the weights of a call are all of them,
            layer by layer and direction by direction.
        weights, run: options of the weights and of the run, as the functions take them.
        dtype: of the packed weights where no gradient is needed; None is that of the parameters.
        batch_first: x is (B, T, I).
        packed: x is the data of a PackedSequence, and the lengths of a call are its batch_sizes.
        dropout: between layers.
        training: whether dropouts and zoneout draw.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        module, *rest = text.rsplit(_MARK, 6)
        self.cell, self.names, weights, run, self.dtype = json.loads(module)
        self.layers, self.directions, *flags = map(int, rest[:5])
        self.batch_first, self.packed, self.training = map(bool, flags)
        self.batch_first = self.batch_first and not self.packed
        self.dropout = float(rest[5])
        self.weights = {name: tuple(v) if isinstance(v, list) else v for name, v in weights.items()}
        self.run = run if self.training else {name: value for name, value in run.items() if name not in _RUN_RATES}
        self.has_c = self.cell == "lstm"
        self.zoneout = any(weights.get(name) for name in _ZONEOUT)
        self.random = bool(self.training and (self.dropout or draws(weights, run)))
        self.plain = not (self.packed or self.random or self.run)  # a call has its tensors alone, then
        self.drops_weights = bool(self.training and weights.get("weight_dropout"))
        if not self.training:
            self.weights.pop("weight_dropout", None)
        # Calls of one key can share packed weights.
        key = [self.cell, self.layers, self.directions, self.names, self.weights]
        self.exact_key, self.key = json.dumps([*key, None]), json.dumps([*key, self.dtype])

    @staticmethod
    @lru_cache(maxsize=1024)
    def read(text: str) -> Plan:
        """The plan that a string describes."""
        return Plan(text)

    def check_gradient(self) -> None:
        """Refuse what has no gradient: zoneout in evaluation mode is a mean, for which there is no backward pass."""
        if self.zoneout and not self.training:
            raise ValueError(
                "zoneout: expected training mode, or no gradient, got a gradient in evaluation mode, which is not "
                "there; call under torch.no_grad() or after train()"
            )

    def inputs(self, weights: Any) -> Any:
        """I, off the shapes of the weights."""
        return weights[self.names.index("w_ih")].shape[1]

    def output_width(self, weights: Any) -> int:
        """The last extent of y: D*P."""
        return int(self.directions * self.state_width(weights))

    def state_width(self, weights: Any) -> Any:
        """P, off the shapes of the weights."""
        names = self.names
        return weights[names.index("w_hr")].shape[0] if "w_hr" in names else weights[names.index("w_hh")].shape[1]

    def hidden(self, weights: Any) -> Any:
        """H, off the shapes of the weights."""
        names = self.names
        return weights[names.index("w_hr" if "w_hr" in names else "w_hh")].shape[1]


_MARK = "|"


def describe(cell: str, names: list[str], weights: dict[str, Any], run: dict[str, Any], dtype: str | None) -> str:
    """The part of a plan's text that is the same for all calls of a module."""
    return json.dumps([cell, names, weights, run, dtype])


def write(
    module: str, layers: int, directions: int, batch_first: bool, packed: bool, training: bool, dropout: float
) -> str:
    """The text of a plan. torch.compile follows this function, so it does no more than put pieces together."""
    return f"{module}|{layers}|{directions}|{int(batch_first)}|{int(packed)}|{int(training)}|{dropout}"


def draws(weights: dict[str, Any], run: dict[str, Any]) -> bool:
    """Whether a call in training wants random numbers, but for the dropout between layers."""
    rates = [*(run.get(name) for name in _RUN_RATES), *(weights.get(name) for name in (*_ZONEOUT, "weight_dropout"))]
    return any(rates)


def sort_options(
    owner: str, cell: str, options: dict[str, Any], known: Iterable[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort the further keywords of a module into options of the weights and of the run; None counts as absent.

    `known` are its other keywords.

    Raises:
        TypeError: for one that the cell does not have, or that a module takes in another way.
    """
    table = CELLS[cell]
    weights = (table.weights | table.defaults.keys()) - {"w_peep", "w_hr", "ln_ih", "ln_hh", "ln_c"}
    run = table.run & {*_RUN_RATES[1:], "checkpoint_every", "truncate", "zero_output_for_mask"}
    found: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name, value in options.items():
        if name not in weights and name not in run:
            raise unknown_keyword(f"fastrnn.torch.{owner}", name, sorted({*weights, *run, *known}))
        if value is not None:
            found[name in run][name] = value
    return found
