"""Penalties on weights: values, gradients, in the loss of a model, in its files."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Embedding,
    IndRNN,
    Sequential,
    load_model,
    regularizers,
    set_random_seed,
)
from fastrnn.regularizers import L1, L1L2, L2, Regularizer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 4, 3)).astype(np.float32)
Y = RNG.standard_normal((20, 2)).astype(np.float32)
W = np.array([[1.0, -2.0], [0.0, 3.0]])


def test_by_hand():
    assert L1(0.5)(W) == 3.0
    assert L2(0.5)(W) == 7.0
    assert L1L2(0.1, 0.01)(W) == pytest.approx(0.6 + 0.14)
    np.testing.assert_allclose(L1L2(0.5, 0.25).gradient(W), [[1.0, -1.5], [0.0, 2.0]])
    assert L2().gradient(W.astype(np.float32)).dtype == np.float32
    assert (L1().l1, L2().l2, L1L2().get_config()) == (0.01, 0.01, {"l1": 0.0, "l2": 0.0})


def test_names_and_errors():
    assert regularizers.get(None) is None
    assert repr(regularizers.get("l2")) == "L2(l2=0.01)"
    again = regularizers.get(regularizers.serialize(L1L2(0.1, 0.2)))
    assert again is not None
    assert again.get_config() == {"l1": 0.1, "l2": 0.2}
    with pytest.raises(ValueError, match=r"^l2: expected a number >= 0, got -1$"):
        L2(-1)
    with pytest.raises(ValueError, match=r"^regularizer: expected one of 'l1', 'l2', 'l1_l2', got 'l3'"):
        Dense(2, kernel_regularizer="l3")


LAYERS = {
    "Dense": (lambda r: Dense(5, kernel_regularizer=r, bias_regularizer=r), ["kernel", "bias"]),
    "LSTM": (
        lambda r: LSTM(5, kernel_regularizer=r, recurrent_regularizer=r, bias_regularizer=r),
        ["w_ih", "w_hh", "b_ih"],
    ),
    "GRU": (lambda r: GRU(5, return_sequences=True, bias_regularizer=r), ["b_ih", "b_hh"]),
    "IndRNN": (lambda r: IndRNN(5, recurrent_regularizer=r), ["w_hh"]),
    "Bidirectional": (lambda r: Bidirectional(LSTM(5, recurrent_regularizer=r)), ["w_hh", "w_hh"]),
}


@pytest.mark.parametrize(("make", "names"), LAYERS.values(), ids=LAYERS.keys())
def test_loss_and_gradients(make, names):
    """What training minimises is the loss without them and each penalty once."""
    found = []
    for regularizer in (None, L1L2(0.02, 0.03)):
        set_random_seed(1)
        first = make(regularizer)
        sequences = len(first.compute_output_shape((None, 4, 3))) == 3
        model = Sequential([first, *([GRU(3)] if sequences else []), Dense(2)])
        model.compile("sgd", "mse")
        model.build((None, 4, 3))
        for parameter in model.parameters():
            parameter.assign(np.random.default_rng(parameter.size).standard_normal(parameter.shape) * 0.3)
        before = {p.name.rpartition("/")[2] + str(k): p.value.copy() for k, p in enumerate(model.parameters())}
        tested, loss = model.evaluate(X, Y), model.train_on_batch(X, Y)
        assert tested == pytest.approx(loss, rel=1e-6)
        found.append((loss, [p.grad for p in model.parameters()], before))
    (plain, gradients, weights), (loss, with_them, _) = found
    penalty = L1L2(0.02, 0.03)
    left = list(names)
    total = 0.0
    for (name, weight), gradient, other in zip(weights.items(), gradients, with_them, strict=True):
        if name.rstrip("0123456789") in left:
            left.remove(name.rstrip("0123456789"))
            total += penalty(weight)
            np.testing.assert_allclose(other, gradient + penalty.gradient(weight), rtol=1e-6, atol=1e-7)
        else:
            np.testing.assert_array_equal(other, gradient)
    assert not left
    assert loss == pytest.approx(plain + total, rel=1e-6)


def test_frozen_weights_count_for_nothing():
    model = Sequential([Dense(2, kernel_regularizer=L2(100.0), trainable=False, input_shape=(3,))])
    model.compile("sgd", "mse")
    x = X[:, 0]
    assert model.evaluate(x, Y) == pytest.approx(float(np.mean((model.predict(x) - Y) ** 2)), rel=1e-5)


def test_an_embedding_a_file_and_one_of_a_users_own(tmp_path):
    class Far(Regularizer):
        """Draws weights to 1."""

        def __call__(self, weight):
            return 0.5 * float(np.sum((weight - 1) ** 2))

        def gradient(self, weight):
            return weight - 1

    model = Sequential([Embedding(7, 3, embeddings_regularizer="l1"), LSTM(4, kernel_regularizer=L2(0.5)), Dense(2)])
    model.compile("sgd", "mse")
    tokens = RNG.integers(0, 7, (20, 5))
    model.fit(tokens, Y, verbose=0)
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert again.get_config() == model.get_config()
    assert again.evaluate(tokens, Y) == model.evaluate(tokens, Y)
    plain = Dense(2)
    assert not any("regularizer" in key for key in plain.get_config())  # older versions read such files
    own = Sequential([Dense(2, bias_regularizer=Far(), input_shape=(3,))])
    own.compile("sgd", "mse")
    own.fit(0 * X[:, 0], 0 * Y, epochs=300, verbose=0)
    assert 0.3 < own.layers[0].bias.value.min() < 1
