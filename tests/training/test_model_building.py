"""How a Sequential is built, what it says of itself, its weights and config."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import load_model
from fastrnn.layers import GRU, LSTM, Bidirectional, Dense, Input
from fastrnn.model import Sequential
from tests.support.models import B, I, T


def test_three_ways_to_build(rng):
    models = [
        Sequential([LSTM(4, input_shape=(T, I)), Dense(2)]),
        Sequential([Input((T, I)), LSTM(4), Dense(2)]),
        Sequential([LSTM(4), Dense(2)]),
    ]
    assert [m.built for m in models] == [True, True, False]
    models[2].build((None, T, I))
    for model in models:
        assert (model.input_shape, model.output_shape) == ((None, T, I), (None, 2))
        assert [w.shape for w in model.get_weights()] == [(I, 16), (4, 16), (16,), (4, 2), (2,)]
        assert model.count_params() == 4 * 4 * (I + 4 + 1) + 10
        assert len(model.layers) == 2


def test_model_built_from_data_takes_any_length(rng):
    model = Sequential([LSTM(4), Dense(2)])
    for steps in (T, T + 2, 1):
        assert model.predict(np.zeros((2, steps, I))).shape == (2, 2)


def test_add_and_pop(rng):
    model = Sequential(name="m")
    model.add(LSTM(4, input_shape=(T, I)))
    model.add(Dense(2))
    last = model.pop()
    assert last.units == 2
    assert model.output_shape == (None, 4)
    model.add(Dense(7))
    assert model.output_shape == (None, 7)
    assert model.get_layer(index=1) is model.get_layer(model.layers[1].name)
    model.pop()
    model.pop()
    with pytest.raises(ValueError, match="expected at least one to pop"):
        model.pop()


def test_weights_round_trip(rng):
    a, b = (Sequential([Input((T, I)), Bidirectional(GRU(3)), Dense(2)]) for _ in range(2))
    b.set_weights(a.get_weights())
    x = rng.standard_normal((B, T, I))
    np.testing.assert_array_equal(a.predict(x), b.predict(x))
    before = b.get_weights()
    wrong = [*(w + 1 for w in before[:-1]), np.zeros(3)]
    with pytest.raises(ValueError, match=r"weights\[1\] of layer dense.*: expected shape \(2,\), got \(3,\)"):
        b.set_weights(wrong)
    for got, expected in zip(b.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match="weights: expected 8 arrays, got 1"):
        b.set_weights(before[:1])


def test_summary():
    lines = []
    model = Sequential([Input((None, I)), LSTM(4, name="first"), Dense(2, name="second", trainable=False)], name="net")
    model.summary(print_fn=lines.append)
    assert lines[0] == "Model: net"
    assert lines[4].split() == ["first", "(LSTM)", "(None,", "4)", "128"]
    assert lines[5].split() == ["second", "(Dense)", "(None,", "2)", "10"]
    assert lines[-1] == "Total params: 138 (trainable 128, frozen 10)"
    assert len({len(line) for line in lines[1:-1]}) == 1
    lines.clear()
    Sequential([LSTM(4, name="first")]).summary(print_fn=lines.append)
    assert lines[4].split() == ["first", "(LSTM)", "?", "unbuilt"]


def test_config_round_trip(rng):
    model = Sequential([Input((T, I)), Bidirectional(LSTM(3)), Dense(2)], name="m")
    again = Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())


def test_metadata_goes_where_the_config_goes(tmp_path):
    model = Sequential([Input((I,)), Dense(2)])
    assert "metadata" not in model.get_config()
    model.metadata["classes"] = ["yes", "no"]
    model.save(tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz").metadata == {"classes": ["yes", "no"]}
    with pytest.raises(ValueError, match="model config: expected metadata to be a dict, got list"):
        Sequential.from_config({**model.get_config(), "metadata": [1]})
