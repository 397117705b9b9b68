"""A model has a trainer: it is no kind of one, lives no longer for it, and is pickled as one object."""

from __future__ import annotations

import gc
import inspect
import pickle
import weakref

import numpy as np

from fastrnn import LSTM, Dense, Sequential
from fastrnn.training.trainer import Trainer

X = np.random.default_rng(0).standard_normal((12, 5, 3)).astype(np.float32)
Y = X[:, 0, :2]


def made() -> Sequential:
    model = Sequential([LSTM(4), Dense(2)])
    model.compile("adam", "mse", ["mae"])
    return model


def test_a_model_has_a_trainer_and_is_none():
    assert Sequential.__mro__ == (Sequential, object)
    for name in ("compile", "fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch"):
        method = getattr(Sequential, name)
        assert inspect.signature(method) == inspect.signature(getattr(Trainer, name))
        assert method.__doc__ == getattr(Trainer, name).__doc__


def test_its_attributes_are_those_of_the_trainer():
    model = made()
    assert model.compiled
    model.stop_training = True
    other = made()
    assert not other.stop_training
    assert [m.name for m in model.metrics] == ["mae"]
    optimizer = other.optimizer
    model.optimizer = optimizer  # settable, as ever
    model.fit(X, Y, verbose=0)
    assert optimizer.iterations == 1
    assert model.history.epoch == [0]


def test_a_model_goes_with_its_last_reference():
    gc.disable()
    try:
        model = made()
        model.predict(X)
        gone = weakref.ref(model)
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_a_pickle_is_flat():
    """What was pickled while a model was itself a trainer can be read, and the other way round."""
    model = made()
    model.fit(X, Y, verbose=0)
    state = model.__getstate__()
    assert list(state)[:8] == [
        "compiled", "optimizer", "loss", "metrics", "_unweighted", "stop_training", "history", "_interrupts",
    ]  # fmt: skip
    assert "name" in state
    assert not any(isinstance(value, Trainer) for value in state.values())
    twin = pickle.loads(pickle.dumps(model))
    for one in (model, twin):
        one.fit(X, Y, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
