"""Recurrent layers whose states before the first step are weights."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import GRU, LSTM, SLSTM, Bidirectional, Dense, Input, Sequential, load_model

RNG = np.random.default_rng(0)


def make(layer):
    model = Sequential([Input((None, 2), dtype="float64"), layer, Dense(1, dtype="float64")])
    model.compile("sgd", "mse")
    model.set_weights([RNG.standard_normal(w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize(
    "layer",
    [
        LSTM(3, learned_initial_state=True, projection_units=2, dtype="float64"),
        GRU(3, learned_initial_state=True, return_sequences=True, dtype="float64"),
        SLSTM(3, learned_initial_state=True, dtype="float64"),
        Bidirectional(LSTM(3, learned_initial_state=True, dtype="float64")),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_gradients(layer):
    model = make(layer)
    x = RNG.standard_normal((4, 5, 2))
    y, _ = model.forward_batch(x, True)
    dy = RNG.standard_normal(y.shape)
    model.backward_batch(dy)
    states = [p for p in model.parameters() if p.name[-2:] in ("h0", "c0", "n0", "m0")]
    assert states
    for parameter in states:
        for index in range(parameter.size):
            found = []
            for step in (1e-6, -2e-6, 1e-6):
                parameter.value[index] += step
                found.append((model(x) * dy).sum())
            np.testing.assert_allclose(parameter.grad[index], (found[0] - found[1]) / 2e-6, rtol=1e-5, atol=1e-7)


def test_it_is_where_no_other_state_is():
    layer = LSTM(3, learned_initial_state=True, stateful=True)
    x = RNG.standard_normal((2, 4, 2)).astype(np.float32)
    layer.build((None, None, 2))
    weights = [RNG.standard_normal(w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    assert [w.shape for w in weights[3:]] == [(3,), (3,)]
    plain = LSTM(3)
    plain.build((None, None, 2))
    plain.set_weights(weights[:3])
    h, c = (np.tile(w.astype(np.float32), (2, 1)) for w in weights[3:])
    np.testing.assert_array_equal(layer(x), plain(x, initial_state=(h, c)))
    whole = plain(np.concatenate([x, x], axis=1), initial_state=(h, c))
    np.testing.assert_array_equal(layer(x), whole)  # goes on, and does not begin anew
    zeros = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(layer(x, initial_state=(zeros, zeros)), plain(x))
    layer(x, initial_state=(zeros, zeros), training=True)
    layer.backward(np.ones((2, 3), np.float32))
    assert not any(p.grad.any() for p in layer.parameters() if p.name.endswith(("h0", "c0")))


def test_files_and_training(tmp_path):
    model = make(GRU(3, learned_initial_state=True, dtype="float64"))
    model.save(tmp_path / "a.npz")
    x = RNG.standard_normal((4, 5, 2))
    np.testing.assert_array_equal(load_model(tmp_path / "a.npz")(x), model(x))
    before = model.layers[0].get_weights()[-1]
    model.fit(x, RNG.standard_normal((4, 1)), epochs=1, verbose=0)
    assert (model.layers[0].get_weights()[-1] != before).all()
    with pytest.raises(TypeError, match="learned_initial_state: expected a bool, got str"):
        LSTM(3, learned_initial_state="no")
