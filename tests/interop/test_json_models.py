"""RTNeural's and NAM's files. Their layouts are written here by hand, and run by the equations."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, Activation, Dense, Input, Sequential
from fastrnn.interop import load, nam, rtneural, save
from tests.support import model_files

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32) * 0.5


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# -- RTNeural ----------------------------------------------------------------------------------------------------------


def test_rtneural_by_its_equations(tmp_path):
    """A GRU of Keras' layout (gates z, r, h; y = x K; two biases), and a dense layer with tanh."""
    kernel, recurrent, bias, head, offset = numbers(2, 9), numbers(3, 9), numbers(2, 9), numbers(3, 1), numbers(1)
    layers = [
        {"type": "gru", "activation": "tanh", "shape": [None, None, 3], "weights": [kernel, recurrent, bias]},
        {"type": "time-distributed-dense", "activation": "tanh", "shape": [None, None, 1], "weights": [head, offset]},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"in_shape": [None, None, 2], "layers": layers}, default=lambda a: a.tolist()))
    x, h, expected = numbers(1, 5, 2), np.zeros(3), []
    for x_t in x[0].astype(np.float64):
        a, b = x_t @ kernel + bias[0], h @ recurrent + bias[1]
        z, r = sigmoid(a[:3] + b[:3]), sigmoid(a[3:6] + b[3:6])
        h = z * h + (1 - z) * np.tanh(a[6:] + r * b[6:])
        expected.append(np.tanh(h @ head + offset))
    np.testing.assert_allclose(rtneural.load(path)(x)[0], expected, rtol=1e-5, atol=1e-6)


def test_rtneural_there_and_back(tmp_path):
    model = Sequential(
        [
            Input((None, 2)),
            LSTM(4, return_sequences=True, forget_bias=1.0),
            GRU(3, return_sequences=True),
            Dense(5, "elu", use_bias=False),
            Activation("relu"),
            Dense(2, "softmax"),
        ]
    )
    model_files.randomise(model)
    path = tmp_path / "a.json"
    save(model, path)
    x = numbers(2, 6, 2)
    np.testing.assert_allclose(load(path)(x), model(x), rtol=1e-6, atol=1e-7)
    assert load(path).to_native().input_size == 2


def change(tree: dict, path: list, value: object) -> dict:
    tree = json.loads(json.dumps(tree))
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return tree


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["layers", 0, "type"], "conv1d", r"layers\[0\]: type: expected one of 'lstm', .*, got 'conv1d'"),
        (["layers", 0, "kernel_size"], 3, r"layers\[0\]: expected the keys .*, got 'kernel_size'"),
        (["layers", 0, "activation"], "relu", r"layers\[0\]: activation: expected 'tanh'.*, got 'relu'"),
        (["layers", 2, "activation"], "gelu", r"layers\[2\]: activation: expected one of 'tanh', .*, got 'gelu'"),
        (["layers", 2, "weights"], [[[1.0]]], r"layers\[2\]: weights: expected 2 arrays, got 1"),
        (["layers", 2, "weights", 1], [1.0, "2"], r"layers\[2\]: bias: expected numbers, got str"),
        (["layers", 2, "weights", 1], [1.0], r"layer 2 .*: bias: expected shape \(2,\), got \(1,\)"),
        (["layers", 0, "weights", 0, 0], [1.0], r"layers\[0\]: w_ih: expected rows of equal length"),
        (["layers", 0, "shape"], [None, None, 2**40], r"layers\[0\]: shape: expected an integer in 1.."),
        (["extra"], 1, "expected the keys in_shape and layers, got 'extra'"),
    ],
)
def test_rtneural_refuses(path, value, message):
    good = rtneural.to_json(model_files.plain())
    with pytest.raises(ValueError, match=message):
        rtneural.from_json(change(good, path, value))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LSTM(2, name="l"), "l: RTNeural runs forwards and gives every step"),
        (LSTM(2, "relu", return_sequences=True, name="l"), "l: RTNeural has no cell with activation='relu'"),
        (LSTM(2, peephole="diagonal", return_sequences=True, name="l"), "l: RTNeural has no cell with the weights w_p"),
        (GRU(2, reset_after=False, return_sequences=True, name="l"), "l: RTNeural has no cell with reset='before'"),
        (Dense(2, "selu", name="l"), "l: RTNeural has no activation 'selu'"),
    ],
)
def test_rtneural_cannot_hold(layer, message):
    with pytest.raises(ValueError, match=message):
        rtneural.to_json(Sequential([Input((None, 3)), layer]))


# -- NAM ---------------------------------------------------------------------------------------------------------------


def test_nam_by_its_equations(tmp_path):
    """The list of weights as nam/models/recurrent.py exports it, states before the first sample included."""
    units, x = 3, numbers(1, 6, 1)
    both, bias, h, c = numbers(4 * units, 1 + units), numbers(4 * units), numbers(units), numbers(units)
    head, offset = numbers(units), numbers(1)
    weights = np.concatenate([part.ravel() for part in (both, bias, h, c, head, offset)]).tolist()
    config = {"input_size": 1, "hidden_size": units, "num_layers": 1}
    path = tmp_path / "a.nam"
    path.write_text(
        json.dumps({"version": "0.5.4", "architecture": "LSTM", "config": config, "weights": weights, "metadata": {}})
    )
    expected = []
    for x_t in x[0]:
        i, f, g, o = np.split(both @ np.concatenate([x_t, h]) + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(head @ h + offset)
    model = nam.load(path)
    np.testing.assert_allclose(model(x)[0], expected, rtol=1e-5, atol=1e-6)
    assert model.metadata["nam"] == {"version": "0.5.4", "architecture": "LSTM", "metadata": {}}
    pytest.importorskip("safetensors")
    session = fastrnn.Session(model.to_native())
    for _ in range(2):  # the file's states come back with reset
        np.testing.assert_allclose([session.step(x_t) for x_t in x[0]], expected, rtol=1e-5, atol=1e-6)
        session.reset()
    begun = fastrnn.Session(nam.load(path, initial_state=False).to_native()).step(x[0, 0])
    assert abs(begun - expected[0]) > 1e-3


def test_nam_there_and_back(tmp_path):
    model = model_files.amp()
    nam.save(model, tmp_path / "a.nam", 48000.0)
    again = load(tmp_path / "a.nam")
    x = numbers(2, 7, 1)
    np.testing.assert_array_equal(again(x), model(x))
    assert nam.to_json(again)["sample_rate"] == 48000.0


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["architecture"], "WaveNet", "architecture: expected 'LSTM', got 'WaveNet'"),
        (["config", "hidden_size"], 4, "weights: expected 261 numbers, got 160"),
        (["config", "num_layers"], 2**29, "weights: expected more numbers, got 160"),
        (["config", "bias"], True, "config: expected input_size, hidden_size, num_layers, got"),
        (["weights", 3], float("nan"), "weights: expected finite numbers"),
        (["weights"], [1.0, 2.0], "weights: expected 160 numbers, got 2"),
        (["weights"], {"a": 1}, "weights: expected lists of numbers with 1 axes, got dict"),
    ],
)
def test_nam_refuses(path, value, message):
    with pytest.raises(ValueError, match=message):
        nam.from_json(change(nam.to_json(model_files.amp()), path, value))


def test_nam_cannot_hold():
    with pytest.raises(ValueError, match=r"expected LSTM layers and a linear Dense\(1\), got LSTM, GRU, Dense"):
        nam.to_json(model_files.plain())


def test_no_json(tmp_path):
    for name, reader in (("a.json", rtneural.load), ("a.nam", nam.load)):
        path = tmp_path / name
        for content, message in (
            (b"[" * 100000, "expected JSON"),
            (b"\xff", "expected JSON"),
            (b"[]", "expected a JSON object, got list"),
        ):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=message):
                reader(path)
    with pytest.raises(FileNotFoundError):
        nam.load(tmp_path / "none.nam")
