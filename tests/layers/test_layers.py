"""The layers around the recurrent ones, and what all layers share: masks, dtypes, configs, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastrnn import config, initializers
from fastrnn.initializers import serialize
from fastrnn.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Masking,
    RepeatVector,
    TimeDistributed,
)
from fastrnn.layers.base import LAYERS, Layer, layer_from_config
from tests.support.layer_problems import D64, MASKS, NORMAL, B, H, I, T


@pytest.fixture
def rng():
    config.set_random_seed(11)
    return np.random.default_rng(7)


def test_embedding(rng):
    layer = Embedding(7, 3, mask_zero=True, dtype="float64")
    x = np.array([[1, 2, 2, 0], [6, 2, 0, 0]])
    y = layer(x, training=True)
    np.testing.assert_array_equal(y, layer.get_weights()[0][x])
    np.testing.assert_array_equal(layer.compute_mask(x, None), x != 0)
    dy = rng.standard_normal(y.shape)
    assert layer.backward(dy) is None
    expected = np.zeros((7, 3))
    np.add.at(expected, x, dy)
    np.testing.assert_allclose(layer.embeddings.grad, expected, rtol=1e-14)
    np.testing.assert_array_equal(layer(x.astype(np.float32)), y)
    with pytest.raises(ValueError, match=r"x: expected values in 0..6 .*, got 7"):
        layer(x + 1)
    with pytest.raises(ValueError, match="got -1"):
        layer(x - 1)
    with pytest.raises(TypeError, match="expected integers"):
        layer(x + 0.5)
    layer(x[:0], training=True)
    layer.backward(np.zeros((0, 4, 3)))
    assert not layer.embeddings.grad.any()


# -- dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_scales_what_it_keeps():
    layer, x = Dropout(0.25, seed=1), np.ones((200, 50), np.float32)
    y = layer(x, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(layer.backward(x), y)
    assert layer(x) is x
    again = Dropout(0.25, seed=1)
    np.testing.assert_array_equal(again(x, training=True), y)
    assert (again(x, training=True) != y).any()


def test_dropout_noise_shape():
    y = Dropout(0.5, noise_shape=(None, 1, None), seed=1)(np.ones((4, 5, 6), np.float32), training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert len(np.unique(y)) == 2


# -- shapes, small layers --------------------------------------------------------------------------------------------


def test_masking():
    layer, x = Masking(-1.0), np.zeros((1, 3, 2), np.float32)
    x[0, 1] = -1
    x[0, 2, 0] = -1
    np.testing.assert_array_equal(layer.compute_mask(x, None), [[True, False, True]])
    np.testing.assert_array_equal(layer(x)[0], [[0, 0], [0, 0], [-1, 0]])
    assert Masking()(x) is x


def test_repeat_vector_and_flatten(rng):
    x = rng.standard_normal((B, I)).astype(np.float32)
    layer = RepeatVector(T)
    y = layer(x, training=True)
    assert y.shape == layer.compute_output_shape((B, I)) == (B, T, I)
    np.testing.assert_array_equal(y[:, 3], x)
    np.testing.assert_array_equal(layer.backward(y[..., :] * 0 + 1), np.full((B, I), T))
    assert Flatten().compute_output_shape((None, T, I)) == (None, T * I)
    assert Flatten().compute_output_shape((None, None, I)) == (None, None)
    np.testing.assert_array_equal(Flatten()(y), y.reshape(B, -1))


def test_mask_after_each_layer(rng):
    x, mask = rng.standard_normal((B, T, I)), MASKS["prefix"]
    assert LSTM(H).compute_mask(x, mask) is None
    np.testing.assert_array_equal(LSTM(H, return_sequences=True).compute_mask(x, mask), mask)
    backwards = LSTM(H, return_sequences=True, go_backwards=True)
    np.testing.assert_array_equal(backwards.compute_mask(x, mask), mask[:, ::-1])
    for layer in (Dense(2), Dropout(0.1), Activation("relu"), TimeDistributed(Dense(2))):
        assert layer.compute_mask(x, mask) is mask
    assert Flatten().compute_mask(x, mask) is None


def test_time_distributed_recurrent_layer(rng):
    layer, x = TimeDistributed(LSTM(H, **NORMAL), **D64), rng.standard_normal((2, 3, T, I))
    y = layer(x)
    assert y.shape == layer.compute_output_shape((2, 3, T, I)) == (2, 3, H)
    np.testing.assert_array_equal(y[1], layer.layer(x[1]))


def test_input_is_cast_to_the_layer_dtype(rng):
    x = rng.integers(0, 2, (B, T, I))
    for array in (x, x.astype(bool), x.astype(np.float64), x.astype(np.float16), x.tolist()):
        assert LSTM(H)(array).dtype == np.float32
    with pytest.raises(TypeError, match="x: expected numbers, got dtype complex128"):
        LSTM(H)(x * 1j)


def test_empty_batch_and_no_steps(rng):
    for layer in (LSTM(H), Bidirectional(GRU(H)), Dense(H)):
        assert layer(np.zeros((0, T, I))).shape[0] == 0
    np.testing.assert_array_equal(GRU(H)(np.zeros((B, 0, I))), np.zeros((B, H)))


# -- configs ---------------------------------------------------------------------------------------------------------

CONFIG_CASES = [
    lambda: Bidirectional(LSTM(H), merge_mode="sum"),
    lambda: Bidirectional(LSTM(H), backward_layer=GRU(H + 1, go_backwards=True)),
    lambda: TimeDistributed(Dense(H, activation="softmax", kernel_initializer="he_normal")),
    lambda: Dropout(0.3, noise_shape=(None, 1, None), seed=2),
    lambda: Embedding(9, 3, mask_zero=True),
    lambda: Masking(-1.0),
    lambda: Activation("elu"),
    lambda: RepeatVector(3),
    lambda: Flatten(),
    lambda: Input((None, 4), batch_size=2),
]


@pytest.mark.parametrize("make", CONFIG_CASES)
def test_config_round_trip(make):
    layer = make()
    again = layer_from_config(serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def test_a_layer_of_ones_own_needs_no_get_config(monkeypatch):
    class Scaled(Layer):
        def __init__(self, factor, axes=(1, 2), initializer="ones", **kwargs):
            super().__init__(**kwargs)
            self.factor, self.axes, self.initializer = factor, tuple(axes), initializers.get(initializer)

    monkeypatch.setitem(LAYERS, "Scaled", Scaled)
    layer = Scaled(3, (0,), "he_normal", name="mine", trainable=False)
    again = layer_from_config(json.loads(json.dumps(serialize(layer))))
    assert (again.factor, again.axes, again.name, again.trainable) == (3, (0,), "mine", False)
    assert again.get_config() == layer.get_config()
    assert again.get_config()["initializer"]["class_name"] == "HeNormal"


def test_floatx_is_the_dtype_of_new_layers():
    config.set_floatx("float64")
    try:
        assert LSTM(H)(np.zeros((B, T, I))).dtype == np.float64
    finally:
        config.set_floatx("float32")
    assert LSTM(H)(np.zeros((B, T, I))).dtype == np.float32
    with pytest.raises(ValueError, match="value: expected one of 'float32', 'float64', got 'float16'"):
        config.set_floatx("float16")


def test_trainable_reaches_the_weights():
    layer = Bidirectional(LSTM(H))
    layer.build((None, None, I))
    layer.trainable = False
    assert not layer.trainable_weights
    assert len(layer.non_trainable_weights) == 6


# -- errors ----------------------------------------------------------------------------------------------------------

CONSTRUCTOR_ERRORS = [
    (lambda: LSTM(0), ValueError, "units: expected at least 1, got 0"),
    (lambda: LSTM(2.5), TypeError, "units: expected an integer, got float"),
    (lambda: LSTM(H, kernel_initializer="good"), ValueError, "initializer: expected one of .* got 'good'"),
    (lambda: LSTM(H, dtype="int32"), ValueError, "dtype: expected one of 'float32', 'float64', got 'int32'"),
    (lambda: LSTM(H, input_shape=(T, 0)), ValueError, "input_shape: expected at least 1, got 0"),
    (lambda: LSTM(H, name=3), TypeError, "name: expected a str, got int"),
    (lambda: Dense(H, activation="foo"), ValueError, "activation: expected one of .* got 'foo'"),
    (lambda: TimeDistributed(3), TypeError, "layer: expected a layer, got int"),
    (lambda: layer_from_config({"class_name": "Foo", "config": {}}), ValueError, "class_name: .* got 'Foo'"),
    (lambda: layer_from_config([1]), ValueError, "layer config: expected a dict"),
    (lambda: layer_from_config({"class_name": "LSTM", "config": {"size": 3}}), ValueError, "unknown key 'size'"),
    (lambda: layer_from_config({"class_name": "LSTM", "config": {}}), ValueError, "LSTM config: .*units"),
    (lambda: config.set_random_seed(-1), ValueError, "seed: expected a value in 0..4294967295, got -1"),
    (lambda: config.set_random_seed(1.0), TypeError, "seed: expected an integer, got float"),
]


@pytest.mark.parametrize(("make", "error", "message"), CONSTRUCTOR_ERRORS)
def test_constructor_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


X = np.zeros((B, T, I), np.float32)
CALL_ERRORS = [
    (LSTM(H), (X[0],), {}, r"x: expected shape \(B, T, I\) for layer .*, got \(6, 4\)"),
    (LSTM(H), (X,), {"mask": np.ones((B, T + 1))}, r"mask: expected shape \(3, 6\), got \(3, 7\)"),
    (LSTM(H), (X,), {"initial_state": [X[:, 0]]}, "initial_state: expected 2 arrays for .*, got 1"),
    (GRU(H), (X,), {"initial_state": [X[:, 0]]}, r"initial_state\[0\]: expected shape \(3, 5\), got \(3, 4\)"),
    (TimeDistributed(Dense(2)), (X[0],), {}, r"x: expected shape \(B, T, ...\)"),
    (RepeatVector(2), (X,), {}, r"x: expected shape \(B, I\)"),
    (Dropout(0.5, noise_shape=(1, 1)), (X,), {"training": True}, "noise_shape: expected 3 axes"),
]


@pytest.mark.parametrize(("layer", "args", "kwargs", "message"), CALL_ERRORS)
def test_call_errors(layer, args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        layer(*args, **kwargs)


def test_features_must_stay_the_same():
    layer = Dense(2)
    layer(X)
    with pytest.raises(ValueError, match=r"x: expected a last axis of 4 for layer .*, got shape \(3, 6, 3\)"):
        layer(X[..., :3])
    with pytest.raises(ValueError, match="input_shape: expected a known last axis"):
        LSTM(H).build((None, T, None))
