"""Saving and loading: bit-equal round trips, resumed training, damaged files, interrupted writes."""

from __future__ import annotations

import json
import os
import re
import sys

import numpy as np
import pytest

from fastrnn import config, io, losses, optimizers
from fastrnn.base_layer import LAYERS
from fastrnn.io import load_model, save_model
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
)  # fmt: skip
from fastrnn.model import Sequential

B, T, I, C = 6, 4, 3, 2  # noqa: E741 - I is the input size everywhere
SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return request.param


@pytest.fixture
def data():
    config.set_random_seed(2)
    rng = np.random.default_rng(1)
    return rng.standard_normal((B, T, I)).astype(np.float32), np.eye(C, dtype=np.float32)[rng.integers(0, C, B)]


def classifier():
    model = Sequential([LSTM(5), Dense(C, activation="softmax")], name="net")
    model.compile(optimizers.Adam(0.01, clipnorm=1.0), "categorical_crossentropy", ["accuracy"], ["mae"])
    return model


def trained(data):
    model = classifier()
    model.fit(*data, epochs=2, batch_size=4, verbose=0)
    return model


def rewrite(path, target, change):
    """Copy an .npz model with `change(header, arrays)` applied."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays.pop("fastrnn")))
    change(header, arrays)
    np.savez(target, fastrnn=np.array(json.dumps(header)), **arrays)
    return target


def test_round_trip_is_bit_equal_and_training_goes_on(tmp_path, suffix, data):
    model = trained(data)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    again = load_model(path)
    assert again.get_config() == model.get_config()
    assert again.get_compile_config() == model.get_compile_config()
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))
    assert again.evaluate(*data) == model.evaluate(*data)
    histories = [m.fit(*data, epochs=3, shuffle=False, verbose=0).history for m in (model, again)]
    assert histories[0] == histories[1]  # Adam's moments and step counter came along
    assert again.optimizer.iterations == model.optimizer.iterations == 7
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


STACKS = [
    lambda: [Masking(), Bidirectional(LSTM(3, return_sequences=True)), TimeDistributed(Dense(2))],
    lambda: [GRU(3, reset_after=False, go_backwards=True), Dense(2, use_bias=False)],
    lambda: [LSTM(3, peephole="full", return_sequences=True), SimpleRNN(2, activation="relu")],
    lambda: [Bidirectional(GRU(2), backward_layer=LSTM(3, go_backwards=True)), Dense(1)],
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stack", STACKS)
def test_every_kind_of_layer(tmp_path, suffix, stack, dtype, data):
    config.set_floatx(dtype)
    try:
        model = Sequential(stack())
    finally:
        config.set_floatx("float32")
    expected = model.predict(data[0])
    model.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    assert again.predict(data[0]).dtype == dtype
    np.testing.assert_array_equal(again.predict(data[0]), expected)
    assert not again.compiled


def test_embedding_and_declared_shape(tmp_path, data):
    model = Sequential([Input((None,)), Embedding(5, 2, mask_zero=True), GRU(2)])
    x = np.array([[1, 2, 0], [4, 0, 0]])
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.input_shape == (None, None)
    with pytest.raises(ValueError, match=r"x: expected shape \(None, None\), got \(2, 3, 1\)"):
        again.predict(x[..., None])


def test_without_optimizer_and_without_compile(tmp_path, suffix, data):
    model = trained(data)
    model.save(tmp_path / f"a{suffix}", include_optimizer=False)
    assert not load_model(tmp_path / f"a{suffix}").compiled
    model.save(tmp_path / f"b{suffix}")
    assert not load_model(tmp_path / f"b{suffix}", compile=False).compiled
    assert os.path.getsize(tmp_path / f"a{suffix}") < os.path.getsize(tmp_path / f"b{suffix}")


def test_a_loss_function_cannot_be_saved_and_says_so(tmp_path, data):
    model = Sequential([Dense(1)])
    model.compile("sgd", lambda y, p: (((p - y) ** 2)[..., 0], 2 * (p - y)))
    model.predict(data[0])
    with pytest.warns(UserWarning, match="saved without its training state: loss: expected a fastrnn Loss"):
        model.save(tmp_path / "m.npz")
    assert not load_model(tmp_path / "m.npz").compiled


def test_configured_loss_and_frozen_layers_survive(tmp_path, suffix, data):
    model = Sequential([LSTM(2, trainable=False), Dense(C)])
    model.compile("sgd", losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2), ["accuracy"])
    model.fit(*data, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    assert again.loss.get_config() == model.loss.get_config()
    assert [m.name for m in again.metrics] == ["accuracy"]
    assert len(again.trainable_weights) == 2
    assert again.evaluate(*data) == model.evaluate(*data)


# -- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["write", "replace"])
def test_an_interrupted_save_leaves_the_old_file(tmp_path, suffix, data, monkeypatch, where):
    model = trained(data)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    old = path.read_bytes()
    model.fit(*data, verbose=0)

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync" if where == "write" else "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]
    model.save(path)
    assert path.read_bytes() != old
    assert os.listdir(tmp_path) == [path.name]


def test_save_errors(tmp_path, data, monkeypatch):
    model = trained(data)
    with pytest.raises(ValueError, match=r"path: expected a name ending in .npz or .safetensors, got '.*m.h5'"):
        model.save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="model: expected a built model"):
        save_model(classifier(), tmp_path / "m.npz")
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "none" / "m.npz")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install fastrnn\[io\]"):
        model.save(tmp_path / "m.safetensors")
    with pytest.raises(ImportError, match=r"pip install fastrnn\[io\]"):
        load_model(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []


# -- reading ---------------------------------------------------------------------------------------------------------


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


def test_model_checkpoint_uses_save(tmp_path, data):
    from fastrnn.callbacks import ModelCheckpoint

    model = classifier()
    path = tmp_path / "best.npz"
    model.fit(*data, epochs=3, validation_data=data, callbacks=[ModelCheckpoint(str(path))], verbose=0)
    np.testing.assert_array_equal(io.load_model(path).predict(data[0]), model.predict(data[0]))


# -- the entry that C++ reads ------------------------------------------------------------------------------------------


def native_entry(path):
    import safetensors

    with safetensors.safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["fastrnn.native"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def saved_entry(tmp_path, layers, shape=(None, I)):
    Sequential([Input(shape), *layers]).save(tmp_path / "m.safetensors")
    return native_entry(tmp_path / "m.safetensors")[0]


def test_the_native_entry_says_what_the_layers_are(tmp_path):
    layers = [
        LSTM(5, return_sequences=True, peephole="diagonal", projection_units=3, layer_norm=True, clip=2, dropout=0.5),
        Dropout(0.3),
        GRU(4, recurrent_activation=("hard_sigmoid", 0.2, 0.5), reset="before", zoneout_h=0.1, weight_dropout=0.5),
        Dense(C, activation="relu6", use_bias=False, name="dense"),
        Activation("softmax"),
    ]
    model = Sequential([Input((None, I)), *layers])
    model.save(tmp_path / "m.safetensors")
    entry, arrays = native_entry(tmp_path / "m.safetensors")
    assert list(entry) == ["version", "layers"]  # the version comes first
    assert entry["version"] == 1
    lstm, gru, dense, *functions = entry["layers"]
    assert {key: lstm[key] for key in ("kind", "cell", "dtype", "inputs", "hidden", "outputs")} == {
        "kind": "recurrent", "cell": "lstm", "dtype": "F32", "inputs": I, "hidden": 5, "outputs": 3,
    }  # fmt: skip
    assert lstm["options"] == {
        "activation": "tanh", "recurrent_activation": "sigmoid", "peephole_output": "current", "coupled": False,
        "clip": 2.0,
    }  # fmt: skip
    assert set(lstm["arrays"]) == {"w_ih", "w_hh", "b_ih", "w_peep", "w_hr", "ln_ih", "ln_hh", "ln_c"}
    for name, key in lstm["arrays"].items():
        np.testing.assert_array_equal(arrays[key], layers[0]._native[name].value)
    assert gru["options"] == {
        "activation": "tanh", "recurrent_activation": ["hard_sigmoid", 0.2, 0.5], "reset": "before", "zoneout_h": 0.1,
    }  # fmt: skip
    assert dense == {
        "kind": "dense", "dtype": "F32", "inputs": 4, "outputs": C, "arrays": {"kernel": "layers/3/dense/kernel"},
    }  # fmt: skip
    assert functions == [
        {"kind": "activation", "activation": ["hard_sigmoid", 1 / 6, 0.0]},
        {"kind": "activation", "activation": ["affine", 6.0, 0.0]},
        {"kind": "softmax"},
    ]


REFUSED = {
    "bidirectional": ([Bidirectional(LSTM(2))], "layer 0 .*, Bidirectional: .* from its end"),
    "backwards": ([Dense(2), GRU(2, go_backwards=True)], "layer 1 .*, GRU: go_backwards: it begins at the end"),
    "masking": ([Masking(), LSTM(2)], "layer 0 .*, Masking: a stream has no padded steps; a model without it"),
    "repeat": ([LSTM(2), RepeatVector(3), GRU(2)], "layer 1 .*, RepeatVector: it makes several steps"),
    "activation_first": ([Activation("relu"), LSTM(2)], "layer 0 .*: expected a layer with weights to come first"),
    "log_softmax": ([LSTM(2), Dense(2, activation="log_softmax")], "layer 1 .*, Dense: log_softmax"),
    "nothing": ([Dropout(0.5)], "no layer with weights"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_step_by_step_says_why(tmp_path, case):
    layers, message = REFUSED[case]
    entry = saved_entry(tmp_path, layers)
    assert list(entry) == ["version", "refused"]
    assert re.search(message, entry["refused"])


def test_layers_of_other_shapes_and_classes_are_refused(tmp_path):
    assert "Embedding: its inputs are integers" in saved_entry(tmp_path, [Embedding(5, 2), GRU(2)], (None,))["refused"]
    assert "Flatten: it makes one vector" in saved_entry(tmp_path, [Dense(2), Flatten()], (4, I))["refused"]
    assert "a step of a stream is a vector" in saved_entry(tmp_path, [Dense(2)], (4, 3, I))["refused"]
    assert [e["kind"] for e in saved_entry(tmp_path, [LSTM(2), Flatten(), Dense(2)])["layers"]] == [
        "recurrent",
        "dense",
    ]
    assert saved_entry(tmp_path, [TimeDistributed(Dense(2, activation="relu"))])["layers"][1]["activation"] == "relu"

    class Twice(Dense):
        def forward(self, x, mask=None, training=False):
            return 2 * super().forward(x, mask, training)

    assert "Twice: it has no native form" in saved_entry(tmp_path, [Twice(2)])["refused"]


def arrays_of(rng, *shapes, dtype=np.float32):
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def test_save_layers(tmp_path):
    rng = np.random.default_rng(3)
    w_ih, w_hh, w_peep = arrays_of(rng, (8, 3), (8, 2), (3, 2, 2))
    kernel, bias = arrays_of(rng, (2, 4), (4,), dtype=np.float64)
    io.save_layers(
        tmp_path / "m.safetensors",
        [
            {"cell": "lstm", "w_ih": w_ih, "w_hh": w_hh, "b_ih": None, "w_peep": w_peep, "coupled": np.bool_(True),
             "activation": ("elu", 0.5), "output_activation": "linear", "clip": np.float64(2), "cell_clip": np.inf},
            {"kernel": kernel.T.copy().T, "bias": bias, "activation": "softmax"},
            {"activation": ("affine", 2)},
        ],
    )  # fmt: skip
    entry, arrays = native_entry(tmp_path / "m.safetensors")
    lstm, dense, *functions = entry["layers"]
    options = {"coupled": True, "activation": ["elu", 0.5], "output_activation": "identity", "clip": 2.0}
    assert lstm["options"] == options
    assert lstm["arrays"] == {name: f"layers/0/{name}" for name in ("w_ih", "w_hh", "w_peep")}
    assert (dense["dtype"], dense["inputs"], dense["outputs"]) == ("F64", 2, 4)
    assert functions == [{"kind": "softmax"}, {"kind": "activation", "activation": ["affine", 2.0]}]
    for key, array in {"0/w_ih": w_ih, "0/w_hh": w_hh, "0/w_peep": w_peep, "1/kernel": kernel, "1/bias": bias}.items():
        np.testing.assert_array_equal(arrays[f"layers/{key}"], array)
        assert arrays[f"layers/{key}"].dtype == array.dtype
    with pytest.raises(ValueError, match="expected a fastrnn model, found no entry 'fastrnn'"):
        load_model(tmp_path / "m.safetensors")


RNN = {"cell": "rnn", "w_ih": np.zeros((2, 3), np.float32), "w_hh": np.zeros((2, 2), np.float32)}
KERNEL = np.zeros((2, 4), np.float32)
BAD_LAYERS = {
    "empty": ([], "layers: expected at least one layer"),
    "cell": ([{**RNN, "cell": "ran"}], r"layers\[0\]: cell: expected one of .*, got 'ran'"),
    "shape": ([{**RNN, "w_hh": KERNEL}], r"layers\[0\]: w_hh: expected shape \(2, 2\), got \(2, 4\)"),
    "rate": ([{**RNN, "weight_dropout": 0.5}], r"layers\[0\]: weight_dropout: expected None, as it is for training"),
    "dtype": ([{**RNN, "dtype": "int8"}], r"layers\[0\]: dtype: expected None, as whoever loads the file"),
    "nan": ([{**RNN, "b_ih": np.full(2, np.nan, np.float32)}], r"layers\[0\]: b_ih: expected finite numbers"),
    "width": ([RNN, {"kernel": KERNEL.T.copy()}], r"layers\[1\]: expected 2 inputs, the outputs .*, got 4"),
    "first": ([{"activation": "relu"}], r"layers\[0\]: expected a layer with weights to come first"),
    "key": ([RNN, {"kernels": KERNEL}], r"layers\[1\]: expected a key 'cell', 'kernel' or 'activation', got"),
    "no_kernel": ([{"bias": KERNEL[0]}], r"layers\[0\]: kernel: expected shape \(I, O\), got None"),
    "bias": ([{"kernel": KERNEL, "bias": KERNEL[0, :2]}], r"layers\[0\]: bias: expected shape \(4,\), got \(2,\)"),
    "activation": ([{"kernel": KERNEL, "activation": "swish"}], r"layers\[0\]: activation: expected one of"),
}
BAD_TYPES = {
    "dict": (RNN, "layers: expected a sequence of dicts, got dict"),
    "layer": ([KERNEL], r"layers\[0\]: expected a dict, got ndarray"),
    "list": ([{"kernel": KERNEL.tolist()}], r"layers\[0\]: kernel: expected a numpy.ndarray, got list"),
    "half": ([{"kernel": KERNEL.astype(np.float16)}], r"layers\[0\]: kernel: expected float32 or float64"),
    "mixed": ([{"kernel": KERNEL, "bias": np.zeros(4)}], r"layers\[0\]: bias: expected float32 \(the dtype"),
    "option": ([{**RNN, "units": 3}], r"layers\[0\]: pack_rnn: unknown keyword 'units'"),
}


@pytest.mark.parametrize("case", [*BAD_LAYERS, *BAD_TYPES])
def test_save_layers_refuses_by_name(tmp_path, case):
    layers, message = BAD_LAYERS.get(case) or BAD_TYPES[case]
    with pytest.raises(ValueError if case in BAD_LAYERS else TypeError, match=message):
        io.save_layers(tmp_path / "m.safetensors", layers)
    with pytest.raises(ValueError, match=r"path: expected a name ending in \.safetensors"):
        io.save_layers(tmp_path / "m.npz", [RNN])
    assert os.listdir(tmp_path) == []
