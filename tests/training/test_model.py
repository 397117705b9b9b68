"""Sequential: gradients of whole stacks, the fit loop against one by hand, masks and weights in the loss, errors."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from fastrnn import config, load_model, losses, optimizers
from fastrnn.callbacks import Callback, EarlyStopping
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
    SimpleRNN,
    TimeDistributed,
)
from fastrnn.model import Sequential

B, T, I, C = 4, 5, 3, 3  # noqa: E741 - I is the input size everywhere


@pytest.fixture
def rng():
    config.set_random_seed(3)
    return np.random.default_rng(5)


@pytest.fixture
def float64():
    config.set_floatx("float64")
    yield
    config.set_floatx("float32")


def padded(rng):
    """x (B, T, I) with zero padding at the end of some rows; one row is all padding."""
    x = rng.standard_normal((B, T, I))
    for row, length in enumerate((T, 3, 0, 4)):
        x[row, length:] = 0
    return x


def classifier(**options):
    model = Sequential([LSTM(8), Dense(C, activation="softmax")], **options)
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    return model


def toy(rng, n=40):
    """Sequences whose class is the largest of their first step's features."""
    x = rng.standard_normal((n, T, I)).astype(np.float32)
    return x, np.eye(C, dtype=np.float32)[x[:, 0].argmax(axis=1)]


# -- gradients of whole models ---------------------------------------------------------------------------------------

LOSS_CASES = {
    "mse": ("mse", "linear", "real"),
    "mae": ("mae", "linear", "real"),
    "huber": ("huber", "tanh", "real"),
    "cce_fused": ("categorical_crossentropy", "softmax", "one_hot"),
    "cce_logits": (losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), "linear", "one_hot"),
    "cce_not_fused": ("categorical_crossentropy", "sigmoid", "one_hot"),
    "sparse_fused": ("sparse_categorical_crossentropy", "softmax", "labels"),
    "bce_fused": ("binary_crossentropy", "sigmoid", "bits"),
    "bce_softmax": ("binary_crossentropy", "softmax", "bits"),
}


def targets(kind, shape, rng):
    labels = rng.integers(0, shape[-1], shape[:-1])
    return {
        "real": rng.standard_normal(shape),
        "one_hot": np.eye(shape[-1])[labels],
        "labels": labels,
        "bits": rng.integers(0, 2, shape).astype(float),
    }[kind]


def sequence_stack(activation):
    return [
        Masking(),
        Bidirectional(LSTM(3, return_sequences=True)),
        GRU(4, return_sequences=True),
        TimeDistributed(Dense(3, activation="tanh")),
        Dense(C, activation=activation),
    ]


def vector_stack(activation):
    return [
        Masking(),
        Bidirectional(GRU(3, return_sequences=True, reset_after=False), merge_mode="sum"),
        LSTM(4, peephole="diagonal", go_backwards=True),
        Dense(C),
        Activation(activation),
    ]


def check_model_gradient(model, x, y, weight):
    """Compare every parameter's gradient with central differences of the loss which `test_on_batch` reports."""
    seen = []

    class Recorder(optimizers.SGD):
        def apply(self, parameters):
            seen.extend((p, p.grad.copy()) for p in parameters)

    model.compile(Recorder(), model.loss)
    reported = model.train_on_batch(x, y, sample_weight=weight)
    np.testing.assert_allclose(reported, model.test_on_batch(x, y, sample_weight=weight), rtol=1e-12)
    assert len(seen) == len(model.parameters())
    for parameter, gradient in seen:
        flat, numeric = parameter.value.reshape(-1), np.zeros(parameter.size)
        for index in range(flat.size):
            old = flat[index]
            flat[index] = old + 1e-6
            above = model.test_on_batch(x, y, sample_weight=weight)
            flat[index] = old - 1e-6
            below = model.test_on_batch(x, y, sample_weight=weight)
            flat[index] = old
            numeric[index] = (above - below) / 2e-6
        np.testing.assert_allclose(gradient.reshape(-1), numeric, atol=2e-8, err_msg=parameter.name)
    assert max(np.abs(gradient).max() for _, gradient in seen) > 1e-3


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("stack", [sequence_stack, vector_stack])
@pytest.mark.parametrize("case", LOSS_CASES)
def test_gradient_of_a_stack(case, stack, weighted, rng, float64):
    loss, activation, kind = LOSS_CASES[case]
    model, x = Sequential(stack(activation)), padded(rng)
    shape = (B, T, C) if stack is sequence_stack else (B, C)
    y = targets(kind, shape, rng)
    model.compile("sgd", loss)
    check_model_gradient(model, x, y, rng.random(shape[:-1]) if weighted else None)


def test_gradient_of_an_embedding_model(rng, float64):
    model = Sequential([Embedding(6, 3, mask_zero=True), SimpleRNN(4, return_sequences=True), GRU(3), Dense(1)])
    x = np.array([[1, 2, 3, 0, 0], [5, 5, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 4]])
    model.compile("sgd", "mse")
    check_model_gradient(model, x, rng.standard_normal((B, 1)), None)


def test_gradient_of_an_autoencoder(rng, float64):
    stack = [LSTM(3), RepeatVector(T), LSTM(3, return_sequences=True, go_backwards=True), Flatten(), Dense(2)]
    model = Sequential(stack)
    model.compile("sgd", "mse")
    check_model_gradient(model, rng.standard_normal((B, T, I)), rng.standard_normal((B, 2)), None)


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


# -- building, weights, summary --------------------------------------------------------------------------------------


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


# -- errors ----------------------------------------------------------------------------------------------------------


X, Y = np.zeros((8, T, I), np.float32), np.eye(C, dtype=np.float32)[np.arange(8) % C]
BAD = X.copy()
BAD[2, 1, 0] = np.nan

FIT_ERRORS = [
    ((X, Y[:5]), {}, ValueError, "y: expected 8 examples as x has, got 5"),
    ((X,), {}, ValueError, "y: expected targets, got None"),
    ((None, Y), {}, TypeError, "x: expected an array or an iterable of batches, got None"),
    ((BAD, Y), {}, ValueError, r"x: expected finite numbers, got nan at index \(2, 1, 0\)"),
    ((X, Y + np.inf), {}, ValueError, r"y: expected finite numbers, got inf at index \(0, 0\)"),
    ((X, Y[:, :2]), {}, ValueError, r"y_true: expected shape \(8, 3\) .*, got \(8, 2\)"),
    ((X[0], Y[:T]), {}, ValueError, r"x: expected shape \(None, 5, 3\), got \(5, 3\)"),
    ((X[..., :2], Y), {}, ValueError, r"x: expected shape \(None, 5, 3\), got \(8, 5, 2\)"),
    (([[1, 2], [3]], Y[:2]), {}, ValueError, "x: expected an array, got sequences of different lengths"),
    ((np.array(["a", "b"]), Y[:2]), {}, TypeError, "x: expected numbers, got dtype <U1"),
    ((3, Y), {}, ValueError, "x: expected an array of at least one axis, got a scalar"),
    ((X, Y), {"batch_size": 0}, ValueError, "batch_size: expected at least 1, got 0"),
    ((X, Y), {"batch_size": 2.0}, TypeError, "batch_size: expected an integer, got float"),
    ((X, Y), {"epochs": -1}, ValueError, "epochs: expected an integer of at least 0, got -1"),
    ((X, Y), {"validation_split": 1.0}, ValueError, r"validation_split: expected a value in \[0, 1\), got 1.0"),
    ((X, Y), {"validation_split": 0.99}, ValueError, "validation_split: expected to leave both parts examples"),
    ((X, Y), {"sample_weight": np.ones(7)}, ValueError, "sample_weight: expected 8 examples as x has, got 7"),
    (
        (X, Y),
        {"sample_weight": np.ones(8), "class_weight": {0: 1.0}},
        ValueError,
        "class_weight: expected None when sample_weight is given",
    ),
    ((X, Y), {"steps_per_epoch": 2}, ValueError, "steps_per_epoch: expected None when x is an array"),
    ((X, Y), {"callbacks": [3]}, TypeError, "callbacks: expected Callback objects, got int"),
]


@pytest.mark.parametrize(("args", "kwargs", "error", "message"), FIT_ERRORS)
def test_fit_errors_leave_the_model_alone(args, kwargs, error, message):
    model = classifier()
    model.build((None, T, I))
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.fit(*args, verbose=0, **kwargs)
    for got, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_uncompiled_model(method):
    model = Sequential([LSTM(2), Dense(C)])
    with pytest.raises(RuntimeError, match="You must compile your model"):
        getattr(model, method)(X, Y)
    model.compile("sgd")
    with pytest.raises(ValueError, match="loss: expected one to train or test with, got None"):
        getattr(model, method)(X, Y)
    assert model.predict(X).shape == (8, C)


COMPILE_ERRORS = [
    ({"loss": "squares"}, ValueError, "loss: expected one of 'mse'.* got 'squares'"),
    ({"optimizer": "adamm"}, ValueError, "optimizer: expected one of .* got 'adamm'"),
    ({"loss": "mse", "metrics": ["acuracy"]}, ValueError, "metric: expected one of .* got 'acuracy'"),
    ({"loss": "mse", "metrics": ["mae", "mae"]}, ValueError, "metrics: expected different names, got 'mae' twice"),
    ({"loss": 3}, TypeError, "loss: expected .* got int"),
]


@pytest.mark.parametrize(("kwargs", "error", "message"), COMPILE_ERRORS)
def test_compile_errors(kwargs, error, message):
    model = Sequential([Dense(1)])
    with pytest.raises(error, match=message):
        model.compile(**kwargs)
    assert not model.compiled


ADD_ERRORS = [
    (lambda: Sequential([3]), TypeError, "layer: expected a fastrnn layer, got int"),
    (lambda: Sequential([LSTM(2, return_state=True)]), ValueError, "return_state=True gives several outputs"),
    (lambda: Sequential([Bidirectional(LSTM(2), merge_mode=None)]), ValueError, "merge_mode=None gives two outputs"),
    (lambda: Sequential([Dense(2, name="a"), Dense(2, name="a")]), ValueError, "a name not in the model yet, got 'a'"),
    (lambda: Sequential([Dense(2), Embedding(3, 2)]), ValueError, "expected an Embedding to be the first layer"),
    (lambda: Sequential([Dense(2), Input((3,))]), ValueError, "expected an Input to come first and once"),
    (lambda: Sequential([Dense(2), Dense(2, dtype="float64")]), ValueError, "expected dtype float32 as before it"),
    (
        lambda: Sequential([Input((T, I)), LSTM(2), GRU(2)]),
        ValueError,
        r"x: expected shape \(B, T, I\) for layer gru.*, got \(None, 2\)",
    ),
    (lambda: Sequential().build((None, 2)), ValueError, "layers: expected at least one, got an empty Sequential"),
    (lambda: Sequential().predict(X), ValueError, "layers: expected at least one, got an empty Sequential"),
    (lambda: Sequential([Dense(2)]).count_params(), ValueError, "count_params needs a built model"),
    (lambda: Sequential([Dense(2)]).set_weights([]), ValueError, "weights: expected a built model"),
    (lambda: Sequential([Dense(2)]).get_layer("b"), ValueError, "name: no such layer, the model has dense"),
    (lambda: Sequential.from_config({}), ValueError, "model config: expected a dict with a list of layers"),
]


@pytest.mark.parametrize(("make", "error", "message"), ADD_ERRORS)
def test_structure_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_callbacks_end_when_a_step_raises(rng):
    """Open files and progress bars are closed by on_train_end: it must come whatever happens."""
    x, y = toy(rng, 8)
    ended = []

    class Failing(Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("stop here")

        def on_train_end(self, logs=None):
            ended.append(True)

    with pytest.raises(RuntimeError, match="stop here"):
        classifier().fit(x, y, verbose=0, callbacks=[Failing()])
    assert ended == [True]


def test_metadata_goes_where_the_config_goes(tmp_path):
    model = Sequential([Input((I,)), Dense(2)])
    assert "metadata" not in model.get_config()
    model.metadata["classes"] = ["yes", "no"]
    model.save(tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz").metadata == {"classes": ["yes", "no"]}
    with pytest.raises(ValueError, match="model config: expected metadata to be a dict, got list"):
        Sequential.from_config({**model.get_config(), "metadata": [1]})
