"""The model file: what Python writes into it, and that the native reader computes the bits of the functions."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest

import fastrnn
from fastrnn import io
from fastrnn._registry import serialize
from fastrnn.io import load_model
from fastrnn.layers import (
    GRU,
    LSTM,
    MGU,
    SLSTM,
    Activation,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    IndRNN,
    Input,
    Masking,
    RepeatVector,
    SimpleRNN,
    TimeDistributed,
)  # fmt: skip
from fastrnn.layers.base import layer_from_config
from fastrnn.model import Sequential
from tests.support.options import COMBINATIONS, SINGLES, Case, make_case
from tests.support.variants import VARIANTS, make_problem

I, C = 3, 2  # noqa: E741 - I is the input size everywhere


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
    "masking": ([Masking(), LSTM(2)], "layer 0 .*, Masking: lengths take the place of a mask; a model without it"),
    "repeat": ([LSTM(2), RepeatVector(3), GRU(2)], "layer 1 .*, RepeatVector: it makes several steps"),
    "activation_first": ([Activation("relu"), LSTM(2)], "layer 0 .*: expected a layer with weights to come first"),
    "nothing": ([Dropout(0.5)], "no layer with weights"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_native_form_says_why(tmp_path, case):
    layers, message, *shape = REFUSED[case]
    entry = saved_entry(tmp_path, layers, *shape)
    assert list(entry) == ["version", "refused"]
    assert re.search(message, entry["refused"])


def test_layers_of_other_shapes_and_classes_are_refused(tmp_path):
    words = [Embedding(5, 2, mask_zero=True), GRU(2)]
    assert "Embedding: mask_zero: lengths take the place" in saved_entry(tmp_path, words, (None,))["refused"]
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
    with pytest.raises(ValueError, match=r"layer 3: activation: expected one of fastrnn\.activations"):
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
    "key": ([RNN, {"kernels": KERNEL}], r"layers\[1\]: expected a key 'cell', 'kernel', 'kind' or 'activation', got"),
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


# -- what the native reader makes of it --------------------------------------------------------------------------------

CELLS = (*VARIANTS, *(c for c in SINGLES if c.options or c.arrays), *COMBINATIONS)
SIZES = {"hidden": 17, "inputs": 3, "batch": 2, "steps": 19}  # more steps than a session computes at once
OF_TRAINING = ("weight_dropout", "seed")


@pytest.mark.parametrize("variant", CELLS, ids=lambda v: v.id)
def test_a_file_of_any_cell_gives_the_bits_of_its_function(tmp_path, variant):
    make = make_case if isinstance(variant, Case) else make_problem
    problem = make(variant, **SIZES, dtype="float32")
    options = {name: value for name, value in variant.options if name not in OF_TRAINING}
    rng = np.random.default_rng(1)
    kernel, bias = arrays_of(rng, (variant.width(SIZES["hidden"]), 4), (4,))
    io.save_layers(
        tmp_path / "m.safetensors",
        [
            {"cell": variant.cell, **problem.parameters(), **options},
            {"kernel": kernel, "bias": bias, "activation": "relu"},
        ],
    )
    x = rng.standard_normal((SIZES["steps"], SIZES["batch"], SIZES["inputs"])).astype(np.float32)
    for dtype in ("float32", "bfloat16", "bfloat16_weights", "int8"):
        native = fastrnn.Model.load(tmp_path / "m.safetensors", dtype)
        weights = variant.function(fastrnn, "pack")(**problem.parameters(), **options, dtype=dtype)
        y = variant.function(fastrnn, "forward")(x, weights)[0]
        expected = np.maximum(fastrnn._core.matmul(y.reshape(-1, y.shape[-1]), kernel) + bias, 0)
        actual = fastrnn.Session(native, SIZES["batch"]).run(x)
        np.testing.assert_array_equal(actual.reshape(expected.shape), expected, err_msg=dtype)


HEADS = ("elu", "exponential", "hard_sigmoid", "leaky_relu", "relu6", "selu", "softmax", "softplus", "softsign", "tanh")
STREAMED = {
    "lstm": [LSTM(5, peephole="diagonal", layer_norm=True, projection_units=3, output_activation="elu", norm_eps=0.1)],
    "lstm_full": [LSTM(5, peephole="full", peephole_output="previous", coupled=True, clip=0.5, zoneout_h=0.3)],
    "lstm_forget": [LSTM(5, forget_bias=0.7, cell_clip=0.2, activation=("affine", 0.8, 0.1))],
    "gru": [GRU(5, reset="output", activation="leaky_relu"), Flatten()],
    "rnn": [SimpleRNN(5, activation="hard_sigmoid", layer_norm=True)],
    "others": [MGU(5, return_sequences=True), IndRNN(4, return_sequences=True), SLSTM(3, forget_gate="exp")],
    **{f"head_{name}": [SimpleRNN(4), Dense(6, activation=name)] for name in HEADS},
    "convolution": [Conv1D(6, 3, padding="causal", activation="relu"), GRU(4, return_sequences=True), Conv1D(3, 1)],
    "dilated": [Conv1D(5, 3, padding="causal", dilation_rate=2, use_bias=False), Conv1D(4, 2, padding="causal")],
    "every_step": [GRU(4, return_sequences=True), TimeDistributed(Dense(3)), Activation("relu6"), Dropout(0.5)],
}


@pytest.mark.parametrize("case", STREAMED)
def test_a_stream_gives_what_the_model_gives_for_the_sequence_so_far(tmp_path, case):
    fastrnn.set_random_seed(4)
    model = Sequential([Input((None, I)), *(layer_from_config(serialize(layer)) for layer in STREAMED[case])])
    rng = np.random.default_rng(5)
    for parameter in model.parameters():  # all of them matter: biases of zero and gains of one would hide a mistake
        parameter.assign(parameter.value + rng.uniform(-0.5, 0.5, parameter.shape))
    model.save(tmp_path / "m.safetensors")
    x = rng.standard_normal((6, I)).astype(np.float32)
    native = fastrnn.Model.load(tmp_path / "m.safetensors")
    stream = fastrnn.Session(native)
    for t in range(len(x)):
        expected = model.predict(x[None, : t + 1])
        np.testing.assert_allclose(
            stream.step(x[t : t + 1])[0], expected.reshape(-1, expected.shape[-1])[-1], 1e-5, 1e-6
        )
