"""What a Sequential refuses, and that it is left alone by that."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn.callbacks import Callback
from fastrnn.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input
from fastrnn.model import Sequential
from tests.support.models import C, I, T, classifier, toy

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
