"""Models written as ONNX graphs, run by onnxruntime; from PyTorch, too."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from fastrnn import (
    GRU,
    LSTM,
    Activation,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    LayerNormalization,
    Masking,
    MaxPooling1D,
    RepeatVector,
    Sequential,
    SimpleRNN,
    TimeDistributed,
)
from fastrnn.interop import onnx as door
from fastrnn.interop import save
from fastrnn.interop import torch as torch_door
from tests.support.model_files import randomise

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 6, 3)).astype(np.float32)
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("opset", [14, 17, 22, None])
def test_opsets(opset):
    layers = [
        Conv1D(4, 3, padding="causal"), LSTM(4, return_sequences=True), LayerNormalization(), GlobalMaxPooling1D(),
        RepeatVector(2), GRU(3, return_sequences=True), SimpleRNN(3), Dense(2, "softmax"),
    ]  # fmt: skip
    model = randomise(Sequential([Input((None, 3)), *layers]))
    made = door.to_model(model, opset=opset)
    assert made.opset_import[0].version == (opset or onnx.defs.onnx_opset_version())
    for x in (X, X[:1, :2], np.tile(X, (3, 4, 1))):  # batch and time are free
        np.testing.assert_allclose(run(made, x), model(x), **TOLERANCE)


@pytest.mark.parametrize(
    "layers",
    [
        [LSTM(4, return_sequences=True, peephole="diagonal", clip=1.0, learned_initial_state=True), LSTM(2)],
        [LSTM(4, coupled=True), Dense(2, "log_softmax")],
        [LSTM(4, forget_bias=1.0, use_bias=False, activation="relu", output_activation="tanh")],
        [GRU(4, reset_after=False, recurrent_activation="hard_sigmoid", activation="linear", return_sequences=True)],
        [SimpleRNN(4, ("leaky_relu", 0.3), go_backwards=True, return_sequences=True, learned_initial_state=True)],
        [Bidirectional(GRU(4, return_sequences=True)), Bidirectional(LSTM(3))],
        [Bidirectional(GRU(4, return_sequences=True), merge_mode="ave"), Bidirectional(LSTM(3), merge_mode="mul")],
        [Bidirectional(LSTM(4, return_sequences=True), merge_mode="sum"), Dropout(0.5)],
        [TimeDistributed(Dense(4, "leaky_relu")), Activation("relu6"), GRU(2), RepeatVector(3), Flatten()],
        [Dense(4, "softplus"), Dense(4, "softsign"), Dense(4, "elu"), Dense(4, "selu"), Dense(4, "hard_sigmoid")],
        [
            Conv1D(4, 3, padding="causal", dilation_rate=2, activation="tanh"),
            GRU(4, return_sequences=True),
            Conv1D(2, 1),
        ],
        [Conv1D(6, 3, padding="same"), BatchNormalization(), Conv1D(4, 2, padding="same", groups=2, use_bias=False)],
        [Conv1D(6, 4, 3, padding="same"), LayerNormalization(), GlobalAveragePooling1D(), Dense(2)],
        [Conv1D(6, 2, 2), BatchNormalization(center=False, scale=False), GlobalMaxPooling1D(keepdims=True)],
        [MaxPooling1D(2, 1, "same"), AveragePooling1D(4, 3, "same"), LayerNormalization(center=False, scale=False)],
        [MaxPooling1D(2), AveragePooling1D(3, 1), GlobalMaxPooling1D()],
        [Dense(4, "exponential"), Dense(4, "relu"), Dense(4, "sigmoid", use_bias=False)],
    ],
    ids=lambda layers: "-".join(type(layer).__name__ for layer in layers),
)
def test_layers(layers):
    model = randomise(Sequential([Input((None, 3)), *layers]))
    np.testing.assert_allclose(run(door.to_model(model), X), model(X), **TOLERANCE)


def test_words(tmp_path):
    model = randomise(Sequential([Input((None,)), Embedding(7, 3), LSTM(4), Dense(2)]))
    save(model, tmp_path / "a.onnx")
    words = RNG.integers(0, 7, (2, 5))
    np.testing.assert_allclose(run(onnx.load(tmp_path / "a.onnx"), words), model(words), **TOLERANCE)


def test_from_pytorch():
    """torch -> fastrnn -> ONNX -> onnxruntime."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.GRU(3, 5, 2, batch_first=True, bidirectional=True)
    made = door.to_model(torch_door.from_module(module))
    np.testing.assert_allclose(run(made, X), module(torch.from_numpy(X))[0].detach().numpy(), **TOLERANCE)


def test_float64():
    model = randomise(Sequential([Input((None, 3), dtype="float64"), Dense(4, "tanh", dtype="float64")]))
    x = X.astype(np.float64)
    np.testing.assert_allclose(run(door.to_model(model), x), model(x), rtol=1e-12)
    np.testing.assert_allclose(run(door.to_model(model, dtype="float32"), X), model(x), **TOLERANCE)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LSTM(2, projection_units=1, name="l"), "l: ONNX has no cell with the weights w_hr"),
        (LSTM(2, peephole="full", name="l"), "l: ONNX has no cell with peephole='full'"),
        (
            LSTM(2, peephole="diagonal", peephole_output="previous", name="l"),
            "l: ONNX has no cell with peephole_output",
        ),
        (LSTM(2, cell_clip=1.0, name="l"), "l: ONNX has no cell with cell_clip=1.0"),
        (GRU(2, reset="output", name="l"), "l: ONNX has no cell with reset='output'"),
        (GRU(2, activation="selu", name="l"), "l: activation: ONNX's recurrent operators have no 'selu'"),
        (GRU(2, layer_norm=True, name="l"), "l: ONNX has no cell with the weights ln_hh, ln_ih"),
        (GRU(2, stateful=True, name="l"), "l: an ONNX graph carries nothing to the next call"),
        (Masking(name="l"), "l: no ONNX operators do what Masking does"),
    ],
)
def test_refuses(layer, message):
    with pytest.raises(ValueError, match=message):
        door.to_model(Sequential([Input((None, 3)), layer]))


def test_errors(tmp_path):
    model = Sequential([Input((None, 3)), Dense(2)])
    for opset in (13, 10**6):
        with pytest.raises(ValueError, match=rf"^opset: expected 14\.\.\d+, got {opset}"):
            door.to_model(model, opset=opset)
    with pytest.raises(ValueError, match=r"^path: expected a name ending in \.onnx"):
        door.save(model, tmp_path / "a.txt")
    with pytest.raises(TypeError, match=r"^model: expected a fastrnn\.Sequential, got int"):
        door.to_model(3)
    with pytest.raises(ValueError, match=r"^model: expected a built model"):
        door.to_model(Sequential([Dense(2)]))
