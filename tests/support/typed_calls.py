"""What a type checker says of the functions' results; test_typing.py runs mypy over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import fastrnn
from fastrnn import GRUOutput, IndRNNOutput, LSTMGrads, LSTMOutput, LSTMState, MGUOutput, PackedWeights, RNNOutput
from fastrnn.functional import Cache, SLSTMOutput, SLSTMState

Array = npt.NDArray[Any]


def arrays_and_packed_weights(x: Array, w: Array, packed: PackedWeights) -> None:
    """One kind of result for both."""
    assert_type(fastrnn.lstm_forward(x, w, w, w, w), LSTMOutput)
    assert_type(fastrnn.lstm_forward(x, packed, training=False, lengths=[3, 1], out=x), LSTMOutput)
    assert_type(fastrnn.rnn_forward(x, w, w, activation="relu"), RNNOutput)
    assert_type(fastrnn.indrnn_forward(x, packed, h0=w), IndRNNOutput)
    assert_type(fastrnn.gru_forward(x, w, w, None, None, w, reset="before", zoneout_h=0.1), GRUOutput)
    assert_type(fastrnn.mgu_forward(x, packed, threads=2), MGUOutput)
    assert_type(fastrnn.slstm_forward(x, packed, m0=w), SLSTMOutput)


def training(x: Array, w: Array, packed: PackedWeights, wanted: bool) -> None:
    """The cache comes last, and the gradients have names."""
    y, h_n, c_n, cache = fastrnn.lstm_forward(x, packed, training=True)
    assert_type((y, h_n, c_n, cache), tuple[Array, Array, Array, Cache])
    assert_type(fastrnn.lstm_backward(y, cache), LSTMGrads)
    assert_type(fastrnn.lstm_backward(y, cache).w_peep, Array | None)
    assert_type(fastrnn.gru_forward(x, w, w, training=True, seed=1), tuple[Array, Array, Cache])
    assert_type(fastrnn.rnn_forward(x, w, w, training=wanted), RNNOutput | tuple[Array, Array, Cache])


def steps(x: Array, packed: PackedWeights) -> None:
    """One step has h alone, or the states as a named tuple."""
    assert_type(fastrnn.gru_cell(x, packed), Array)
    assert_type(fastrnn.lstm_cell(x, packed, coupled=True), LSTMState)
    assert_type(fastrnn.slstm_cell(x, packed), SLSTMState)
    assert_type(fastrnn.mgu_cell(x, packed, training=True), tuple[Array, Cache])


def refused(x: Array, packed: PackedWeights) -> None:
    """Each line is an error; mypy says so of an `ignore` that hides none."""
    fastrnn.lstm_forward(x, packed, length=[3])  # type: ignore[call-overload]
    fastrnn.gru_forward(x, packed, reset="never")  # type: ignore[call-overload]
    fastrnn.rnn_forward(x, packed, None, None, None, x, x)  # type: ignore[call-overload]
    np.sum(fastrnn.lstm_forward(x, packed).cache)  # type: ignore[attr-defined]
