"""What is measured: a recurrent layer, or a stack of them, of a given cell and shape, and its data.

Shapes as everywhere in fastrnn: T time steps, B batch, I input size, H hidden size, G gates, L layers, D directions;
time-major arrays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Kind = Literal["inference", "training", "product", "pool", "fit"]
Part = Literal["total", "forward", "backward"]
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
FIT_ROWS = 512
PARAMETERS = ("w_ih", "w_hh", "b_ih", "b_hh")
# Below the smallest normal float32, 1.2e-38.
_DENORMAL = np.float32(1e-39)
_SPEC = re.compile(r"(lstm|gru|rnn)((?:[ :]+[TBIHL]\d+)+)([ :]+bidirectional)?([ :]+ragged)?", re.IGNORECASE)


@dataclass(frozen=True)
class Work:
    """One layer, or a stack of L, in one shape.

    Inference is the forward pass alone, training forward and backward. A product is W x of all steps, which libraries
    compute ahead of the recurrence as one matrix product: (T*B, I) by (I, G*H). A pool is inference of B streams that
    have nothing to do with each other. Fit is an epoch of training over 512 rows in batches of B. Rows of a ragged
    batch have a length of their own each.
    """

    cell: str
    T: int
    B: int
    I: int  # noqa: E741  the field's own letter
    H: int
    kind: Kind = "inference"
    ragged: bool = False
    L: int = 1
    bidirectional: bool = False

    @property
    def name(self) -> str:
        """The shape in words, e.g. ``LSTM T100 B32 H256``; I is named where it differs from H, L where it is not 1."""
        width = f"H{self.H}" if self.I == self.H else f"I{self.I} H{self.H}"
        words = [f"L{self.L}"] if self.L > 1 else []
        words += [word for word in ("bidirectional", "ragged") if getattr(self, word)]
        return " ".join([self.cell.upper(), f"T{self.T}", f"B{self.B}", width, *words])

    @property
    def D(self) -> int:
        """Directions."""
        return 2 if self.bidirectional else 1

    @property
    def stacked(self) -> bool:
        """Whether it is more than one layer in one direction."""
        return self.L * self.D > 1

    @property
    def gradients(self) -> tuple[str, ...]:
        """Names under which contestants hand out gradients to compare: x, h0 and the parameters of each layer."""
        suffixes = ["", *(f" {n}" for n in range(1, self.L * self.D))]
        return ("d_x", "d_h0", *(f"d_{name}{suffix}" for suffix in suffixes for name in PARAMETERS))

    @property
    def lengths(self) -> Array | None:
        """Of a ragged batch the steps of each row, (B,), uniform in 1..T and not sorted; the same for every cell."""
        return np.random.default_rng([self.T, self.B]).integers(1, self.T + 1, self.B) if self.ragged else None

    @property
    def steps(self) -> int:
        """Steps of all rows together: T*B, or those of a ragged batch that are not padding."""
        return self.T * self.B if self.lengths is None else int(self.lengths.sum())

    @property
    def input_flops(self) -> int:
        """Of W x for all steps. A multiply-add counts as two; here and below, activations count for nothing."""
        return 2 * GATES[self.cell] * self.H * self.D * (self.I + (self.L - 1) * self.D * self.H) * self.steps

    @property
    def recurrent_flops(self) -> int:
        """Of R h for all steps."""
        return 2 * GATES[self.cell] * self.H * self.L * self.D * self.H * self.steps

    def flops(self, part: Part = "total") -> int:
        """Floating-point operations of the matrix products; the backward pass has twice as many as the forward pass."""
        if self.kind == "product":
            return self.input_flops
        if self.kind == "fit":  # nobody needs the gradient of the data
            return (2 * self.input_flops + 3 * self.recurrent_flops) * FIT_ROWS // self.B
        forward = self.input_flops + self.recurrent_flops
        return forward * {"total": 3 if self.kind == "training" else 1, "forward": 1, "backward": 2}[part]

    @property
    def neighbour(self) -> Work:
        """The nearest shape that suits every vector and tile: H (and I) in multiples of 64, B a power of two."""
        hidden = max(64, (self.H + 32) // 64 * 64)
        batch = min((2**n for n in range(16)), key=lambda size: (abs(size - self.B), -size))
        return replace(self, B=batch, H=hidden, I=hidden if self.I == self.H else self.I)


def parse(text: str, kind: Kind) -> Work:
    """Read ``LSTM T100 B32 H256``, also ``lstm:T100:B32:I64:H256:ragged`` or ``GRU T9 H64 L2 bidirectional``.

    T, B and L are 1 and I is H where left out.

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
    return Work(
        match[1].lower(),
        sizes.get("T", 1),
        sizes.get("B", 1),
        sizes.get("I", hidden),
        hidden,
        kind,
        match[4] is not None,
        sizes.get("L", 1),
        match[3] is not None,
    )


@dataclass(frozen=True)
class Problem:
    """Arrays of one work, float32: PyTorch's parameters, an input, initial states and a gradient of y.

    `upper` are the parameters of a stack beside those of the first layer's first direction, in PyTorch's order: the
    layer's second direction, then the layer above it.
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
    upper: tuple[tuple[Array, ...], ...] = field(default=(), repr=False)

    @property
    def parameters(self) -> tuple[Array, Array, Array, Array]:
        """w_ih (G*H, I), w_hh (G*H, H), b_ih and b_hh (G*H,)."""
        return self.w_ih, self.w_hh, self.b_ih, self.b_hh

    @property
    def layers(self) -> list[list[tuple[Array, ...]]]:
        """:attr:`parameters` of each layer in each of its directions."""
        flat, width = [self.parameters, *self.upper], self.work.D
        return [flat[k : k + width] for k in range(0, len(flat), width)]

    @property
    def factors(self) -> tuple[Array, Array]:
        """What a product multiplies: x of all steps (T*B, I) and W transposed (I, G*H), both contiguous."""
        return self.x.reshape(-1, self.work.I), np.ascontiguousarray(self.w_ih.T)

    def denormal(self) -> Problem:
        """The same with input and states below the normal numbers, and without the biases that would lift them."""
        tiny = {name: getattr(self, name) * _DENORMAL for name in ("x", "h0", "c0")}
        return replace(self, b_ih=np.zeros_like(self.b_ih), b_hh=np.zeros_like(self.b_hh), **tiny)


def make_problem(work: Work, seed: int = 0) -> Problem:
    """Random data; parameters are uniform within 1/sqrt(H), PyTorch's initialisation."""
    rng = np.random.default_rng(seed)
    rows = GATES[work.cell] * work.H
    bound = work.H**-0.5

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    def uniform(*shape: int) -> Array:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    def parameters(width: int) -> tuple[Array, ...]:
        return uniform(rows, width), uniform(rows, work.H), uniform(rows), uniform(rows)

    states = (work.L * work.D, work.B, work.H)
    x = normal(work.T, work.B, work.I)
    h0, c0, dy = np.tanh(normal(*states)), normal(*states), normal(work.T, work.B, work.D * work.H)
    widths = [work.I if n < work.D else work.D * work.H for n in range(work.L * work.D)]
    (w_ih, w_hh, b_ih, b_hh), *upper = map(parameters, widths)
    return Problem(work, x, h0, c0, dy, w_ih, w_hh, b_ih, b_hh, tuple(upper))


def reorder(parameter: Array, order: list[int]) -> Array:
    """The gate blocks of a (G*H, ...) parameter in another order."""
    blocks = parameter.reshape(len(order), -1, *parameter.shape[1:])
    return np.ascontiguousarray(blocks[order].reshape(parameter.shape))
