"""The table of conventions: each row against equations, as the framework's own documentation has them."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, SimpleRNN
from fastrnn.interop.conventions import (
    CANONICAL,
    CONVENTIONS,
    Convention,
    find_convention,
    from_canonical,
    to_canonical,
)

I, H, T = 3, 4, 5  # noqa: E741
ROWS = [(framework, cell) for framework, cells in CONVENTIONS.items() for cell in cells]


def parameters(cell: str, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = len(CANONICAL[cell]) * H
    shapes = {"w_ih": (rows, I), "w_hh": (rows, H), "b_ih": (rows,), "b_hh": (rows,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(("framework", "cell"), [row for row in ROWS if row[0] != "keras_cudnn"])
def test_there_and_back(framework, cell):
    convention = CONVENTIONS[framework][cell]
    ours = parameters(cell.partition("_")[0])
    theirs = from_canonical(convention, ours, H)
    back = to_canonical(convention, theirs, H)
    np.testing.assert_array_equal(back["w_ih"], ours["w_ih"])
    np.testing.assert_array_equal(back["w_hh"], ours["w_hh"])
    if convention.bias == "one":
        np.testing.assert_allclose(back["b_ih"], ours["b_ih"] + ours["b_hh"], rtol=1e-15, atol=1e-15)
    else:
        np.testing.assert_array_equal(back["b_ih"], ours["b_ih"])
        np.testing.assert_array_equal(back["b_hh"], ours["b_hh"])


@pytest.mark.parametrize(
    ("layer", "cell"),
    [(SimpleRNN(H), "rnn"), (LSTM(H), "lstm"), (GRU(H), "gru"), (GRU(H, reset_after=False), "gru_before")],
    ids=["rnn", "lstm", "gru", "gru_before"],
)
def test_keras_rows_are_those_of_the_layers(layer, cell):
    layer.build((None, None, I))
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal(w.shape).astype(w.dtype) for w in layer.get_weights()]
    layer.set_weights(weights)
    ours = {parameter.name.rpartition("/")[2]: parameter.value for parameter in layer.parameters()}
    theirs = from_canonical(CONVENTIONS["keras"][cell], ours, H)
    for array, expected in zip(theirs.values(), weights, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_the_flat_kernels_of_cudnn():
    """cuDNN has a matrix (H, I) for each gate; Keras 2 wrote its numbers as (I, H) without turning it round."""
    ours = parameters("lstm")
    gates = np.split(ours["w_ih"], 4)
    theirs = {
        "w_ih": np.concatenate([gate.reshape(I, H) for gate in gates], axis=1),
        "w_hh": np.concatenate([gate.reshape(H, H) for gate in np.split(ours["w_hh"], 4)], axis=1),
        "b_ih": np.concatenate([ours["b_ih"], ours["b_hh"]]),
    }
    back = to_canonical(CONVENTIONS["keras_cudnn"]["lstm"], theirs, H)
    for name, array in ours.items():
        np.testing.assert_array_equal(back[name], array)
    with pytest.raises(ValueError, match="a layout of old files that is only read"):
        from_canonical(CONVENTIONS["keras_cudnn"]["lstm"], ours, H)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_an_implicit_forget_bias():
    """DyNet's VanillaLSTMBuilder: gates i, f, o, g, and a forget gate of sigmoid(... + 1)."""
    theirs = parameters("lstm", 2)
    theirs.pop("b_hh")
    x = np.random.default_rng(3).standard_normal((T, 1, I))
    h, c, expected = np.zeros(H), np.zeros(H), []
    for x_t in x[:, 0]:
        i, f, o, g = np.split(theirs["w_ih"] @ x_t + theirs["w_hh"] @ h + theirs["b_ih"], 4)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    y, *_ = fastrnn.lstm_forward(x, **to_canonical(CONVENTIONS["dynet"]["lstm"], theirs, H))
    np.testing.assert_allclose(y[:, 0], expected, rtol=1e-12, atol=1e-14)


def test_a_negated_update_gate():
    """Chainer's StatefulGRU: h' = (1 - z) h + z n."""
    theirs = parameters("gru", 4)
    x = np.random.default_rng(5).standard_normal((T, 1, I))
    h, expected = np.zeros(H), []
    for x_t in x[:, 0]:
        a, b = theirs["w_ih"] @ x_t + theirs["b_ih"], theirs["w_hh"] @ h + theirs["b_hh"]
        (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3), np.split(b, 3)
        r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z)
        h = (1 - z) * h + z * np.tanh(a_n + r * b_n)
        expected.append(h)
    y, _ = fastrnn.gru_forward(x, **to_canonical(CONVENTIONS["chainer"]["gru"], theirs, H))
    np.testing.assert_allclose(y[:, 0], expected, rtol=1e-12, atol=1e-14)


def test_errors():
    with pytest.raises(ValueError, match=r"^convention: expected one of 'torch', .*, got 'tensorflo'"):
        find_convention("tensorflo", "lstm")
    with pytest.raises(ValueError, match=r"^cell of nam: expected one of 'lstm', got 'gru'"):
        find_convention("nam", "gru")
    with pytest.raises(ValueError, match=r"^gates: expected an order of the letters 'ifgo', got 'ifg'"):
        find_convention(Convention("ifg"), "lstm")
    ours = parameters("lstm")
    for changes, message in (
        ({"w_ih": ours["w_ih"].T}, r"^w_ih: expected shape \(G\*H, I\) with G\*H of 16, got \(3, 16\)"),
        ({"b_ih": ours["b_ih"][:8]}, r"^b_ih: expected shape \(16,\), got \(8,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            to_canonical(CONVENTIONS["torch"]["lstm"], ours | changes, H)
    with pytest.raises(ValueError, match=r"^b_hh: expected none, as the bias is one array"):
        to_canonical(CONVENTIONS["nam"]["lstm"], ours, H)
