"""Models whose layers read any value before them: what each kind computes, and that steps, runs and pools agree."""

from __future__ import annotations

import math
import pickle
import re
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.saving.files import pack_layers

pytest.importorskip("safetensors")

I, T, B = 6, 37, 3  # noqa: E741  # more steps than a session computes at once
RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


KERNEL, BIAS, SCALE, SHIFT = floats(3, 5), floats(5), floats(3), floats(3)


def delayed(x: Any, steps: int) -> Any:
    padded = np.concatenate([np.zeros((steps, *x.shape[1:]), x.dtype), x])
    return np.concatenate([padded[k : k + len(x)] for k in range(steps + 1)], axis=-1)


def rows(x: Any, width: int) -> Any:
    return x.reshape(*x.shape[:-1], -1, width)


def normalized(x: Any) -> Any:
    r = rows(x.astype(np.float64), 3)
    r = (r - r.mean(-1, keepdims=True)) / np.sqrt(r.var(-1, keepdims=True) + 1e-3)
    return (r * SCALE + SHIFT).reshape(x.shape)


def softmaxed(x: Any) -> Any:
    e = np.exp(rows(x, 2).astype(np.float64))
    return (e / e.sum(-1, keepdims=True)).reshape(x.shape)


def log_softmaxed(x: Any) -> Any:
    """Of numbers whose exponentials float has no room for."""
    z = rows(x, 2).astype(np.float64)
    return (z - np.logaddexp(z[..., :1], z[..., 1:])).reshape(x.shape)


PAIR = {"kind": "gather", "inputs": I, "runs": [(1, 3), (6, 2), (0, 1)]}  # the sixth element is the zero behind them


def pair(x: Any) -> Any:
    return np.concatenate([x[..., 1:4], np.zeros_like(x[..., :2]), x[..., :1]], -1)


CASES: dict[str, tuple[list[dict[str, Any]], Any]] = {
    "gather": ([PAIR], pair),
    "delay": ([{"kind": "delay", "inputs": I, "steps": 4}], lambda x: delayed(x, 4)),
    "concatenate": (
        [PAIR, {"kind": "concatenate", "from": [1, 0, 1]}],
        lambda x: np.concatenate([pair(x), x, pair(x)], -1),
    ),
    "add": ([PAIR, {"kind": "add", "from": [0, 1]}], lambda x: x + pair(x)),
    "subtract": ([PAIR, {"kind": "subtract", "from": [0, 1]}], lambda x: x - pair(x)),
    "multiply": ([PAIR, {"kind": "multiply", "from": [1, 1]}], lambda x: pair(x) ** 2),
    "divide": (
        [{"kind": "affine", "inputs": I, "scale": 0 * SCALE, "shift": SHIFT}, {"kind": "divide", "from": [0, 1]}],
        lambda x: (rows(x, 3) / SHIFT).reshape(x.shape),
    ),
    "affine": (
        [{"kind": "affine", "inputs": I, "scale": SCALE, "shift": SHIFT}],
        lambda x: (rows(x, 3) * SCALE + SHIFT).reshape(x.shape),
    ),
    "square": ([PAIR, {"kind": "power", "number": 2.0}], lambda x: pair(x) ** 2),
    "root": (
        [PAIR, {"kind": "power", "number": 2.0}, {"kind": "power", "number": 0.5}],
        lambda x: np.abs(pair(x)),
    ),
    "power": (
        [PAIR, {"kind": "power", "number": 2.0}, {"kind": "power", "number": 1.5}],
        lambda x: np.abs(pair(x)) ** 3,
    ),
    "logarithm": (
        [PAIR, {"kind": "power", "number": 2.0}, {"kind": "at_least", "number": 1e-6}, {"kind": "log"}],
        lambda x: np.log(np.maximum(pair(x) ** 2, 1e-6)),
    ),
    "error function": ([PAIR, {"kind": "erf"}], lambda x: np.vectorize(math.erf)(pair(x))),
    "bounds": (
        [PAIR, {"kind": "at_least", "number": -0.5}, {"kind": "at_most", "number": 0.75}],
        lambda x: pair(x).clip(-0.5, 0.75),
    ),
    "layer normalization": (
        [{"kind": "layer_normalization", "inputs": I, "number": 1e-3, "scale": SCALE, "shift": SHIFT}],
        normalized,
    ),
    "softmax of rows": ([PAIR, {"kind": "softmax", "width": 2}], lambda x: softmaxed(pair(x))),
    "log softmax of rows": (
        [
            {"kind": "affine", "inputs": I, "scale": 100 + 0 * SCALE, "shift": SHIFT},
            {"kind": "log_softmax", "width": 2},
        ],
        lambda x: log_softmaxed((rows(x, 3) * 100 + SHIFT).reshape(x.shape)),
    ),
    "dense of rows": (
        [PAIR, {"kernel": KERNEL, "bias": BIAS, "rows": 2}],
        lambda x: (rows(pair(x), 3) @ KERNEL + BIAS).reshape(*x.shape[:-1], 10),
    ),
    "a convolution over time beside its input": (
        [
            {"kind": "delay", "inputs": I, "steps": 2},
            {"kernel": (w := floats(3 * I, I)), "bias": None},
            {"activation": "relu"},
            {"kind": "add", "from": [0, 3]},
        ],
        lambda x: x + np.maximum(delayed(x, 2) @ w, 0),
    ),
}


def model_of(case: str) -> tuple[Any, Any]:
    layers, expected = CASES[case]
    return fastrnn.Model.load(pack_layers(layers)), expected


@pytest.mark.parametrize("case", CASES)
def test_each_kind_computes_what_numpy_does(case: str, isa: str) -> None:
    model, expected = model_of(case)
    x = floats(T, B, I)
    y = fastrnn.Session(model, B).run(x)
    assert y.shape == expected(x).shape
    np.testing.assert_allclose(y, expected(x), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_steps_runs_pools_and_copies_give_the_same_bits(case: str) -> None:
    model, _ = model_of(case)
    x = floats(T, B, I)
    whole = fastrnn.Session(model, B).run(x)
    session = fastrnn.Session(pickle.loads(pickle.dumps(model)), B)
    first = session.run(x[:9])
    moved = fastrnn.Session(model, B)
    moved.set_state(session.get_state())
    np.testing.assert_array_equal(np.concatenate([first, np.stack([moved.step(x_t) for x_t in x[9:]])]), whole)

    pool = fastrnn.StreamPool(model, capacity=B + 1, queue=T)
    streams = [pool.open() for _ in range(B)]
    for b, stream in enumerate(streams):
        pool.push(stream, x[:, b])
    while pool.advance():
        pass
    for b, stream in enumerate(streams):
        np.testing.assert_array_equal(pool.pull(stream), whole[:, b])


def test_a_recurrent_layer_within_a_graph() -> None:
    w = {"w_ih": floats(4 * 5, 2 * I), "w_hh": floats(4 * 5, 5), "b_ih": floats(20), "b_hh": floats(20)}
    layers = [
        {"kind": "delay", "inputs": I, "steps": 1},
        {"cell": "lstm", **w},
        {"kind": "concatenate", "from": [2, 0, 1]},
    ]
    model = fastrnn.Model.load(pack_layers(layers))
    x = floats(T, B, I)
    seen = delayed(x, 1)
    y, _, _ = fastrnn.lstm_forward(seen, fastrnn.pack_lstm(**w))
    expected = np.concatenate([y, x, seen], -1)
    session = fastrnn.Session(model, B)
    np.testing.assert_array_equal(session.run(x), expected)
    assert model.output_size == 5 + 3 * I
    # The delay's state is the step before, the LSTM's are h and c.
    before, (h, c) = session.state
    np.testing.assert_array_equal(before, x[-1])
    np.testing.assert_array_equal(h, y[-1])
    assert c.shape == (B, 5)
    session.reset()
    np.testing.assert_array_equal(session.run(x), expected)


def test_values_that_are_read_late_are_kept() -> None:
    """Buffers serve again once nobody reads them: twenty values, the first of which are read at the end."""
    layers: list[dict[str, Any]] = [{"kind": "affine", "inputs": I, "scale": 1 + SCALE, "shift": SHIFT}]
    layers += [{"kind": "add", "from": [k, max(k - 3, 0)]} for k in range(1, 20)]
    layers += [{"kind": "concatenate", "from": [1, 20, 2]}]
    x = floats(T, B, I)
    values = [x, (rows(x, 3) * (1 + SCALE) + SHIFT).reshape(x.shape)]
    for k in range(1, 20):
        values.append(values[k] + values[max(k - 3, 0)])
    expected = np.concatenate([values[1], values[20], values[2]], -1)
    y = fastrnn.Session(fastrnn.Model.load(pack_layers(layers)), B).run(x)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([PAIR, {"kind": "add", "from": [0, 2]}], "from: expected values 0 to 1, got 2"),
        ([PAIR, {"kind": "add", "from": [0]}], "from: expected 2 values, got 1"),
        ([PAIR, {"kind": "add", "from": [0, 1, 1]}], "from: expected 2 values, got 3"),
        ([PAIR, {"kind": "concatenate", "from": [1]}], "from: expected two values or more, got 1"),
        ([PAIR, {"kind": "concatenate"}], "from: expected two values or more, got 1"),
        ([{"kind": "gather", "inputs": 6, "runs": [(4, 3)]}], "runs: expected elements of the 6 inputs, got 3 from 4"),
        ([{"kind": "gather", "inputs": 6, "runs": [(7, 1)]}], "runs: expected elements of the 6 inputs, got 1 from 7"),
        ([{"kind": "gather", "inputs": 6, "runs": []}], "runs: expected one or more, got none"),
        ([{"kind": "delay", "inputs": 6, "steps": 0}], "a size in 1"),
        ([{"kind": "delay", "inputs": 6, "steps": 1 << 28}], "steps: expected 1 or more"),
        ([{"kind": "affine", "inputs": 5, "scale": SCALE, "shift": SHIFT}], "scale: expected a divisor of 5"),
        ([PAIR, {"kind": "softmax", "width": 4}], "width: expected a divisor of 6, the inputs, got 4"),
        ([PAIR, {"kernel": KERNEL, "rows": 3}], "layer 1: expected 6 inputs, the outputs of the layer before, got 9"),
        (
            [PAIR, {"kind": "delay", "inputs": 6, "steps": 1}, {"kind": "add", "from": [1, 2]}],
            "from: expected values of one width, got 6 and 12",
        ),
        (
            [{"kind": "layer_normalization", "inputs": 3, "number": 0.0, "scale": SCALE, "shift": SHIFT}],
            "epsilon: expected a number > 0",
        ),
    ],
)
def test_what_does_not_fit_is_refused(layers: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValueError, match="layer") as error:
        fastrnn.Model.load(pack_layers(layers))
    assert words in str(error.value)


def test_a_file_whose_layers_grow_without_weights_is_refused() -> None:
    layers: list[dict[str, Any]] = [PAIR, *({"kind": "concatenate", "from": [k, k]} for k in range(1, 25))]
    with pytest.raises(ValueError, match="no more outputs than the file has bytes"):
        fastrnn.Model.load(pack_layers(layers))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"kind": "gather", "inputs": 6}, "gather: expected inputs, runs beside its kind, got"),
        ({"kind": "power", "number": 2.0, "steps": 3}, "power: expected number, inputs or not beside its kind"),
        ({"kind": "conv", "inputs": 6}, "kind: expected"),
    ],
)
def test_what_is_missing_or_too_much_is_named(layer: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        pack_layers([PAIR, layer])
