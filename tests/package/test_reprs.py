"""What everything looks like at a prompt and in a notebook."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest

import fastrnn
from fastrnn import (
    LSTM,
    Dense,
    Input,
    Sequential,
    callbacks,
    data,
    initializers,
    losses,
    metrics,
    optimizers,
    schedules,
)

H, FEATURES = 5, 3


def model_of(name="net"):
    return Sequential([Input((None, FEATURES)), LSTM(H, name="first"), Dense(2, name="<b>last</b>")], name=name)


def packed(dtype="float32"):
    return fastrnn.pack_lstm(np.zeros((4 * H, FEATURES), dtype), np.zeros((4 * H, H), dtype))


def test_models_and_layers():
    model = model_of()
    assert repr(model) == "<Sequential 'net': (None, None, 3) -> (None, 2), 2 layers, 192 params>"
    assert repr(model.layers[0]) == "<LSTM 'first': (None, None, 3), 180 params>"
    assert repr(Sequential([Dense(2, name="d")], name="n")) == "<Sequential 'n': 1 layer, not built>"
    assert repr(Dense(2, name="d")) == "<Dense 'd': not built>"


def test_a_model_in_a_notebook_is_a_table_escaped():
    shown = model_of("<script>")._repr_html_()
    assert shown.startswith("<table>")
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    for cell in ("first (LSTM)", "&lt;b&gt;last&lt;/b&gt; (Dense)", "(None, 5)", "180", "Total params: 192"):
        assert cell in shown
    assert "unbuilt" in Sequential([Dense(2)])._repr_html_()


def test_native_objects():
    weights = packed()
    assert repr(fastrnn.Session(weights, batch=2)) == f"Session({weights!r}, batch=2)"
    model = fastrnn.Model([weights])
    assert repr(fastrnn.StreamPool(model, capacity=8, queue=4)) == f"StreamPool({model!r}, capacity=8, queue=4)"
    x = np.zeros((2, 4, FEATURES), "float32")
    cache = fastrnn.lstm_forward(x, weights, training=True)[-1]
    assert repr(cache) == f"Cache(lstm, 3 -> 5, batch=4, {cache.nbytes} bytes)"
    cache = fastrnn.stack_forward(x, [(weights, weights)], training=True)[-1]
    assert repr(cache) == f"StackCache(layers=1, directions=2, {cache.nbytes} bytes)"


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (lambda: callbacks.EarlyStopping("loss", patience=3), "EarlyStopping(monitor='loss', patience=3)"),
        (lambda: callbacks.ReduceLROnPlateau(), "ReduceLROnPlateau()"),
        (lambda: callbacks.ModelCheckpoint("m.npz", "acc"), "ModelCheckpoint(filepath='m.npz', monitor='acc')"),
        (lambda: callbacks.CallbackList(callbacks.TerminateOnNaN()), "CallbackList([TerminateOnNaN()])"),
        (lambda: losses.Huber(2), "Huber(delta=2.0, reduction='sum_over_batch_size')"),
        (lambda: losses.get(np.square), "FunctionLoss(<ufunc 'square'>)"),
        (lambda: metrics.get("mae"), "MeanAbsoluteError(name='mae', result=0)"),
        (lambda: initializers.get("zeros"), "Zeros()"),
        (
            lambda: schedules.InverseTimeDecay(1, 2, 3, True),
            "InverseTimeDecay(initial_learning_rate=1.0, decay_steps=2.0, decay_rate=3.0, staircase=True)",
        ),
        (lambda: data.CharVocabulary("hello"), "CharVocabulary(4 characters)"),
    ],
)
def test_training(thing, expected):
    assert repr(thing()) == expected


def test_history_shows_the_last_epoch():
    model = model_of()
    model.compile(optimizers.SGD(0.0), "mse")
    history = model.fit(np.zeros((2, 4, FEATURES)), np.ones((2, 2)), epochs=2, verbose=0, validation_split=0.5)
    assert repr(history) == "History(2 epochs, loss=1, val_loss=1)"
    history.on_epoch_end(2, {"note": "slow", "loss": 0.123456})
    assert repr(history) == "History(3 epochs, loss=0.1235, val_loss=1, note='slow')"


def test_nothing_public_shows_its_address():
    modules = [fastrnn, *(importlib.import_module(f"fastrnn.{name}") for name in sorted(fastrnn._MODULES))]
    for module in modules:
        for name in getattr(module, "__all__", ()):
            cls = getattr(module, name)
            if inspect.isclass(cls) and not issubclass(cls, (tuple, Exception)):
                assert cls.__repr__ is not object.__repr__, f"{module.__name__}.{name}"
