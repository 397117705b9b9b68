"""Saving and loading: bit-equal round trips, and training that goes on from a file."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fastrnn import config, losses
from fastrnn.io import load_model
from fastrnn.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input, Masking, SimpleRNN, TimeDistributed
from fastrnn.model import Sequential
from tests.support.saved_models import C, trained


def test_round_trip_is_bit_equal_and_training_goes_on(tmp_path, suffix, data):
    model = trained(data)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    again = load_model(path)
    assert again.get_config() == model.get_config()
    assert again.get_compile_config() == model.get_compile_config()
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))
    assert again.evaluate(*data) == model.evaluate(*data)
    histories = [m.fit(*data, epochs=3, shuffle=False, verbose=0).history for m in (model, again)]
    assert histories[0] == histories[1]  # Adam's moments and step counter came along
    assert again.optimizer.iterations == model.optimizer.iterations == 7
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


STACKS = [
    lambda: [Masking(), Bidirectional(LSTM(3, return_sequences=True)), TimeDistributed(Dense(2))],
    lambda: [GRU(3, reset_after=False, go_backwards=True), Dense(2, use_bias=False)],
    lambda: [LSTM(3, peephole="full", return_sequences=True), SimpleRNN(2, activation="relu")],
    lambda: [Bidirectional(GRU(2), backward_layer=LSTM(3, go_backwards=True)), Dense(1)],
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stack", STACKS)
def test_every_kind_of_layer(tmp_path, suffix, stack, dtype, data):
    config.set_floatx(dtype)
    try:
        model = Sequential(stack())
    finally:
        config.set_floatx("float32")
    expected = model.predict(data[0])
    model.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    assert again.predict(data[0]).dtype == dtype
    np.testing.assert_array_equal(again.predict(data[0]), expected)
    assert not again.compiled


def test_embedding_and_declared_shape(tmp_path, data):
    model = Sequential([Input((None,)), Embedding(5, 2, mask_zero=True), GRU(2)])
    x = np.array([[1, 2, 0], [4, 0, 0]])
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.input_shape == (None, None)
    with pytest.raises(ValueError, match=r"x: expected shape \(None, None\), got \(2, 3, 1\)"):
        again.predict(x[..., None])


def test_without_optimizer_and_without_compile(tmp_path, suffix, data):
    model = trained(data)
    model.save(tmp_path / f"a{suffix}", include_optimizer=False)
    assert not load_model(tmp_path / f"a{suffix}").compiled
    model.save(tmp_path / f"b{suffix}")
    assert not load_model(tmp_path / f"b{suffix}", compile=False).compiled
    assert os.path.getsize(tmp_path / f"a{suffix}") < os.path.getsize(tmp_path / f"b{suffix}")


def test_a_loss_function_cannot_be_saved_and_says_so(tmp_path, data):
    model = Sequential([Dense(1)])
    model.compile("sgd", lambda y, p: (((p - y) ** 2)[..., 0], 2 * (p - y)))
    model.predict(data[0])
    with pytest.warns(UserWarning, match="saved without its training state: loss: expected a fastrnn Loss"):
        model.save(tmp_path / "m.npz")
    assert not load_model(tmp_path / "m.npz").compiled


def test_configured_loss_and_frozen_layers_survive(tmp_path, suffix, data):
    model = Sequential([LSTM(2, trainable=False), Dense(C)])
    model.compile("sgd", losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2), ["accuracy"])
    model.fit(*data, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    assert again.loss.get_config() == model.loss.get_config()
    assert [m.name for m in again.metrics] == ["accuracy"]
    assert len(again.trainable_weights) == 2
    assert again.evaluate(*data) == model.evaluate(*data)
