"""What a session refuses, by a message that names the argument, and that it goes on afterwards."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.sessions import LSTM, RNN, B, H, I, new_session, zeros
from tests.support.variants import assert_same

SHARED = zeros(100)
SHARED_X, SHARED_Y = SHARED[:12].reshape(B, I), SHARED[11:43].reshape(B, H)
STRIDED = zeros(B, 2 * H)[:, ::2]
A_STRIDED_ONE = "out: expected a C-contiguous array, got a strided one"
READ_ONLY = zeros(B, H)
READ_ONLY.flags.writeable = False
SWAPPED = "expected float32 or float64, got >f4"
OF_WEIGHTS = "expected float32 (the dtype of the weights), got float64"

ERRORS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("step", {"x": "0.0"}, TypeError, "x: expected an array of numbers, got str"),
    ("step", {"x": zeros(B, I, dtype="float64")}, TypeError, f"x: {OF_WEIGHTS}"),
    ("step", {"x": zeros(B, I, dtype="complex64")}, TypeError, "x: expected float32 or float64, got complex64"),
    ("step", {"x": zeros(B, I), "out": zeros(B, H, dtype=">f4")}, TypeError, f"out: {SWAPPED}"),
    ("step", {"x": zeros(B, I, dtype=">f4"), "out": zeros(B, H)}, TypeError, f"x: {SWAPPED}"),
    ("step", {"x": zeros(I)}, ValueError, "x: expected shape (4, 3), got (3,)"),
    ("step", {"x": zeros(B, 4)}, ValueError, "x: expected shape (4, 3), got (4, 4)"),
    ("step", {"x": zeros(1, B, I)}, ValueError, "x: expected shape (4, 3), got (1, 4, 3)"),
    ("step", {"x": zeros(B, I), "out": [0.0]}, TypeError, "out: expected a numpy.ndarray, got list"),
    ("step", {"x": zeros(B, I), "out": zeros(B, H, dtype="float64")}, TypeError, f"out: {OF_WEIGHTS}"),
    ("step", {"x": zeros(B, I), "out": zeros(B, 7)}, ValueError, "out: expected shape (4, 8), got (4, 7)"),
    ("step", {"x": zeros(B, I), "out": READ_ONLY}, ValueError, "out: read-only array"),
    ("step", {"x": zeros(B, I), "out": STRIDED}, ValueError, A_STRIDED_ONE),
    ("step", {"x": SHARED_X, "out": SHARED_Y}, ValueError, "out: shares memory with x"),
    ("run", {"x": "0.0"}, TypeError, "x: expected an array of numbers, got str"),
    ("run", {"x": zeros(5, B, I, dtype="float64")}, TypeError, f"x: {OF_WEIGHTS}"),
    ("run", {"x": zeros(B, I)}, ValueError, "x: expected shape (T, B, I), got (4, 3)"),
    ("run", {"x": zeros(5, 3, I)}, ValueError, "x: expected shape (5, 4, 3), got (5, 3, 3)"),
    ("run", {"x": zeros(5, B, 2)}, ValueError, "x: expected shape (5, 4, 3), got (5, 4, 2)"),
    ("run", {"x": zeros(1, B, I), "out": zeros(2, B, H)}, ValueError, "out: expected shape (1, 4, 8), got (2, 4, 8)"),
    ("run", {"x": zeros(1, B, I), "out": READ_ONLY[None]}, ValueError, "out: read-only array"),
    ("run", {"x": SHARED_X[None], "out": SHARED_Y[None]}, ValueError, "out: shares memory with x"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"), ERRORS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_errors_name_the_argument_and_change_nothing(method, arguments, error, message):
    session = new_session()
    session.step(np.ones((B, I), np.float32))
    before = session.state
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        getattr(session, method)(**arguments)
    assert_same(session.state, before)  # and the session is free again


def test_one_stream_speaks_of_the_shape_that_came():
    session = new_session(batch=1)
    with pytest.raises(ValueError, match=re.escape("x: expected shape (3,), got (4,)")):
        session.step(zeros(4))
    with pytest.raises(ValueError, match=re.escape("x: expected shape (1, 3), got (1, 4)")):
        session.step(zeros(1, 4))
    with pytest.raises(ValueError, match=re.escape("out: expected shape (8,), got (1, 8)")):
        session.step(zeros(3), out=zeros(1, 8))


@pytest.mark.parametrize(
    ("variant", "state", "error", "message"),
    [
        (LSTM, zeros(B, H), TypeError, "state: expected a tuple (h, c) or None, got numpy.ndarray"),
        (LSTM, [zeros(B, H)] * 2, TypeError, "state: expected a tuple (h, c) or None, got list"),
        (LSTM, (zeros(B, H),), TypeError, "state: expected a tuple (h, c) or None, got tuple"),
        (LSTM, (zeros(B, 7), None), ValueError, "h: expected shape (4, 8), got (4, 7)"),
        (LSTM, (None, zeros(1, B, H)), ValueError, "c: expected shape (4, 8), got (1, 4, 8)"),
        (LSTM, (zeros(B, H, dtype="float64"), None), TypeError, f"h: {OF_WEIGHTS}"),
        (RNN, zeros(H), ValueError, "h: expected shape (4, 8), got (8,)"),
        (RNN, ("h", None), TypeError, "h: expected an array of numbers, got tuple"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_errors_of_the_state(variant, state, error, message):
    session = new_session(variant)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        session.state = state


@pytest.mark.parametrize("batch", [0, -1])
def test_batch_is_1_or_more(batch):
    with pytest.raises(ValueError, match=f"^batch: expected 1 or more, got {batch}$"):
        new_session(batch=batch)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [2**40, 2**58, 2**60, 2**62])
def test_a_batch_beyond_memory_is_refused(batch, dtype):
    """Also where the size in bytes overflows: what remains of it would be small enough to be allocated."""
    with pytest.raises(MemoryError):
        new_session(batch=batch, dtype=dtype)


@pytest.mark.parametrize(("batch", "name"), [(2.0, "float"), (True, "bool"), ("2", "str")])
def test_batch_is_an_int(batch, name):
    with pytest.raises(TypeError, match=f"^batch: expected an int, got {name}$"):
        new_session(batch=batch)


def test_weights_must_be_packed():
    with pytest.raises(TypeError, match=r"^weights: expected PackedWeights or a Model, got numpy\.ndarray$"):
        fastrnn.Session(zeros(4 * H, I))


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda f: f.__name__)
def test_a_session_is_not_copied(act):
    """It is a place in memory. To go on elsewhere, carry the weights and the state over."""
    with pytest.raises(TypeError, match=r"^Session: cannot be pickled or copied, because"):
        act(new_session())
