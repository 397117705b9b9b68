"""What cells have in common: matrix products with a bias, layer normalisation, and the options they are run with.

In all backward functions ``dv`` stands for d loss/dv.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .activations import Array, Clipped

State = tuple[Array, ...]  # (h,), (h, c) or (h, c, n, m), each (B,H), h (B,P)
Params = Mapping[str, Array]  # w_ih, w_hh, b_ih, b_hh, and whatever else was given
Saved = tuple[Any, ...]  # what a backward step wants from its forward step
Grads = dict[str, Any]  # d loss/d(parameter) of one step

EVERY = slice(None)


@dataclass(frozen=True)
class Options:
    """The options of a cell that its step needs to know; each cell looks at its own."""

    candidate: Clipped  # activation
    gate: Clipped  # recurrent_activation
    output: Clipped  # output_activation, which `clip` does not concern
    reset: str = "after"
    forget_gate: str = "sigmoid"
    peephole_output: str = "current"
    coupled: bool = False
    forget_bias: float = 0.0
    cell_clip: float | None = None
    proj_clip: float | None = None
    norm_eps: float = 1e-5


class Masks(NamedTuple):
    """The dropout inside of one step; 1 where there is none."""

    recurrent: Any = 1.0  # (B,P), on the vector that w_hh multiplies
    candidate: Any = 1.0  # (B,H), on g or n


def affine(v: Array, w: Array, b: Any) -> Array:
    """Compute W v + b for each row of ``v``.

    Example:
        >>> from fastrnn import reference
        >>> reference.affine(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.5])).tolist()
        [[11.5]]
    """
    return v @ w.T + b  # type: ignore[no-any-return]


def affine_backward(da: Array, v: Array, w: Array) -> tuple[Array, Array, Array]:
    """Return d loss/d(v, W, b) of ``affine``, given ``da`` = d loss/d(W v + b).

    Example:
        >>> from fastrnn import reference
        >>> da, v, w = np.ones((1, 1)), np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
        >>> [d.tolist() for d in reference.affine_backward(da, v, w)]
        [[[3.0, 4.0]], [[1.0, 2.0]], [1.0]]
    """
    return da @ w, da.T @ v, da.sum(axis=0)


def normalise(v: Array, eps: float) -> tuple[Array, Array]:
    """LN(v) = (v - mean(v)) / sqrt(var(v) + eps) of each row (Ba, Kiros & Hinton 2016), and 1/sqrt(var(v) + eps)."""
    centred = v - v.mean(axis=1, keepdims=True)
    scale: Array = 1 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + v.dtype.type(eps))
    return centred * scale, scale


def normalise_backward(dn: Array, n: Array, scale: Array) -> Array:
    """d loss/dv of n = LN(v): what would change mean or variance is taken out, as LN took it out of v."""
    mean, along = dn.mean(axis=1, keepdims=True), (dn * n).mean(axis=1, keepdims=True)
    dv: Array = scale * (dn - mean - n * along)
    return dv


def linear(v: Array, w: Array, b: Array, gain: Array | None, eps: float) -> tuple[Array, Saved]:
    """W v + b, or with a gain LN(W v)*gain + b: one side, input or recurrent, of a pre-activation."""
    if gain is None:
        return affine(v, w, b), (v, None, None)
    n, scale = normalise(affine(v, w, 0), eps)
    return n * gain + b, (v, n, scale)


def linear_backward(da: Array, saved: Saved, w: Array, gain: Array | None) -> tuple[Array, Array, Array, Any]:
    """Return d loss/d(v, W, b, gain) of ``linear``; that of no gain is 0."""
    v, n, scale = saved
    if gain is None:
        return *affine_backward(da, v, w), 0.0
    dv, dw, _ = affine_backward(normalise_backward(da * gain, n, scale), v, w)
    return dv, dw, da.sum(axis=0), (da * n).sum(axis=0)


def gains(p: Params, rows: slice = EVERY) -> tuple[Array | None, Array | None]:
    """The gains ln_ih and ln_hh of these gates, None where they were not given."""
    ln_ih, ln_hh = p.get("ln_ih"), p.get("ln_hh")
    return (None if ln_ih is None else ln_ih[rows]), (None if ln_hh is None else ln_hh[rows])


def given(p: Params, grads: Grads) -> Grads:
    """Those gradients whose parameters exist."""
    return {name: value for name, value in grads.items() if name in p}
