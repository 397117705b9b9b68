"""The minimal gated unit (Zhou, Wu, Zhang & Zhou 2016)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .activations import Array
from .products import Grads, Masks, Options, Params, Saved, State, affine, affine_backward, given
from .run import GATED, run_backward, run_forward, run_step
from .sequence import Cache, Cell


class MGUOutput(NamedTuple):
    """y (T,B,H) and the final state (1,B,H).

    Example:
        >>> from fastrnn import reference
        >>> found = reference.mgu_forward(np.ones((5, 2, 3)), np.zeros((8, 3)), np.zeros((8, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array


class MGUGrads(NamedTuple):
    """Gradients in the shapes of what was given; None for a parameter that was None.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.mgu_forward(np.ones((5, 2, 3)), np.zeros((8, 3)), np.zeros((8, 4)), training=True)
        >>> reference.mgu_backward(np.ones((5, 2, 4)), cache).h0.shape
        (1, 2, 4)
    """

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


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
    """Go back through `mgu_step`: the gradients of x, of the states before it, and of the parameters by name."""
    x, h, h_f, v, a_f, a_n, f, n = saved
    (dh_new,) = dstate
    units = h.shape[1]
    da_n = o.candidate.backward(dh_new * f * m.candidate, n, a_n)
    dv, dw_n, db_n = affine_backward(da_n, v, p["w_hh"][units:])
    dv = dv * m.recurrent  # now the gradient of f*h
    df = dh_new * (n * m.candidate - h) + dv * h
    da_f = o.gate.backward(df, f, a_f)
    dh_f, dw_f, db_f = affine_backward(da_f, h_f, p["w_hh"][:units])
    dx, dw_ih, db_ih = affine_backward(np.concatenate((da_f, da_n), axis=1), x, p["w_ih"])
    dh = dh_new * (1 - f) + dv * f + dh_f * m.recurrent
    grads = {"w_ih": dw_ih, "w_hh": np.concatenate((dw_f, dw_n)), "b_ih": db_ih, "b_hh": np.concatenate((db_f, db_n))}
    return dx, (dh,), given(p, grads)


MGU = Cell(mgu_step, mgu_step_backward, 2, MGUOutput, GATED)


def mgu_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """MGU over a sequence: :func:`mgu_step`, gates f, n.

    Options: activation, recurrent_activation, clip, zoneout_h, weight_dropout, candidate_dropout, and a run's.
    Returns MGUOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache).

    Example:
        >>> from fastrnn import reference
        >>> weights = np.zeros((8, 3)), np.zeros((8, 4))
        >>> y = reference.mgu_forward(np.ones((5, 2, 3)), *weights).y
        >>> bool(np.allclose(y, fastrnn.mgu_forward(np.ones((5, 2, 3)), *weights).y, rtol=1e-12))
        True
    """
    return run_forward(MGU, x, (w_ih, w_hh, b_ih, b_hh), (h0,), options)


def mgu_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> MGUGrads:
    """As :func:`rnn_backward`, for the cache of :func:`mgu_forward`.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.mgu_forward(np.ones((5, 2, 3)), np.zeros((8, 3)), np.zeros((8, 4)), training=True)
        >>> reference.mgu_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (8, 3)
    """
    return run_backward(MGUGrads, dy, cache, (dh_n,))


def mgu_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`mgu_forward`, as :func:`rnn_cell`.

    Example:
        >>> from fastrnn import reference
        >>> h = reference.mgu_cell(np.ones((2, 3)), np.zeros((8, 3)), np.zeros((8, 4)))
        >>> h.shape
        (2, 4)
    """
    return run_step(mgu_forward, None, x, args, training, options)
