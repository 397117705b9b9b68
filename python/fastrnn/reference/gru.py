"""The GRU (Cho et al. 2014) in its three forms."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .activations import Array
from .products import Grads, Masks, Options, Params, Saved, State, gains, linear, linear_backward
from .run import GATED, NORM, run_backward, run_forward, run_step
from .sequence import Cache, Cell


class GRUOutput(NamedTuple):
    """y (T,B,H) and the final state (1,B,H).

    Example:
        >>> from fastrnn import reference
        >>> found = reference.gru_forward(np.ones((5, 2, 3)), np.zeros((12, 3)), np.zeros((12, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array


class GRUGrads(NamedTuple):
    """Gradients in the shapes of what was given; None for a parameter that was None.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.gru_forward(np.ones((5, 2, 3)), np.zeros((12, 3)), np.zeros((12, 4)), training=True)
        >>> reference.gru_backward(np.ones((5, 2, 4)), cache).h0.shape
        (1, 2, 4)
    """

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    ln_ih: Array | None
    ln_hh: Array | None


def _split(h: Array) -> tuple[slice, slice]:
    """The rows of r and z, and those of n."""
    return slice(0, 2 * h.shape[1]), slice(2 * h.shape[1], None)


def gru_step(p: Params, x: Array, state: State, o: Options, m: Masks) -> tuple[State, Saved]:
    """One step. The candidate n and the new state depend on where the reset gate acts.

    r, z = sigmoid(W x + b_i + R h + b_h)             reset and update gate
    reset="before"  n = tanh(W_n x + b_in + R_n (r*h) + b_hn)    h' = (1-z)*n + z*h     Cho et al. (2014), eq. 5 to 8
    reset="after"   n = tanh(W_n x + b_in + r*(R_n h + b_hn))    h' = (1-z)*n + z*h     cuDNN, PyTorch, Keras
    reset="output"  n = tanh(W_n x + b_in + R_n h + b_hn)        h' = (1-z)*h + r*n     here 1-z keeps h

    Dropout of the candidate puts d(n) for n in h'. With gains, LN(W x)*ln_ih and LN(R h)*ln_hh stand for the products,
    normalised over r and z together and over n alone.
    """
    (h,) = state
    rz, n_ = _split(h)
    (ln_ih_rz, ln_hh_rz), (ln_ih_n, ln_hh_n) = gains(p, rz), gains(p, n_)
    x_rz, saved_x_rz = linear(x, p["w_ih"][rz], p["b_ih"][rz], ln_ih_rz, o.norm_eps)
    h_rz, saved_h_rz = linear(h * m.recurrent, p["w_hh"][rz], p["b_hh"][rz], ln_hh_rz, o.norm_eps)
    a_rz = x_rz + h_rz
    r, z = np.split(o.gate(a_rz), 2, axis=1)
    v = r * h if o.reset == "before" else h  # what R_n is applied to
    x_n, saved_x_n = linear(x, p["w_ih"][n_], p["b_ih"][n_], ln_ih_n, o.norm_eps)
    q, saved_h_n = linear(v * m.recurrent, p["w_hh"][n_], p["b_hh"][n_], ln_hh_n, o.norm_eps)
    a_n = x_n + (r * q if o.reset == "after" else q)
    n = o.candidate(a_n)
    d = n * m.candidate
    h_new = (1 - z) * h + r * d if o.reset == "output" else (1 - z) * d + z * h
    return (h_new,), (saved_x_rz, saved_h_rz, saved_x_n, saved_h_n, h, a_rz, a_n, r, z, n, q)


def gru_step_backward(p: Params, saved: Saved, dstate: State, o: Options, m: Masks) -> tuple[Array, State, Grads]:
    """Go back through `gru_step`: the gradients of x, of the states before it, and of the parameters by name."""
    saved_x_rz, saved_h_rz, saved_x_n, saved_h_n, h, a_rz, a_n, r, z, n, q = saved
    (dh_new,) = dstate
    rz, n_ = _split(h)
    (ln_ih_rz, ln_hh_rz), (ln_ih_n, ln_hh_n) = gains(p, rz), gains(p, n_)
    d = n * m.candidate
    if o.reset == "output":
        dh, dz, dr, dd = dh_new * (1 - z), -dh_new * h, dh_new * d, dh_new * r
    else:
        dh, dz, dr, dd = dh_new * z, dh_new * (h - d), np.zeros_like(r), dh_new * (1 - z)
    da_n = o.candidate.backward(dd * m.candidate, n, a_n)
    dx_n, dw_ih_n, db_ih_n, dln_ih_n = linear_backward(da_n, saved_x_n, p["w_ih"][n_], ln_ih_n)
    dq = da_n * r if o.reset == "after" else da_n
    dv, dw_hh_n, db_hh_n, dln_hh_n = linear_backward(dq, saved_h_n, p["w_hh"][n_], ln_hh_n)
    dv = dv * m.recurrent
    if o.reset == "after":
        dr, dh = da_n * q, dh + dv
    elif o.reset == "before":
        dr, dh = dv * h, dh + dv * r
    else:
        dh = dh + dv
    da_rz = o.gate.backward(np.concatenate((dr, dz), axis=1), np.concatenate((r, z), axis=1), a_rz)
    dx_rz, dw_ih_rz, db_ih_rz, dln_ih_rz = linear_backward(da_rz, saved_x_rz, p["w_ih"][rz], ln_ih_rz)
    dh_rz, dw_hh_rz, db_hh_rz, dln_hh_rz = linear_backward(da_rz, saved_h_rz, p["w_hh"][rz], ln_hh_rz)
    grads = {
        "w_ih": np.concatenate((dw_ih_rz, dw_ih_n)),
        "w_hh": np.concatenate((dw_hh_rz, dw_hh_n)),
        "b_ih": np.concatenate((db_ih_rz, db_ih_n)),
        "b_hh": np.concatenate((db_hh_rz, db_hh_n)),
    }
    if "ln_ih" in p:
        grads["ln_ih"] = np.concatenate((dln_ih_rz, dln_ih_n))
        grads["ln_hh"] = np.concatenate((dln_hh_rz, dln_hh_n))
    return dx_rz + dx_n, (dh + dh_rz * m.recurrent,), grads


GRU = Cell(gru_step, gru_step_backward, 3, GRUOutput, GATED | NORM | {"reset"})


def gru_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """GRU over a sequence: :func:`gru_step`.

    Options: reset, activation, recurrent_activation, clip, ln_ih, ln_hh and norm_eps, zoneout_h, weight_dropout,
    candidate_dropout, and a run's. Returns GRUOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache).

    Example:
        >>> from fastrnn import reference
        >>> weights = np.zeros((12, 3)), np.zeros((12, 4))
        >>> y = reference.gru_forward(np.ones((5, 2, 3)), *weights).y
        >>> bool(np.allclose(y, fastrnn.gru_forward(np.ones((5, 2, 3)), *weights).y, rtol=1e-12))
        True
    """
    return run_forward(GRU, x, (w_ih, w_hh, b_ih, b_hh), (h0,), options)


def gru_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> GRUGrads:
    """As :func:`rnn_backward`, for the cache of :func:`gru_forward`.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.gru_forward(np.ones((5, 2, 3)), np.zeros((12, 3)), np.zeros((12, 4)), training=True)
        >>> reference.gru_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (12, 3)
    """
    return run_backward(GRUGrads, dy, cache, (dh_n,))


def gru_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`gru_forward`, as :func:`rnn_cell`.

    Example:
        >>> from fastrnn import reference
        >>> h = reference.gru_cell(np.ones((2, 3)), np.zeros((12, 3)), np.zeros((12, 4)))
        >>> h.shape
        (2, 4)
    """
    return run_step(gru_forward, None, x, args, training, options)
