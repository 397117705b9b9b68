"""The contestants: fastrnn and, where installed, NumPy, PyTorch, onnxruntime, OpenVINO, Keras on TensorFlow and JAX.

A peer builds the same layer with the same weights. Weights, inputs and compiled functions are ready before the clock
starts; every library gets its input in the layout that it likes, as its own tensor type.

Adding a peer: a class, its place in load_peers, and its name in the sections where it takes part.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .measure import Contestant, Unable
from .ours import FastRNN
from .sections import Section
from .work import GRADIENTS, Array, Problem, Work, make_problem, reorder


class Peer:
    """A library, or one of its dtypes. ``inference``, ``training`` and ``product`` as far as it has them."""

    name: str
    version: str
    dtype = "float32"


class NumPy(Peer):
    """The matrix product of NumPy, which is OpenBLAS in its wheels, kept to one thread by bench/__init__.py."""

    name, version = "numpy", np.__version__

    def product(self, problem: Problem) -> Contestant:
        a, b = problem.factors
        out = np.empty((a.shape[0], b.shape[1]), np.float32)
        return Contestant(self.name, problem.work, partial(np.matmul, a, b, out=out), lambda _: {"y": out})


class Torch(Peer):
    """PyTorch's nn.LSTM, nn.GRU and nn.RNN, inference under torch.inference_mode, ragged batches packed; torch.mm."""

    name = "torch"

    def __init__(self, threads: int) -> None:
        import torch

        self.torch = torch
        self.version = torch.__version__
        torch.set_num_threads(threads)

    def _layer(self, problem: Problem) -> tuple[Any, Any, Any]:
        torch, work = self.torch, problem.work
        layer = getattr(torch.nn, work.cell.upper())(work.I, work.H)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        with torch.no_grad():
            for name, value in zip(names, problem.parameters, strict=True):
                getattr(layer, name).copy_(torch.from_numpy(value))
        x, h0, c0 = (torch.tensor(a, dtype=getattr(torch, self.dtype)) for a in (problem.x, problem.h0, problem.c0))
        return layer.to(x.dtype), x, (h0, c0) if work.cell == "lstm" else h0

    def _run(self, problem: Problem, layer: Any) -> Any:
        """layer(x, states), of a ragged batch by way of a packed sequence: y is padded again as x was."""
        if problem.work.lengths is None:
            return layer
        rnn, steps = self.torch.nn.utils.rnn, problem.work.T
        lengths = self.torch.from_numpy(problem.work.lengths)

        def run(x: Any, states: Any) -> Any:
            packed, final = layer(rnn.pack_padded_sequence(x, lengths, enforce_sorted=False), states)
            return rnn.pad_packed_sequence(packed, total_length=steps)[0], final

        return run

    def inference(self, problem: Problem) -> Contestant:
        layer, x, states = self._layer(problem)
        run = self._run(problem, layer.eval())
        inference_mode = self.torch.inference_mode

        def forward() -> Any:
            with inference_mode():
                return run(x, states)

        return Contestant(self.name, problem.work, forward, lambda result: {"y": result[0].float().numpy()})

    def training(self, problem: Problem) -> Contestant:
        layer, x, states = self._layer(problem)
        dy = self.torch.from_numpy(problem.dy.copy())
        all_states = states if isinstance(states, tuple) else (states,)
        wanted = [x, all_states[0], layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0]
        for tensor in (*wanted, *all_states):
            tensor.requires_grad_(True)
        inputs = [*wanted, *all_states[1:]]
        grad = self.torch.autograd.grad

        def backward(result: Any) -> Any:
            return result[0], grad(result[0], inputs, dy)

        def arrays(result: Any) -> dict[str, Array]:
            y, grads = result
            return {"y": y.detach().numpy()} | {n: g.numpy() for n, g in zip(GRADIENTS, grads, strict=False)}

        return Contestant(self.name, problem.work, partial(self._run(problem, layer), x, states), arrays, backward)

    def product(self, problem: Problem) -> Contestant:
        a, b = map(self.torch.tensor, problem.factors)
        out = self.torch.empty(a.shape[0], b.shape[1])
        return Contestant(self.name, problem.work, partial(self.torch.mm, a, b, out=out), lambda _: {"y": out.numpy()})


class TorchBFloat16(Torch):
    """Inference with weights, input and states in bfloat16."""

    name, dtype = "torch bfloat16", "bfloat16"


def onnx_model(problem: Problem) -> bytes:
    """The layer as an ONNX model with fixed shapes: inputs x, h0 (and c0), output y (T, 1, B, H)."""
    from onnx import TensorProto, helper, numpy_helper

    work = problem.work
    # ONNX: LSTM gates i, o, f, c; GRU gates z, r, h.
    order = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}[work.cell]
    w_ih, w_hh, b_ih, b_hh = (reorder(p, order) for p in problem.parameters)
    constants = {"W": w_ih[None], "R": w_hh[None], "bias": np.concatenate([b_ih, b_hh])[None]}
    state = [1, work.B, work.H]
    inputs = {"x": [work.T, work.B, work.I], "h0": state} | ({"c0": state} if work.cell == "lstm" else {})
    extra = {"linear_before_reset": 1} if work.cell == "gru" else {}
    node = helper.make_node(
        work.cell.upper(),
        ["x", "W", "R", "bias", "", *[name for name in inputs if name != "x"]],
        ["y", "h_n", *(["c_n"] if work.cell == "lstm" else [])],
        hidden_size=work.H,
        **extra,
    )
    outputs = {"y": [work.T, 1, work.B, work.H], "h_n": state} | ({"c_n": state} if work.cell == "lstm" else {})
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _onnx_feed(problem: Problem) -> dict[str, Array]:
    feed = {"x": problem.x, "h0": problem.h0}
    return feed | {"c0": problem.c0} if problem.work.cell == "lstm" else feed


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
        return Contestant(self.name, problem.work, run, lambda result: {"y": result[0][:, 0]})

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
        return Contestant(self.name, problem.work, run, lambda result: {"y": result[0][:, 0]})


class OpenVINOBFloat16(OpenVINO):
    """Inference computed in bfloat16; input and output are float32."""

    name, dtype, hint = "openvino bfloat16", "bfloat16", "bf16"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        if "BF16" not in self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise Unable("no bfloat16 on this processor")  # it would compute in float32 without a word


def load_peers(names: list[str] | None, threads: int) -> tuple[list[Peer], dict[str, str]]:
    """The peers asked for (None: all) that are installed, and by name why the others are not here.

    Raises:
        ValueError: an unknown name.
    """
    from .peers_compiled import Jax, Keras

    known = (Torch, TorchBFloat16, OnnxRuntime, OnnxRuntimeInt8, OpenVINO, OpenVINOBFloat16, Keras, Jax)
    libraries = list(dict.fromkeys(peer.name.split()[0] for peer in known))
    unknown = sorted(set(names or []) - set(libraries))
    if unknown:
        raise ValueError(f"peers: expected some of {', '.join(libraries)}, got {unknown[0]!r}")
    # Read when the libraries are loaded.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):
        os.environ[variable] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    peers: list[Peer] = [NumPy()]
    skipped = {}
    for peer in known:
        if names is None or peer.name.split()[0] in names:
            try:
                peers.append(peer(threads))
            except ImportError as error:
                skipped[peer.name] = f"not installed ({error})"
            except Unable as error:
                skipped[peer.name] = str(error)
        else:
            skipped[peer.name] = "not asked for"
    return peers, skipped


def contestants(
    work: Work, section: Section, ours: FastRNN, peers: Sequence[Peer]
) -> tuple[list[Contestant], dict[str, str]]:
    """fastrnn in the section's variants and those of its peers that are loaded; by name, why one is not."""
    problem = make_problem(work)
    made = []
    unable = {}
    for variant in section.ours:
        try:
            made.append(ours.contestant(problem, variant))
        except Unable as error:
            unable[variant.name] = str(error)
    for peer in peers:
        if peer.name in section.peers:
            try:
                made.append(getattr(peer, work.kind)(problem))
            except Unable as error:
                unable[peer.name] = str(error)
            else:
                made[-1].precision = peer.dtype
    return made, unable
