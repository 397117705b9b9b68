"""What a stack refuses, by a message that names the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.functional.stack import stack_backward, stack_forward


def rnn(inputs: int, hidden: int, dtype: str = "float32") -> Any:
    return fastrnn.pack_rnn(np.zeros((hidden, inputs), dtype), np.zeros((hidden, hidden), dtype))


X = np.zeros((4, 2, 3), "float32")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": []}, ValueError, r"^layers: expected one or more, got none$"),
        ({"layers": rnn(3, 5)}, TypeError, r"^layers: expected a sequence of PackedWeights or pairs of them, got"),
        ({"layers": [rnn(3, 5), 1]}, TypeError, r"^layers\[1\]: expected PackedWeights or a pair of them, got int$"),
        ({"layers": [(rnn(3, 5), 1)]}, TypeError, r"^layers\[0\]: expected PackedWeights, got int$"),
        ({"layers": [()]}, ValueError, r"^layers\[0\]: expected one or two directions, got 0$"),
        ({"layers": [], "device": "cuda"}, ValueError, r"^layers: expected one or more, got none$"),
        ({"layers": [()], "device": "cuda"}, ValueError, r"^layers\[0\]: expected one or two directions, got 0$"),
        ({"layers": [[rnn(3, 5)] * 3]}, ValueError, r"^layers\[0\]: expected one or two directions, got 3$"),
        (
            {"layers": [(rnn(3, 5), rnn(3, 5)), rnn(10, 5)]},
            ValueError,
            r"^layers\[1\]: expected 2 directions as layers\[0\], got 1$",
        ),
        (
            {"layers": [rnn(3, 5), rnn(5, 5, "float64")]},
            TypeError,
            r"^layers\[1\]: expected weights for x of float32 as layers\[0\], got float64$",
        ),
        (
            {"layers": [rnn(3, 5), fastrnn.pack_gru(np.zeros((15, 5), "f"), np.zeros((15, 5), "f"))]},
            ValueError,
            r"^layers\[1\]: expected cell 'rnn' as layers\[0\], got 'gru'$",
        ),
        (
            {"layers": [(rnn(3, 5), rnn(3, 6))]},
            ValueError,
            r"^layers\[0\]\[1\]: expected hidden size 5 as layers\[0\]\[0\], got 6$",
        ),
        (
            {"layers": [(rnn(3, 5), rnn(4, 5))]},
            ValueError,
            r"^layers\[0\]\[1\]: expected input size 3 as layers\[0\]\[0\], got 4$",
        ),
        (
            {"layers": [(rnn(3, 5), rnn(3, 5)), (rnn(10, 5), rnn(5, 5))]},
            ValueError,
            r"^layers\[1\]\[1\]: expected input size 10, the width of the output of layers\[0\], got 5$",
        ),
        ({"merge": "max"}, ValueError, r"^merge: expected one of 'concat', 'sum', 'mean', 'ave', 'mul', got 'max'$"),
        ({"dropout": 1.0}, ValueError, r"^dropout: expected a rate in \[0, 1\), got 1.0$"),
        ({"dropout": -0.1}, ValueError, r"^dropout: expected a rate in \[0, 1\), got -0.1$"),
        ({"dropout": float("nan")}, ValueError, r"^dropout: expected a rate in \[0, 1\), got nan$"),
        ({"dropout": "0.5"}, TypeError, r"^dropout: expected a float, got str$"),
        ({"dropout": True}, TypeError, r"^dropout: expected a float, got bool$"),
        ({"x": X.astype("float64")}, TypeError, r"^x: expected float32 \(the dtype of the weights\), got float64$"),
        ({"x": X[0]}, ValueError, r"^x: expected shape \(T, B, I\), got \(2, 3\)$"),
        ({"x": X[..., :2]}, ValueError, r"^x: expected shape \(4, 2, 3\), got \(4, 2, 2\)$"),
        ({"h0": X[:1]}, ValueError, r"^h0: expected shape \(2, 2, 5\), got \(1, 2, 3\)$"),
        ({"lengths": [5, 1]}, ValueError, r"^lengths: expected values in 0..4, got 5 at index 0$"),
        ({"lengths": [1]}, ValueError, r"^lengths: expected shape \(2,\), got \(1,\)$"),
        ({"threads": 0}, ValueError, r"^threads: expected 1..4096, got 0$"),
        ({"out": np.zeros((4, 2, 6), "f")}, ValueError, r"^out: expected shape \(4, 2, 5\), got \(4, 2, 6\)$"),
    ],
    ids=lambda v: "" if isinstance(v, type) else None,
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        stack_forward(**{"x": X, "layers": [rnn(3, 5), rnn(5, 5)], **arguments})


def test_training_takes_exact_weights():
    layers = [rnn(3, 5), fastrnn.pack_rnn(np.zeros((5, 5), "f"), np.zeros((5, 5), "f"), dtype="int8")]
    y = np.full((4, 2, 5), 7, "float32")
    with pytest.raises(ValueError, match=r"^training: expected weights of full precision with exact activations$"):
        stack_forward(X, layers, training=True, out=y)
    assert (y == 7).all()


def test_out_shares_no_memory():
    memory = np.zeros((4, 2, 5), "float32")
    with pytest.raises(ValueError, match=r"^out: shares memory with x$"):
        stack_forward(memory, [rnn(5, 5)], out=memory)
    h0 = np.zeros((2, 2, 5), "float32")
    with pytest.raises(ValueError, match=r"^out: shares memory with h0$"):
        stack_forward(X[:2], [rnn(3, 5), rnn(5, 5)], h0, out=h0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dy": X}, ValueError, r"^dy: expected shape \(4, 2, 5\), got \(4, 2, 3\)$"),
        ({"dy": np.zeros((4, 2, 5))}, TypeError, r"^dy: expected float32 \(the dtype of x\), got float64$"),
        ({"dh_n": X}, ValueError, r"^dh_n: expected shape \(2, 2, 5\), got \(4, 2, 3\)$"),
        ({"threads": 0}, ValueError, r"^threads: expected 1..4096, got 0$"),
    ],
    ids=["dy", "dtype", "dh_n", "threads"],
)
def test_errors_of_backward(arguments, error, message):
    *_, cache = stack_forward(X, [rnn(3, 5), rnn(5, 5)], training=True)
    with pytest.raises(error, match=message):
        stack_backward(**{"dy": None, "cache": cache, **arguments})
