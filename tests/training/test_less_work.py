"""What training and evaluation leave out: packing what has not changed, and the gradient of the data."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, Bidirectional, Dense, Dropout, Embedding, Flatten, Masking, Sequential, TimeDistributed
from fastrnn.callbacks import LambdaCallback
from fastrnn.functional._cells import CELLS
from fastrnn.layers import Activation, Layer
from fastrnn.layers.recurrent.base import Recurrent

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 6, 3)).astype(np.float32)
Y = RNG.standard_normal((40, 2)).astype(np.float32)


@pytest.fixture
def calls(monkeypatch):
    """How often the functions of a layer were called, and with which need_dx."""
    counts = {}

    def watched(name, function):
        def spy(*args, **kwargs):
            counts.setdefault(name, []).append(kwargs.get("need_dx"))
            return function(*args, **kwargs)

        return spy

    for name in ("lstm", "gru"):
        cell = CELLS[name]
        spies = {
            "pack": watched(f"pack_{name}", cell.pack),
            "forward": watched(f"{name}_forward", cell.forward),
            "backward": watched(f"{name}_backward", cell.backward),
        }
        monkeypatch.setitem(CELLS, name, cell._replace(**spies))
    for module, name in (("recurrent.bidirectional", "stack_backward"), ("core", "pack_matrix")):
        place = sys.modules[f"fastrnn.layers.{module}"]
        monkeypatch.setattr(place, name, watched(name, getattr(place, name)))
    return counts


def made(*layers) -> Sequential:
    fastrnn.set_random_seed(1)
    model = Sequential([*layers, Dense(2)])
    model.compile("sgd", "mse")
    model.build((None, 6, 3))
    return model


def test_weights_are_packed_once_an_evaluation(calls):
    model = made(LSTM(5, return_sequences=True), Bidirectional(GRU(4)))
    expected = model.predict(X, batch_size=40)
    for act in (lambda: model.predict(X, batch_size=8), lambda: model.evaluate(X, Y, batch_size=8)):
        calls.clear()
        act()
        assert {name: len(found) for name, found in calls.items()} == {
            "pack_lstm": 1, "pack_gru": 2, "lstm_forward": 5, "pack_matrix": 1,
        }  # fmt: skip
    np.testing.assert_array_equal(model.predict(X, batch_size=8), expected)
    calls.clear()
    model.fit(X, Y, batch_size=20, epochs=3, verbose=0, validation_data=(X, Y))
    assert len(calls["pack_lstm"]) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda model, other: model.set_weights(other.get_weights()),
        lambda model, other: model.layers[0].w_hh.assign(0 * other.layers[0].w_hh.value),
        lambda model, other: model.train_on_batch(X, Y),
    ],
    ids=["set_weights", "assign", "training"],
)
def test_weights_that_change_within_an_evaluation_are_packed_anew(change):
    model, other = made(LSTM(5)), made(LSTM(5))
    other.fit(X, Y, verbose=0)

    def at(batch, logs):
        if batch == 0:
            change(model, other)

    model.evaluate(X[:16], Y[:16], batch_size=8, callbacks=LambdaCallback(on_test_batch_end=at))
    changed = model.predict(X)
    seen = []
    model = made(LSTM(5))
    forward = model.layers[1].forward

    def keep(x, mask=None, training=False):
        y = forward(x, mask, training)
        if not training:
            seen.append(y)
        return y

    model.layers[1].forward = keep
    model.evaluate(X[:16], Y[:16], batch_size=8, callbacks=LambdaCallback(on_test_batch_end=at))
    np.testing.assert_array_equal(seen[1], changed[8:16])


FIRST = {
    "LSTM": lambda: [LSTM(5)],
    "Masking below": lambda: [Masking(), Dropout(0.1), LSTM(5)],
    "two": lambda: [LSTM(5, return_sequences=True), GRU(4)],
    "backwards": lambda: [LSTM(5, go_backwards=True, return_sequences=True), GRU(4)],
    "Bidirectional": lambda: [Bidirectional(LSTM(5))],
    "both apart": lambda: [Bidirectional(LSTM(5, dropout=0.1))],
    "Dense": lambda: [Dense(4, activation="relu"), LSTM(5)],
    "TimeDistributed": lambda: [TimeDistributed(Dense(4, activation="tanh")), Flatten()],
    "TimeDistributed LSTM": lambda: [Activation("tanh"), Flatten()],
}


@pytest.mark.parametrize("layers", FIRST.values(), ids=FIRST.keys())
def test_gradients_are_those_with_the_gradient_of_x(layers, monkeypatch):
    gradients = []
    for whole in (False, True):
        if whole:
            for base in (Layer, Recurrent, Dense, Bidirectional, TimeDistributed):
                monkeypatch.setattr(base, "backward_weights", lambda self, dy: self.backward(dy))
        model = made(*layers())
        model.train_on_batch(X, Y)
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_gradient_of_the_data_is_not_computed(calls):
    made(Masking(), LSTM(5, return_sequences=True), Dropout(0.1), GRU(4)).train_on_batch(X, Y)
    assert calls["lstm_backward"] == [False]
    assert calls["gru_backward"] == [True]
    made(Bidirectional(LSTM(5))).train_on_batch(X, Y)
    assert calls["stack_backward"] == [False]
    made(TimeDistributed(Dense(4)), LSTM(3)).train_on_batch(X, Y)
    assert calls["lstm_backward"] == [False, True]


def test_layers_below_the_first_weights_keep_nothing():
    model = made(Masking(), Dropout(0.5), LSTM(5))
    model.train_on_batch(X, Y)
    assert all(layer._cache is None for layer in model.layers)


def test_a_layer_of_a_users_own_hears_of_its_gradient():
    class Listens(Dropout):
        heard = 0

        def backward(self, dy):
            self.heard += 1
            return super().backward(dy)

    first = Listens(0.1)
    model = made(first, LSTM(5))
    model.train_on_batch(X, Y)
    assert first.heard == 1


def test_an_embedding_and_a_model_of_one_layer():
    model = Sequential([Embedding(7, 3), LSTM(4), Dense(2)])
    model.compile("sgd", "mse")
    model.fit(RNG.integers(0, 7, (40, 6)), Y, verbose=0)
    alone = Sequential([Dense(2, activation="softmax")])
    alone.compile("sgd", "categorical_crossentropy")
    alone.fit(X[:, 0], np.eye(2, dtype=np.float32)[RNG.integers(0, 2, 40)], verbose=0)
    assert alone.layers[0].kernel.grad is not None
