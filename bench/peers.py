"""The contestants: fastrnn and, where installed, PyTorch, onnxruntime, OpenVINO, Keras on TensorFlow and JAX.

A peer builds the same layer with the same weights. ``inference`` and ``training`` return a Contestant, or None where
the library cannot do that work. Weights, inputs and compiled functions are ready before the clock starts; every
library gets its input in the layout that it likes, as its own tensor type.

Adding a peer: one class with ``name``, ``version``, ``inference`` and ``training``, and its place in load_peers.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np

import fastrnn

from .measure import Contestant
from .work import GRADIENTS, Array, Problem, reorder


class Peer(Protocol):
    """What the bench asks of a library."""

    name: str
    version: str

    def inference(self, problem: Problem) -> Contestant | None: ...

    def training(self, problem: Problem) -> Contestant | None: ...


class FastRNN:
    """This library. Inference runs on weights packed once; training packs in every call, as weights change in it."""

    name = "fastrnn"

    def __init__(self, threads: int) -> None:
        self.version = fastrnn.__version__
        set_num_threads = getattr(fastrnn, "set_num_threads", None)
        self.threads = threads if set_num_threads else 1
        if set_num_threads:
            set_num_threads(threads)

    @staticmethod
    def _states(problem: Problem) -> dict[str, Array]:
        return {"h0": problem.h0, "c0": problem.c0} if problem.work.cell == "lstm" else {"h0": problem.h0}

    def inference(self, problem: Problem) -> Contestant:
        cell, x, states = problem.work.cell, problem.x, self._states(problem)
        forward = getattr(fastrnn, f"{cell}_forward")
        packed = getattr(fastrnn, f"pack_{cell}")(*problem.parameters)
        return Contestant(self.name, lambda: forward(x, packed, **states), lambda result: {"y": result.y})

    def training(self, problem: Problem) -> Contestant:
        cell, x, dy, states = problem.work.cell, problem.x, problem.dy, self._states(problem)
        run_forward = getattr(fastrnn, f"{cell}_forward")
        run_backward = getattr(fastrnn, f"{cell}_backward")
        parameters = problem.parameters

        def forward() -> Any:
            return run_forward(x, *parameters, **states, training=True)

        def backward(result: Any) -> Any:
            return result[0], run_backward(dy, result[-1])

        def arrays(result: Any) -> dict[str, Array]:
            y, grads = result
            return {"y": y} | {name: getattr(grads, name[2:]) for name in GRADIENTS}

        return Contestant(self.name, forward, arrays, backward)


class Torch:
    """PyTorch's nn.LSTM, nn.GRU and nn.RNN; inference under torch.inference_mode."""

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
        h0 = torch.from_numpy(problem.h0.copy())
        states = (h0, torch.from_numpy(problem.c0.copy())) if work.cell == "lstm" else h0
        return layer, torch.from_numpy(problem.x.copy()), states

    def inference(self, problem: Problem) -> Contestant:
        layer, x, states = self._layer(problem)
        layer.eval()
        inference_mode = self.torch.inference_mode

        def forward() -> Any:
            with inference_mode():
                return layer(x, states)

        return Contestant(self.name, forward, lambda result: {"y": result[0].numpy()})

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

        return Contestant(self.name, lambda: layer(x, states), arrays, backward)


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


class OnnxRuntime:
    """onnxruntime on the CPU; it has no training of recurrent layers."""

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

    def inference(self, problem: Problem) -> Contestant:
        session = self.ort.InferenceSession(onnx_model(problem), self.options, providers=["CPUExecutionProvider"])
        feed = _onnx_feed(problem)
        return Contestant(self.name, lambda: session.run(None, feed), lambda result: {"y": result[0][:, 0]})

    def training(self, problem: Problem) -> None:
        return None


class OpenVINO:
    """OpenVINO on the CPU, reading the same ONNX model, in float32; it has no training."""

    name = "openvino"

    def __init__(self, threads: int) -> None:
        import onnx  # noqa: F401
        import openvino

        self.version = openvino.__version__.split("-")[0]
        self.core = openvino.Core()
        self.config = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }

    def inference(self, problem: Problem) -> Contestant:
        model = self.core.read_model(onnx_model(problem), b"")
        request = self.core.compile_model(model, "CPU", self.config).create_infer_request()
        feed = _onnx_feed(problem)
        # Shared memory: neither inputs nor outputs are copied, the fastest way that its Python has.
        return Contestant(
            self.name,
            lambda: request.infer(feed, share_inputs=True, share_outputs=True),
            lambda result: {"y": result[0][:, 0]},
        )

    def training(self, problem: Problem) -> None:
        return None


def load_peers(names: list[str] | None, threads: int) -> tuple[list[Peer], list[str]]:
    """The peers asked for (None: all) that are installed, and one line for each that is not.

    Raises:
        ValueError: an unknown name.
    """
    from .peers_compiled import Jax, Keras

    known = {peer.name: peer for peer in (Torch, OnnxRuntime, OpenVINO, Keras, Jax)}
    unknown = sorted(set(names or []) - set(known))
    if unknown:
        raise ValueError(f"peers: expected some of {', '.join(known)}, got {unknown[0]!r}")
    # Read when the libraries are loaded.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):
        os.environ[variable] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    peers: list[Peer] = []
    skipped = []
    for name, peer in known.items():
        if names is None or name in names:
            try:
                peers.append(peer(threads))
            except ImportError as error:
                skipped.append(f"{name}: skipped, not installed ({error})")
    return peers, skipped


def contestants(problem: Problem, ours: FastRNN, peers: list[Peer]) -> list[Contestant]:
    """fastrnn and every peer that can do this work."""
    kind = problem.work.kind
    made = [getattr(peer, kind)(problem) for peer in (ours, *peers)]
    return [contestant for contestant in made if contestant is not None]
