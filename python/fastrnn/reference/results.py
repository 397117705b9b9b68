"""What the reference returns: outputs, the states of one step, gradients. Fields as in the fast functions."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]


class RNNOutput(NamedTuple):
    """y (T,B,H) and the final state (1,B,H)."""

    y: Array
    h_n: Array


class GRUOutput(RNNOutput):
    """As :class:`RNNOutput`."""


class IndRNNOutput(RNNOutput):
    """As :class:`RNNOutput`."""


class MGUOutput(RNNOutput):
    """As :class:`RNNOutput`."""


class LSTMOutput(NamedTuple):
    """y (T,B,P) and the final states, h_n (1,B,P) and c_n (1,B,H)."""

    y: Array
    h_n: Array
    c_n: Array


class SLSTMOutput(NamedTuple):
    """y (T,B,H) and the final states (1,B,H)."""

    y: Array
    h_n: Array
    c_n: Array
    n_n: Array
    m_n: Array


class LSTMState(NamedTuple):
    """The state after one step, h (B,P) and c (B,H)."""

    h: Array
    c: Array


class SLSTMState(NamedTuple):
    """The state after one step, (B,H) each."""

    h: Array
    c: Array
    n: Array
    m: Array


class RNNGrads(NamedTuple):
    """Gradients in the shapes of what was given; None for a parameter that was None."""

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    ln_hh: Array | None


class GRUGrads(NamedTuple):
    """As :class:`RNNGrads`, with both gains."""

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    ln_ih: Array | None
    ln_hh: Array | None


class LSTMGrads(NamedTuple):
    """As :class:`RNNGrads`, with c0 and what an LSTM may have beside its matrices."""

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


class IndRNNGrads(NamedTuple):
    """As :class:`RNNGrads`; w_hh is (H,)."""

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class MGUGrads(NamedTuple):
    """As :class:`RNNGrads`."""

    x: Array
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class SLSTMGrads(NamedTuple):
    """As :class:`RNNGrads`, with the states of an sLSTM."""

    x: Array
    h0: Array
    c0: Array
    n0: Array
    m0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
