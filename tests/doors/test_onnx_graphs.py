"""ONNX graphs as native models: onnxruntime's numbers, for a sequence and step by step, or a refusal by name."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")

from onnx import TensorProto, helper

from fastrnn.interop.onnx import load, read_layers
from tests.fuzz import model_files as fuzz
from tests.support.onnx_graphs import LSTM, ONE, RNG, H, T, by_step, floats, frame_by_frame, graph, lstm, node, run

# Graphs of x (time, 1, 6) or (1, 6, time) or (1, 2, time, 5) to y.
CHANNELS_FIRST: tuple[Any, ...] = (1, 6, "time")
PLANES: tuple[Any, ...] = (1, 2, "time", 5)
FRAME: tuple[Any, ...] = ("time", 12)

GRAPHS: dict[str, Any] = {
    "lstm": lambda: graph([LSTM, node("Squeeze", "r one", "y")], lstm() | ONE),
    "dropout": lambda: graph(
        [node("Dropout", "x half off", "d", seed=3), node("Relu", "d", "y")],
        {"half": np.float32(0.5), "off": np.array(False)},
    ),
    "gru": lambda: graph(
        [node("GRU", "x W R B", "r", hidden_size=H, linear_before_reset=1), node("Squeeze", "r one", "y")],
        {"W": floats(1, 3 * H, 6), "R": floats(1, 3 * H, H), "B": floats(1, 6 * H)} | ONE,
    ),
    "rnn": lambda: graph(
        [node("RNN", "x W R B", "r", hidden_size=H, activations=["Relu"], clip=2.0), node("Squeeze", "r one", "y")],
        {"W": floats(1, H, 6), "R": 0.1 * floats(1, H, H), "B": floats(1, 2 * H)} | ONE,
    ),
    "product and bias": lambda: graph(
        [node("MatMul", "x w", "a"), node("Add", "a b", "y")], {"w": floats(6, 3), "b": floats(3)}
    ),
    "a product that is read with and without its bias": lambda: graph(
        [node("MatMul", "x w", "a"), node("Add", "a b", "c"), node("Mul", "a c", "y")],
        {"w": floats(6, 3), "b": floats(3)},
    ),
    "gemm": lambda: graph(
        [node("Gemm", "x w b", "y", transB=1, alpha=0.5, beta=2.0)], {"w": floats(5, 12), "b": floats(5)}, FRAME
    ),
    "constants": lambda: graph(
        [
            node("Mul", "x a", "p"), node("Sub", "p b", "q"), node("Div", "q a", "r"), node("Sub", "b r", "s"),
            node("Add", "one s", "y"),
        ],
        {"a": 2 + floats(6) ** 2, "b": floats(1, 6), "one": np.float32(1)},
    ),
    "functions": lambda: graph(
        [
            node("Sigmoid", "x", "a"), node("Tanh", "a", "b"), node("Softplus", "b", "c"), node("Elu", "c", "d"),
            node("LeakyRelu", "d", "e", alpha=0.3), node("HardSigmoid", "e", "f"), node("Exp", "f", "g"),
            node("Sqrt", "g", "h"), node("Pow", "h three", "i"), node("Softsign", "i", "j"), node("Neg", "j", "y"),
        ],
        {"three": np.float32(3)},
    ),
    "clip": lambda: graph(
        [
            node("Clip", "x low high", "a"), node("Clip", "x zero", "b"), node("Clip", "x low", "c"),
            node("Concat", "a b c", "y", axis=2),
        ],
        {"low": np.float32(-0.5), "high": np.float32(0.7), "zero": np.float32(0)},
    ),
    "more functions": lambda: graph(
        [
            node("Abs", "x", "a"), node("Add", "a one", "b"), node("Log", "b", "c"), node("Reciprocal", "b", "d"),
            node("Div", "one b", "e"), node("Erf", "x", "f"), node("PRelu", "x slope", "g"), node("Mish", "x", "h"),
            node("HardSwish", "x", "i"), node("Gelu", "x", "j"), node("Gelu", "x", "k", approximate="tanh"),
            node("Max", "x one", "l"), node("Min", "minus x", "m"), node("ThresholdedRelu", "x", "n", alpha=0.5),
            node("LogSoftmax", "x", "o"), node("ReduceSum", "x two", "p"),
            node("Concat", "c d e f g h i j k l m n o p", "y", axis=2),
        ],
        {"one": np.float32(1), "minus": np.full(6, -0.3, np.float32), "slope": floats(6), "two": np.array([2])},
        opset=20,
    ),
    "a product by bytes": lambda: graph(
        [
            node("DynamicQuantizeLinear", "x", "q s z"), node("MatMulInteger", "q w z wz", "p"),
            node("Cast", "p", "f", to=TensorProto.FLOAT), node("Mul", "s ws", "t"), node("Mul", "f t", "y"),
        ],
        {
            "w": RNG.integers(0, 255, (6, 4)).astype(np.uint8), "wz": RNG.integers(100, 150, 4).astype(np.uint8),
            "ws": np.full(4, 0.01, np.float32),
        },
    ),
    "a convolution by bytes": lambda: graph(
        [
            node("DynamicQuantizeLinear", "x", "q s z"), node("ConvInteger", "q w z wz", "p", pads=[2, 0]),
            node("Cast", "p", "f", to=TensorProto.FLOAT), node("Mul", "s ws", "t"), node("Mul", "f t", "y"),
        ],
        {
            "w": RNG.integers(0, 255, (4, 6, 3)).astype(np.uint8), "wz": np.uint8(120), "ws": np.float32(0.01),
        },
        CHANNELS_FIRST,
    ),
    "softmax": lambda: graph([node("Softmax", "x", "y", axis=1)], {}, (1, 6, "time")),
    "skips": lambda: graph(
        [
            LSTM, node("Squeeze", "r one", "h"), node("Concat", "x h", "a", axis=2), node("MatMul", "a w", "b"),
            node("Mul", "b x", "c"), node("Sub", "c x", "y"),
        ],
        lstm() | ONE | {"w": floats(6 + H, 6)},
    ),
    "split and slice": lambda: graph(
        [
            node("Split", "x", "a b", axis=2), node("Slice", "x begin end axis step", "c"),
            node("Concat", "b c a", "d", axis=-1), node("Transpose", "d", "y", perm=[0, 2, 1]),
        ],
        {"begin": np.array([5]), "end": np.array([0]), "axis": np.array([2]), "step": np.array([-2])},
        opset=13,
    ),
    "norms": lambda: graph(
        [
            node("Transpose", "x", "t", perm=[1, 2, 0]), node("BatchNormalization", "t s b m v", "n"),
            node("Transpose", "n", "a", perm=[2, 0, 1]), node("LayerNormalization", "a s b", "y", epsilon=1e-3),
        ],
        {"s": floats(6), "b": floats(6), "m": floats(6), "v": floats(6) ** 2},
    ),
    "a causal convolution": lambda: graph(
        [node("Pad", "x pads", "p"), node("Conv", "p w b", "y", dilations=[2])],
        {"pads": np.array([0, 0, 4, 0, 0, 0]), "w": floats(4, 6, 3), "b": floats(4)},
        CHANNELS_FIRST,
    ),
    "the same by attributes": lambda: graph(
        [node("Conv", "x w b", "y", pads=[2, 0], group=2)], {"w": floats(4, 3, 3), "b": floats(4)}, CHANNELS_FIRST
    ),
    "a kernel for each channel": lambda: graph(
        [node("Conv", "x w b", "y", pads=[2, 0], group=6)], {"w": floats(6, 1, 3), "b": floats(6)}, CHANNELS_FIRST
    ),
    "planes over time and bands": lambda: graph(
        [
            node("Conv", "x w b", "a", pads=[2, 1, 0, 1], strides=[1, 2]), node("Relu", "a", "c"),
            node("ConvTranspose", "c v", "y", strides=[1, 2], pads=[0, 1, 0, 1]),
        ],
        {"w": floats(4, 2, 3, 3), "b": floats(4), "v": floats(4, 3, 1, 3)},
        PLANES,
    ),
    "windows of a frame": lambda: graph(
        [
            node("Pad", "x pads", "p", mode="reflect"), node("Unsqueeze", "p one", "u"),
            node("Conv", "u w", "c", strides=[3]), node("Conv", "c v", "d", auto_pad="SAME_UPPER", strides=[2]),
            node("GlobalAveragePool", "d", "y"),
        ],
        {"pads": np.array([0, 2, 0, 1]), "w": floats(4, 1, 5), "v": floats(3, 4, 3)} | ONE,
        FRAME,
    ),
    "einsum": lambda: graph(
        [node("Reshape", "x shape", "g"), node("Einsum", "g w", "y", equation="tbgi,gih->tbgh")],
        {"shape": np.array([0, 1, 2, 3]), "w": floats(2, 3, 4)},
    ),
    "mean": lambda: graph([node("ReduceMean", "x", "y", axes=[2], keepdims=0)], {}),
    "shapes that are computed": lambda: graph(
        [
            node("Shape", "x", "s"), node("Gather", "s zero", "t"), node("Concat", "t one rest", "n", axis=0),
            node("Reshape", "x n", "y"),
        ],
        ONE | {"zero": np.array([0]), "rest": np.array([3, 2])},
    ),
    "weights that are dequantized": lambda: graph(
        [node("DequantizeLinear", "q scale", "w"), node("MatMul", "x w", "y")],
        {"q": RNG.integers(-128, 127, (6, 4)).astype(np.int8), "scale": np.float32(0.01)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_gives_the_numbers_of_onnxruntime(name: str) -> None:
    proto = GRAPHS[name]()
    shape = [d.dim_value or T for d in proto.graph.input[0].type.tensor_type.shape.dim]
    x = floats(*shape)
    (expected, *_) = run(proto, x)
    model = load(proto)
    y = fastrnn.Session(model).run(by_step(x)[:, None])[:, 0]
    rounding = 0.1 if name.endswith("by bytes") else 2e-5  # onnxruntime rounds x to eight bits there
    np.testing.assert_allclose(y, by_step(expected), rtol=1e-4, atol=rounding)
    session = fastrnn.Session(model)
    np.testing.assert_array_equal(np.stack([session.step(step) for step in by_step(x)]), y)


def test_the_last_step_is_given_at_every_step() -> None:
    proto = graph(
        [node("LSTM", "x W R B", "r h", hidden_size=H), node("Squeeze", "h zero", "s"), node("Gemm", "s w", "y")],
        lstm() | {"w": floats(H, 3), "zero": np.array([0])},
    )
    x = floats(T, 1, 6)
    y = fastrnn.Session(load(proto)).run(x)[:, 0]
    for t in range(T):
        np.testing.assert_allclose(y[t], run(proto, x[: t + 1])[0][0], rtol=1e-4, atol=1e-5)


def test_a_branch_reads_what_the_graph_around_it_reads_too() -> None:
    result = helper.make_tensor_value_info("c", TensorProto.FLOAT, None)
    biased = helper.make_graph([node("Add", "a b", "c")], "biased", [], [result])
    plain = helper.make_graph([node("Identity", "a", "d")], "plain", [], [result])
    plain.output[0].name = "d"
    choice = node("If", "yes", "e", then_branch=biased, else_branch=plain)
    nodes = [node("MatMul", "x w", "a"), choice, node("Mul", "a e", "y")]
    proto = graph(nodes, {"w": floats(6, 3), "b": floats(3), "yes": np.array(True)})
    x = floats(T, 1, 6)
    y = fastrnn.Session(load(proto)).run(x)[:, 0]
    np.testing.assert_allclose(y, by_step(run(proto, x)[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_states_and_settings_of_a_graph_that_takes_a_frame(rate: int) -> None:
    proto = frame_by_frame()
    model = load(proto, inputs={"rate": rate, "x": (1, 6)})
    session = fastrnn.Session(model)
    state = np.zeros((2, 1, H), np.float32)
    for x in floats(T, 1, 6):
        y, state = run(proto, x, state=state, rate=np.array(rate))
        np.testing.assert_allclose(session.step(x[0]), y.reshape(-1), rtol=1e-4, atol=1e-5)


def test_several_inputs_along_time_lie_behind_each_other() -> None:
    more = (helper.make_tensor_value_info("z", TensorProto.FLOAT, (3, "time", 1)),)
    nodes = [
        node("Transpose", "z", "t", perm=[1, 2, 0]),
        node("Concat", "t x", "c", axis=2),
        node("MatMul", "c w", "y"),
    ]
    proto = graph(nodes, {"w": floats(9, 4)}, more_inputs=more)
    x, z = floats(T, 1, 6), floats(3, T, 1)
    y = fastrnn.Session(load(proto)).run(np.concatenate([by_step(x), by_step(z)], 1)[:, None])[:, 0]
    np.testing.assert_allclose(y, by_step(run(proto, x, z=z)[0]), rtol=1e-4, atol=1e-5)


def test_outputs_are_chosen_or_all_of_them() -> None:
    proto = graph([LSTM, node("Squeeze", "r one", "y"), node("Relu", "y", "z")], lstm() | ONE, z=None)
    x = floats(T, 1, 6)
    y, z = (by_step(array) for array in run(proto, x))
    assert load(proto).output_size == 2 * H
    np.testing.assert_allclose(fastrnn.Session(load(proto)).run(x)[:, 0], np.concatenate([y, z], 1), atol=1e-5)
    np.testing.assert_allclose(fastrnn.Session(load(proto, outputs=["z"])).run(x)[:, 0], z, atol=1e-5)


def test_a_quantized_lstm_of_onnxruntime() -> None:
    kinds = {"W": RNG.integers(-127, 127, (1, 6, 4 * H)), "R": RNG.integers(-127, 127, (1, H, 4 * H))}
    constants = {name: q.astype(np.int8) for name, q in kinds.items()} | {"B": floats(1, 8 * H)}
    constants |= {"ws": np.full(1, 0.004, np.float32), "wz": np.zeros(1, np.int8)}
    constants |= {"rs": np.full(1, 0.004, np.float32), "rz": np.zeros(1, np.int8)} | ONE
    quantized = helper.make_node(
        "DynamicQuantizeLSTM",
        ["x", "W", "R", "B", "", "", "", "", "ws", "wz", "rs", "rz"],
        ["r"],
        domain="com.microsoft",
        hidden_size=H,
    )
    proto = graph([quantized, node("Squeeze", "r one", "y")], constants)
    x = floats(T, 1, 6)
    y = fastrnn.Session(load(proto)).run(x)[:, 0]
    # onnxruntime rounds x and h to eight bits as well; the weights are the same.
    np.testing.assert_allclose(y, by_step(run(proto, x)[0]), atol=0.03)


REFUSED: dict[str, tuple[Any, str]] = {
    "an operator": (
        lambda: graph([node("NonZero", "x", "y")], {}),
        "node 'y' (NonZero): operator NonZero is not known to a native model",
    ),
    "an operator of two lines": (
        lambda: graph([node("Non\nZero", "x", "y")], {}),
        "node 'y' (Non Zero): operator Non Zero is not known to a native model",
    ),
    "an initial state of its own": (
        lambda: graph(
            [node("LSTM", "x W R B none h", "y", hidden_size=H)], lstm() | {"h": floats(1, 1, H), "none": np.array([T])}
        ),
        "expected none: a stream has no end",
    ),
    "an attribute": (
        lambda: graph([node("Softmax", "x", "y", temperature=2.0)], {}),
        "node 'y' (Softmax): attribute temperature: expected axis",
    ),
    "a padding of ones": (
        lambda: graph([node("Pad", "x pads one", "y")], {"pads": np.array([0] * 5 + [1]), "one": np.float32(1)}),
        "node 'y' (Pad): constant_value: expected 0",
    ),
    "a dropout in training": (
        lambda: graph([node("Dropout", "x half on", "y")], {"half": np.float32(0.5), "on": np.array(True)}),
        "node 'y' (Dropout): training_mode: expected false",
    ),
    "a dropout of weights in training": (
        lambda: graph(
            [node("Dropout", "w half on", "dropped"), node("MatMul", "x dropped", "y")],
            {"w": floats(6, 4), "half": np.float32(0.5), "on": np.array(True)},
        ),
        "node 'dropped' (Dropout): training_mode: expected false",
    ),
    "a dropout that the input turns on": (
        lambda: graph(
            [node("Cast", "x", "on", to=TensorProto.FLOAT), node("Dropout", "x half on", "y")],
            {"half": np.float32(0.5)},
        ),
        "node 'y' (Dropout): training_mode: expected a constant",
    ),
    "steps that differ": (
        lambda: graph(
            [
                node("Shape", "x", "s"), node("Gather", "s zero", "t"), node("Cast", "t", "f", to=1),
                node("Div", "x f", "y"),
            ],
            {"zero": np.array([0])},
        ),
        "what it computes depends on the length of the sequence",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_native_model_cannot_do_is_refused_by_node(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(words)):
        load(make())


def test_settings_and_names_are_checked(tmp_path: Path) -> None:
    proto = frame_by_frame()
    with pytest.raises(ValueError, match="input 'rate': expected whole numbers for each step, or a setting: inputs="):
        load(proto)
    with pytest.raises(ValueError, match="inputs: expected names of x, state, rate, got 'sr'"):
        load(proto, inputs={"sr": 16000})
    with pytest.raises(ValueError, match=r"outputs: expected names of y, new, got 'p'"):
        load(proto, inputs={"rate": 16000}, outputs=["p"])
    with pytest.raises(TypeError, match=r"path: expected a path or an onnx\.ModelProto, got int"):
        load(3)
    (tmp_path / "no.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="expected an ONNX file, got one that onnx cannot read"):
        load(tmp_path / "no.onnx")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.onnx")


def test_a_graph_becomes_a_file_for_every_reader(tmp_path: Path) -> None:
    proto = GRAPHS["skips"]()
    onnx.save(proto, tmp_path / "m.onnx")
    fastrnn.io.save_layers(tmp_path / "m.safetensors", read_layers(tmp_path / "m.onnx"))
    x = floats(T, 1, 6)
    for dtype in ("float32", "int8"):
        one = fastrnn.Session(fastrnn.Model.load(tmp_path / "m.safetensors", dtype)).run(x)
        np.testing.assert_array_equal(one, fastrnn.Session(load(tmp_path / "m.onnx", dtype=dtype)).run(x))


def test_damaged_graphs(tmp_path: Path) -> None:
    """`python -m tests.fuzz.model_files onnx --files 2000 --subprocess` tries more."""
    outcomes = fuzz.run("onnx", 1_000_000, 60, tmp_path)
    assert set(outcomes) <= {"read", "refused"}, outcomes
    assert outcomes["refused"]


def test_silero_vad() -> None:
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        pytest.skip("no package silero_vad")
    data = Path(spec.origin).parent / "data"
    x = (0.1 * floats(40, 576)).cumsum(1) * 0.05
    session = onnxruntime.InferenceSession(data / "silero_vad_16k_sequence.onnx")
    zero = np.zeros((1, 1, 128), np.float32)
    expected = session.run(["speech_probs"], {"input": x, "h": zero, "c": zero})[0]
    for model in (
        load(data / "silero_vad_16k_sequence.onnx"),
        load(data / "silero_vad.onnx", inputs={"sr": 16000, "input": (1, 576)}),
    ):
        y = fastrnn.Session(model).run(x[:, None])[:, 0, 0]
        np.testing.assert_allclose(y, expected, atol=1e-5 if model.output_size == 1 else 0)
