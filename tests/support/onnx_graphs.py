"""Small ONNX graphs of a recurrent model, and what onnxruntime gives for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
T, H = 19, 7


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(" "), outputs.split(" "), **attributes)


def graph(
    nodes: list[Any],
    constants: dict[str, Any],
    shape: tuple[Any, ...] = ("time", 1, 6),
    output: str = "y",
    more_inputs: tuple[Any, ...] = (),
    opset: int = 17,
    **outputs: Any,
) -> Any:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (output, *outputs)]
    kept = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    made = helper.make_graph(nodes, "tried", [x, *more_inputs], results, kept)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=9)


def lstm(inputs: int = 6) -> dict[str, Any]:
    return {"W": floats(1, 4 * H, inputs), "R": floats(1, 4 * H, H), "B": floats(1, 8 * H)}


LSTM = node("LSTM", "x W R B", "r", hidden_size=H)
ONE = {"one": np.array([1])}


def run(proto: Any, x: Any, **more: Any) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it would quantize x
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x, **more})


def by_step(array: Any, steps: int = T) -> Any:
    """(T, rest): the axis of time is the first of that many steps."""
    axis = array.shape.index(steps)
    return np.moveaxis(array, axis, 0).reshape(steps, -1)


def frame_by_frame() -> Any:
    """A frame and both states in one input, the new ones in one output, and a setting, as of silero-vad."""

    def branch(factor: float) -> Any:
        constant = helper.make_node("Constant", [], ["k"], value_float=factor)
        return helper.make_graph(
            [constant, node("Mul", "f k", "g")],
            "branch",
            [],
            [helper.make_tensor_value_info("g", TensorProto.FLOAT, None)],
        )

    nodes = [
        node("Equal", "rate fast", "is_fast"), node("Unsqueeze", "x zero", "f"),
        node("If", "is_fast", "z", then_branch=branch(2.0), else_branch=branch(0.5)),
        node("Split", "state", "h c", axis=0), node("LSTM", "z W R B none h c", "r hn cn", hidden_size=H),
        node("Concat", "hn cn", "new", axis=0), node("Squeeze", "r zero", "s"), node("Relu", "s", "y"),
    ]  # fmt: skip
    nodes[4].input[4] = ""
    more = (
        helper.make_tensor_value_info("state", TensorProto.FLOAT, (2, "batch", H)),
        helper.make_tensor_value_info("rate", TensorProto.INT64, ()),
    )
    constants = lstm() | {"fast": np.int64(16000), "zero": np.array([0])}
    return graph(nodes, constants, ("batch", 6), more_inputs=more, new=None, opset=13)
