"""Weights alone, and the files of ModelCheckpoint."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fastrnn import io
from fastrnn.io import load_model
from fastrnn.layers import GRU, LSTM, Bidirectional, Dense, Input, SimpleRNN, TimeDistributed
from fastrnn.model import Sequential
from tests.support.saved_models import B, I, classifier


def stacked(names=(None, None, None), units=3):
    layers = [
        Bidirectional(LSTM(units, return_sequences=True, name=names[0])),
        TimeDistributed(Dense(4, name=names[1])),
        GRU(2, name=names[2]),
    ]
    return Sequential([Input((None, I)), *layers])


def test_weights_alone_go_to_a_model_of_other_names(tmp_path, suffix, data):
    model = stacked()
    model.compile("adam", "mse")
    model.fit(data[0], np.zeros((B, 2)), verbose=0)
    path = tmp_path / f"m.weights{suffix}"
    model.save_weights(path)
    for other in (stacked(), stacked(("a", "b", "c"))):
        assert not np.array_equal(other.predict(data[0]), model.predict(data[0]))
        other.load_weights(path)
        np.testing.assert_array_equal(other.predict(data[0]), model.predict(data[0]))
    with pytest.raises(ValueError, match=r"class_name: expected 'Sequential', got 'Weights'"):
        load_model(path)
    model.save(tmp_path / f"all{suffix}")
    assert os.path.getsize(path) < os.path.getsize(tmp_path / f"all{suffix}")
    again = stacked()
    again.load_weights(tmp_path / f"all{suffix}")
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))


def test_weights_that_do_not_fit_change_nothing(tmp_path, suffix, data):
    path = tmp_path / f"m{suffix}"
    stacked().save_weights(path)
    other = stacked(units=2)
    before = other.get_weights()
    fit = r"m\.(npz|safetensors): "
    with pytest.raises(ValueError, match=fit + r"layers/0/0/w_ih: expected shape \(8, 3\), got \(12, 3\)"):
        other.load_weights(path)
    deeper = stacked()
    deeper.add(Dense(2))
    with pytest.raises(ValueError, match=fit + "missing array 'layers/3/0/kernel'"):
        deeper.load_weights(path)
    shorter = stacked()
    shorter.pop()
    with pytest.raises(ValueError, match=fit + "unexpected array 'layers/2/0/w_ih'"):
        shorter.load_weights(path)
    simple = Sequential([Input((None, I)), Bidirectional(SimpleRNN(3, return_sequences=True))])
    with pytest.raises(ValueError, match=fit + r"layers/0/0/w_ih: expected shape \(3, 3\), got \(12, 3\)"):
        simple.load_weights(path)
    double = Sequential([Input((None, I)), Bidirectional(LSTM(3, dtype="float64"), dtype="float64")])
    with pytest.raises(ValueError, match=fit + "layers/0/0/w_ih: expected dtype float64, got float32"):
        double.load_weights(path)
    for a, b in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_errors(tmp_path, data):
    model = stacked()
    for act in (model.save_weights, model.load_weights):
        with pytest.raises(ValueError, match=r"path: expected a name ending in .npz or .safetensors, got '.*m.h5'"):
            act(tmp_path / "m.h5")
    for act in (classifier().save_weights, classifier().load_weights):
        with pytest.raises(ValueError, match="model: expected a built model"):
            act(tmp_path / "m.npz")
    with pytest.raises(FileNotFoundError):
        model.load_weights(tmp_path / "m.npz")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("weights_only", [False, True])
def test_model_checkpoint_writes_what_can_be_read(tmp_path, suffix, data, weights_only):
    from fastrnn.callbacks import ModelCheckpoint

    model = classifier()
    checkpoint = ModelCheckpoint(tmp_path / ("{epoch}" + suffix), save_weights_only=weights_only)
    model.fit(*data, epochs=2, callbacks=[checkpoint], verbose=0)
    assert sorted(os.listdir(tmp_path)) == [f"1{suffix}", f"2{suffix}"]
    last, first = (classifier() for _ in range(2))
    for other, epoch in ((first, 1), (last, 2)):
        other.build(model.input_shape)
        other.load_weights(tmp_path / f"{epoch}{suffix}")
    np.testing.assert_array_equal(last.predict(data[0]), model.predict(data[0]))
    assert not np.array_equal(first.predict(data[0]), model.predict(data[0]))


def test_model_checkpoint_uses_save(tmp_path, data):
    from fastrnn.callbacks import ModelCheckpoint

    model = classifier()
    path = tmp_path / "best.npz"
    model.fit(*data, epochs=3, validation_data=data, callbacks=[ModelCheckpoint(str(path))], verbose=0)
    np.testing.assert_array_equal(io.load_model(path).predict(data[0]), model.predict(data[0]))
