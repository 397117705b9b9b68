"""What `fastrnn.interop.onnx_node` accepts, refuses and says. No package but NumPy: peers are in tests/conformance."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.interop import onnx_node
from tests.support.cells import GATES

T, B, I, H = 4, 3, 2, 5  # noqa: E741
OPERATORS = ("RNN", "GRU", "LSTM")
all_operators = pytest.mark.parametrize("op_type", OPERATORS)


def node_inputs(op_type: str, directions: int = 1, dtype: Any = "float32", **more: Any) -> dict[str, Any]:
    """X, W, R, B and the states."""
    rng = np.random.default_rng(0)
    rows = GATES[op_type.lower()] * H
    shapes = {
        "X": (T, B, I),
        "W": (directions, rows, I),
        "R": (directions, rows, H),
        "B": (directions, 2 * rows),
        "initial_h": (directions, B, H),
    }
    if op_type == "LSTM":
        shapes |= {"initial_c": (directions, B, H), "P": (directions, 3 * H)}
    return {name: rng.uniform(-1, 1, shape).astype(dtype) for name, shape in shapes.items()} | more


def proto(op_type: str, inputs: Any, outputs: Any, *attributes: tuple[str, int, Any], domain: str = "") -> Any:
    """What of an onnx.NodeProto is read; attributes are (name, type, value)."""
    fields = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
    made = [SimpleNamespace(name=name, type=kind, **{fields.get(kind, "t"): value}) for name, kind, value in attributes]
    return SimpleNamespace(op_type=op_type, domain=domain, input=inputs, output=outputs, attribute=made)


# ------------------------------------------------------------------------------------------------------- what it takes


def test_a_node_is_the_cell_with_its_gates_reordered():
    """Against the native call, by hand for one cell: the numbers of all others are tests/conformance's."""
    inputs = node_inputs("LSTM")
    y, y_h, y_c = onnx_node("LSTM", inputs)
    i, o, f, c = (slice(k * H, (k + 1) * H) for k in range(4))
    order = np.r_[i, f, c, o]
    b_w, b_r = np.split(inputs["B"][0], 2)
    p_i, p_o, p_f = np.split(inputs["P"][0], 3)
    expected = fastrnn.lstm_forward(
        inputs["X"], inputs["W"][0][order], inputs["R"][0][order], b_w[order], b_r[order], inputs["initial_h"],
        inputs["initial_c"], w_peep=np.stack([p_i, p_f, p_o]),
    )  # fmt: skip
    np.testing.assert_array_equal(y, expected.y[:, np.newaxis], strict=True)
    np.testing.assert_array_equal(y_h, expected.h_n, strict=True)
    np.testing.assert_array_equal(y_c, expected.c_n, strict=True)


@all_operators
def test_a_sequence_a_mapping_and_a_proto_are_the_same(op_type):
    inputs = node_inputs(op_type, directions=2, sequence_lens=np.array([4, 0, 2], "int32"))
    names = ["X", "W", "R", "B", "sequence_lens", "initial_h", *(["initial_c", "P"] if op_type == "LSTM" else [])]
    attributes = {"direction": "bidirectional", "clip": 0.5}
    expected = onnx_node(op_type, inputs, attributes)
    actual = onnx_node(op_type, [inputs[name] for name in names], attributes, threads=2)
    node = proto(
        op_type, [f"in_{name}" for name in names], ["", "h"], ("direction", 3, b"bidirectional"), ("clip", 1, 0.5)
    )
    nothing, h = onnx_node(node, {f"in_{name}": array for name, array in inputs.items()})
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, e, strict=True)
    assert nothing is None
    np.testing.assert_array_equal(h, expected[1], strict=True)


def test_a_missing_optional_input_has_an_empty_name_in_a_proto():
    inputs = node_inputs("RNN")
    (y,) = onnx_node(
        proto("RNN", ["x", "w", "r", "", "", "h"], ["y"], ("activations", 8, [b"Relu"])),
        {"x": inputs["X"], "w": inputs["W"], "r": inputs["R"], "h": inputs["initial_h"]},
    )
    del inputs["B"]
    np.testing.assert_array_equal(y, onnx_node("RNN", inputs, {"activations": ["Relu"]})[0])


@all_operators
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_layout_1_is_layout_0_with_the_batch_first(op_type, direction):
    inputs = node_inputs(op_type, 2 if direction == "bidirectional" else 1, sequence_lens=np.array([1, 4, 0]))
    expected = onnx_node(op_type, inputs, {"direction": direction})
    swapped = {
        name: np.ascontiguousarray(a.swapaxes(0, 1)) if name in ("X", "initial_h", "initial_c") else a
        for name, a in inputs.items()
    }
    y, *final = onnx_node(op_type, swapped, {"direction": direction, "layout": 1})
    np.testing.assert_array_equal(y, expected[0].transpose(2, 0, 1, 3), strict=True)
    for a, e in zip(final, expected[1:], strict=True):
        np.testing.assert_array_equal(a, e.swapaxes(0, 1), strict=True)
    assert all(a.flags.c_contiguous for a in (y, *final, *expected))


@all_operators
def test_a_row_of_length_0_keeps_its_initial_states(op_type):
    inputs = node_inputs(op_type, sequence_lens=np.array([0, 2, 4]))
    y, *final = onnx_node(op_type, inputs)
    assert not y[:, :, 0].any()
    assert not y[2:, :, 1].any()
    for state, name in zip(final, ("initial_h", "initial_c"), strict=False):
        np.testing.assert_array_equal(state[:, 0], inputs[name][:, 0])


@all_operators
def test_half_precision_is_computed_in_float32_and_rounded_once(op_type):
    inputs = node_inputs(op_type, dtype="float16")
    expected = onnx_node(op_type, {name: a.astype("float32") for name, a in inputs.items()})
    for a, e in zip(onnx_node(op_type, inputs), expected, strict=True):
        np.testing.assert_array_equal(a, e.astype("float16"), strict=True)


def test_alphas_and_betas_are_consumed_in_order_by_those_that_have_one():
    inputs = node_inputs("LSTM")
    del inputs["P"]

    def run(activations: Any, **numbers: Any) -> Any:
        return onnx_node("LSTM", inputs, {"activations": activations, **numbers})[0]

    named = ["HardSigmoid", "Tanh", "LeakyRelu"]
    full = run(named, activation_alpha=[0.3, 0.4], activation_beta=[0.6])
    # By way of activations that are other names of the same function.
    same = run(["HardSigmoid", "ScaledTanh", "LeakyRelu"], activation_alpha=[0.3, 1, 0.4], activation_beta=[0.6, 1])
    np.testing.assert_allclose(full, same, rtol=0, atol=1e-6)
    default = run(named, activation_alpha=[0.3, 0.01], activation_beta=[0.5])
    np.testing.assert_array_equal(run(named, activation_alpha=[0.3]), default)
    assert np.abs(full - default).max() > 1e-3


def test_an_alpha_of_0_makes_relu_of_two_others():
    inputs = node_inputs("RNN")
    expected = onnx_node("RNN", inputs, {"activations": ["Relu"]})[0]
    for name in ("LeakyRelu", "Elu"):
        actual = onnx_node("RNN", inputs, {"activations": [name], "activation_alpha": [0.0]})[0]
        np.testing.assert_array_equal(actual, expected)


def test_it_imports_neither_onnx_nor_any_other_package_but_numpy():
    code = (
        "import sys, fastrnn.interop; fastrnn.interop.onnx_node; "
        "print(sorted({'onnx', 'onnxruntime', 'torch', 'keras', 'ml_dtypes', 'google.protobuf'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ----------------------------------------------------------------------------------------------------- what it refuses

NAN = float("nan")
BAD_ATTRIBUTES = [
    ("RNN", {"linear_before_reset": 1}, "linear_before_reset: expected an attribute of RNN .*, got 1"),
    ("GRU", {"input_forget": 1}, "input_forget: expected an attribute of GRU .*, got 1"),
    ("LSTM", {"output_sequence": 1}, "output_sequence: expected an attribute of LSTM .*, got 1"),
    ("RNN", {"direction": "both"}, "direction: expected one of 'forward', 'reverse', 'bidirectional', got 'both'"),
    ("RNN", {"clip": 0.0}, "clip: expected a number > 0, got 0.0"),
    ("RNN", {"clip": NAN}, "clip: expected a number > 0, got nan"),
    ("RNN", {"layout": 2}, "layout: expected 0 or 1, got 2"),
    ("LSTM", {"input_forget": -1}, "input_forget: expected 0 or 1, got -1"),
    ("RNN", {"clip": 10**400}, "clip: expected a number in the range of float, got an integer beyond it"),
    ("RNN", {"hidden_size": 10**9000}, "hidden_size: expected an integer of 64 bits, got one of 29898"),
    (
        "GRU",
        {"linear_before_reset": -(2**63) - 1},
        "linear_before_reset: expected an integer of 64 bits, got one of 64",
    ),
    ("RNN", {"layout": 2**62}, "layout: expected 0 or 1, got 4611686018427387904"),
    (
        "RNN",
        {"activations": ["Elu"], "activation_alpha": [10**9000]},
        "activation_alpha: expected a number in the range of float",
    ),
    ("RNN", {"hidden_size": 0}, "hidden_size: expected an integer >= 1, got 0"),
    ("GRU", {"hidden_size": 4}, r"W: expected shape \(1, 12, 2\), got \(1, 15, 2\)"),
    ("RNN", {"activations": ["Swish"]}, "activations: expected one of 'Relu', .*'Elu', got 'Swish'"),
    ("LSTM", {"activations": ["Tanh"]}, r"activations: expected 3 names \(3 for each direction\), got \['Tanh'\]"),
    (
        "RNN",
        {"activations": ["Affine"]},
        "activation_alpha: expected a number for Affine, which has no default, got none",
    ),
    (
        "RNN",
        {"activations": ["ScaledTanh"], "activation_alpha": [1.5]},
        "activation_beta: expected a number for ScaledTanh, which has no default, got none",
    ),
    (
        "GRU",
        {"activations": ["Sigmoid", "LeakyRelu"], "activation_alpha": [0.0, 0.1]},
        r"activation_alpha: expected at most 1 numbers, one for each activation that has one \(LeakyRelu\), got 2",
    ),
    ("RNN", {"activation_beta": [0.5]}, r"activation_beta: expected at most 0 numbers, .* \(none here\), got 1"),
    (
        "RNN",
        {"activations": ["LeakyRelu"], "activation_alpha": [-0.1]},
        "activation_alpha: expected a number > 0 for LeakyRelu, got -0.1",
    ),
    (
        "RNN",
        {"activations": ["ThresholdedRelu"], "activation_alpha": [-0.5]},
        "activation_alpha: expected a number >= 0 for ThresholdedRelu, got -0.5",
    ),
    (
        "RNN",
        {"activations": ["Elu"], "activation_alpha": [NAN]},
        "activation_alpha: expected a finite number for Elu, got nan",
    ),
]
BAD_ATTRIBUTE_TYPES = [
    ({"direction": 1}, "direction: expected a string, got int"),
    ({"clip": "1"}, "clip: expected a number, got str"),
    ({"clip": np.ones(2)}, "clip: expected a number, got ndarray"),
    ({"hidden_size": np.ones(2, int)}, "hidden_size: expected an integer, got ndarray"),
    ({"layout": 1.0}, "layout: expected an integer, got float"),
    ({"hidden_size": 5.0}, "hidden_size: expected an integer, got float"),
    ({"activations": "Tanh"}, "activations: expected a sequence of names, got str"),
    ({"activations": [3]}, "activations: expected a string, got int"),
    ({"activation_alpha": 0.5}, "activation_alpha: expected a sequence of numbers, got float"),
]
BAD_INPUTS = [
    ({"W": None}, ValueError, "W: expected an array, got none"),
    ({"X": [[1.0]]}, TypeError, "X: expected a numpy.ndarray, got list"),
    ({"X": np.zeros((T, I), "float32")}, ValueError, r"X: expected shape \(T, B, I\), got \(4, 2\)"),
    ({"R": np.zeros((20, H), "float32")}, ValueError, r"R: expected shape \(D, G\*H, H\), got \(20, 5\)"),
    ({"R": np.zeros((2, 20, H), "float32")}, ValueError, r"R: expected shape \(1, 20, 5\), got \(2, 20, 5\)"),
    ({"B": np.zeros((1, 20), "float32")}, ValueError, r"B: expected shape \(1, 40\), got \(1, 20\)"),
    ({"P": np.zeros((1, 5), "float32")}, ValueError, r"P: expected shape \(1, 15\), got \(1, 5\)"),
    ({"initial_c": np.zeros((1, 1, 5), "float32")}, ValueError, r"initial_c: expected shape \(1, 3, 5\), got"),
    ({"sequence_lens": np.zeros(2, "int32")}, ValueError, r"sequence_lens: expected shape \(3,\), got \(2,\)"),
    ({"sequence_lens": np.array([1, 5, 2])}, ValueError, r"sequence_lens: expected integers in 0..4, got \[1, 5, 2\]"),
    ({"sequence_lens": np.array([1, -1, 2])}, ValueError, r"sequence_lens: .* in 0..4, got \[1, -1, 2\]"),
    ({"sequence_lens": np.ones(3)}, TypeError, "sequence_lens: expected integers, got float64"),
    ({"X": np.zeros((T, B, I), "int32")}, TypeError, "X: expected one of float32, float64, .*, got int32"),
    ({"W": np.zeros((1, 20, I))}, TypeError, r"W: expected float32 \(the dtype of X\), got float64"),
    ({"Z": np.zeros(1)}, ValueError, "inputs: expected X, W, R, .*, got 'Z'"),
]


@pytest.mark.parametrize(("op_type", "attributes", "message"), BAD_ATTRIBUTES)
def test_a_bad_attribute_is_refused_by_name(op_type, attributes, message):
    with pytest.raises(ValueError, match=message):
        onnx_node(op_type, node_inputs(op_type), attributes)


@pytest.mark.parametrize(("attributes", "message"), BAD_ATTRIBUTE_TYPES)
def test_an_attribute_of_the_wrong_type_is_refused(attributes, message):
    with pytest.raises(TypeError, match=message):
        onnx_node("RNN", node_inputs("RNN"), attributes)


@pytest.mark.parametrize(("change", "error", "message"), BAD_INPUTS)
def test_a_bad_input_is_refused_by_its_name_in_onnx(change, error, message):
    with pytest.raises(error, match=message):
        onnx_node("LSTM", node_inputs("LSTM") | change)


def test_what_is_not_such_a_node_is_refused():
    inputs = node_inputs("RNN")
    with pytest.raises(ValueError, match="op_type: expected one of 'RNN', 'GRU', 'LSTM', got 'Relu'"):
        onnx_node("Relu", inputs)
    with pytest.raises(TypeError, match=r"node: expected an onnx.NodeProto or the name of an operator, got int"):
        onnx_node(3, inputs)
    with pytest.raises(TypeError, match="inputs: expected a sequence or a mapping of arrays, got ndarray"):
        onnx_node("RNN", inputs["X"])
    with pytest.raises(ValueError, match=r"inputs: expected at most 6 \(X, .*\), got 7"):
        onnx_node("RNN", [*inputs.values(), None, None])
    node = proto("RNN", ["x", "w", "r"], ["y"])
    with pytest.raises(ValueError, match="attributes: expected None with a NodeProto"):
        onnx_node(node, inputs, {})
    with pytest.raises(ValueError, match="inputs: expected the node's input 'x', got X, W"):
        onnx_node(node, inputs)
    arrays = [inputs["X"], inputs["W"], inputs["R"]]
    with pytest.raises(ValueError, match="output: expected at most 2 of RNN, got 3"):
        onnx_node(proto("RNN", [], ["a", "b", "c"]), arrays)
    with pytest.raises(ValueError, match=r"domain: expected ONNX's own, got 'com.microsoft'"):
        onnx_node(proto("RNN", [], ["a"], domain="com.microsoft"), arrays)
    with pytest.raises(TypeError, match="graph: expected numbers or strings, got an attribute of type 5"):
        onnx_node(proto("RNN", [], ["a"], ("graph", 5, None)), arrays)
