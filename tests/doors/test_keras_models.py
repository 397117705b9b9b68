"""Keras' models made into fastrnn's and back: live ones, .keras and .h5, those of Keras 2 and of cuDNN's layers."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from fastrnn import GRU, LSTM, Bidirectional, Dense, IndRNN, Input, Sequential
from fastrnn.interop import keras as door
from fastrnn.interop import load, save
from fastrnn.interop.conventions import CONVENTIONS, from_canonical, to_canonical

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 6, 3)).astype(np.float32)
WORDS = RNG.integers(1, 7, (2, 6))
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}
pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras and its backend, about themselves


def randomise(model):
    model.set_weights([(0.5 * RNG.standard_normal(w.shape)).astype(w.dtype) for w in model.get_weights()])
    return model


def deep():
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            L.LSTM(4, return_sequences=True, recurrent_dropout=0.1, name="mine"),
            L.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid"),
            L.Bidirectional(L.GRU(2, return_sequences=True)),
            L.TimeDistributed(L.Dense(5, activation="elu")),
            L.SpatialDropout1D(0.2),
            L.SimpleRNN(4, return_sequences=True, go_backwards=True, use_bias=False),
            L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="ave"),
            L.GRU(3, reset_after=False),
            L.Dense(2),
            L.ReLU(),
            L.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "mse")
    model.fit(X, np.zeros((2, 2)), verbose=0)  # so that the file has an optimizer's state
    return model, X


def chain():
    x = keras.Input((None, 3))
    return keras.Model(x, L.Activation("tanh")(L.Dense(2)(L.LSTM(4)(x)))), X


def words():
    layers = [keras.Input((6,)), L.Embedding(7, 3, mask_zero=True), L.Bidirectional(L.LSTM(4)), L.RepeatVector(2)]
    return keras.Sequential(layers), WORDS


def flat():
    layers = [keras.Input((6, 3)), L.Masking(), L.GRU(4, return_sequences=True), L.Flatten(), L.Dense(2)]
    return keras.Sequential(layers), X


def wide():
    return keras.Sequential([keras.Input((None, 3)), L.LSTM(4, dtype="float64")]), X


@pytest.mark.parametrize("make", [deep, chain, words, flat, wide])
def test_there_and_back(make, tmp_path):
    model, x = make()
    randomise(model)
    expected = np.asarray(model.predict(x, verbose=0))
    ours = door.from_model(model)
    np.testing.assert_allclose(ours.predict(x), expected, **TOLERANCE)
    for name in ("a.keras", "a.h5"):
        model.save(tmp_path / name)
        np.testing.assert_array_equal(load(tmp_path / name).predict(x), ours.predict(x))
        save(ours, tmp_path / f"b{name}")
        again = keras.models.load_model(tmp_path / f"b{name}")
        np.testing.assert_array_equal(np.asarray(again.predict(x, verbose=0)), expected)
        np.testing.assert_array_equal(load(tmp_path / f"b{name}").predict(x), ours.predict(x))


def test_rows_of_the_table():
    cells = (
        ("rnn", L.SimpleRNN(4)),
        ("lstm", L.LSTM(4)),
        ("gru", L.GRU(4)),
        ("gru_before", L.GRU(4, reset_after=False)),
    )
    for cell, layer in cells:
        layer.build((None, None, 3))
        arrays = dict(zip(("w_ih", "w_hh", "b_ih"), layer.get_weights(), strict=True))
        ours = to_canonical(CONVENTIONS["keras"][cell], arrays, 4)
        twin = {"rnn": 1, "gru": 3, "lstm": 4}[cell.partition("_")[0]]
        assert ours["w_ih"].shape == (4 * twin, 3)
        back = from_canonical(CONVENTIONS["keras"][cell], ours, 4)
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[name], array)


def test_stateful_layers():
    model = randomise(keras.Sequential([keras.Input((6, 3), batch_size=2), L.LSTM(4, stateful=True)]))
    ours = door.from_model(model)
    assert ours.layers[0].stateful
    assert ours.input_shape == (2, 6, 3)
    first = np.asarray(model.predict(X, verbose=0))
    np.testing.assert_allclose(ours.predict(X, batch_size=2), first, **TOLERANCE)
    np.testing.assert_allclose(ours.predict(X, batch_size=2), np.asarray(model.predict(X, verbose=0)), **TOLERANCE)


def test_what_keras_has_not_is_folded_or_refused():
    model = Sequential([Input((None, 3)), LSTM(4, forget_bias=1.0)])
    np.testing.assert_allclose(np.asarray(door.to_model(model).predict(X, verbose=0)), model.predict(X), **TOLERANCE)
    for layer, message in (
        (LSTM(2, peephole="diagonal", name="l"), "l: Keras has no cell with the weights w_peep"),
        (LSTM(2, clip=1.0, name="l"), "l: Keras has no cell with clip=1.0"),
        (GRU(2, reset="output", name="l"), "l: Keras has no cell with reset='output'"),
        (GRU(2, activation=("hard_sigmoid", 0.2, 0.5), name="l"), "l: Keras has no cell with activation="),
        (LSTM(2, output_activation="relu", name="l"), "l: Keras has no cell with output_activation='relu'"),
        (Bidirectional(LSTM(2, zoneout_h=0.1, name="l")), "l: Keras has no cell with zoneout_h=0.1"),
        (IndRNN(2, name="l"), "l: expected one of SimpleRNN, GRU, LSTM for Keras, got IndRNN"),
        (LSTM(2, learned_initial_state=True, name="l"), "l: Keras has no cell with the weights c0, h0"),
    ):
        with pytest.raises(ValueError, match=message):
            door.to_model(Sequential([Input((None, 3)), layer]))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [L.UpSampling1D(2)],
            r"layer 'up_sampling1d\w*' \(UpSampling1D\): class_name: expected one of .*, got 'UpSampling1D'",
        ),
        ([L.LSTM(2, activation="gelu")], r"\(LSTM\): activation: expected an activation whose derivative"),
        ([L.LeakyReLU()], r"\(LeakyReLU\): negative_slope: expected 0.2, got 0.3"),
        ([keras.Sequential([L.LSTM(2)])], r"\(Sequential\): class_name: expected one of"),
    ],
)
def test_refuses_layers(layers, message):
    model = keras.Sequential([keras.Input((None, 3)), *layers])
    with pytest.raises(ValueError, match=message):
        door.from_model(model)


def test_refuses_graphs():
    x = keras.Input((None, 3))
    y = L.Dense(3, name="d")(x)
    with pytest.raises(
        ValueError, match=r"layer 'add': expected a chain of layers, its input 'd', got 'input_.*', 'd'"
    ):
        door.from_model(keras.Model(x, L.Add(name="add")([x, y])))
    with pytest.raises(TypeError, match=r"^model: expected a keras\.Model, got int"):
        door.from_model(3)


def test_what_is_for_training_is_named():
    model = keras.Sequential([keras.Input((None, 3)), L.LSTM(2, kernel_regularizer="l2", name="l")])
    with pytest.warns(UserWarning, match="l: kernel_regularizer is for training and is left out"):
        door.from_model(model)


# -- files written by hand, as Keras 2 wrote them ----------------------------------------------------------------------


def old_file(path, layers, weights, version="2.2.4"):
    """A .h5 of Keras 2: a config, and for each layer its arrays under their names."""
    config = {"class_name": "Sequential", "config": {"name": "old", "layers": layers}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        group.attrs["keras_version"] = version.encode()
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, arrays in weights.items():
            own = group.create_group(layer)
            names = [f"{layer}/{name}:0" for name in arrays]
            own.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays.values(), strict=True):
                own[name] = array


@pytest.mark.parametrize(("kind", "cell"), [("CuDNNLSTM", "lstm"), ("CuDNNGRU", "gru")])
def test_layers_of_cudnn(kind, cell, tmp_path):
    """cuDNN's matrices are (H, I) for each gate; Keras 2 wrote their numbers as kernels, and biases in one array."""
    torch = pytest.importorskip("torch")
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](3, 4, batch_first=True)  # has cuDNN's layout
    w_ih, w_hh, b_ih, b_hh = (p.detach().numpy() for p in module.parameters())
    order = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}[cell]  # Keras': i, f, c, o and z, r, h

    def gates(array):
        parts = np.split(array, len(order))
        return [parts[k] for k in order]

    arrays = {
        "kernel": np.concatenate([gate.reshape(3, 4) for gate in gates(w_ih)], axis=1),
        "recurrent_kernel": np.concatenate([gate.reshape(4, 4) for gate in gates(w_hh)], axis=1),
        "bias": np.concatenate([*gates(b_ih), *gates(b_hh)]),
    }
    settings = {"name": "r", "trainable": True, "batch_input_shape": [None, None, 3], "dtype": "float32", "units": 4}
    settings |= {"return_sequences": True, "return_state": False, "go_backwards": False, "stateful": False}
    layers = [{"class_name": kind, "config": settings}]
    old_file(tmp_path / "a.h5", layers, {"r": arrays})
    expected = module(torch.from_numpy(X))[0].detach().numpy()
    np.testing.assert_allclose(door.load(tmp_path / "a.h5").predict(X), expected, **TOLERANCE)
    # the same numbers under the plain layer's class
    plain = {**settings, "activation": "tanh", "recurrent_activation": "sigmoid"}
    plain |= {"reset_after": True} if cell == "gru" else {}
    old_file(tmp_path / "b.h5", [{"class_name": cell.upper(), "config": plain}], {"r": arrays})
    np.testing.assert_allclose(door.load(tmp_path / "b.h5").predict(X), expected, **TOLERANCE)


def test_keras_2_hard_sigmoid(tmp_path):
    """Of slope 0.2, where Keras 3 has 1/6."""
    model = randomise(keras.Sequential([keras.Input((None, 3)), L.LSTM(4)]))
    arrays = dict(zip(("kernel", "recurrent_kernel", "bias"), model.get_weights(), strict=True))
    settings = {"name": "r", "units": 4, "recurrent_activation": "hard_sigmoid", "activation": "tanh"}
    settings |= {"implementation": 1, "unroll": False, "kernel_regularizer": None, "batch_input_shape": [None, None, 3]}
    layers = [{"class_name": "LSTM", "config": settings}]
    old_file(tmp_path / "a.h5", layers, {"r": arrays})
    ours = Sequential([Input((None, 3)), LSTM(4, recurrent_activation=("hard_sigmoid", 0.2, 0.5))])
    ours.set_weights(model.get_weights())
    np.testing.assert_array_equal(door.load(tmp_path / "a.h5").predict(X), ours.predict(X))
    old_file(tmp_path / "b.h5", layers, {"r": arrays}, "3.1.0")
    assert np.abs(door.load(tmp_path / "b.h5").predict(X) - ours.predict(X)).max() > 1e-3


def test_every_array_is_used(tmp_path):
    model = randomise(keras.Sequential([keras.Input((None, 3)), L.LSTM(4), L.Dense(2)]))
    model.save(tmp_path / "a.keras")
    model.save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["model_weights/dense_more/gain"] = np.ones(2)
    with pytest.raises(ValueError, match=r"a\.h5: .*expected every array to belong to a layer, got dense_more/gain"):
        door.load(tmp_path / "a.h5")
    for name, value, message in (
        ("layers/lstm/cell/vars/3", np.ones(2), r"weights: expected 3 arrays for layer \w+, got 4"),
        ("layers/other/vars/0", np.ones(2), r"expected every array to belong to a layer, got layers/other/vars/0"),
        ("layers/lstm/cell/vars/0", np.ones((3, 15), np.float32), r"layer 0 .*expected shape \(3, 16\), got \(3, 15\)"),
        ("layers/lstm/cell/vars/0", h5py.ExternalLink("/etc/passwd", "/"), "expected no links to elsewhere"),
        ("layers/lstm/cell/vars/0", None, "expected numbers that are stored uncompressed"),
    ):
        changed = tmp_path / "b.keras"
        with zipfile.ZipFile(tmp_path / "a.keras") as old, zipfile.ZipFile(changed, "w") as new:
            stored = io.BytesIO(old.read("model.weights.h5"))
            with h5py.File(stored, "r+") as file:
                if name in file:
                    del file[name]
                if value is None:
                    file.create_dataset(name, (2**20, 2**20), np.float32)  # terabytes of nothing
                else:
                    file[name] = value
            for entry in ("config.json", "metadata.json"):
                new.writestr(entry, old.read(entry))
            new.writestr("model.weights.h5", stored.getvalue())
        with pytest.raises(ValueError, match=message):
            door.load(changed)


def test_damaged_files(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"nothing")
    (tmp_path / "a.keras").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.h5: not a readable \.h5 file: .*file signature not found"):
        door.load(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"a\.keras: not a readable \.keras file: File is not a zip file"):
        door.load(tmp_path / "a.keras")
    model = keras.Sequential([keras.Input((None, 3)), L.Dense(2)])
    model.save_weights(tmp_path / "b.weights.h5")
    with pytest.raises(ValueError, match="expected a whole model with its config, got weights alone"):
        door.load(tmp_path / "b.weights.h5")
    with pytest.raises(FileNotFoundError):
        door.load(tmp_path / "none.keras")
    with pytest.raises(ValueError, match=r"^path: expected a name ending in \.keras or \.h5, got"):
        door.save(Sequential([Input((None, 3)), Dense(2)]), tmp_path / "a.tf")


def test_a_config_without_its_class(tmp_path):
    old_file(tmp_path / "a.h5", [], {})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["model_config"] = b'{"config": {}}'
    with pytest.raises(ValueError, match=r"not a readable \.h5 file: no entry 'class_name'"):
        door.load(tmp_path / "a.h5")


def test_a_damaged_heap(tmp_path):
    """Which HDF5's library walks through for ever."""
    path = tmp_path / "a.h5"
    keras.Sequential([keras.Input((None, 3)), L.Dense(2)]).save(path)
    content = bytearray(path.read_bytes())
    heap = content.find(b"GCOL\1\0\0\0")
    assert heap > 0
    for place, value, message in (
        (heap + 24, 2**40, "expected texts without gaps in the heap at"),
        (heap + 8, 2**40, "expected a heap of texts within the file, got one of"),
    ):
        damaged = content.copy()
        damaged[place : place + 8] = value.to_bytes(8, "little")
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            door.load(path)
    damaged = content.copy()
    damaged[heap + 16 : heap + 32] = bytes(16)  # free space of no bytes
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"expected texts without gaps in the heap at .*, got one of 0 bytes"):
        door.load(path)
