"""Errors that say what was probably meant."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, Activation, Bidirectional, Dense, Dropout, Input, Layer, Sequential, TimeDistributed

H, FEATURES = 5, 3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: LSTM(H, actvation="relu"),
            TypeError,
            "LSTM: unknown keyword 'actvation', .*; did you mean 'activation'",
        ),
        (lambda: GRU(H, return_sequence=True), TypeError, "; did you mean 'return_sequences'"),
        (lambda: LSTM(H, Dropout=0.1), TypeError, "; did you mean 'dropout'"),
        (
            lambda: Dense(H, activaton="relu"),
            TypeError,
            "Dense: unknown keyword 'activaton', .*; did you mean 'activation'",
        ),
        (lambda: Dropout(0.1, sed=1), TypeError, "Dropout: unknown keyword 'sed', .*; did you mean 'seed'"),
        (
            lambda: Dense(H, kernel_regularizer="l2"),
            TypeError,
            "Dense: unknown keyword 'kernel_regularizer', expected one",
        ),
        (lambda: Activation("sofmax"), ValueError, "activation: .* got 'sofmax'; did you mean 'softmax'"),
        (lambda: Dense(1, kernel_initializer="glorot_unifrom"), ValueError, "; did you mean 'glorot_uniform'"),
        (lambda: Sequential([Dense(1)]).compile("adm", "mse"), ValueError, "optimizer: .*; did you mean 'adam'"),
        (lambda: Sequential([Dense(1)]).compile("adam", "mse2"), ValueError, "loss: .* got 'mse2'; did you mean 'mse'"),
        (lambda: Sequential([Dense(1)]).compile("sgd", "mse", ["acuracy"]), ValueError, "; did you mean 'accuracy'"),
        (
            lambda: fastrnn.lstm_forward(
                np.zeros((1, 1, FEATURES)), np.zeros((4, FEATURES)), np.zeros((4, 1)), drop_out=0.5
            ),
            TypeError,
            "lstm_forward: unknown keyword 'drop_out', .*; did you mean 'dropout'",
        ),
        (
            lambda: fastrnn.pack_gru(np.zeros((3, FEATURES)), np.zeros((3, 1)), rest="after"),
            TypeError,
            "pack_gru: unknown keyword 'rest', .*; did you mean 'reset'",
        ),
    ],
)
def test_did_you_mean(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_no_hint_where_nothing_is_near():
    with pytest.raises(TypeError, match="unknown keyword 'xyz', ") as caught:
        LSTM(H, xyz=1)
    assert "did you mean" not in str(caught.value)


# -- layers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("below", [LSTM, lambda units, **kwargs: Bidirectional(GRU(units), **kwargs)], ids=["l", "b"])
@pytest.mark.parametrize(
    "above", [lambda: LSTM(H), lambda: Bidirectional(LSTM(H)), lambda: TimeDistributed(Dense(1))], ids=["l", "b", "t"]
)
def test_return_sequences_is_missing(below, above, declared):
    def run():
        model = Sequential([Input((None, FEATURES))] if declared else [])
        model.add(below(H, name="first"))
        model.add(above())
        model.predict(np.zeros((2, 4, FEATURES), "float32"))

    hint = r"\(None, (5|10)\); first gives its last step alone, with return_sequences=True all of them$"
    with pytest.raises(ValueError, match=hint):
        run()


def test_no_hint_for_data_of_the_wrong_shape():
    model = Sequential([LSTM(H, return_sequences=True), LSTM(H)])
    with pytest.raises(ValueError, match=r"^x: expected shape \(B, T, I\) for layer lstm\w*, got \(None, 4\)$"):
        model.predict(np.zeros((2, 4), "float32"))


def test_the_functional_api_is_keras():
    for call in (
        lambda: LSTM(H)(Input((None, FEATURES))),
        lambda: Bidirectional(LSTM(H))(Input((None, FEATURES))),
        lambda: Dense(H)(LSTM(H)),
        lambda: Sequential([Dense(H)])(Input((FEATURES,))),
    ):
        with pytest.raises(
            TypeError, match=r"^x: expected an array .*; layers are put together by fastrnn\.Sequential"
        ):
            call()


def test_a_layer_of_ones_own_says_what_it_lacks():
    class KerasLike(Layer):
        def call(self, x):
            return x

    class NoBackward(Layer):
        def forward(self, x, mask=None, training=False):
            return x

    x, y = np.zeros((2, FEATURES), "float32"), np.zeros((2, 1))
    with pytest.raises(
        NotImplementedError, match=r"KerasLike: .* needs a method forward\(.*; call\(x\), as Keras has it"
    ):
        Sequential([KerasLike()]).predict(x)
    model = Sequential([NoBackward(), NoBackward(), Dense(1)])
    model.compile("sgd", "mse")
    assert model.predict(x).shape == (2, 1)
    with pytest.raises(NotImplementedError, match=r"NoBackward: .* needs a method backward\(dy\), see fastrnn\.Layer$"):
        model.fit(x, y, verbose=0)
