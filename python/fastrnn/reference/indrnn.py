"""The IndRNN (Li, Li, Cook, Zhu & Gao 2018)."""

from __future__ import annotations

from typing import Any, NamedTuple

from .activations import Array
from .products import Grads, Masks, Options, Params, Saved, State, affine, affine_backward
from .run import run_backward, run_forward, run_step
from .sequence import Cache, Cell


class IndRNNOutput(NamedTuple):
    """y (T,B,H) and the final state (1,B,H).

    Example:
        >>> from fastrnn import reference
        >>> found = reference.indrnn_forward(np.ones((5, 2, 3)), np.zeros((4, 3)), np.zeros(4))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array


class IndRNNGrads(NamedTuple):
    """Gradients in the shapes of what was given, w_hh (H,); None for a parameter that was None.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.indrnn_forward(np.ones((5, 2, 3)), np.zeros((4, 3)), np.zeros(4), training=True)
        >>> reference.indrnn_backward(np.ones((5, 2, 4)), cache).h0.shape
        (1, 2, 4)
    """

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


def indrnn_step(p: Params, x: Array, state: State, o: Options, m: Masks) -> tuple[State, Saved]:
    """One step, h' = f(W x + b_ih + u*h + b_hh): w_hh is the vector u, a unit sees itself alone."""
    h = state[0] * m.recurrent
    a = affine(x, p["w_ih"], p["b_ih"]) + p["w_hh"] * h + p["b_hh"]
    h_new = o.candidate(a)
    return (h_new,), (x, h, a, h_new)


def indrnn_step_backward(p: Params, saved: Saved, dstate: State, o: Options, m: Masks) -> tuple[Array, State, Grads]:
    """Go back through `indrnn_step`: the gradients of x, of the states before it, and of the parameters by name."""
    x, h, a, h_new = saved
    da = o.candidate.backward(dstate[0], h_new, a)
    dx, dw_ih, db = affine_backward(da, x, p["w_ih"])
    return dx, (da * p["w_hh"] * m.recurrent,), {"w_ih": dw_ih, "w_hh": (da * h).sum(axis=0), "b_ih": db, "b_hh": db}


INDRNN = Cell(indrnn_step, indrnn_step_backward, 1, IndRNNOutput, frozenset({"activation", "clip", "zoneout_h"}))


def indrnn_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """IndRNN over a sequence: :func:`indrnn_step`, w_hh (H,). Options: activation, clip, zoneout_h, and a run's.

    Returns IndRNNOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache).

    Example:
        >>> from fastrnn import reference
        >>> weights = np.zeros((4, 3)), np.zeros(4)
        >>> y = reference.indrnn_forward(np.ones((5, 2, 3)), *weights).y
        >>> bool(np.allclose(y, fastrnn.indrnn_forward(np.ones((5, 2, 3)), *weights).y, rtol=1e-12))
        True
    """
    return run_forward(INDRNN, x, (w_ih, w_hh, b_ih, b_hh), (h0,), options)


def indrnn_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> IndRNNGrads:
    """As :func:`rnn_backward`, for the cache of :func:`indrnn_forward`.

    Example:
        >>> from fastrnn import reference
        >>> *_, cache = reference.indrnn_forward(np.ones((5, 2, 3)), np.zeros((4, 3)), np.zeros(4), training=True)
        >>> reference.indrnn_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (4, 3)
    """
    return run_backward(IndRNNGrads, dy, cache, (dh_n,))


def indrnn_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`indrnn_forward`, as :func:`rnn_cell`.

    Example:
        >>> from fastrnn import reference
        >>> h = reference.indrnn_cell(np.ones((2, 3)), np.zeros((4, 3)), np.zeros(4))
        >>> h.shape
        (2, 4)
    """
    return run_step(indrnn_forward, None, x, args, training, options)
