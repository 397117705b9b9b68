"""Training a Sequential: the fit loop against one by hand, masks and weights in the loss."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from fastrnn import config, optimizers
from fastrnn.callbacks import Callback, EarlyStopping
from fastrnn.layers import GRU, LSTM, Dense, Dropout, Input, Masking
from fastrnn.model import Sequential
from tests.support.models import B, C, I, T, classifier, padded, toy

# -- masks and weights in the loss -----------------------------------------------------------------------------------


def test_masked_steps_are_out_of_loss_and_metrics(rng):
    model = Sequential([Masking(), LSTM(4, return_sequences=True), Dense(C, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"], weighted_metrics=["mae"])
    x, y = padded(rng), rng.integers(0, C, (B, T))
    model.metrics.pop()  # mae does not fit class numbers; the names are what is tested in the next test
    loss, accuracy = model.evaluate(x, y)
    p, mask = model.predict(x), (x != 0).any(axis=-1)
    values = -np.log(np.take_along_axis(p, y[..., None], -1)[..., 0])
    np.testing.assert_allclose(loss, values[mask].mean(), rtol=1e-5)
    np.testing.assert_allclose(accuracy, (p.argmax(-1) == y)[mask].mean(), rtol=1e-6)
    other = np.where(mask, y, (y + 1) % C)
    np.testing.assert_allclose(model.evaluate(x, other), [loss, accuracy], rtol=1e-6)


def test_sample_weight_reaches_loss_and_weighted_metrics_only(rng):
    x, y = toy(rng)
    w = rng.random(len(x))
    model = classifier()
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["accuracy"])
    result = model.evaluate(x, y, sample_weight=w, batch_size=len(x), return_dict=True)
    p = model.predict(x)
    np.testing.assert_allclose(result["loss"], (((p - y) ** 2).mean(-1) * w).mean(), rtol=1e-5)
    np.testing.assert_allclose(result["mae"], np.abs(p - y).mean(), rtol=1e-5)
    correct = p.argmax(-1) == y.argmax(-1)
    np.testing.assert_allclose(result["accuracy"], (correct * w).sum() / w.sum(), rtol=1e-6)


@pytest.mark.parametrize("form", ["one_hot", "labels", "column"])
def test_class_weight_is_the_sample_weight_of_the_class(form, rng):
    x, one_hot = toy(rng)
    labels = one_hot.argmax(axis=1)
    y = {"one_hot": one_hot, "labels": labels, "column": labels[:, None]}[form]
    weights = {0: 3.0, 2: 0.5}  # class 1 is left out and weighs 1
    results = []
    for options in ({"class_weight": weights}, {"sample_weight": np.array([3.0, 1.0, 0.5])[labels]}):
        config.set_random_seed(1)
        model = classifier()
        model.compile("sgd", "categorical_crossentropy" if form == "one_hot" else "sparse_categorical_crossentropy")
        history = model.fit(x, y, verbose=0, epochs=2, **options)
        results.append((history.history["loss"], model.get_weights()))
    assert results[0][0] == results[1][0]
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


# -- the loop --------------------------------------------------------------------------------------------------------


def test_fit_is_train_on_batch_in_a_loop(rng):
    x, y = toy(rng, 10)
    losses_by_hand, history = [], None
    weights = []
    for by_hand in (True, False):
        config.set_random_seed(9)
        model = classifier()
        model.build((None, T, I))
        if not by_hand:
            history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        else:
            for _ in range(2):
                parts = [(model.train_on_batch(x[i : i + 4], y[i : i + 4])[0], len(x[i : i + 4])) for i in (0, 4, 8)]
                losses_by_hand.append(sum(a * n for a, n in parts) / 10)
        weights.append(model.get_weights())
    np.testing.assert_allclose(history.history["loss"], losses_by_hand, rtol=1e-12)
    assert list(history.history) == ["loss", "accuracy"]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_seed_same_everything(rng):
    x, y = toy(rng)
    runs = []
    for seed in (1, 1, 2):
        config.set_random_seed(seed)
        model = Sequential([LSTM(6, dropout=0.2), Dropout(0.2), Dense(C, activation="softmax")])
        model.compile("adam", "categorical_crossentropy", ["accuracy"])
        history = model.fit(x, y, batch_size=8, epochs=2, validation_split=0.2, verbose=0)
        runs.append((history.history, model.predict(x)))
    assert runs[0][0] == runs[1][0]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_learns(rng):
    x, y = toy(rng, 300)
    model = Sequential([LSTM(16, input_shape=(T, I)), Dense(C, activation="softmax")])
    model.compile(optimizer=optimizers.Adam(0.02), loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=12, batch_size=32, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert model.evaluate(x, y)[1] > 0.85


class Batches(Callback):
    """Record what the model is shown."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append((batch, sorted(logs)))

    def on_test_begin(self, logs=None):
        self.calls.append("test")


@pytest.mark.parametrize(("size", "at"), [(20, 15), (18, 13)])
def test_validation_split_takes_the_last_part(size, at, rng):
    x, y = toy(rng, size)
    model, recorder = classifier(), Batches()
    model.compile(optimizers.SGD(0.0), "categorical_crossentropy", ["accuracy"])
    history = model.fit(x, y, batch_size=6, validation_split=0.25, callbacks=recorder, verbose=0).history
    np.testing.assert_allclose([history["loss"][0], history["accuracy"][0]], model.evaluate(x[:at], y[:at]), rtol=1e-5)
    validation = [history["val_loss"][0], history["val_accuracy"][0]]
    np.testing.assert_allclose(validation, model.evaluate(x[at:], y[at:]), rtol=1e-5)
    assert recorder.calls == ["epoch 0", *((i, ["accuracy", "loss"]) for i in range(3)), "test"]


def test_validation_data_and_frequency(rng):
    x, y = toy(rng)
    model = classifier()
    history = model.fit(x, y, epochs=4, initial_epoch=1, validation_data=(x[:9], y[:9]), validation_freq=2, verbose=0)
    assert history.epoch == [1, 2, 3]
    assert len(history.history["val_loss"]) == 2
    assert history.history["val_loss"][-1] == model.evaluate(x[:9], y[:9], return_dict=True)["loss"]


def test_shuffle_shows_every_example_once_in_a_new_order():
    x = np.arange(10, dtype=np.float32).reshape(10, 1)
    seen = []

    class Spy(Dense):
        def forward(self, x, mask=None, training=False):
            if training:
                seen.append(x[:, 0].tolist())
            return super().forward(x, mask, training)

    model = Sequential([Spy(1)])
    model.compile("sgd", "mse")
    config.set_random_seed(0)
    model.fit(x, x, batch_size=4, epochs=2, verbose=0)
    assert [len(s) for s in seen] == [4, 4, 2] * 2
    epochs = [list(chain(*seen[:3])), list(chain(*seen[3:]))]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1] != list(range(10)) != epochs[0]
    seen.clear()
    model.fit(x, x, batch_size=4, shuffle=False, verbose=0)
    assert list(chain(*seen)) == list(range(10))


def test_early_stopping_restores_the_best_weights(rng):
    x, y = toy(rng)
    model = classifier()
    model.compile(optimizers.SGD(1e3), "mse")  # diverges at once: the first epoch is the best
    stop = EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True, start_from_epoch=0)
    history = model.fit(x, y, epochs=20, validation_data=(x, y), callbacks=[stop], verbose=0).history["val_loss"]
    assert len(history) < 20
    np.testing.assert_allclose(model.evaluate(x, y), min(history), rtol=1e-5)


def test_stop_training_ends_within_the_epoch(rng):
    x, y = toy(rng)

    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    recorder = Batches()
    history = classifier().fit(x, y, batch_size=8, epochs=5, callbacks=[Stop(), recorder], verbose=0)
    assert history.epoch == [0]
    assert [c[0] for c in recorder.calls[1:]] == [0, 1]
    judged = classifier().fit(x, y, batch_size=8, epochs=5, validation_data=(x, y), callbacks=[Stop()], verbose=0)
    assert {len(figures) for figures in judged.history.values()} == {1}
    assert "val_loss" in judged.history  # as Keras: the part of an epoch is judged, too


def test_iterables_of_batches(rng):
    x, y = toy(rng, 12)
    batches = [(x[i : i + 4], y[i : i + 4], np.ones(4)) for i in (0, 4, 8)]

    class Loader:
        def __iter__(self):
            return iter(batches)

    results = []
    for data in ({"x": x, "y": y, "batch_size": 4, "shuffle": False}, {"x": Loader()}, {"x": iter(batches * 2)}):
        config.set_random_seed(4)
        model = classifier()
        if not isinstance(data["x"], (np.ndarray, Loader)):
            data["steps_per_epoch"] = 3
        results.append(model.fit(**data, epochs=2, verbose=0).history)
    assert results[0] == results[1] == results[2]
    results = []
    for x_given in (Loader(), iter(batches * 2)):  # a pass may end anywhere; an iterator that ends is begun anew
        config.set_random_seed(4)
        results.append(classifier().fit(x_given, steps_per_epoch=2, epochs=3, verbose=0).history)
    assert results[0] == results[1]
    np.testing.assert_allclose(model.evaluate(Loader()), model.evaluate(x, y, batch_size=4), rtol=1e-6)
    np.testing.assert_allclose(model.predict(b[0] for b in batches), model.predict(x), rtol=1e-6)
    with pytest.raises(ValueError, match="x: the iterable gave no batch"):
        model.fit(iter(batches), epochs=2, verbose=0)
    with pytest.raises(ValueError, match="x: the iterable ended before steps_per_epoch=4"):
        model.fit(iter(batches), steps_per_epoch=4, verbose=0)
    with pytest.raises(ValueError, match="y: expected None when x is an iterable"):
        model.fit(Loader(), y)
    with pytest.raises(ValueError, match=r"x: expected batches \(x, y\) or .*, got ndarray"):
        model.fit(iter(x), verbose=0)


def test_predict_in_batches(rng):
    x, _ = toy(rng, 11)
    model = classifier()
    whole = model.predict(x, batch_size=100)
    assert whole.shape == (11, C)
    # To the last bit: the kernels promise that a row does not depend on its batch, and Dense goes through them.
    np.testing.assert_array_equal(model.predict(x, batch_size=3), whole)
    np.testing.assert_array_equal(model.predict_on_batch(x), whole)
    np.testing.assert_array_equal(model(x), whole)
    assert model.predict(x[:0]).shape == (0, C)
    assert np.isnan(model.predict(np.full((1, T, I), np.nan))).all()


def test_test_on_batch_and_evaluate_agree(rng):
    x, y = toy(rng)
    model = classifier()
    np.testing.assert_allclose(model.test_on_batch(x, y), model.evaluate(x, y, batch_size=7), rtol=1e-5)
    assert list(model.test_on_batch(x, y, return_dict=True)) == ["loss", "accuracy"]


def test_frozen_layers_stay(rng):
    x, y = toy(rng)
    model = classifier()
    model.build((None, T, I))
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    changed = [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, False, True, True]
    assert len(model.trainable_weights) == 2
    assert len(model.non_trainable_weights) == 3


def test_nothing_is_kept_after_fit_and_predict(rng):
    x, y = toy(rng)
    model = classifier()
    model.fit(x, y, verbose=0)
    assert all(layer._cache is None for layer in model.layers)
    model.predict(x)
    assert all(layer._cache is None for layer in model.layers)


def test_stateful_model(rng):
    model = Sequential([Input((None, I), batch_size=B), GRU(4, stateful=True, return_sequences=True), Dense(1)])
    model.compile("sgd", "mse")
    x = rng.standard_normal((B, T, I)).astype(np.float32)
    whole = model.predict(x)
    model.reset_states()
    halves = [model.predict(x[:, :2]), model.predict(x[:, 2:])]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole)
    with pytest.raises(ValueError, match=r"x: expected shape \(4, None, 3\), got \(2, 5, 3\)"):
        model.predict(x[:2])
