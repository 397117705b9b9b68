"""oneDNN's tail shapes, through onnxruntime: sizes at which a kernel's blocks do not come out even.

The shapes are those of benchdnn, oneDNN's own test driver: l layers, t time steps, mb batch, sic channels of the
initial h, slc of the input, dhc of h, each by default the one before it. Where dhc differs from sic (t is 1 then), h0
has fewer channels than h: the ones that are missing are zeros here, in h0 and in the columns of the recurrent weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="a peer is missing: pip install '.[conformance]'")
pytest.importorskip("onnxruntime", reason="a peer is missing: pip install '.[conformance]'")

import fastrnn
from tests.support.cells import GATES
from tests.support.conformance.onnx_nodes import OPERATORS, Node, run_onnxruntime

SHAPES = {  # layers, steps, batch, channels of h0, of the input, of h
    "l4 t3 mb20 sic36": (4, 3, 20, 36, 36, 36),
    "l1 t1 mb7 sic17 dhc34": (1, 1, 7, 17, 17, 34),
    "l1 t1 mb4 sic17 slc34 dhc68": (1, 1, 4, 17, 34, 68),
}
# For each gate of ONNX's, its place in ours: iofc in ifgo, zrh in rzn.
ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}
PACK = {"RNN": fastrnn.pack_rnn, "GRU": fastrnn.pack_gru, "LSTM": fastrnn.pack_lstm}


def onnx_order(op_type: str, arrays: list[Any]) -> Any:
    """The arrays of each direction, (G*H, ...) in our order of gates, as one of ONNX's."""
    gates = GATES[op_type.lower()]
    return np.stack([a.reshape(gates, -1, *a.shape[1:])[ORDER[op_type]].reshape(a.shape) for a in arrays])


@pytest.mark.parametrize("op_type", OPERATORS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_tail_shapes(op_type, shape, directions, threads, conformance):
    """One stack_forward against a chain of onnxruntime's nodes, one for each layer."""
    layers, steps, batch, old, width, hidden = SHAPES[shape]
    rng = np.random.default_rng([*shape.encode(), *op_type.encode(), directions])
    rows, count = GATES[op_type.lower()] * hidden, layers * directions

    def draw(*size: int) -> Any:
        return rng.uniform(-1, 1, size).astype("float32")

    x, h0, c0 = draw(steps, batch, width), draw(count, batch, hidden), draw(count, batch, hidden)
    h0[..., old:] = 0
    weights, nodes = [], []
    for layer in range(layers):
        fan = width if layer == 0 else directions * hidden
        w_ih, w_hh = ([draw(rows, n) * np.float32(n**-0.5) for _ in range(directions)] for n in (fan, hidden))
        for w in w_hh:
            w[:, old:] = 0
        b_ih, b_hh = ([draw(rows) for _ in range(directions)] for _ in range(2))
        options = {"reset": "before"} if op_type == "GRU" else {}
        weights.append([PACK[op_type](*arrays, **options) for arrays in zip(w_ih, w_hh, b_ih, b_hh, strict=True)])
        inputs = {
            "W": onnx_order(op_type, w_ih),
            "R": onnx_order(op_type, w_hh),
            "B": np.concatenate([onnx_order(op_type, b_ih), onnx_order(op_type, b_hh)], axis=1),
            "initial_h": h0[layer * directions : (layer + 1) * directions],
        }
        if op_type == "LSTM":
            inputs["initial_c"] = c0[layer * directions : (layer + 1) * directions]
        nodes.append((inputs, {"hidden_size": hidden, "direction": ("forward", "bidirectional")[directions - 1]}))

    y, h_n, c_n = fastrnn.stack_forward(x, weights, h0, c0 if op_type == "LSTM" else None, threads=threads)

    expected: dict[str, list[Any]] = {"h_n": [], "c_n": []}
    below = x
    for inputs, attributes in nodes:
        out = run_onnxruntime(Node(op_type, {"X": below, **inputs}, attributes))
        below = out["Y"].swapaxes(1, 2).reshape(steps, batch, directions * hidden)
        expected["h_n"].append(out["Y_h"])
        expected["c_n"].append(out.get("Y_c"))
    conformance.check(
        f"oneDNN's tail shapes, {op_type} in onnxruntime",
        f"{shape}, {directions} directions, {threads} threads",
        {"y": y, "h_n": h_n, "c_n": c_n},
        {
            "y": below,
            "h_n": np.concatenate(expected["h_n"]),
            "c_n": np.concatenate(expected["c_n"]) if op_type == "LSTM" else None,
        },
        "float32",
        terms=max(width, directions * hidden) + hidden,
        steps=steps * layers,
    )
