"""The GRU (Cho et al. 2014) in its three forms, and the MGU (Zhou, Wu, Zhang & Zhou 2016)."""

from __future__ import annotations

import numpy as np

from .products import (
    Grads,
    Masks,
    Options,
    Params,
    Saved,
    State,
    affine,
    affine_backward,
    gains,
    given,
    linear,
    linear_backward,
)
from .results import Array


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


def mgu_step(p: Params, x: Array, state: State, o: Options, m: Masks) -> tuple[State, Saved]:
    """One step: the GRU with one gate in both roles (Zhou et al. 2016, equation 6).

    f = sigmoid(W_f x + R_f h + b_f)
    n = tanh(W_n x + b_in + R_n (f*h) + b_hn)         d(n) with dropout of the candidate
    h' = (1-f)*h + f*d(n)
    """
    (h,) = state
    units = h.shape[1]
    xw = affine(x, p["w_ih"], p["b_ih"])
    h_f = h * m.recurrent
    a_f = xw[:, :units] + affine(h_f, p["w_hh"][:units], p["b_hh"][:units])
    f = o.gate(a_f)
    v = f * h * m.recurrent
    a_n = xw[:, units:] + affine(v, p["w_hh"][units:], p["b_hh"][units:])
    n = o.candidate(a_n)
    return ((1 - f) * h + f * (n * m.candidate),), (x, h, h_f, v, a_f, a_n, f, n)


def mgu_step_backward(p: Params, saved: Saved, dstate: State, o: Options, m: Masks) -> tuple[Array, State, Grads]:
    x, h, h_f, v, a_f, a_n, f, n = saved
    (dh_new,) = dstate
    units = h.shape[1]
    da_n = o.candidate.backward(dh_new * f * m.candidate, n, a_n)
    dv, dw_n, db_n = affine_backward(da_n, v, p["w_hh"][units:])
    dv = dv * m.recurrent  # now that of f*h
    df = dh_new * (n * m.candidate - h) + dv * h
    da_f = o.gate.backward(df, f, a_f)
    dh_f, dw_f, db_f = affine_backward(da_f, h_f, p["w_hh"][:units])
    dx, dw_ih, db_ih = affine_backward(np.concatenate((da_f, da_n), axis=1), x, p["w_ih"])
    dh = dh_new * (1 - f) + dv * f + dh_f * m.recurrent
    grads = {"w_ih": dw_ih, "w_hh": np.concatenate((dw_f, dw_n)), "b_ih": db_ih, "b_hh": np.concatenate((db_f, db_n))}
    return dx, (dh,), given(p, grads)
