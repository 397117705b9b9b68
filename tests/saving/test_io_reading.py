"""Reading a file: what is damaged or of another kind is refused; layers of one's own."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fastrnn.io import load_model
from fastrnn.layers import LSTM, Dense
from fastrnn.layers.base import LAYERS
from fastrnn.model import Sequential
from tests.support.saved_models import C, rewrite


def edit(*keys):
    """Return a function that sets header[keys[0]][keys[1]]... to the last of `keys`."""
    *parents, key, value = keys

    def change(header, arrays):
        for parent in parents:
            header = header[parent]
        header[key] = value

    return change


DAMAGE = {
    "missing": (lambda h, a: a.pop("layers/0/lstm/w_hh"), "missing array 'layers/0/lstm/w_hh'"),
    "superfluous": (lambda h, a: a.update(more=np.zeros(1)), "unexpected array 'more'"),
    "shape": (
        lambda h, a: a.update({"layers/1/dense/bias": np.zeros(3, np.float32)}),
        r"layers/1/dense/bias: expected shape \(2,\), got \(3,\)",
    ),
    "dtype": (
        lambda h, a: a.update({"layers/1/dense/bias": np.zeros(2)}),
        "layers/1/dense/bias: expected dtype float32, got float64",
    ),
    "optimizer_shape": (
        lambda h, a: a.update({"optimizer/0/momentum": np.zeros(3, np.float32)}),
        r"optimizer/0/momentum: expected float32 \(20, 3\), got float32 \(3,\)",
    ),
    "optimizer_position": (lambda h, a: a.update({"optimizer/9/v": np.zeros(3)}), "unexpected array 'optimizer/9/v'"),
    "iterations": (
        lambda h, a: a.update({"optimizer/iterations": np.array(1.5)}),
        "optimizer/iterations: expected an integer",
    ),
    "no_iterations": (lambda h, a: a.pop("optimizer/iterations"), "state: expected a key 'iterations'"),
    "newer": (edit("format_version", 99), "format_version: expected at most 1, got 99 of a newer fastrnn"),
    "version": (edit("format_version", "x"), r"format_version: expected 1..1, got 'x'"),
    "class": (edit("class_name", "Functional"), "class_name: expected 'Sequential', got 'Functional'"),
    "layer": (edit("config", "layers", 0, "class_name", "Foo"), "class_name: expected one of .*, got 'Foo'"),
    "units": (edit("config", "layers", 0, "config", "units", -3), "units: expected at least 1, got -3"),
    "units_type": (edit("config", "layers", 0, "config", "units", "5"), "units: expected an integer, got str"),
    "other_units": (edit("config", "layers", 0, "config", "units", 6), r"expected shape \(24, 3\), got \(20, 3\)"),
    "key": (edit("config", "layers", 0, "config", "size", 1), "LSTM config: unknown key 'size'"),
    "input_shape": (edit("config", "input_shape", [None, 4]), r"x: expected shape \(B, T, I\)"),
    "input_none": (edit("config", "input_shape", None), "config: expected the input_shape of a built model"),
    "input_text": (edit("config", "input_shape", "abc"), "input_shape: expected a tuple, got str"),
    "no_config": (edit("config", None), "model config: expected a dict"),
    "loss": (edit("compile", "loss", "class_name", "Foo"), "loss: expected one of .*, got 'Foo'"),
    "compile": (edit("compile", {}), "compile: expected the keys optimizer"),
}


@pytest.fixture
def saved(tmp_path, data):
    model = Sequential([LSTM(5, name="lstm"), Dense(C, activation="softmax", name="dense")])
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    model.fit(*data, verbose=0)
    model.save(tmp_path / "good.npz")
    return tmp_path / "good.npz"


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_models_are_refused(case, saved):
    change, message = DAMAGE[case]
    bad = rewrite(saved, saved.with_name("bad.npz"), change)
    with pytest.raises(ValueError, match=f"bad.npz: .*{message}"):
        load_model(bad)


def test_files_of_another_kind(tmp_path, suffix, saved):
    path = tmp_path / f"x{suffix}"
    with pytest.raises(FileNotFoundError):
        load_model(path)
    for content in (b"", b"hello", b"PK\x03\x04", saved.read_bytes()[:700]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"not a readable {suffix} file"):
            load_model(path)


def test_arrays_without_a_model(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="expected a fastrnn model, found no entry 'fastrnn'"):
        load_model(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", fastrnn=np.array("{not json"))
    with pytest.raises(ValueError, match="damaged header"):
        load_model(tmp_path / "x.npz")
    np.save(tmp_path / "y.npy", np.zeros(3))
    os.replace(tmp_path / "y.npy", tmp_path / "y.npz")
    with pytest.raises(ValueError, match=r"not a readable \.npz file"):
        load_model(tmp_path / "y.npz")


def test_pickles_are_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    np.savez(tmp_path / "x.npz", fastrnn=np.array(Bomb(), dtype=object))
    with pytest.raises(ValueError, match=r"not a readable \.npz file"):
        load_model(tmp_path / "x.npz")
    assert not (tmp_path / "ran").exists()


def test_a_layer_of_ones_own(tmp_path, data):
    from fastrnn.layers import register_layer

    @register_layer
    class Twice(Dense):
        def forward(self, x, mask=None, training=False):
            return 2 * super().forward(x, mask, training)

    try:
        model = Sequential([Twice(2)])
        expected = model.predict(data[0])
        model.save(tmp_path / "m.npz")
        np.testing.assert_array_equal(load_model(tmp_path / "m.npz").predict(data[0]), expected)
    finally:
        del LAYERS["Twice"]
    with pytest.raises(ValueError, match=r"class_name: expected one of .*, got 'Twice'"):
        load_model(tmp_path / "m.npz")
