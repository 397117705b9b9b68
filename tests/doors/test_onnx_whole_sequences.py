"""ONNX graphs that need a whole sequence, as native models for `forward`: onnxruntime's numbers, or a refusal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")

from onnx import TensorProto, helper

from fastrnn.interop.onnx import load, read_layers, save
from tests.support.onnx_graphs import ONE, RNG, H, T, by_step, floats, graph, lstm, node, run

CHANNELS_FIRST = (1, 6, "time")
MANY = 300  # steps: more than an example has


def both(kind: str = "LSTM", gates: int = 4) -> dict[str, Any]:
    return {"W": floats(2, gates * H, 6), "R": floats(2, gates * H, H), "B": floats(2, 2 * gates * H)}


def bidirectional(outputs: str = "r", kind: str = "LSTM") -> Any:
    return node(kind, "x W R B", outputs, hidden_size=H, direction="bidirectional")


# (T, 2, 1, H) to (T, 1, 2 * H), as frameworks write it.
JOINED = [node("Transpose", "r", "t", perm=[0, 2, 1, 3]), node("Reshape", "t joined", "j")]
TO_JOIN = {"joined": np.array([0, 0, 2 * H])}

EVERY_STEP: dict[str, Any] = {
    "both directions": lambda: graph([bidirectional(), *JOINED, node("Relu", "j", "y")], both() | TO_JOIN),
    "backwards": lambda: graph(
        [node("GRU", "x W R B", "r", hidden_size=H, direction="reverse"), node("Squeeze", "r one", "y")],
        {"W": floats(1, 3 * H, 6), "R": floats(1, 3 * H, H), "B": floats(1, 6 * H)} | ONE,
    ),
    "activations of each direction": lambda: graph(
        [
            node("RNN", "x W R B", "r", hidden_size=H, direction="bidirectional", activations=["Tanh", "Sigmoid"]),
            *JOINED,
            node("Relu", "j", "y"),
        ],
        both("RNN", 1) | TO_JOIN,
    ),
    "two layers": lambda: graph(
        [
            bidirectional(), *JOINED, node("MatMul", "j down", "d"),
            node("LSTM", "d W R B", "s", hidden_size=H, direction="bidirectional"),
            node("Transpose", "s", "u", perm=[0, 2, 1, 3]), node("Reshape", "u joined", "v"),
            node("LogSoftmax", "v", "y"),
        ],
        both() | TO_JOIN | {"down": floats(2 * H, 6)},
    ),
    "a centred convolution": lambda: graph(
        [node("Conv", "x w b", "c", pads=[3, 3], dilations=[3]), node("Tanh", "c", "y")],
        {"w": floats(4, 6, 3), "b": floats(4)},
        CHANNELS_FIRST,
    ),
    "convolutions that look to both sides": lambda: graph(
        [
            node("Conv", "x w", "a", pads=[0, 2]), node("Conv", "x w", "b", pads=[2, 0]), node("Sub", "a b", "c"),
            node("Conv", "c v", "y", pads=[1, 1]),
        ],
        {"w": floats(6, 6, 3), "v": floats(2, 6, 3)},
        CHANNELS_FIRST,
    ),
}  # fmt: skip

ONE_VALUE: dict[str, Any] = {
    "a mean": lambda: graph([node("ReduceMean", "x", "y", axes=[0])], {}),
    "a mean over time and features": lambda: graph([node("ReduceMean", "x", "y", axes=[0, 2], keepdims=0)], {}),
    "a mean of both directions": lambda: graph(
        [bidirectional(), *JOINED, node("ReduceMean", "j zero", "m", keepdims=0), node("MatMul", "m w", "y")],
        both() | TO_JOIN | {"zero": np.array([0]), "w": floats(2 * H, 3)},
        opset=18,
    ),
    "a maximum": lambda: graph([node("Relu", "x", "a"), node("ReduceMax", "a", "y", axes=[0], keepdims=0)], {}),
    "pools over time": lambda: graph(
        [node("GlobalAveragePool", "x", "a"), node("GlobalMaxPool", "x", "b"), node("Concat", "a b", "y", axis=1)],
        {},
        CHANNELS_FIRST,
    ),
    "last states": lambda: graph(
        [
            bidirectional("r h"), node("Transpose", "h", "t", perm=[1, 0, 2]), node("Reshape", "t flat", "f"),
            node("Gemm", "f w", "g"), node("Softmax", "g", "y"),
        ],
        both() | {"flat": np.array([1, 2 * H]), "w": floats(2 * H, 3)},
    ),
    "the last step beside a mean": lambda: graph(
        [
            node("LSTM", "x W R B", "r h", hidden_size=H), node("Squeeze", "h zero", "s"),
            node("ReduceMean", "x", "m", axes=[0], keepdims=0), node("Concat", "s m", "c", axis=1),
            node("MatMul", "c w", "y"),
        ],
        lstm() | {"zero": np.array([0]), "w": floats(H + 6, 3)},
    ),
}  # fmt: skip


# A step for each window of steps.
WINDOWS: dict[str, Any] = {
    "strides": lambda: graph(
        [node("Conv", "x w b", "c", strides=[2]), node("Relu", "c", "y")],
        {"w": floats(4, 6, 3), "b": floats(4)},
        CHANNELS_FIRST,
    ),
    "strides and pads": lambda: graph(
        [
            node("Conv", "x w b", "c", strides=[3], pads=[1, 1], group=2), node("Tanh", "c", "t"),
            node("Conv", "t d", "e", pads=[0, 1], dilations=[2], group=4), node("LeakyRelu", "e", "y"),
        ],
        {"w": floats(4, 3, 3), "b": floats(4), "d": floats(4, 1, 2)},
        CHANNELS_FIRST,
    ),
    "a pad before strides": lambda: graph(
        [node("Pad", "x front", "p"), node("Conv", "p w", "y", strides=[2])],
        {"w": floats(4, 6, 3), "front": np.array([0, 0, 2, 0, 0, 0])},
        CHANNELS_FIRST,
    ),
    "same strides": lambda: graph(
        [
            node("Conv", "x w", "c", strides=[3], auto_pad="SAME_UPPER"),
            node("AveragePool", "c", "y", kernel_shape=[4], strides=[2], auto_pad="SAME_UPPER"),
        ],
        {"w": floats(4, 6, 4)},
        CHANNELS_FIRST,
    ),
    "pools": lambda: graph(
        [
            node("MaxPool", "x", "m", kernel_shape=[3], strides=[2], pads=[1, 1]),
            node("AveragePool", "m", "a", kernel_shape=[2]),
            node("MaxPool", "a", "y", kernel_shape=[2], dilations=[2]),
        ],
        {},
        CHANNELS_FIRST,
    ),
    "branches of as many steps": lambda: graph(
        [
            node("MaxPool", "x", "m", kernel_shape=[4], strides=[2], pads=[2, 0]),
            node("Conv", "x w", "c", strides=[2]), node("Add", "m c", "s"), node("Mul", "s s", "q"),
            node("Concat", "q m", "j", axis=1), node("Transpose", "j", "t", perm=[2, 0, 1]),
            node("LSTM", "t W R B", "r", hidden_size=H), node("Squeeze", "r one", "y"),
        ],
        lstm(12) | ONE | {"w": floats(6, 6, 2)},
        CHANNELS_FIRST,
    ),
    "time and bands": lambda: graph(
        [
            node("Conv", "x w b", "c", strides=[2, 3], pads=[1, 0, 1, 1], dilations=[1, 2]),
            node("MaxPool", "c", "y", kernel_shape=[2, 1], strides=[2, 1]),
        ],
        {"w": floats(5, 2, 3, 2), "b": floats(5)},
        (1, 2, "time", 7),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WINDOWS)
def test_a_step_for_each_window(name: str) -> None:
    proto = WINDOWS[name]()
    model = load(proto)
    assert (model.stepwise, model.return_sequences) == (False, True)
    for steps in (41, 42, 43, MANY + 5):
        shape = [d.dim_value or steps for d in proto.graph.input[0].type.tensor_type.shape.dim]
        x = floats(*shape)
        expected = run(proto, x)[0]
        there = model.output_steps(steps)
        y = model.forward(by_step(x, steps)[:, None])[:, 0]
        np.testing.assert_allclose(y, by_step(expected, there), rtol=1e-4, atol=2e-5)


def test_the_model_of_a_sequential_comes_back(tmp_path: Path) -> None:
    layers = [
        fastrnn.layers.Conv1D(8, 3, strides=2, activation="relu", groups=2), fastrnn.layers.MaxPooling1D(2),
        fastrnn.LSTM(4), fastrnn.Dense(2),
    ]  # fmt: skip
    model = fastrnn.Sequential([fastrnn.Input((None, 6)), *layers])
    save(model, tmp_path / "m.onnx")
    for steps in (T, T + 3):
        x = floats(steps, 1, 6)
        expected = model.to_native().forward(x)
        np.testing.assert_allclose(load(tmp_path / "m.onnx").forward(x), expected, rtol=1e-4, atol=2e-5)


REFUSED_WINDOWS = {
    "counted padding": (
        [node("AveragePool", "x", "y", kernel_shape=[3], pads=[1, 1], count_include_pad=1)],
        "count_include_pad: expected 0",
    ),
    "ceil": ([node("MaxPool", "x", "y", kernel_shape=[3], strides=[2], ceil_mode=1)], "ceil_mode: expected 0"),
    "places": ([node("MaxPool", "x", "y z", kernel_shape=[3])], "outputs: expected Y alone"),
    "lower": (
        [node("MaxPool", "x", "y", kernel_shape=[3], strides=[2], auto_pad="SAME_LOWER")],
        "auto_pad: SAME_LOWER is not known here with strides over time",
    ),
    "wide": ([node("MaxPool", "x", "y", kernel_shape=[2], pads=[1, 1])], "pads: expected 0 or more over time, and"),
    "branches": (
        [
            node("MaxPool", "x", "a", kernel_shape=[2]), node("MaxPool", "x", "b", kernel_shape=[3]),
            node("Concat", "a b", "y", axis=2),
        ],
        "it is made of sequences of different lengths",
    ),
    "shape": ([node("MaxPool", "x", "y", kernel_shape=[2, 2])], "kernel_shape: expected a size for each of 1 axes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_WINDOWS)
def test_windows_that_are_refused(name: str) -> None:
    nodes, message = REFUSED_WINDOWS[name]
    with pytest.raises(ValueError, match=message):
        load(graph(nodes, {}, CHANNELS_FIRST))


def of_shape(proto: Any) -> Any:
    return floats(*(d.dim_value or T for d in proto.graph.input[0].type.tensor_type.shape.dim))


@pytest.mark.parametrize("name", EVERY_STEP)
def test_a_value_for_every_step(name: str) -> None:
    proto = EVERY_STEP[name]()
    x = of_shape(proto)
    model = load(proto)
    assert (model.stepwise, model.return_sequences) == (False, True)
    y = model.forward(by_step(x)[:, None])[:, 0]
    np.testing.assert_allclose(y, by_step(run(proto, x)[0]), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ONE_VALUE)
def test_one_value_for_a_sequence(name: str) -> None:
    proto = ONE_VALUE[name]()
    x = of_shape(proto)
    model = load(proto)
    assert (model.stepwise, model.return_sequences) == (False, False)
    y = model.forward(by_step(x)[:, None])[0]
    np.testing.assert_allclose(y, run(proto, x)[0].reshape(-1), rtol=1e-4, atol=2e-5)


def test_rows_of_other_lengths_give_what_they_give_alone() -> None:
    model = load(ONE_VALUE["last states"]())
    x, lengths = floats(T, 3, 6), [T, 4, 11]
    y = model.forward(x, lengths=lengths)
    for b, length in enumerate(lengths):
        np.testing.assert_array_equal(y[b], model.forward(x[:length, b : b + 1])[0])


def words(nodes: list[Any], constants: dict[str, Any], **outputs: Any) -> Any:
    proto = graph(nodes, constants, (1, "time"), **outputs)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return proto


EMBEDDED = [node("Gather", "table x", "e"), node("Transpose", "e", "s", perm=[1, 0, 2])]


@pytest.mark.parametrize("cast", [False, True])
def test_whole_numbers_choose_rows_of_a_table(cast: bool) -> None:
    nodes = [*EMBEDDED, node("LSTM", "s W R B", "r", hidden_size=H), node("Squeeze", "r one", "y")]
    if cast:
        nodes = [node("Cast", "x", "x32", to=TensorProto.INT32), node("Gather", "table x32", "e"), *nodes[1:]]
    proto = words(nodes, lstm() | ONE | {"table": floats(50, 6)})
    x = RNG.integers(0, 50, (1, T))
    session = fastrnn.Session(load(proto))
    y = np.stack([session.step(np.array([number], np.float32)) for number in x[0]])
    np.testing.assert_allclose(y, by_step(run(proto, x)[0]), rtol=1e-4, atol=2e-5)


def test_a_classifier_that_fastrnn_wrote(tmp_path: Path) -> None:
    layers = [fastrnn.Embedding(50, 6), fastrnn.Bidirectional(fastrnn.GRU(H, return_sequences=True))]
    layers += [fastrnn.GlobalAveragePooling1D(), fastrnn.Dense(3, activation="softmax")]
    trained = fastrnn.Sequential([fastrnn.Input((None,)), *layers])
    save(trained, tmp_path / "m.onnx")
    fastrnn.io.save_layers(tmp_path / "m.safetensors", read_layers(tmp_path / "m.onnx"))
    x = RNG.integers(0, 50, (1, MANY))
    for model in (load(tmp_path / "m.onnx"), fastrnn.Model.load(tmp_path / "m.safetensors")):
        np.testing.assert_allclose(model.forward(x.T[..., None]), trained.predict(x, verbose=0), rtol=1e-4, atol=1e-6)


REFUSED: dict[str, tuple[Any, str]] = {
    "a session": (
        lambda: fastrnn.Session(load(EVERY_STEP["backwards"]())),
        "expected one that runs step by step, got layer 0, which begins at the end of the sequence",
    ),
    "a mean that each step reads": (
        lambda: load(graph([node("ReduceMean", "x", "m", axes=[0]), node("Sub", "x m", "y")], {})),
        "node 'y' (Sub)",
    ),
    "a sum over time": (
        lambda: load(graph([node("ReduceSum", "x axis", "y")], {"axis": np.array([0])})),
        "node 'y' (ReduceSum): axes: expected others than time, of which a sum is not known",
    ),
    "a maximum over features": (
        lambda: load(graph([node("ReduceMax", "x", "y", axes=[2])], {})),
        "node 'y' (ReduceMax): axes: expected time alone for a maximum",
    ),
    "outputs of unlike steps": (
        lambda: load(graph([node("Relu", "x", "y"), node("ReduceMean", "x", "z", axes=[0])], {}, z=None)),
        "outputs: y, z: expected them all to have every step, or one value of the whole sequence",
    ),
    "arithmetic on whole numbers": (
        lambda: load(words([node("Div", "x two", "y")], {"two": np.array(2)})),
        "node 'y' (Div): it computes with whole numbers of the model's input",
    ),
    "columns of a table": (
        lambda: load(words([node("Gather", "table x", "y", axis=1)], {"table": floats(5, 6)})),
        "node 'y' (Gather): axis: expected 0, the rows of the table",
    ),
    "an old softmax over several axes": (
        lambda: load(graph([node("Softmax", "x", "y", axis=1)], {}, opset=12)),
        "node 'y' (Softmax): axis: expected the last one in operator sets before 13",
    ),
    "flags": (
        lambda: load(
            graph(
                [node("Relu", "x", "y")], {}, more_inputs=(helper.make_tensor_value_info("on", TensorProto.BOOL, ()),)
            )
        ),
        "input 'on': expected floats, or whole numbers that choose rows of a table, got BOOL; if it is a setting, say "
        "which: inputs={'on': ...}, --inputs on=...",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
