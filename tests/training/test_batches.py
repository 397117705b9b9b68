"""Batches as people have them: lists of pairs, and Sequences as Keras has them."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import LSTM, Dense, Input, Sequential, losses, set_random_seed

T, C, FEATURES = 4, 2, 3


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((5, T, FEATURES)).astype("float32"), rng.standard_normal((5, C))) for _ in range(3)]


def model_of(optimizer="sgd"):
    set_random_seed(7)
    model = Sequential([Input((None, FEATURES)), LSTM(4), Dense(C)])
    model.compile(optimizer, "mse")
    return model


class Indexed:
    """A Keras-like Sequence: no end but its length."""

    def __init__(self, batches):
        self.batches, self.passes, self.read = batches, 0, []

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        self.read.append(index)
        return self.batches[index % len(self.batches)]

    def on_epoch_end(self):
        self.passes += 1


class Keras3(Indexed):
    """keras.utils.PyDataset can be gone through, too."""

    def __iter__(self):
        return (self[index] for index in range(len(self)))


@pytest.mark.parametrize("kind", [list, tuple, Indexed, Keras3])
def test_fit_evaluate_and_validation_take_them(kind, batches):
    by_hand, model = model_of(), model_of()
    for _ in range(2):
        for x, y in batches:
            by_hand.train_on_batch(x, y)
    history = model.fit(kind(batches), epochs=2, verbose=0, validation_data=list(batches))
    for mine, theirs in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    expected = np.mean([by_hand.test_on_batch(x, y) for x, y in batches])
    assert history.history["val_loss"][1] == pytest.approx(expected, rel=1e-6)
    assert model.evaluate(kind(batches)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", [Indexed, Keras3])
def test_a_sequence_hears_of_the_end_of_each_pass(kind, batches):
    data = kind(batches)
    model = model_of()
    model.fit(data, epochs=2, verbose=0)
    assert (data.passes, data.read) == (2, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(model.predict(data), np.concatenate([model.predict(x) for x, _ in batches]))
    model.fit(data, epochs=2, steps_per_epoch=2, verbose=0)
    assert (data.passes, data.read[9:]) == (5, [0, 1, 2, 0])


@pytest.mark.parametrize("x", [{"x": 1}, "data.csv", {1, 2}.__len__], ids=["dict", "str", "method"])
def test_what_is_neither(x):
    with pytest.raises((TypeError, ValueError), match=r"^x: expected|^y: expected"):
        model_of().fit(x, verbose=0)


def test_batches_have_a_size_already(batches):
    model = model_of()
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"^batch_size: expected None when x is an iterable of batches, got 2$"):
            call(batches, batch_size=2)
    x, y = batches[0]
    model.fit(x, y, batch_size=2, validation_data=batches, verbose=0)  # which is of x and y alone


def test_lists_of_numbers_are_arrays_as_ever():
    x = np.random.default_rng(0).standard_normal((6, T, FEATURES)).tolist()
    y = [[0.0, 1.0]] * 6
    model = model_of()
    model.fit(x, y, verbose=0, validation_data=[x, y])
    assert model.predict(x).shape == (6, C)
    with pytest.raises(ValueError, match="y: expected targets, got None"):
        model.fit(x, verbose=0)


# -- losses of one's own -----------------------------------------------------------------------------------------------


def test_a_loss_from_a_function_says_what_it_needs(batches):
    def squares(y_true, y_pred):
        return np.square(y_pred - y_true).mean(axis=-1)

    def with_gradient(y_true, y_pred):
        return squares(y_true, y_pred), (y_pred - y_true) * (2 / y_pred.shape[-1])

    x, y = batches[0]
    model, named = Sequential([Dense(C)]), Sequential([Dense(C)])
    model.compile("sgd", squares)
    with pytest.raises(
        TypeError, match=r"expected squares to return \(values, gradient\), got ndarray; nothing is diff"
    ):
        model.fit(x[:, 0], y, verbose=0)
    named.compile("sgd", "mse")
    for each, loss in ((model, with_gradient), (named, "mse")):
        each.compile("sgd", loss)
        each.build((None, FEATURES))
        each.set_weights([np.full((FEATURES, C), 0.5), np.zeros(C)])
        each.fit(x[:, 0], y, verbose=0, epochs=2, shuffle=False)
    np.testing.assert_allclose(model.get_weights()[0], named.get_weights()[0], rtol=1e-6)


def test_a_loss_class_says_what_it_lacks(batches):
    class KerasLike(losses.Loss):
        def call(self, y_true, y_pred):
            return y_pred

    x, y = batches[0]
    model = Sequential([Dense(C)])
    model.compile("sgd", KerasLike())
    with pytest.raises(
        NotImplementedError, match=r"KerasLike: a loss of your own needs a method values\(y_true, y_pred"
    ):
        model.fit(x[:, 0], y, verbose=0)
