"""What is measured: one recurrent layer of a given cell and shape, its data, and the default list of shapes.

Shapes as everywhere in fastrnn: T time steps, B batch, I input size, H hidden size, G gates; time-major arrays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Kind = Literal["inference", "training"]
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
# Names under which contestants hand out gradients to compare, in the order of x, h0 and the parameters.
GRADIENTS = ("d_x", "d_h0", "d_w_ih", "d_w_hh", "d_b_ih", "d_b_hh")
_SPEC = re.compile(r"(lstm|gru|rnn)((?:[ :]+[TBIH]\d+)+)", re.IGNORECASE)


@dataclass(frozen=True)
class Work:
    """One layer in one shape; inference is the forward pass alone, training forward and backward."""

    cell: str
    T: int
    B: int
    I: int  # noqa: E741  the field's own letter
    H: int
    kind: Kind = "inference"

    @property
    def name(self) -> str:
        """The shape in words, e.g. ``LSTM T100 B32 H256``; I is named only where it differs from H."""
        width = f"H{self.H}" if self.I == self.H else f"I{self.I} H{self.H}"
        return f"{self.cell.upper()} T{self.T} B{self.B} {width}"

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products of the forward pass; the backward pass has twice as many.

        A multiply-add counts as two. Activations and other element-wise work are not counted.
        """
        return 2 * GATES[self.cell] * self.H * (self.I + self.H) * self.T * self.B


def parse(text: str, kind: Kind) -> Work:
    """Read ``LSTM T100 B32 H256`` (also ``lstm:T100:B32:I64:H256``); T and B are 1 and I is H where left out.

    Raises:
        ValueError: the text is no shape.
    """
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"shape: expected e.g. 'LSTM T100 B32 H256', got {text!r}")
    sizes = {part[0].upper(): int(part[1:]) for part in re.split(r"[ :]+", match[2]) if part}
    if "H" not in sizes or min(sizes.values()) < 1:
        raise ValueError(f"shape: expected an H, and sizes of 1 or more, got {text!r}")
    hidden = sizes["H"]
    return Work(match[1].lower(), sizes.get("T", 1), sizes.get("B", 1), sizes.get("I", hidden), hidden, kind)


@dataclass(frozen=True)
class Problem:
    """Arrays of one work, float32: PyTorch's parameters, an input, initial states and a gradient of y.

    The initial states are not zero, so that no library may skip the recurrent product of a single step.
    """

    work: Work
    x: Array = field(repr=False)
    h0: Array = field(repr=False)
    c0: Array = field(repr=False)
    dy: Array = field(repr=False)
    w_ih: Array = field(repr=False)
    w_hh: Array = field(repr=False)
    b_ih: Array = field(repr=False)
    b_hh: Array = field(repr=False)

    @property
    def parameters(self) -> tuple[Array, Array, Array, Array]:
        """w_ih (G*H, I), w_hh (G*H, H), b_ih and b_hh (G*H,)."""
        return self.w_ih, self.w_hh, self.b_ih, self.b_hh


def make_problem(work: Work, seed: int = 0) -> Problem:
    """Random data; parameters are uniform within 1/sqrt(H), PyTorch's initialisation."""
    rng = np.random.default_rng(seed)
    rows = GATES[work.cell] * work.H
    bound = work.H**-0.5

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    def uniform(*shape: int) -> Array:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    return Problem(
        work,
        x=normal(work.T, work.B, work.I),
        h0=np.tanh(normal(1, work.B, work.H)),
        c0=normal(1, work.B, work.H),
        dy=normal(work.T, work.B, work.H),
        w_ih=uniform(rows, work.I),
        w_hh=uniform(rows, work.H),
        b_ih=uniform(rows),
        b_hh=uniform(rows),
    )


def reorder(parameter: Array, order: list[int]) -> Array:
    """The gate blocks of a (G*H, ...) parameter in another order."""
    blocks = parameter.reshape(len(order), -1, *parameter.shape[1:])
    return np.ascontiguousarray(blocks[order].reshape(parameter.shape))


# "quick" rows are measured by --quick too.
_INFERENCE = """
    LSTM T1 B1 H64         quick
    LSTM T1 B1 H128
    LSTM T1 B1 H256        quick
    LSTM T1 B1 H512
    LSTM T1 B1 H1024
    LSTM T100 B1 H64
    LSTM T100 B1 H128
    LSTM T100 B1 H256      quick
    LSTM T100 B1 H512
    LSTM T100 B8 H256
    LSTM T100 B32 H256     quick
    LSTM T100 B64 H512
    LSTM T50 B128 H1024
    GRU T1 B1 H256
    GRU T100 B1 H256       quick
    GRU T100 B32 H256      quick
    RNN T1 B1 H256
    RNN T100 B1 H256       quick
    RNN T100 B32 H256      quick
"""
_TRAINING = """
    LSTM T1 B1 H256
    LSTM T100 B1 H64       quick
    LSTM T100 B1 H256
    LSTM T100 B8 H256
    LSTM T100 B32 H256     quick
    LSTM T100 B64 H512
    LSTM T50 B128 H1024
    GRU T100 B1 H256
    GRU T100 B32 H256      quick
    RNN T100 B1 H256
    RNN T100 B32 H256      quick
"""


def default_works(quick: bool) -> list[Work]:
    """The list of the README; with `quick` a part of it."""
    works = []
    lists: list[tuple[Kind, str]] = [("inference", _INFERENCE), ("training", _TRAINING)]
    for kind, lines in lists:
        for line in filter(None, map(str.strip, lines.splitlines())):
            shape, _, mark = line.partition("  ")
            if mark.strip() == "quick" or not quick:
                works.append(parse(shape, kind))
    return works
