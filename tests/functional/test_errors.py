"""Every error names the argument, what was expected and what came, and leaves nothing half-written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.cells import GATES

T, B, I, H = 5, 4, 3, 8  # noqa: E741  # the names of the documentation
CELLS = ("rnn", "gru", "lstm")


def zeros(*shape: int, dtype: Any = "float32") -> Any:
    return np.zeros(shape, dtype)


def arguments(cell: str) -> dict[str, Any]:
    """A valid call, of which each case below spoils one argument."""
    rows = GATES[cell] * H
    states = {"h0": zeros(1, B, H)} | ({"c0": zeros(1, B, H)} if cell == "lstm" else {})
    weights = {"w_ih": zeros(rows, I), "w_hh": zeros(rows, H), "b_ih": zeros(rows), "b_hh": zeros(rows)}
    return {"x": zeros(T, B, I), **weights, **states}


def function(cell: str, what: str) -> Callable[..., Any]:
    return getattr(fastrnn, f"pack_{cell}" if what == "pack" else f"{cell}_{what}")


def message(name: str, expected: str, actual: str) -> str:
    """The pattern of all messages, of literal text but for '...', which stands for any."""
    return "^" + re.escape(f"{name}: expected {expected}, got {actual}").replace(r"\.\.\.", ".*") + "$"


OF_X = "float32 (the dtype of x)"
RNN_OPTIONS = "one of 'tanh', 'sigmoid', 'relu', 'identity', ..."
PEEPHOLES = "shape (3, 8) or (3, 8, 8)"
SWAPPED = np.dtype("float32").newbyteorder()

# cell, spoiled argument, its value, error, what is expected, what came
FORWARD: list[tuple[str, str, Any, type[Exception], str, str]] = [
    # type
    ("lstm", "x", [["0.0"]], TypeError, "an array of numbers", "list"),
    ("rnn", "w_hh", None, TypeError, "an array of numbers", "NoneType"),
    ("rnn", "w_ih", "weights", TypeError, "an array of numbers", "str"),
    ("rnn", "clip", 10**400, ValueError, "a number within the range of float64", "a larger one"),
    ("rnn", "h0", {}, TypeError, "an array of numbers", "dict"),
    ("rnn", "out", [0.0], TypeError, "a numpy.ndarray", "list"),
    ("rnn", "lengths", zeros(B), TypeError, "...integer...", "float32"),
    ("rnn", "lengths", np.ones(B, bool), TypeError, "...integer...", "bool"),
    ("rnn", "lengths", "5555", TypeError, "...integer...", "..."),
    # dtype and byte order
    ("lstm", "x", zeros(T, B, I, dtype="complex64"), TypeError, "float32 or float64", "complex64"),
    ("lstm", "x", zeros(T, B, I, dtype="object"), TypeError, "float32 or float64", "object"),
    *(
        (cell, name, a.astype("float64"), TypeError, OF_X, "float64")
        for cell in CELLS
        for name, a in arguments(cell).items()
        if name != "x"
    ),
    ("lstm", "w_peep", zeros(3, H, dtype="float64"), TypeError, OF_X, "float64"),
    ("lstm", "out", zeros(T, B, H, dtype="float64"), TypeError, OF_X, "float64"),
    ("rnn", "x", zeros(T, B, I, dtype=SWAPPED), TypeError, "...", SWAPPED.str),
    ("gru", "w_hh", zeros(3 * H, H, dtype=SWAPPED), TypeError, "...", SWAPPED.str),
    ("lstm", "c0", zeros(1, B, H, dtype=SWAPPED), TypeError, "...", SWAPPED.str),
    # rank
    ("lstm", "x", zeros(3, 4), ValueError, "shape (T, B, I)", "(3, 4)"),
    ("lstm", "x", zeros(1, 2, 3, 4), ValueError, "shape (T, B, I)", "(1, 2, 3, 4)"),
    ("gru", "w_ih", zeros(24), ValueError, "shape (...", "(24,)"),
    ("rnn", "h0", zeros(B, H), ValueError, "shape (1, 4, 8)", "(4, 8)"),
    ("lstm", "c0", zeros(2, B, H), ValueError, "shape (1, 4, 8)", "(2, 4, 8)"),
    # shape; where x and w_ih disagree about I, either may be named
    ("lstm", "w_ih", zeros(31, I), ValueError, "shape (...", "(31, 3)"),
    ("gru", "w_ih", zeros(25, I), ValueError, "shape (...", "(25, 3)"),
    ("rnn", "w_ih", zeros(0, I), ValueError, "shape (...", "(0, 3)"),
    ("lstm", "x", zeros(T, B, 4), ValueError, "shape (5, 4, 3)", "(5, 4, 4)"),
    ("lstm", "w_hh", zeros(32, 7), ValueError, "shape (32, 8)", "(32, 7)"),
    ("gru", "w_hh", zeros(8, 24), ValueError, "shape (24, 8)", "(8, 24); did you mean w_hh.T?"),
    ("rnn", "w_hh", zeros(8), ValueError, "shape (8, 8)", "(8,)"),
    ("lstm", "b_ih", zeros(8), ValueError, "shape (32,)", "(8,)"),
    ("gru", "b_hh", zeros(1, 24), ValueError, "shape (24,)", "(1, 24)"),
    ("rnn", "h0", zeros(1, B, 7), ValueError, "shape (1, 4, 8)", "(1, 4, 7)"),
    ("lstm", "w_peep", zeros(H), ValueError, PEEPHOLES, "(8,)"),
    ("lstm", "w_peep", zeros(4, H), ValueError, PEEPHOLES, "(4, 8)"),
    ("lstm", "w_peep", zeros(3, H, 7), ValueError, PEEPHOLES, "(3, 8, 7)"),
    ("lstm", "out", zeros(T, B, 7), ValueError, "shape (5, 4, 8)", "(5, 4, 7)"),
    ("lstm", "out", zeros(T, B, 2 * H)[..., ::2], ValueError, "a C-contiguous array", "a strided one"),
    # lengths: the index is the first offender's; values beyond int32 and int64 must not wrap into the range
    ("rnn", "lengths", np.array([5, 5, 5]), ValueError, "shape (4,)", "(3,)"),
    ("rnn", "lengths", np.array([[5, 5, 5, 5]]), ValueError, "shape (4,)", "(1, 4)"),
    ("gru", "lengths", np.array([5, 0, 7, 9]), ValueError, "values in 0..5", "7 at index 2"),
    ("lstm", "lengths", np.array([5, -1, 3, 2]), ValueError, "values in 0..5", "-1 at index 1"),
    ("rnn", "lengths", np.array([2**32, 0, 0, 0]), ValueError, "values in 0..5", "4294967296 at index 0"),
    ("rnn", "lengths", np.array([0, 2**64 - 1, 0, 0], "uint64"), ValueError, "values in 0..5", "... at index 1"),
    # options
    ("rnn", "activation", "foo", ValueError, RNN_OPTIONS, "'foo'"),
    ("rnn", "activation", "Tanh", ValueError, RNN_OPTIONS, "'Tanh'"),
    ("gru", "reset", "never", ValueError, "one of 'after', 'before', 'output'", "'never'"),
    ("lstm", "peephole_output", "next", ValueError, "one of 'current', 'previous'", "'next'"),
]


def named(cases: list[tuple[Any, ...]]) -> list[Any]:
    """Cases with ids like lstm-x-(3, 4)."""
    return [
        pytest.param(*case, id="-".join(part for part in (case[0], case[1], case[-1]) if isinstance(part, str)))
        for case in cases
    ]


@pytest.mark.parametrize(("cell", "name", "value", "error", "expected", "actual"), named(FORWARD))
def test_forward(cell, name, value, error, expected, actual):
    with pytest.raises(error, match=message(name, expected, actual)):
        function(cell, "forward")(**{**arguments(cell), name: value})


@pytest.mark.parametrize("cell", CELLS)
def test_the_valid_call_is_valid(cell):
    """Otherwise the cases above could be refused for another reason."""
    y, *_, cache = function(cell, "forward")(**arguments(cell), training=True)
    function(cell, "backward")(np.ones_like(y), cache)


@pytest.mark.parametrize(
    ("cell", "name", "value", "expected", "actual"),
    named(
        [
            ("gru", "x", zeros(B, I, 1), "shape (B, I)", "(4, 3, 1)"),
            ("rnn", "h0", zeros(1, B, H), "shape (4, ...)", "(1, 4, 8)"),
            ("rnn", "h0", zeros(3, H), "shape (4, ...)", "(3, 8)"),
            ("lstm", "h0", zeros(B, 7), "shape (4, 8)", "(4, 7)"),
            ("lstm", "c0", zeros(B, 7), "shape (4, 8)", "(4, 7)"),
        ]
    ),
)
def test_cell_speaks_of_its_own_shapes(cell, name, value, expected, actual):
    """A cell runs as a sequence of one step; messages must not show the time axis, which the user never gave."""
    valid = arguments(cell)
    for key in {"x", "h0", "c0"} & valid.keys():
        valid[key] = valid[key][0]
    function(cell, "cell")(**valid)
    with pytest.raises(ValueError, match=message(name, expected, actual)):
        function(cell, "cell")(**{**valid, name: value})


def test_batch_first_speaks_of_its_own_order():
    valid = arguments("rnn") | {"x": zeros(B, T, I), "batch_first": True}
    with pytest.raises(ValueError, match=message("x", "shape (B, T, I)", "(3, 4)")):
        fastrnn.rnn_forward(**{**valid, "x": zeros(3, 4)})
    with pytest.raises(ValueError, match=message("out", "shape (4, 5, 8)", "(5, 4, 8)")):
        fastrnn.rnn_forward(**valid, out=zeros(T, B, H))


@pytest.mark.parametrize("cell", CELLS)
def test_read_only_out(cell):
    out = zeros(T, B, H)
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"^out: read-only array$"):
        function(cell, "forward")(**arguments(cell), out=out)


def overlapping(name: str, how: str) -> tuple[dict[str, Any], Any]:
    """A valid LSTM call and an ``out`` which shares memory with the argument ``name``."""
    valid = arguments("lstm")
    shape = valid[name].shape
    storage = zeros(T * B * H + valid[name].size)
    out = storage[: T * B * H].reshape(T, B, H)
    start = 0 if how == "start" else T * B * H - 1  # one common element is enough
    valid[name] = storage[start : start + valid[name].size].reshape(shape)
    if how == "reversed":
        valid[name] = valid[name][:, ::-1]
    return valid, out


@pytest.mark.parametrize(
    ("name", "how"),
    [(name, how) for name in ("x", "h0", "c0") for how in ("start", "last element")] + [("x", "reversed")],
)
def test_out_sharing_memory(name, how):
    """The input is still read while y is written, so the result would be silently wrong."""
    valid, out = overlapping(name, how)
    with pytest.raises(ValueError, match=rf"^out: shares memory with {name}$"):
        fastrnn.lstm_forward(**valid, out=out)


@pytest.mark.parametrize("name", ["w_ih", "w_hh", "b_ih", "b_hh"])
def test_out_may_share_memory_with_weights(name):
    """Weights are packed before anything is written, so this is no error, and the result is right."""
    rng = np.random.default_rng(0)
    valid, out = overlapping(name, "start")
    for array in valid.values():
        array[...] = rng.uniform(-1, 1, array.shape)
    expected = fastrnn.lstm_forward(**{key: array.copy() for key, array in valid.items()})
    np.testing.assert_array_equal(fastrnn.lstm_forward(**valid, out=out).y, expected.y)


def test_an_error_writes_nothing():
    out = np.full((T, B, H), 7, "float32")
    with pytest.raises(ValueError, match=r"^lengths: "):
        fastrnn.lstm_forward(**arguments("lstm"), lengths=np.array([5, 5, 5, 6]), out=out)
    assert (out == 7).all()


BACKWARD: list[tuple[str, str, Any, type[Exception], str, str]] = [
    ("lstm", "dy", zeros(T, B, 7), ValueError, "shape (5, 4, 8)", "(5, 4, 7)"),
    ("gru", "dy", zeros(B, H), ValueError, "shape (5, 4, 8)", "(4, 8)"),
    ("rnn", "dy", "0.0", TypeError, "an array of numbers", "str"),
    ("rnn", "dy", zeros(T, B, H, dtype="float64"), TypeError, "float32 (...)", "float64"),
    ("rnn", "dy", zeros(T, B, H, dtype=SWAPPED), TypeError, "...", SWAPPED.str),
    ("rnn", "dh_n", zeros(B, H), ValueError, "shape (1, 4, 8)", "(4, 8)"),
    ("gru", "dh_n", zeros(1, B, H, dtype="complex64"), TypeError, "float32 or float64", "complex64"),
    ("lstm", "dc_n", zeros(1, B, 7), ValueError, "shape (1, 4, 8)", "(1, 4, 7)"),
    ("lstm", "dc_n", zeros(1, B, H, dtype="float64"), TypeError, "float32 (...)", "float64"),
    ("lstm", "cache", None, TypeError, "...lstm...", "NoneType"),
    ("gru", "cache", zeros(1), TypeError, "...gru...", "...ndarray"),
]


@pytest.mark.parametrize(("cell", "name", "value", "error", "expected", "actual"), named(BACKWARD))
def test_backward(cell, name, value, error, expected, actual):
    *_, cache = function(cell, "forward")(**arguments(cell), training=True)
    with pytest.raises(error, match=message(name, expected, actual)):
        function(cell, "backward")(**{"dy": zeros(T, B, H), "cache": cache, name: value})


def test_cache_of_another_cell():
    *_, cache = fastrnn.gru_forward(**arguments("gru"), training=True)
    with pytest.raises((TypeError, ValueError), match=r"^cache: expected .*lstm.*, got .*gru"):
        fastrnn.lstm_backward(zeros(T, B, H), cache)


def pack(cell: str, **more: Any) -> Any:
    weights = {name: a for name, a in arguments(cell).items() if name.startswith(("w_", "b_"))}
    return function(cell, "pack")(**{**weights, **more})


PACK: list[tuple[str, str, Any, type[Exception], str, str]] = [
    (
        "lstm",
        "dtype",
        "float16",
        ValueError,
        "one of 'float32', 'float64', 'bfloat16', 'bfloat16_weights', 'int8'",
        "'float16'",
    ),
    ("rnn", "w_ih", [["0.0"]], TypeError, "an array of numbers", "list"),
    ("lstm", "w_ih", zeros(30, I), ValueError, "shape (...", "(30, 3)"),
    ("lstm", "w_hh", zeros(32, 7), ValueError, "shape (32, 8)", "(32, 7)"),
    ("gru", "w_hh", zeros(24, 8, dtype="float64"), TypeError, "float32 (the dtype of w_ih)", "float64"),
    ("lstm", "b_ih", zeros(31), ValueError, "shape (32,)", "(31,)"),
    ("lstm", "w_peep", zeros(2, H), ValueError, PEEPHOLES, "(2, 8)"),
    ("lstm", "peephole_output", "x", ValueError, "one of 'current', 'previous'", "'x'"),
    ("gru", "reset", "x", ValueError, "one of 'after', 'before', 'output'", "'x'"),
    ("rnn", "activation", "x", ValueError, RNN_OPTIONS, "'x'"),
]


@pytest.mark.parametrize(("cell", "name", "value", "error", "expected", "actual"), named(PACK))
def test_pack(cell, name, value, error, expected, actual):
    with pytest.raises(error, match=message(name, expected, actual)):
        pack(cell, **{name: value})


@pytest.mark.parametrize(
    ("cell", "name", "value"),
    named(
        [
            *(("lstm", name, arguments("lstm")[name]) for name in ("w_hh", "b_ih", "b_hh")),
            ("lstm", "w_peep", zeros(3, H)),
            ("lstm", "coupled", True),
            ("lstm", "peephole_output", "previous"),
            ("gru", "reset", "before"),
            ("rnn", "activation", "relu"),
        ]
    ),
)
def test_packed_and_given_again(cell, name, value):
    """A parameter or option beside a PackedWeights would be ignored: that is an error, even where it agrees."""
    with pytest.raises(ValueError, match=rf"^{name}: expected nothing beside PackedWeights, got .+"):
        function(cell, "forward")(zeros(T, B, I), pack(cell), **{name: value})


def test_packed_for_another_cell():
    with pytest.raises((TypeError, ValueError), match=r"^w_ih: expected .*lstm.*, got .*gru"):
        fastrnn.lstm_forward(zeros(T, B, I), pack("gru"))


def test_packed_for_another_dtype():
    with pytest.raises(TypeError, match=r"^x: expected float32.*, got float64$"):
        fastrnn.lstm_forward(zeros(T, B, I, dtype="float64"), pack("lstm"))


def test_packed_for_another_input_size():
    with pytest.raises(ValueError, match=r"^x: expected shape \(.*\), got \(5, 4, 2\)$"):
        fastrnn.lstm_forward(zeros(T, B, 2), pack("lstm"))


@pytest.mark.parametrize("name", ["portable2", "", "AVX2"], ids=repr)
def test_unknown_isa(name):
    with pytest.raises(ValueError, match=rf"^isa: expected one of .*'portable'.*, got '{name}'$"):
        fastrnn._core.set_isa(name)
