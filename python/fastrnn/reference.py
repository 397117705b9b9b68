"""The equations in plain NumPy: every cell of fastrnn, forward and backward, written to be read beside the papers.

It imports NumPy alone and computes in float64 (or the ``dtype`` asked), one time step after the other. The fast
functions of :mod:`fastrnn` are tested against it; it is itself tested by finite differences. Signatures are those of
the fast functions, without ``out`` and packed weights. Errors are NumPy's own, but for unknown options and lengths.

Shapes: T time steps, B batch, I input size, H hidden size, G gates (RNN 1, GRU 3, LSTM 4).
``x`` (T,B,I), ``y`` (T,B,H), ``h0 c0 h_n c_n`` (1,B,H), ``w_ih`` (G*H,I), ``w_hh`` (G*H,H), ``b_ih b_hh`` (G*H,),
``w_peep`` (3,H) or (3,H,H). LSTM gates stand in the order i, f, g, o, GRU gates r, z, n, peepholes i, f, o.

File order: helpers; for each cell one step forward and one step backward; the time loop which all of them share; the
public functions. A backward step takes d loss/d(new state) and returns d loss/d(x), d loss/d(old state) and
d loss/d(parameters); in it, ``dv`` stands for d loss/dv and ``a`` is what goes into an activation.

Elman (1990) Finding structure in time.  Hochreiter & Schmidhuber (1997) Long short-term memory.
Gers, Schmidhuber & Cummins (2000) Learning to forget.  Gers & Schmidhuber (2000) Recurrent nets that time and count.
Graves (2013) Generating sequences with recurrent neural networks.
Cho et al. (2014) Learning phrase representations using RNN encoder-decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
State = tuple[Array, ...]  # (h,) or (h, c), each (B,H)
Params = Mapping[str, Array]  # w_ih, w_hh, b_ih, b_hh, and w_peep where the cell has it
Saved = tuple[Array, ...]  # what a backward step wants from its forward step


class RNNOutput(NamedTuple):
    """y (T,B,H) and the final state (1,B,H)."""

    y: Array
    h_n: Array


class GRUOutput(RNNOutput):
    """As :class:`RNNOutput`."""


class LSTMOutput(NamedTuple):
    """y (T,B,H) and the final states (1,B,H)."""

    y: Array
    h_n: Array
    c_n: Array


class LSTMState(NamedTuple):
    """The state after one step, (B,H) each."""

    h: Array
    c: Array


class RNNGrads(NamedTuple):
    """Gradients in the shapes of what was given; None for a parameter that was None."""

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class GRUGrads(RNNGrads):
    """As :class:`RNNGrads`."""


class LSTMGrads(NamedTuple):
    """As :class:`RNNGrads`, with c0 and the peepholes."""

    x: Array
    h0: Array
    c0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    w_peep: Array | None


# -------------------------------------------------------------------------------------------------------------- helpers


def sigmoid(a: Array) -> Array:
    """Compute 1 / (1 + exp(-a)), with no positive exponent: no overflow, and small values keep their digits."""
    value: Array = np.exp(-np.maximum(-a, 0.0)) / (1 + np.exp(-np.abs(a)))
    return value


# f(a), and f'(a) expressed by the value v = f(a)
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda v: 1 - v * v),
    "sigmoid": (sigmoid, lambda v: v * (1 - v)),
    "relu": (lambda a: np.maximum(a, 0), lambda v: (v > 0).astype(v.dtype)),
    "identity": (lambda a: a, np.ones_like),
}


def affine(v: Array, w: Array, b: Array) -> Array:
    """Compute W v + b for each row of ``v``."""
    return v @ w.T + b  # type: ignore[no-any-return]


def affine_backward(da: Array, v: Array, w: Array) -> tuple[Array, Array, Array]:
    """Return d loss/d(v, W, b) of ``affine``, given ``da`` = d loss/d(W v + b)."""
    return da @ w, da.T @ v, da.sum(axis=0)


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


# ----------------------------------------------------------------------------------------------------- RNN (Elman 1990)


def rnn_step(p: Params, x: Array, state: State, *, activation: str) -> tuple[State, Saved]:
    """One step, h' = f(W_ih x + b_ih + W_hh h + b_hh)."""
    (h,) = state
    f, _ = ACTIVATIONS[activation]
    h_new = f(affine(x, p["w_ih"], p["b_ih"]) + affine(h, p["w_hh"], p["b_hh"]))
    return (h_new,), (x, h, h_new)


def rnn_step_backward(p: Params, saved: Saved, dstate: State, *, activation: str) -> tuple[Array, State, Params]:
    x, h, h_new = saved
    (dh_new,) = dstate
    _, derivative = ACTIVATIONS[activation]
    da = dh_new * derivative(h_new)
    dx, dw_ih, db_ih = affine_backward(da, x, p["w_ih"])
    dh, dw_hh, db_hh = affine_backward(da, h, p["w_hh"])
    return dx, (dh,), {"w_ih": dw_ih, "w_hh": dw_hh, "b_ih": db_ih, "b_hh": db_hh}


# -------------------------------------------- LSTM (Hochreiter & Schmidhuber 1997, forget gate and peepholes Gers 2000)


def lstm_step(p: Params, x: Array, state: State, *, peephole_output: str, coupled: bool) -> tuple[State, Saved]:
    """One step, in the notation of Graves (2013), equations 7 to 11.

    i = sigmoid(W_i x + R_i h + p_i*c + b_i)          input gate
    f = sigmoid(W_f x + R_f h + p_f*c + b_f)          forget gate (Gers 2000); coupled: f = 1 - i
    g = tanh(W_g x + R_g h + b_g)                     candidate
    c' = f*c + i*g                                    the constant error carousel
    o = sigmoid(W_o x + R_o h + p_o*c' + b_o)         output gate; peephole_output="previous": it sees c, not c'
    h' = o*tanh(c')
    """
    h, c = state
    a_i, a_f, a_g, a_o = np.split(affine(x, p["w_ih"], p["b_ih"]) + affine(h, p["w_hh"], p["b_hh"]), 4, axis=1)
    i = sigmoid(a_i + peep(p, 0, c))
    f = 1 - i if coupled else sigmoid(a_f + peep(p, 1, c))
    g = np.tanh(a_g)
    c_new = f * c + i * g
    c_seen = c_new if peephole_output == "current" else c
    o = sigmoid(a_o + peep(p, 2, c_seen))
    tanh_c = np.tanh(c_new)
    return (o * tanh_c, c_new), (x, h, c, i, f, g, o, c_seen, tanh_c)


def lstm_step_backward(
    p: Params, saved: Saved, dstate: State, *, peephole_output: str, coupled: bool
) -> tuple[Array, State, Params]:
    x, h, c, i, f, g, o, c_seen, tanh_c = saved
    dh_new, dc_new = dstate
    # h' = o*tanh(c'): the output gate first, because its peephole may hand a gradient to c'
    da_o = dh_new * tanh_c * o * (1 - o)
    dc_new = dc_new + dh_new * o * (1 - tanh_c * tanh_c)
    dc_seen, dp_o = peep_backward(p, 2, da_o, c_seen)
    dc: Any = 0.0
    if peephole_output == "current":
        dc_new = dc_new + dc_seen
    else:
        dc = dc_seen
    # c' = f*c + i*g
    da_g = dc_new * i * (1 - g * g)
    di, df = dc_new * g, dc_new * c
    if coupled:  # f = 1 - i is no gate of its own: df flows into i and nothing into the f rows
        di, df = di - df, np.zeros_like(df)
    da_i = di * i * (1 - i)
    da_f = df * f * (1 - f)
    dc_i, dp_i = peep_backward(p, 0, da_i, c)
    dc_f, dp_f = peep_backward(p, 1, da_f, c)
    dc = dc + f * dc_new + dc_i + dc_f
    da = np.concatenate((da_i, da_f, da_g, da_o), axis=1)
    dx, dw_ih, db_ih = affine_backward(da, x, p["w_ih"])
    dh, dw_hh, db_hh = affine_backward(da, h, p["w_hh"])
    grads = {"w_ih": dw_ih, "w_hh": dw_hh, "b_ih": db_ih, "b_hh": db_hh}
    if "w_peep" in p:
        grads["w_peep"] = np.stack((dp_i, dp_f, dp_o))
    return dx, (dh, dc), grads


# ------------------------------------------------------------------------------------------------ GRU (Cho et al. 2014)


def gru_step(p: Params, x: Array, state: State, *, reset: str) -> tuple[State, Saved]:
    """One step. The candidate n and the new state depend on where the reset gate acts.

    r, z = sigmoid(W x + b_i + R h + b_h)             reset and update gate
    reset="before"  n = tanh(W_n x + b_in + R_n (r*h) + b_hn)    h' = (1-z)*n + z*h     Cho et al. (2014), eq. 5 to 8
    reset="after"   n = tanh(W_n x + b_in + r*(R_n h + b_hn))    h' = (1-z)*n + z*h     cuDNN, PyTorch, Keras
    reset="output"  n = tanh(W_n x + b_in + R_n h + b_hn)        h' = (1-z)*h + r*n     here 1-z keeps h
    """
    (h,) = state
    rz = slice(0, 2 * h.shape[1])
    n_ = slice(2 * h.shape[1], None)
    xw = affine(x, p["w_ih"], p["b_ih"])
    r, z = np.split(sigmoid(xw[:, rz] + affine(h, p["w_hh"][rz], p["b_hh"][rz])), 2, axis=1)
    v = r * h if reset == "before" else h  # what R_n is applied to
    q = affine(v, p["w_hh"][n_], p["b_hh"][n_])
    n = np.tanh(xw[:, n_] + (r * q if reset == "after" else q))
    h_new = (1 - z) * h + r * n if reset == "output" else (1 - z) * n + z * h
    return (h_new,), (x, h, r, z, n, v, q)


def gru_step_backward(p: Params, saved: Saved, dstate: State, *, reset: str) -> tuple[Array, State, Params]:
    x, h, r, z, n, v, q = saved
    (dh_new,) = dstate
    rz = slice(0, 2 * h.shape[1])
    n_ = slice(2 * h.shape[1], None)
    if reset == "output":
        dh, dz, dr, dn = dh_new * (1 - z), -dh_new * h, dh_new * n, dh_new * r
    else:
        dh, dz, dr, dn = dh_new * z, dh_new * (h - n), np.zeros_like(r), dh_new * (1 - z)
    da_n = dn * (1 - n * n)
    dq = da_n * r if reset == "after" else da_n
    dv, dw_n, db_n = affine_backward(dq, v, p["w_hh"][n_])
    if reset == "after":
        dr, dh = da_n * q, dh + dv
    elif reset == "before":
        dr, dh = dv * h, dh + dv * r
    else:
        dh = dh + dv
    da_rz = np.concatenate((dr * r * (1 - r), dz * z * (1 - z)), axis=1)
    dh_rz, dw_rz, db_rz = affine_backward(da_rz, h, p["w_hh"][rz])
    dx, dw_ih, db_ih = affine_backward(np.concatenate((da_rz, da_n), axis=1), x, p["w_ih"])
    dw_hh, db_hh = np.concatenate((dw_rz, dw_n)), np.concatenate((db_rz, db_n))
    return dx, (dh + dh_rz,), {"w_ih": dw_ih, "w_hh": dw_hh, "b_ih": db_ih, "b_hh": db_hh}


# -------------------------------------------------------------------------------------------------------- the time loop

STEPS: dict[str, tuple[Callable[..., tuple[State, Saved]], Callable[..., tuple[Array, State, Params]]]] = {
    "rnn": (rnn_step, rnn_step_backward),
    "lstm": (lstm_step, lstm_step_backward),
    "gru": (gru_step, gru_step_backward),
}
OPTIONS: dict[str, tuple[Any, ...]] = {
    "activation": tuple(ACTIVATIONS),
    "peephole_output": ("current", "previous"),
    "coupled": (False, True),
    "reset": ("after", "before", "output"),
}


@dataclass(frozen=True)
class Cache:
    """What a forward run keeps for its backward run. Never written to, so it may be used more than once."""

    cell: str
    options: dict[str, Any]
    params: dict[str, Array]
    given: frozenset[str]  # the parameters that were not None: only these get a gradient
    tape: list[tuple[int, Array, Saved]]  # for each step in running order: t, the rows that ran, what the step saved
    x_shape: tuple[int, int, int]  # T, B, I
    batch_first: bool


def _forward(
    cell: str,
    output: Callable[..., Any],
    options: dict[str, Any],
    x: Array,
    params: dict[str, Array | None],
    state0: tuple[Array | None, ...],
    *,
    lengths: Array | None = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    dtype: Any = None,
) -> Any:
    """Run ``cell`` over time. The keywords are those of every public forward function.

    ``lengths``: integers (B,), 0 <= lengths <= T; row b runs its first ``lengths[b]`` steps, its y is 0 beyond and its
    final state is its own last one. ``reverse``: each row runs from its own last valid step to its first; y stays in
    time order. ``batch_first``: x is (B,T,I) and y (B,T,H). ``training``: append the cache for the backward
    function. ``dtype``: what to compute in, float64 unless given.

    Row b takes part in step t where t < lengths[b]; else its state stays as it is. Backwards in time the same rule
    starts each row at its own last valid step, so ``reverse`` needs no more than the order of t.
    """
    for name, value in options.items():
        if value not in OPTIONS[name]:
            raise ValueError(f"{name}: expected one of {', '.join(map(repr, OPTIONS[name]))}, got {value!r}")
    dtype = np.dtype(np.float64 if dtype is None else dtype)
    x = np.asarray(x, dtype)
    if batch_first:
        x = x.swapaxes(0, 1)
    p = {name: np.array(value, dtype) for name, value in params.items() if value is not None}
    given = frozenset(p)
    rows_of_gates, hidden = p["w_hh"].shape
    for bias in ("b_ih", "b_hh"):
        p.setdefault(bias, np.zeros(rows_of_gates, dtype))
    steps, batch, inputs = x.shape
    state = tuple(np.zeros((batch, hidden), dtype) if s is None else np.array(s, dtype) for s in state0)
    state = tuple(s.reshape(batch, hidden) for s in state)
    limits = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    if limits.shape != (batch,) or np.any((limits < 0) | (limits > steps)):
        raise ValueError(f"lengths: expected {batch} values in 0..{steps}, got {limits}")

    y = np.zeros((steps, batch, hidden), dtype)
    tape = []
    step, _ = STEPS[cell]
    for t in range(steps)[:: -1 if reverse else 1]:
        rows = np.flatnonzero(t < limits)
        new, saved = step(p, x[t, rows], tuple(s[rows] for s in state), **options)
        for k, value in enumerate(new):
            state[k][rows] = value
        y[t, rows] = new[0]
        tape.append((t, rows, saved))

    results = (y.swapaxes(0, 1) if batch_first else y, *(s[np.newaxis] for s in state))
    if training:
        return (*results, Cache(cell, options, p, given, tape, (steps, batch, inputs), batch_first))
    return output(*results)


def _backward(grads: Any, dy: Array | None, cache: Cache, dstate_n: tuple[Array | None, ...]) -> Any:
    """Back-propagate through time: the steps of ``_forward`` in the opposite order.

    ``dy`` and ``dstate_n`` are the gradients of the loss to y (in its shape) and to the final states; None is 0.
    """
    p = cache.params
    steps, batch, _ = cache.x_shape
    hidden, dtype = p["w_hh"].shape[1], p["w_hh"].dtype
    if dy is None:
        dy = np.zeros((steps, batch, hidden), dtype)
    else:
        dy = np.asarray(dy, dtype)
        dy = dy.swapaxes(0, 1) if cache.batch_first else dy
    dstate = tuple(np.zeros((batch, hidden), dtype) if d is None else np.array(d, dtype) for d in dstate_n)
    dstate = tuple(d.reshape(batch, hidden) for d in dstate)

    dx = np.zeros(cache.x_shape, dtype)
    dp = {name: np.zeros_like(value) for name, value in p.items()}
    _, step_backward = STEPS[cache.cell]
    for t, rows, saved in reversed(cache.tape):
        dh, *dc = (d[rows] for d in dstate)
        dx[t, rows], d_old, dp_step = step_backward(p, saved, (dh + dy[t, rows], *dc), **cache.options)
        for k, value in enumerate(d_old):
            dstate[k][rows] = value
        for name, value in dp_step.items():
            dp[name] += value

    if cache.batch_first:
        dx = dx.swapaxes(0, 1)
    names = grads._fields[1 + len(dstate) :]
    return grads(dx, *(d[np.newaxis] for d in dstate), *(dp[name] if name in cache.given else None for name in names))


# ----------------------------------------------------------------------------------------------------- public functions


def rnn_forward(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    *,
    activation: str = "tanh",
    **run: Any,
) -> Any:
    """Elman network over a sequence: :func:`rnn_step` in the time loop, whose keywords :func:`_forward` explains.

    Returns RNNOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache). Parameters and states of None are 0.
    """
    params = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    return _forward("rnn", RNNOutput, {"activation": activation}, x, params, (h0,), **run)


def gru_forward(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    *,
    reset: str = "after",
    **run: Any,
) -> Any:
    """GRU over a sequence: :func:`gru_step`, all else as :func:`rnn_forward`. Returns GRUOutput(y, h_n)."""
    params = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    return _forward("gru", GRUOutput, {"reset": reset}, x, params, (h0,), **run)


def lstm_forward(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    w_peep: Array | None = None,
    peephole_output: str = "current",
    coupled: bool = False,
    **run: Any,
) -> Any:
    """LSTM over a sequence: :func:`lstm_step`, all else as :func:`rnn_forward`. Returns LSTMOutput(y, h_n, c_n)."""
    params = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, "w_peep": w_peep}
    options = {"peephole_output": peephole_output, "coupled": coupled}
    return _forward("lstm", LSTMOutput, options, x, params, (h0, c0), **run)


def rnn_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> RNNGrads:
    """Gradients of a loss whose gradients to y and h_n are ``dy`` (shape of y) and ``dh_n`` (1,B,H); None is 0."""
    grads: RNNGrads = _backward(RNNGrads, dy, cache, (dh_n,))
    return grads


def gru_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> GRUGrads:
    """As :func:`rnn_backward`, for the cache of :func:`gru_forward`."""
    grads: GRUGrads = _backward(GRUGrads, dy, cache, (dh_n,))
    return grads


def lstm_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None, dc_n: Array | None = None) -> LSTMGrads:
    """As :func:`rnn_backward`, for the cache of :func:`lstm_forward`; ``dc_n`` (1,B,H) is the gradient to c_n."""
    grads: LSTMGrads = _backward(LSTMGrads, dy, cache, (dh_n, dc_n))
    return grads


def rnn_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step: :func:`rnn_forward` with x (B,I), h0 (B,H), giving h (B,H).

    With ``training`` (h, cache), the cache of a sequence of one step: :func:`rnn_backward` takes a dy of (1,B,H).
    """
    _, h_n, cache = rnn_forward(np.asarray(x)[np.newaxis], *args, training=True, **options)
    return (h_n[0], cache) if training else h_n[0]


def gru_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`gru_forward`, as :func:`rnn_cell`."""
    _, h_n, cache = gru_forward(np.asarray(x)[np.newaxis], *args, training=True, **options)
    return (h_n[0], cache) if training else h_n[0]


def lstm_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`lstm_forward`, as :func:`rnn_cell`, with c0 (B,H): LSTMState(h, c), or (h, c, cache)."""
    _, h_n, c_n, cache = lstm_forward(np.asarray(x)[np.newaxis], *args, training=True, **options)
    return (h_n[0], c_n[0], cache) if training else LSTMState(h_n[0], c_n[0])
