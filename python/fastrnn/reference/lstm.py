"""The LSTM: Hochreiter & Schmidhuber 1997, forget gate and peepholes of Gers 2000, projection of Sak et al. 2014."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .activations import Array, clamp, clamp_backward
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
    normalise,
    normalise_backward,
)
from .run import GATED, NORM, run_backward, run_forward, run_step
from .sequence import Cache, Cell


class LSTMOutput(NamedTuple):
    """y (T,B,P) and the final states, h_n (1,B,P) and c_n (1,B,H).

    Example:
        >>> from fastrnn import reference
        >>> found = reference.lstm_forward(np.ones((5, 2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array
    c_n: Array


class LSTMState(NamedTuple):
    """The state after one step, h (B,P) and c (B,H).

    Example:
        >>> from fastrnn import reference
        >>> reference.lstm_cell(np.ones((2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))._fields
        ('h', 'c')
    """

    h: Array
    c: Array


class LSTMGrads(NamedTuple):
    """Gradients in the shapes of what was given; None for a parameter that was None.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.lstm_forward(np.ones((5, 2, 3)), np.zeros((16, 3)), np.zeros((16, 4)), training=True)
        >>> reference.lstm_backward(np.ones((5, 2, 4)), cache).h0.shape
        (1, 2, 4)
    """

    x: Array
    h0: Array
    c0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    w_peep: Array | None
    w_hr: Array | None
    ln_ih: Array | None
    ln_hh: Array | None
    ln_c: Array | None


def peep(p: Params, gate: int, c: Array) -> Any:
    """Compute what gate 0 (i), 1 (f) or 2 (o) sees of the cell state: p*c (Gers & Schmidhuber 2000), or P c."""
    if "w_peep" not in p:
        return 0.0
    w = p["w_peep"][gate]
    return w * c if w.ndim == 1 else c @ w.T


def peep_backward(p: Params, gate: int, da: Array, c: Array) -> tuple[Any, Any]:
    """Return d loss/d(c, w_peep[gate]) of ``peep``."""
    if "w_peep" not in p:
        return 0.0, 0.0
    w = p["w_peep"][gate]
    return (w * da, (da * c).sum(axis=0)) if w.ndim == 1 else (da @ w, da.T @ c)


def lstm_step(p: Params, x: Array, state: State, o: Options, m: Masks) -> tuple[State, Saved]:
    """One step, in the notation of Graves (2013), equations 7 to 11.

    i = sigmoid(W_i x + R_i h + p_i*c + b_i)          input gate
    f = sigmoid(W_f x + R_f h + p_f*c + b_f)          forget gate (Gers 2000), b_f with forget_bias; coupled: f = 1 - i
    g = tanh(W_g x + R_g h + b_g)                     candidate; d(g) with dropout (Semeniuta et al. 2016)
    c' = f*c + i*d(g)                                 the constant error carousel, clamped to +-cell_clip
    o = sigmoid(W_o x + R_o h + p_o*c' + b_o)         output gate; peephole_output="previous": it sees c, not c'
    h' = o*tanh(s)                                    s = c', or LN(c')*ln_c[0] + ln_c[1]
    h' = W_hr (o*tanh(s))                             with a projection (Sak et al. 2014), clamped to +-proj_clip

    With gains, LN(W x)*ln_ih and LN(R h)*ln_hh stand for W x and R h, each normalised over all four gates.
    """
    h, c = state
    ln_ih, ln_hh = gains(p)
    xw, saved_x = linear(x, p["w_ih"], p["b_ih"], ln_ih, o.norm_eps)
    hw, saved_h = linear(h * m.recurrent, p["w_hh"], p["b_hh"], ln_hh, o.norm_eps)
    a_i, a_f, a_g, a_o = np.split(xw + hw, 4, axis=1)
    a_i = a_i + peep(p, 0, c)
    a_f = a_f + peep(p, 1, c) + o.forget_bias
    i = o.gate(a_i)
    f = 1 - i if o.coupled else o.gate(a_f)
    g = o.candidate(a_g)
    c_raw = f * c + i * (g * m.candidate)
    c_new = clamp(c_raw, o.cell_clip)
    c_seen = c_new if o.peephole_output == "current" else c
    a_o = a_o + peep(p, 2, c_seen)
    out = o.gate(a_o)
    n, scale = normalise(c_new, o.norm_eps) if "ln_c" in p else (None, None)
    s = c_new if n is None else n * p["ln_c"][0] + p["ln_c"][1]
    value = o.output(s)
    r = out * value
    q = affine(r, p["w_hr"], 0) if "w_hr" in p else r
    saved = (saved_x, saved_h, c, (a_i, a_f, a_g, a_o), (i, f, g, out), c_raw, c_seen, n, scale, s, value, r, q)
    return (clamp(q, o.proj_clip), c_new), saved


def lstm_step_backward(p: Params, saved: Saved, dstate: State, o: Options, m: Masks) -> tuple[Array, State, Grads]:
    """Go back through `lstm_step`: the gradients of x, of the states before it, and of the parameters by name."""
    saved_x, saved_h, c, (a_i, a_f, a_g, a_o), (i, f, g, out), c_raw, c_seen, n, scale, s, value, r, q = saved
    dh_new, dc_new = dstate
    grads: Grads = {}
    # h' = clamp(W_hr r), r = o*tanh(s)
    dr = clamp_backward(dh_new, q, o.proj_clip)
    if "w_hr" in p:
        dr, grads["w_hr"], _ = affine_backward(dr, r, p["w_hr"])
    # the output gate first, because its peephole may hand a gradient to c'
    da_o = o.gate.backward(dr * value, out, a_o)
    ds = o.output.backward(dr * out, value, s)
    if "ln_c" in p:
        grads["ln_c"] = np.stack(((ds * n).sum(axis=0), ds.sum(axis=0)))
        ds = normalise_backward(ds * p["ln_c"][0], n, scale)
    dc_new = dc_new + ds
    dc_seen, dp_o = peep_backward(p, 2, da_o, c_seen)
    dc: Any = 0.0
    if o.peephole_output == "current":
        dc_new = dc_new + dc_seen
    else:
        dc = dc_seen
    # c' = clamp(f*c + i*d(g))
    dc_raw = clamp_backward(dc_new, c_raw, o.cell_clip)
    da_g = o.candidate.backward(dc_raw * i * m.candidate, g, a_g)
    di, df = dc_raw * (g * m.candidate), dc_raw * c
    if o.coupled:  # f = 1 - i is no gate of its own: df flows into i and nothing into the f rows
        da_i, da_f = o.gate.backward(di - df, i, a_i), np.zeros_like(df)
    else:
        da_i, da_f = o.gate.backward(di, i, a_i), o.gate.backward(df, f, a_f)
    dc_i, dp_i = peep_backward(p, 0, da_i, c)
    dc_f, dp_f = peep_backward(p, 1, da_f, c)
    dc = dc + f * dc_raw + dc_i + dc_f
    if "w_peep" in p:
        grads["w_peep"] = np.stack((dp_i, dp_f, dp_o))
    da = np.concatenate((da_i, da_f, da_g, da_o), axis=1)
    ln_ih, ln_hh = gains(p)
    dx, grads["w_ih"], grads["b_ih"], grads["ln_ih"] = linear_backward(da, saved_x, p["w_ih"], ln_ih)
    dh, grads["w_hh"], grads["b_hh"], grads["ln_hh"] = linear_backward(da, saved_h, p["w_hh"], ln_hh)
    return dx, (dh * m.recurrent, dc), given(p, grads)


_OWN = {
    "output_activation", "cell_clip", "forget_bias", "coupled", "w_peep", "peephole_output", "w_hr", "proj_clip",
    "ln_c", "zoneout_c",
}  # fmt: skip
LSTM = Cell(lstm_step, lstm_step_backward, 4, LSTMOutput, GATED | NORM | _OWN)


def lstm_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    c0: Array | None = None, **options: Any,
) -> Any:  # fmt: skip
    """LSTM over a sequence: :func:`lstm_step`.

    Options: activation, recurrent_activation, output_activation (None: as activation), clip, cell_clip, forget_bias,
    coupled, w_peep, peephole_output, w_hr, proj_clip, ln_ih, ln_hh, ln_c and norm_eps, zoneout_h, zoneout_c,
    weight_dropout, candidate_dropout, and a run's. Returns LSTMOutput(y, h_n, c_n); with ``training`` a plain tuple
    (y, h_n, c_n, cache).

    Example:
        >>> from fastrnn import reference
        >>> weights = np.zeros((16, 3)), np.zeros((16, 4))
        >>> y = reference.lstm_forward(np.ones((5, 2, 3)), *weights).y
        >>> bool(np.allclose(y, fastrnn.lstm_forward(np.ones((5, 2, 3)), *weights).y, rtol=1e-12))
        True
    """
    return run_forward(LSTM, x, (w_ih, w_hh, b_ih, b_hh), (h0, c0), options)


def lstm_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None, dc_n: Array | None = None) -> LSTMGrads:
    """As :func:`rnn_backward`, for the cache of :func:`lstm_forward`; ``dc_n`` (1,B,H) is the gradient to c_n.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.lstm_forward(np.ones((5, 2, 3)), np.zeros((16, 3)), np.zeros((16, 4)), training=True)
        >>> reference.lstm_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (16, 3)
    """
    return run_backward(LSTMGrads, dy, cache, (dh_n, dc_n))


def lstm_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`lstm_forward`, as :func:`rnn_cell`, with c0 (B,H): LSTMState(h, c), or (h, c, cache).

    Example:
        >>> from fastrnn import reference
        >>> h, c = reference.lstm_cell(np.ones((2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))
        >>> h.shape
        (2, 4)
    """
    return run_step(lstm_forward, LSTMState, x, args, training, options)
