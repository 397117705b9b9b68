"""The sLSTM with its stabiliser (Beck et al. 2024, "xLSTM: Extended long short-term memory", equations 8 to 17)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .activations import Array, sigmoid
from .products import Grads, Masks, Options, Params, Saved, State, affine, affine_backward
from .run import run_backward, run_forward, run_step
from .sequence import Cache, Cell


class SLSTMOutput(NamedTuple):
    """y (T,B,H) and the final states (1,B,H).

    Example:
        >>> from fastrnn import reference
        >>> found = reference.slstm_forward(np.ones((5, 2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array
    c_n: Array
    n_n: Array
    m_n: Array


class SLSTMState(NamedTuple):
    """The state after one step, (B,H) each.

    Example:
        >>> from fastrnn import reference
        >>> reference.slstm_cell(np.ones((2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))._fields
        ('h', 'c', 'n', 'm')
    """

    h: Array
    c: Array
    n: Array
    m: Array


class SLSTMGrads(NamedTuple):
    """Gradients in the shapes of what was given; None for a parameter that was None.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.slstm_forward(np.ones((5, 2, 3)), np.zeros((16, 3)), np.zeros((16, 4)), training=True)
        >>> reference.slstm_backward(np.ones((5, 2, 4)), cache).h0.shape
        (1, 2, 4)
    """

    x: Array
    h0: Array
    c0: Array
    n0: Array
    m0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


def slstm_step(p: Params, x: Array, state: State, o: Options, m: Masks) -> tuple[State, Saved]:
    """One step; every pre-activation is a = W x + b_ih + R h + b_hh::

        z = tanh(a_z), o = sigmoid(a_o)
        log f = log sigmoid(a_f), or a_f with forget_gate="exp"
        m' = max(log f + m, a_i), but a_i where n is 0: nothing is remembered yet, there is no scale to keep
        i' = exp(a_i - m'), f' = exp(min(log f + m - m', 0))
        c' = f'*c + i'*z, n' = f'*n + i', h' = o * c'/n'

    m scales c and n alike and so drops out of h'; it only keeps both exponentials at 1 or below.
    """
    h, c, n, stabiliser = state
    h = h * m.recurrent
    a = affine(x, p["w_ih"], p["b_ih"]) + affine(h, p["w_hh"], p["b_hh"])
    a_i, a_f, a_z, a_o = np.split(a, 4, axis=1)
    z, out = np.tanh(a_z), sigmoid(a_o)
    log_f = a_f if o.forget_gate == "exp" else -np.logaddexp(0, -a_f).astype(a.dtype)
    kept = log_f + stabiliser
    from_input = (n == 0) | (a_i >= kept)
    m_new = np.where(from_input, a_i, kept)
    i, f = np.exp(a_i - m_new), np.exp(np.minimum(kept - m_new, 0))
    c_new, n_new = f * c + i * z, f * n + i
    ratio = c_new / n_new
    held = kept > m_new  # where the minimum is 0, f' is constant: no gradient
    return (out * ratio, c_new, n_new, m_new), (x, h, c, n, a_f, i, f, z, out, n_new, ratio, from_input, held)


def slstm_step_backward(p: Params, saved: Saved, dstate: State, o: Options, m: Masks) -> tuple[Array, State, Grads]:
    """Go back through `slstm_step`: the gradients of x, of the states before it, and of the parameters by name."""
    x, h, c, n, a_f, i, f, z, out, n_new, ratio, from_input, held = saved
    dh_new, dc_new, dn_new, dm_new = dstate
    # h' = o * c'/n'
    da_o = dh_new * ratio * out * (1 - out)
    dc_new = dc_new + dh_new * out / n_new
    dn_new = dn_new - dh_new * out * ratio / n_new
    # c' = f'*c + i'*z, n' = f'*n + i', through the exponentials
    da_z = dc_new * i * (1 - z * z)
    d_log_i = (dc_new * z + dn_new) * i  # of a_i - m'
    d_log_f = np.where(held, 0, (dc_new * c + dn_new * n) * f)  # of log f + m - m'
    dm_new = dm_new - d_log_i - d_log_f
    # m' is one of its two arguments, and hands its gradient to that one
    da_i = d_log_i + np.where(from_input, dm_new, 0)
    d_kept = d_log_f + np.where(from_input, 0, dm_new)
    da_f = d_kept if o.forget_gate == "exp" else d_kept * sigmoid(-a_f)
    da = np.concatenate((da_i, da_f, da_z, da_o), axis=1)
    dx, dw_ih, db = affine_backward(da, x, p["w_ih"])
    dh, dw_hh, _ = affine_backward(da, h, p["w_hh"])
    grads = {"w_ih": dw_ih, "w_hh": dw_hh, "b_ih": db, "b_hh": db}
    return dx, (dh * m.recurrent, dc_new * f, dn_new * f, d_kept), grads


SLSTM = Cell(slstm_step, slstm_step_backward, 4, SLSTMOutput, frozenset({"weight_dropout", "forget_gate"}))


def slstm_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    c0: Array | None = None, n0: Array | None = None, m0: Array | None = None, **options: Any,
) -> Any:  # fmt: skip
    """sLSTM over a sequence: :func:`slstm_step`, gates i, f, z, o. Options: forget_gate, weight_dropout, and a run's.

    Returns SLSTMOutput(y, h_n, c_n, n_n, m_n); with ``training`` a plain tuple with the cache behind them.

    Example:
        >>> from fastrnn import reference
        >>> weights = np.zeros((16, 3)), np.zeros((16, 4))
        >>> y = reference.slstm_forward(np.ones((5, 2, 3)), *weights).y
        >>> bool(np.allclose(y, fastrnn.slstm_forward(np.ones((5, 2, 3)), *weights).y, rtol=1e-12))
        True
    """
    return run_forward(SLSTM, x, (w_ih, w_hh, b_ih, b_hh), (h0, c0, n0, m0), options)


def slstm_backward(
    dy: Array | None, cache: Cache, dh_n: Array | None = None, dc_n: Array | None = None, dn_n: Array | None = None,
    dm_n: Array | None = None,
) -> SLSTMGrads:  # fmt: skip
    """As :func:`rnn_backward`, for the cache of :func:`slstm_forward` and the gradients to all its final states.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.slstm_forward(np.ones((5, 2, 3)), np.zeros((16, 3)), np.zeros((16, 4)), training=True)
        >>> reference.slstm_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (16, 3)
    """
    return run_backward(SLSTMGrads, dy, cache, (dh_n, dc_n, dn_n, dm_n))


def slstm_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`slstm_forward`, as :func:`lstm_cell`: SLSTMState(h, c, n, m), or (h, c, n, m, cache).

    Example:
        >>> from fastrnn import reference
        >>> h, c, n, m = reference.slstm_cell(np.ones((2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))
        >>> h.shape
        (2, 4)
    """
    return run_step(slstm_forward, SLSTMState, x, args, training, options)
