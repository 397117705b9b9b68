"""Peers that read an ONNX model: onnxruntime and OpenVINO."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .measure import Contestant, Unable
from .peers import Peer
from .work import Array, Problem, reorder


def onnx_model(problem: Problem) -> bytes:
    """The layers as an ONNX model with fixed shapes: inputs x, h0 (and c0), output y (T, D, B, H)."""
    from onnx import TensorProto, helper, numpy_helper

    work = problem.work
    # ONNX: LSTM gates i, o, f, c; GRU gates z, r, h.
    order = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}[work.cell]
    state = [work.D, work.B, work.H]
    nodes = []
    constants: dict[str, Array] = {}
    inputs, outputs = {"x": [work.T, work.B, work.I]}, dict[str, list[int]]()
    below = "x"
    for layer, directions in enumerate(problem.layers):
        name = partial(_of_layer, layer)
        reordered = [[reorder(p, order) for p in parameters] for parameters in directions]
        w_ih, w_hh, b_ih, b_hh = (np.stack(values) for values in zip(*reordered, strict=True))
        constants |= {name("W"): w_ih, name("R"): w_hh, name("bias"): np.concatenate([b_ih, b_hh], -1)}
        states = {"h0": "h_n"} | ({"c0": "c_n"} if work.cell == "lstm" else {})
        inputs |= {name(before): state for before in states}
        nodes.append(
            helper.make_node(
                work.cell.upper(),
                [below, name("W"), name("R"), name("bias"), "", *map(name, states)],
                [name("y"), *map(name, states.values())],
                hidden_size=work.H,
                direction="bidirectional" if work.bidirectional else "forward",
                **({"linear_before_reset": 1} if work.cell == "gru" else {}),
            )
        )
        if layer + 1 < work.L:  # (T, D, B, H) as (T, B, D*H)
            constants[name("shape")] = np.array([work.T, work.B, work.D * work.H])
            nodes.append(helper.make_node("Transpose", [name("y")], [name("turned")], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [name("turned"), name("shape")], [name("below")]))
            below = name("below")
        outputs |= {name(after): state for after in states.values()}
    outputs = {_of_layer(work.L - 1, "y"): [work.T, *state]} | outputs
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _of_layer(layer: int, name: str) -> str:
    """The name of one of a layer's arrays; the first layer's is the plain one."""
    return f"{name}_{layer}" if layer else name


def _y(result: Any) -> dict[str, Array]:
    """y (T, B, D*H) from ONNX's (T, D, B, H)."""
    y = np.swapaxes(result[0], 1, 2)
    return {"y": y.reshape(*y.shape[:2], -1)}


def _onnx_feed(problem: Problem) -> dict[str, Array]:
    work, feed = problem.work, {"x": problem.x}
    for layer in range(work.L):
        rows = slice(layer * work.D, (layer + 1) * work.D)
        feed[_of_layer(layer, "h0")] = problem.h0[rows]
        if work.cell == "lstm":
            feed[_of_layer(layer, "c0")] = problem.c0[rows]
    return feed


class OnnxRuntime(Peer):
    """onnxruntime on the CPU; it has no training of recurrent layers, and no bfloat16."""

    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        import onnx  # noqa: F401  builds the model; onnxruntime does not bring it
        import onnxruntime

        self.ort = onnxruntime
        self.version = onnxruntime.__version__
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def model(self, problem: Problem) -> bytes:
        return onnx_model(problem)

    def inference(self, problem: Problem) -> Contestant:
        session = self.ort.InferenceSession(self.model(problem), self.options, providers=["CPUExecutionProvider"])
        run = partial(session.run, None, _onnx_feed(problem))
        return Contestant(self.name, problem.work, run, _y)

    def pool(self, problem: Problem) -> Contestant:
        """A call for each stream, whose state is fed back."""
        rows = [
            replace(problem, work=replace(problem.work, B=1), x=problem.x[:, b : b + 1],
                    h0=problem.h0[:, b : b + 1], c0=problem.c0[:, b : b + 1])
            for b in range(problem.work.B)
        ]  # fmt: skip
        session = self.ort.InferenceSession(self.model(rows[0]), self.options, providers=["CPUExecutionProvider"])
        feeds = [{name: np.ascontiguousarray(a) for name, a in _onnx_feed(row).items()} for row in rows]

        def forward() -> Any:
            results = []
            for feed in feeds:
                y, *states = session.run(None, feed)
                feed.update(zip(("h0", "c0"), states, strict=False))
                results.append(y)
            return results

        return Contestant(
            self.name, problem.work, forward, lambda ys: {"y": np.stack([y[0, 0, 0] for y in ys])[np.newaxis]}
        )


class OnnxRuntimeInt8(OnnxRuntime):
    """Its dynamic quantisation, which knows the LSTM alone: a scale per output channel, 7 bits.

    With 8 bits its sums saturate on processors without VNNI, and y is off by 0.2 after a single step.
    """

    name, dtype = "onnxruntime int8", "int8"

    def model(self, problem: Problem) -> bytes:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        if problem.work.cell != "lstm":
            raise Unable("it quantises the LSTM alone")
        layer = onnx.load_from_string(onnx_model(problem))
        logging.disable(logging.WARNING)  # it recommends a preparation that changes nothing in a model of one layer
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                quantize_dynamic(layer, path, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
                return path.read_bytes()
        finally:
            logging.disable(logging.NOTSET)


class OpenVINO(Peer):
    """OpenVINO on the CPU, reading the same ONNX model; it has no training."""

    name, hint = "openvino", "f32"

    def __init__(self, threads: int) -> None:
        import onnx  # noqa: F401
        import openvino

        self.version = openvino.__version__.split("-")[0]
        self.core = openvino.Core()
        self.config = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self.hint,
            "ENABLE_CPU_PINNING": False,
        }

    def inference(self, problem: Problem) -> Contestant:
        model = self.core.read_model(onnx_model(problem), b"")
        compiled = self.core.compile_model(model, "CPU", self.config)
        # Shared memory: neither inputs nor outputs are copied, the fastest way that its Python has.
        infer = compiled.create_infer_request().infer
        run = partial(infer, _onnx_feed(problem), share_inputs=True, share_outputs=True)
        return Contestant(self.name, problem.work, run, _y)


class OpenVINOBFloat16(OpenVINO):
    """Inference computed in bfloat16; input and output are float32."""

    name, dtype, hint = "openvino bfloat16", "bfloat16", "bf16"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        if "BF16" not in self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise Unable("no bfloat16 on this processor")  # it would compute in float32 without a word
