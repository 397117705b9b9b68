"""Random nodes of ONNX's recurrent operators, and onnxruntime to run them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import helper

from tests.support.cells import GATES
from tests.support.conformance.onnx_equations import ACTIVATIONS, NUMBERS, SIMPLE, Equations

OPERATORS = ("RNN", "GRU", "LSTM")
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
BATCHED = ("X", "initial_h", "initial_c")  # the inputs whose axes `layout` swaps
OPSETS = (7, 14, 22)  # the versions of the operators; 14 brought `layout`
# What a drawn alpha and beta may be: a recurrence with gates beyond 1 must not grow over a dozen steps.
RANGES = {
    "Affine": ((0.2, 0.6), (-0.3, 0.3)),
    "LeakyRelu": ((0.05, 0.5),),
    "ThresholdedRelu": ((0.1, 0.6),),
    "ScaledTanh": ((0.5, 1.2), (0.5, 1.2)),
    "HardSigmoid": ((0.1, 0.4), (0.3, 0.7)),
    "Elu": ((0.3, 1.2),),
}


@dataclass(frozen=True)
class Node:
    """One node with its inputs."""

    op_type: str
    inputs: dict[str, Any]
    attributes: dict[str, Any]
    opset: int = 22

    @property
    def outputs(self) -> list[str]:
        return ["Y", "Y_h", "Y_c"] if self.op_type == "LSTM" else ["Y", "Y_h"]

    @property
    def lengths(self) -> dict[str, int]:
        """The arguments of conformance.check that tolerances are made of."""
        x, r = self.inputs["X"], self.inputs["R"]
        return {"terms": x.shape[2] + r.shape[2], "steps": x.shape[1 if self.attributes.get("layout") else 0]}

    @property
    def proto(self) -> Any:
        names = [name if name in self.inputs else "" for name in INPUTS[: 8 if self.op_type == "LSTM" else 6]]
        while not names[-1]:
            names.pop()
        return helper.make_node(self.op_type, names, self.outputs, **self.attributes)

    def swapped(self) -> Node:
        """The same node in the other layout."""
        inputs = {n: np.ascontiguousarray(a.swapaxes(0, 1)) if n in BATCHED else a for n, a in self.inputs.items()}
        layout = 1 - self.attributes.get("layout", 0)
        opset = max(self.opset, 14) if layout else self.opset
        return replace(self, inputs=inputs, attributes=self.attributes | {"layout": layout}, opset=opset)


def swap_outputs(outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs in layout 0 to those in layout 1."""
    return {name: a.transpose(2, 0, 1, 3) if name == "Y" else a.swapaxes(0, 1) for name, a in outputs.items()}


def run_onnxruntime(node: Node) -> dict[str, Any]:
    """What onnxruntime makes of a node, on one thread. Its errors are the caller's."""
    import onnxruntime

    def value(name: str, dtype: Any, shape: Any) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    dtype = node.inputs["X"].dtype
    graph = helper.make_graph(
        [node.proto],
        "node",
        [value(name, a.dtype, a.shape) for name, a in node.inputs.items()],
        [value(name, dtype, None) for name in node.outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(node.outputs, session.run(None, node.inputs), strict=True))


# -- random nodes ------------------------------------------------------------------------------------------------------


def random_node(op_type: str, seed: int, dtype: str = "float32", *, plain: bool = False, lengths: bool = True) -> Node:
    """A node with about half of all options, in layout 0; with `plain` only those that onnx.reference knows.

    Two kinds are drawn again, because rounding decides what comes out of them and not who is right: one whose states
    grow beyond 100 (gates without bound multiply the state, and an error in it, without end), and one whose
    ThresholdedRelu meets a value within 1e-4 of its jump.
    """
    for attempt in itertools.count():
        node = _draw(op_type, np.random.default_rng([*op_type.encode(), seed, attempt]), dtype, plain)
        if not lengths:
            node.inputs.pop("sequence_lens", None)
        equations = Equations(op_type, node.attributes)
        with np.errstate(over="ignore", invalid="ignore"):
            equations(node.inputs)
        if equations.largest < 100 and equations.margin > 1e-4:
            return node
    raise AssertionError("not reached")


def _draw(op_type: str, rng: np.random.Generator, dtype: str, plain: bool) -> Node:
    def chance(p: float) -> bool:
        return bool(rng.random() < p)

    direction = ("forward", "reverse", "bidirectional")[rng.integers(3)]
    count = 2 if direction == "bidirectional" else 1
    steps, batch, width = (int(n) for n in rng.integers(1, (13, 8, 20)))
    hidden = int(rng.choice([1, 3, 5, 8, 17, 33]))
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if not plain:
        attributes |= _options(op_type, count, rng)
    if op_type == "GRU":
        attributes["linear_before_reset"] = int(chance(0.5))

    rows = GATES[op_type.lower()] * hidden
    # Gates of an activation without bound need small weights: see RANGES.
    bounded = set(attributes.get("activations", ())) <= {"Tanh", "Sigmoid", "Softsign", "HardSigmoid", "ScaledTanh"}
    scale = 1.5 if bounded else 0.5
    shapes = {
        "X": (steps, batch, width),
        "W": (count, rows, width),
        "R": (count, rows, hidden),
        "B": (count, 2 * rows),
        "initial_h": (count, batch, hidden),
        "initial_c": (count, batch, hidden),
        "P": (count, 3 * hidden),
    }
    present = {"X": 1.0, "W": 1.0, "R": 1.0, "B": 0.8, "initial_h": 0.6}
    present |= {"initial_c": 0.6, "P": 0.5} if op_type == "LSTM" else {}
    scales = {"X": 1.0, "initial_h": 1.0, "initial_c": 1.0, "W": scale * width**-0.5, "R": scale * hidden**-0.5}
    inputs = {
        name: (rng.uniform(-1, 1, shapes[name]) * scales.get(name, 0.5)).astype("float32").astype(dtype)
        for name, p in present.items()
        if chance(p)
    }
    if not plain and chance(0.6):
        inputs["sequence_lens"] = rng.integers(0, steps + 1, batch).astype("int32")
    return Node(op_type, inputs, attributes, OPSETS[rng.integers(3)])


def _options(op_type: str, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """activations with their numbers, clip and input_forget, as float32: that is what a node holds."""
    options: dict[str, Any] = {}
    if rng.random() < 0.4:
        options["clip"] = float(np.float32(rng.uniform(0.3, 2.0)))
    if op_type == "LSTM" and rng.random() < 0.3:
        options["input_forget"] = 1
    if rng.random() < 0.3:
        return options
    choices = [*SIMPLE, *NUMBERS]
    names = [choices[rng.integers(len(choices))] for _ in range(count * len(ACTIVATIONS[op_type]))]
    options["activations"] = names
    for index, attribute in enumerate(("activation_alpha", "activation_beta")):
        takers = [name for name in names if len(NUMBERS.get(name, ())) > index]
        numbers = [float(np.float32(rng.uniform(*RANGES[name][index]))) for name in takers]
        # The last may be left out where there is a default which onnxruntime shares (docs/onnx.md).
        while takers and takers[-1] in ("LeakyRelu", "HardSigmoid", "Elu") and rng.random() < 0.3:
            takers.pop()
            numbers.pop()
        if numbers:
            options[attribute] = numbers
    return options
