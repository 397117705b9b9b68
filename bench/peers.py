"""The contestants: fastrnn and, where installed, NumPy, PyTorch, onnxruntime, OpenVINO, ncnn, Keras on TensorFlow, JAX.

A peer builds the same layer with the same weights. Weights, inputs and compiled functions are ready before the clock
starts; every library gets its input in the layout that it likes, as its own tensor type.

Adding a peer: a class, its place in load_peers, and its name in the sections where it takes part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .measure import Contestant, Unable
from .ours import FastRNN
from .section import Section
from .work import Array, Problem, Work, make_problem


class Peer:
    """A library, or one of its dtypes. ``inference``, ``training`` and ``product`` as far as it has them."""

    name: str
    version: str
    dtype = "float32"


def one_layer(peer: Peer, problem: Problem) -> Work:
    """The work of a problem, for peers that build no more than one layer in one direction.

    Raises:
        Unable: it is more.
    """
    if problem.work.stacked:
        raise Unable(f"stacks are not built for {peer.name}")
    return problem.work


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
        module = getattr(torch.nn, work.cell.upper())
        layer = module(work.I, work.H, num_layers=work.L, bidirectional=work.bidirectional)
        values = [value for row in problem.layers for parameters in row for value in parameters]
        with torch.no_grad():
            for parameter, value in zip(layer.parameters(), values, strict=True):
                parameter.copy_(torch.from_numpy(value))
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
        wanted = [x, all_states[0], *layer.parameters()]
        for tensor in (*wanted, *all_states):
            tensor.requires_grad_(True)
        inputs = [*wanted, *all_states[1:]]
        grad = self.torch.autograd.grad

        def backward(result: Any) -> Any:
            return result[0], grad(result[0], inputs, dy)

        def arrays(result: Any) -> dict[str, Array]:
            y, grads = result
            return {"y": y.detach().numpy()} | {
                n: g.numpy() for n, g in zip(problem.work.gradients, grads, strict=False)
            }

        return Contestant(self.name, problem.work, partial(self._run(problem, layer), x, states), arrays, backward)

    def product(self, problem: Problem) -> Contestant:
        a, b = map(self.torch.tensor, problem.factors)
        out = self.torch.empty(a.shape[0], b.shape[1])
        return Contestant(self.name, problem.work, partial(self.torch.mm, a, b, out=out), lambda _: {"y": out.numpy()})


class TorchBFloat16(Torch):
    """Inference with weights, input and states in bfloat16."""

    name, dtype = "torch bfloat16", "bfloat16"


def load_peers(names: list[str] | None, threads: int) -> tuple[list[Peer], dict[str, str]]:
    """The peers asked for (None: all) that are installed, and by name why the others are not here.

    Raises:
        ValueError: an unknown name.
    """
    from .peers_compiled import Jax, Keras
    from .peers_ncnn import Ncnn
    from .peers_onnx import OnnxRuntime, OnnxRuntimeInt8, OpenVINO, OpenVINOBFloat16

    known = (Torch, TorchBFloat16, OnnxRuntime, OnnxRuntimeInt8, OpenVINO, OpenVINOBFloat16, Ncnn, Keras, Jax)
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
