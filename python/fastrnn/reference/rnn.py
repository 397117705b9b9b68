"""Elman's network (Elman 1990)."""

from __future__ import annotations

from typing import Any, NamedTuple

from .activations import Array
from .products import (
    Grads,
    Masks,
    Options,
    Params,
    Saved,
    State,
    affine,
    affine_backward,
    normalise,
    normalise_backward,
)
from .run import run_backward, run_forward, run_step
from .sequence import Cache, Cell


class RNNOutput(NamedTuple):
    """y (T,B,H) and the final state (1,B,H).

    Example:
        >>> from fastrnn import reference
        >>> found = reference.rnn_forward(np.ones((5, 2, 3)), np.zeros((4, 3)), np.zeros((4, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array


class RNNGrads(NamedTuple):
    """Gradients in the shapes of what was given; None for a parameter that was None.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.rnn_forward(np.ones((5, 2, 3)), np.zeros((4, 3)), np.zeros((4, 4)), training=True)
        >>> reference.rnn_backward(np.ones((5, 2, 4)), cache).h0.shape
        (1, 2, 4)
    """

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    ln_hh: Array | None


def rnn_step(p: Params, x: Array, state: State, o: Options, m: Masks) -> tuple[State, Saved]:
    """One step, h' = f(W_ih x + b_ih + W_hh h + b_hh), or h' = f(LN(W_ih x + W_hh h)*ln_hh + b_ih + b_hh)."""
    h = state[0] * m.recurrent
    n: Array | None = None
    scale: Array | None = None
    if "ln_hh" in p:
        n, scale = normalise(affine(x, p["w_ih"], 0) + affine(h, p["w_hh"], 0), o.norm_eps)
        a = n * p["ln_hh"] + p["b_ih"] + p["b_hh"]
    else:
        a = affine(x, p["w_ih"], p["b_ih"]) + affine(h, p["w_hh"], p["b_hh"])
    h_new = o.candidate(a)
    return (h_new,), (x, h, n, scale, a, h_new)


def rnn_step_backward(p: Params, saved: Saved, dstate: State, o: Options, m: Masks) -> tuple[Array, State, Grads]:
    """Go back through `rnn_step`: the gradients of x, of the states before it, and of the parameters by name."""
    x, h, n, scale, a, h_new = saved
    da = o.candidate.backward(dstate[0], h_new, a)
    db = da.sum(axis=0)
    grads: Grads = {"b_ih": db, "b_hh": db}
    if "ln_hh" in p:
        grads["ln_hh"] = (da * n).sum(axis=0)
        da = normalise_backward(da * p["ln_hh"], n, scale)
    dx, grads["w_ih"], _ = affine_backward(da, x, p["w_ih"])
    dh, grads["w_hh"], _ = affine_backward(da, h, p["w_hh"])
    return dx, (dh * m.recurrent,), grads


RNN = Cell(
    rnn_step,
    rnn_step_backward,
    1,
    RNNOutput,
    frozenset({"activation", "clip", "zoneout_h", "weight_dropout", "ln_hh", "norm_eps"}),
)


def rnn_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """Elman network over a sequence: :func:`rnn_step` in the time loop. Parameters and states of None are 0.

    Options of the cell: activation, clip, ln_hh and norm_eps, zoneout_h, weight_dropout. Options of a run, for all
    cells (:mod:`fastrnn.functional` explains each): lengths, reverse, batch_first, training, mask and
    zero_output_for_mask, reset_mask, batch_sizes, dropout, recurrent_dropout, seed, truncate, checkpoint_every; and
    here alone ``dtype``, what to compute in (float64), and ``stream``, the number of layer and direction in a stack.

    Returns RNNOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache).

    Example:
        >>> from fastrnn import reference
        >>> weights = np.zeros((4, 3)), np.zeros((4, 4))
        >>> y = reference.rnn_forward(np.ones((5, 2, 3)), *weights).y
        >>> bool(np.allclose(y, fastrnn.rnn_forward(np.ones((5, 2, 3)), *weights).y, rtol=1e-12))
        True
    """
    return run_forward(RNN, x, (w_ih, w_hh, b_ih, b_hh), (h0,), options)


def rnn_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> RNNGrads:
    """Gradients of a loss whose gradients to y and h_n are ``dy`` (shape of y) and ``dh_n`` (1,B,H); None is 0.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.rnn_forward(np.ones((5, 2, 3)), np.zeros((4, 3)), np.zeros((4, 4)), training=True)
        >>> reference.rnn_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (4, 3)
    """
    return run_backward(RNNGrads, dy, cache, (dh_n,))


def rnn_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step: :func:`rnn_forward` with x (B,I), h0 (B,H), giving h (B,H).

    With ``training`` (h, cache), the cache of a sequence of one step: :func:`rnn_backward` takes a dy of (1,B,H).

    Example:
        >>> from fastrnn import reference
        >>> h = reference.rnn_cell(np.ones((2, 3)), np.zeros((4, 3)), np.zeros((4, 4)))
        >>> h.shape
        (2, 4)
    """
    return run_step(rnn_forward, None, x, args, training, options)
