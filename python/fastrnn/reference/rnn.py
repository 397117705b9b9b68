"""The simple cells: Elman's network (Elman 1990) and the IndRNN (Li, Li, Cook, Zhu & Gao 2018)."""

from __future__ import annotations

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
from .results import Array


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


def indrnn_step(p: Params, x: Array, state: State, o: Options, m: Masks) -> tuple[State, Saved]:
    """One step, h' = f(W x + b_ih + u*h + b_hh): w_hh is the vector u, a unit sees itself alone."""
    h = state[0] * m.recurrent
    a = affine(x, p["w_ih"], p["b_ih"]) + p["w_hh"] * h + p["b_hh"]
    h_new = o.candidate(a)
    return (h_new,), (x, h, a, h_new)


def indrnn_step_backward(p: Params, saved: Saved, dstate: State, o: Options, m: Masks) -> tuple[Array, State, Grads]:
    x, h, a, h_new = saved
    da = o.candidate.backward(dstate[0], h_new, a)
    dx, dw_ih, db = affine_backward(da, x, p["w_ih"])
    return dx, (da * p["w_hh"] * m.recurrent,), {"w_ih": dw_ih, "w_hh": (da * h).sum(axis=0), "b_ih": db, "b_hh": db}
