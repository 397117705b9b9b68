"""fastrnn.interop.onnx_node against onnxruntime, the operators' equations and onnx.reference: random nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="a peer is missing: pip install '.[conformance]'")
pytest.importorskip("onnxruntime", reason="a peer is missing: pip install '.[conformance]'")

from onnx import helper
from onnx.reference import ReferenceEvaluator

from fastrnn.interop import onnx_node
from tests.support.conformance.onnx_equations import Equations
from tests.support.conformance.onnx_nodes import OPERATORS, Node, random_node, run_onnxruntime, swap_outputs

operators = pytest.mark.parametrize("op_type", OPERATORS)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def run_fastrnn(node: Node) -> dict[str, Any]:
    return dict(zip(node.outputs, onnx_node(node.proto, node.inputs), strict=True))


@operators
def test_random_nodes_against_onnxruntime(op_type, seed, conformance):
    node = random_node(op_type, seed)
    expected = run_onnxruntime(node)
    empty = node.inputs.get("sequence_lens", np.ones(1)) == 0
    for name, initial in (("Y_h", "initial_h"), ("Y_c", "initial_c")):
        if name in expected and initial in node.inputs and empty.any():
            # It leaves zeros where a row has no step; the last state of such a row is its first.
            assert not expected[name][:, empty].any()
            expected[name][:, empty] = node.inputs[initial][:, empty]
    conformance.check(
        f"ONNX {op_type} and onnxruntime", f"seed {seed}", run_fastrnn(node), expected, "float32", **node.lengths
    )


@operators
@both_dtypes
def test_random_nodes_against_the_equations(op_type, dtype, seed, conformance):
    """In both layouts, in turn."""
    node = random_node(op_type, seed, dtype)
    if seed % 2:
        node = node.swapped()
    expected = Equations(op_type, node.attributes)(node.inputs)
    conformance.check(
        f"ONNX {op_type} and its equations", f"seed {seed}", run_fastrnn(node), expected, dtype, **node.lengths
    )


@operators
def test_random_nodes_against_onnx_reference(op_type, seed, conformance):
    """float64; of the options it knows the states, peepholes, directions, layout and linear_before_reset."""
    node = random_node(op_type, seed, "float64", plain=True)
    if seed % 2:
        node = node.swapped()
    value = [helper.make_tensor_value_info(n, 11, a.shape) for n, a in node.inputs.items()]
    out = [helper.make_tensor_value_info(n, 11, None) for n in node.outputs]
    model = helper.make_model(
        helper.make_graph([node.proto], "node", value, out), opset_imports=[helper.make_opsetid("", node.opset)]
    )
    expected = dict(zip(node.outputs, ReferenceEvaluator(model).run(None, node.inputs), strict=True))
    conformance.check(
        f"ONNX {op_type} and onnx.reference", f"seed {seed}", run_fastrnn(node), expected, "float64", **node.lengths
    )


# ---------------------------------------------------------------- what onnxruntime cannot run, or does in its own way


@operators
def test_layout_1_against_layout_0_in_onnxruntime(op_type, seed, conformance):
    node = random_node(
        op_type, seed, lengths=False
    )  # onnxruntime answers lengths of 0 in its own way; other suites cover them
    swapped = node.swapped()
    with pytest.raises(Exception, match=r"Batchwise recurrent operations \(layout == 1\) are not supported"):
        run_onnxruntime(swapped)
    suite = f"ONNX {op_type} in layout 1 and onnxruntime"
    conformance.skip(suite, f"seed {seed}", "it refuses layout=1; compared with its layout=0, axes swapped")
    expected = swap_outputs(run_onnxruntime(node))
    conformance.check(suite, f"seed {seed}", run_fastrnn(swapped), expected, "float32", **swapped.lengths)


@operators
def test_onnxruntime_has_no_float64(op_type, conformance):
    """Then the equations and onnx.reference decide alone."""
    with pytest.raises(Exception, match=r"NOT_IMPLEMENTED|does not support double yet"):
        run_onnxruntime(random_node(op_type, 0, "float64"))
    reason = "it has no float64; the suites against the equations and onnx.reference have"
    conformance.skip(f"ONNX {op_type} and onnxruntime", "float64", reason)


@operators
def test_bfloat16_is_computed_in_float32(op_type):
    """onnx brings the type along; onnxruntime has no such node on CPU."""
    from ml_dtypes import bfloat16

    node = random_node(op_type, 1)
    narrow = {n: a if n == "sequence_lens" else a.astype(bfloat16) for n, a in node.inputs.items()}
    wide = {n: a if n == "sequence_lens" else a.astype("float32") for n, a in narrow.items()}
    for a, e in zip(onnx_node(node.proto, narrow), onnx_node(node.proto, wide), strict=True):
        np.testing.assert_array_equal(a, e.astype(bfloat16), strict=True)


def test_where_onnxruntime_differs():
    """The table of docs/onnx.md: a version that answers otherwise is noticed here."""
    inputs = {
        "W": np.array([[[-50], [0], [1]]], "float32"),  # z is 0, so that h is the activation of x
        "R": np.zeros((1, 3, 1), "float32"),
    }
    options = {"hidden_size": 1, "activations": ["Sigmoid", "ThresholdedRelu"]}

    def both(x: float, **numbers: Any) -> tuple[float, float]:
        node = Node("GRU", {"X": np.full((1, 1, 1), x, "float32"), **inputs}, options | numbers)
        return float(run_fastrnn(node)["Y_h"].item()), float(run_onnxruntime(node)["Y_h"].item())

    assert both(0.5, activation_alpha=[0.5]) == (0.0, 0.0)
    assert both(0.75, activation_alpha=[0.5]) == (0.75, 0.75)
    assert both(0.75) == (0.0, 0.75)
    with pytest.raises(ValueError, match="activation_alpha: expected at most 1 numbers"):
        both(0.75, activation_alpha=[0.5, 2.0])
