"""What the functions return: outputs, states of one step, gradients. The shape legend stands in the package."""

from __future__ import annotations

from typing import NamedTuple

from .._typing import Array


class RNNOutput(NamedTuple):
    """Result of :func:`rnn_forward`: y (T, B, H) and the final state h_n (1, B, H)."""

    y: Array
    h_n: Array


class GRUOutput(NamedTuple):
    """Result of :func:`gru_forward`: y (T, B, H) and the final state h_n (1, B, H)."""

    y: Array
    h_n: Array


class LSTMOutput(NamedTuple):
    """Result of :func:`lstm_forward`: y (T, B, P) and the final states h_n (1, B, P), c_n (1, B, H)."""

    y: Array
    h_n: Array
    c_n: Array


class IndRNNOutput(NamedTuple):
    """Result of :func:`indrnn_forward`: y (T, B, H) and the final state h_n (1, B, H)."""

    y: Array
    h_n: Array


class MGUOutput(NamedTuple):
    """Result of :func:`mgu_forward`: y (T, B, H) and the final state h_n (1, B, H)."""

    y: Array
    h_n: Array


class SLSTMOutput(NamedTuple):
    """Result of :func:`slstm_forward`: y (T, B, H) and the final states h_n, c_n, n_n, m_n (1, B, H)."""

    y: Array
    h_n: Array
    c_n: Array
    n_n: Array
    m_n: Array


class LSTMState(NamedTuple):
    """Result of :func:`lstm_cell`: h (B, P) and c (B, H)."""

    h: Array
    c: Array


class SLSTMState(NamedTuple):
    """Result of :func:`slstm_cell`: h, c, n and m, each (B, H)."""

    h: Array
    c: Array
    n: Array
    m: Array


class RNNGrads(NamedTuple):
    """Gradients of an Elman network, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    ln_hh: Array | None


class GRUGrads(NamedTuple):
    """Gradients of a GRU, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    ln_ih: Array | None
    ln_hh: Array | None


class LSTMGrads(NamedTuple):
    """Gradients of an LSTM, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
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
    """Gradients of an IndRNN, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class MGUGrads(NamedTuple):
    """Gradients of an MGU, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class SLSTMGrads(NamedTuple):
    """Gradients of an sLSTM, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
    h0: Array
    c0: Array
    n0: Array
    m0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
