"""What is taken for an array: whatever NumPy can view, without a copy, and numbers without a dtype of the call's."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastrnn

T, B, I, H = 4, 3, 5, 8  # noqa: E741


def values(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype("float32")


class Viewable:
    """Something with `__array__` alone, as a tensor of another library."""

    def __init__(self, array: Any):
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array


class Sharable:
    """Something with DLPack alone."""

    def __init__(self, array: Any):
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def tensor(array: Any) -> Any:
    return pytest.importorskip("torch").from_numpy(array)


X = values(T, B, I)
PARAMETERS = [values(4 * H, I), values(4 * H, H), values(4 * H), values(4 * H)]
STATES = {"h0": values(1, B, H), "c0": values(1, B, H)}
KINDS = {"list": lambda a: a.tolist(), "array": Viewable, "dlpack": Sharable, "memoryview": memoryview, "torch": tensor}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def weights() -> Any:
    return fastrnn.pack_lstm(*PARAMETERS)


def assert_same(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        assert type(one) is np.ndarray
        np.testing.assert_array_equal(one, other)


@each_kind
def test_functions_take_it(kind):
    states = {name: kind(state) for name, state in STATES.items()}
    expected = fastrnn.lstm_forward(X, weights(), **STATES)
    assert_same(fastrnn.lstm_forward(kind(X), weights(), **states), expected)
    assert_same(fastrnn.lstm_forward(kind(X), *map(kind, PARAMETERS), **states), expected)
    assert_same(fastrnn.stack_forward(kind(X), [weights()], **states), expected)
    step = {name: kind(state[0]) for name, state in STATES.items()}
    cell = fastrnn.lstm_cell(kind(X[0]), *map(kind, PARAMETERS), **step)
    assert_same(cell, fastrnn.lstm_cell(X[0], weights(), h0=STATES["h0"][0], c0=STATES["c0"][0]))
    *_, cache = fastrnn.lstm_forward(X, weights(), training=True)
    dy = values(T, B, H)
    assert_same(fastrnn.lstm_backward(kind(dy), cache)[:7], fastrnn.lstm_backward(dy, cache)[:7])


@each_kind
def test_several_states_take_it(kind):
    states = {name: values(1, B, H) for name in ("h0", "c0", "n0", "m0")}
    found = fastrnn.slstm_forward(kind(X), *map(kind, PARAMETERS), **{n: kind(s) for n, s in states.items()})
    assert_same(found, fastrnn.slstm_forward(X, *PARAMETERS, **states))


@each_kind
def test_sessions_and_pools_take_it(kind):
    session, other = fastrnn.Session(weights(), batch=B), fastrnn.Session(weights(), batch=B)
    np.testing.assert_array_equal(session.step(kind(X[0])), other.step(X[0]))
    np.testing.assert_array_equal(session.run(kind(X)), other.run(X))
    session.state = kind(STATES["h0"][0]), kind(STATES["c0"][0])
    np.testing.assert_array_equal(session.state[1], STATES["c0"][0])
    one = fastrnn.Session(weights())
    assert one.step(kind(X[0, 0])).shape == (H,)
    pool = fastrnn.StreamPool(weights(), capacity=B)
    streams = pool.open(B)
    np.testing.assert_array_equal(pool.step(streams, kind(X[0])), fastrnn.lstm_forward(X, weights()).y[0])
    pool.push(streams, kind(X))
    pool.reset(streams)


@pytest.mark.parametrize("kind", [Viewable, Sharable, memoryview, tensor])
def test_a_view_is_no_copy(kind):
    """The cache refers to the memory of x: what is written there later changes the gradient of w_ih."""
    x, dy = X.copy(), values(T, B, H)
    *_, cache = fastrnn.lstm_forward(kind(x), weights(), training=True)
    before = fastrnn.lstm_backward(dy, cache).w_ih
    x *= 2
    np.testing.assert_array_equal(fastrnn.lstm_backward(dy, cache).w_ih, 2 * before)


@pytest.mark.parametrize("dtype", ["float16", "int8", "int64", "uint16", "bool"])
def test_numbers_without_a_dtype_of_the_call_are_converted(dtype):
    x = (10 * X).astype(dtype)
    assert_same(fastrnn.lstm_forward(x, weights()), fastrnn.lstm_forward(x.astype("float32"), weights()))
    assert_same(fastrnn.lstm_forward(x, *PARAMETERS), fastrnn.lstm_forward(x.astype("float32"), *PARAMETERS))
    double = [p.astype("float64") for p in PARAMETERS]
    assert_same(fastrnn.lstm_forward(x, *double), fastrnn.lstm_forward(x.astype("float64"), *double))
    session = fastrnn.Session(fastrnn.pack_lstm(*double), batch=B)
    np.testing.assert_array_equal(session.run(x), fastrnn.lstm_forward(x.astype("float64"), *double).y)


def test_lists_alone_are_float32():
    lists = [p.tolist() for p in PARAMETERS]
    assert fastrnn.pack_lstm(*lists).dtype == fastrnn.lstm_forward(X.tolist(), *lists).y.dtype == "float32"
    assert fastrnn.lstm_forward(X.astype("float64"), *lists).y.dtype == "float64"


def test_a_tensor_that_requires_a_gradient_is_refused():
    torch = pytest.importorskip("torch")
    message = "x: expected an array that needs no gradient, as detach() gives, got Tensor with requires_grad=True"
    x = torch.from_numpy(X).requires_grad_()
    for call in (
        lambda: fastrnn.lstm_forward(x, weights()),
        lambda: fastrnn.lstm_forward(x, *PARAMETERS),
        lambda: fastrnn.Session(weights(), batch=B).run(x),
    ):
        with pytest.raises(TypeError, match=re.escape(message)):
            call()
    with pytest.raises(
        TypeError, match=r"w_hh: expected an array that needs no gradient.*Parameter with requires_grad"
    ):
        fastrnn.pack_lstm(PARAMETERS[0], torch.nn.Parameter(torch.from_numpy(PARAMETERS[1])))
    assert fastrnn.lstm_forward(x.detach(), weights()).y.shape == (T, B, H)


class Broken:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("no memory on this device")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (Broken(), TypeError, "an array of numbers, got Broken (no memory on this device)"),
        ([[1.0], [1.0, 2.0]], (TypeError, ValueError), "an array of numbers, got list"),
        ("text", TypeError, "an array of numbers, got str"),
        ({}, TypeError, "an array of numbers, got dict"),
        (None, TypeError, "an array of numbers, got NoneType"),
        ([[[1j]]], TypeError, "float32 or float64, got complex128"),
        (np.zeros((1, 1, 1), "longdouble"), TypeError, "float32 or float64, got "),
        (0.0, ValueError, "shape (T, B, I), got ()"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NumPy before 1.24 warns of ragged lists
def test_the_rest_is_refused(x, error, message):
    with pytest.raises(error, match=re.escape(f"x: expected {message}")):
        fastrnn.lstm_forward(x, weights())


class Growing:
    """Another array each time."""

    def __init__(self) -> None:
        self.rows = 8 * H

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.rows //= 2
        return values(self.rows, H)


def test_a_parameter_is_read_once():
    """Its shape is checked on the array that is read."""
    found = fastrnn.pack_lstm(PARAMETERS[0], Growing())
    assert_same(fastrnn.lstm_forward(X, found), fastrnn.lstm_forward(X, PARAMETERS[0], values(4 * H, H)))
