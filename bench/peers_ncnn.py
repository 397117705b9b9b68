"""ncnn, which runs networks on phones and is quick at single steps: its LSTM in float32, one row at a time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .measure import Contestant, Unable
from .peers import Peer, one_layer
from .work import Array, Problem, reorder

# Its text format: a magic number, the counts of layers and of blobs, and a line for each layer, of an LSTM with its H,
# the elements of w_ih, and 0 for "forward".
_MODEL = """7767517
4 6
Input x 0 1 x
Input h0 0 1 h0
Input c0 0 1 c0
LSTM lstm 3 3 x h0 c0 y h_n c_n 0={hidden} 1={elements} 2=0
"""
_OFF = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage", "int8_inference")


def _weights(problem: Problem) -> bytes:
    """Its binary format: w_ih, the bias and w_hh, gates i, f, o, g, each after four zeros that say "float32"."""
    w_ih, w_hh, bias = (reorder(p, [0, 1, 3, 2]) for p in (problem.w_ih, problem.w_hh, problem.b_ih + problem.b_hh))
    return b"".join(bytes(4) + array.tobytes() for array in (w_ih, bias, w_hh))


class Ncnn(Peer):
    """ncnn's LSTM layer; it has no training. Its other cells, batches and stacks are not built here."""

    name = "ncnn"

    def __init__(self, threads: int) -> None:
        import ncnn

        self.ncnn = ncnn
        self.version = ncnn.__version__
        self.threads = threads

    def inference(self, problem: Problem) -> Contestant:
        work = one_layer(self, problem)
        if work.cell != "lstm" or work.B != 1:
            raise Unable("its LSTM of one row is built here, nothing else")
        net = self.ncnn.Net()
        net.opt.num_threads = self.threads
        for option in _OFF:
            setattr(net.opt, f"use_{option}", False)
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder, "lstm.param"), Path(folder, "lstm.bin")
            files[0].write_text(_MODEL.format(hidden=work.H, elements=work.I * 4 * work.H))
            files[1].write_bytes(_weights(problem))
            if net.load_param(str(files[0])) or net.load_model(str(files[1])):
                raise Unable("ncnn did not take the model")
        # A Mat refers to the array it is made of: only the clone owns its memory.
        arrays = {"x": problem.x[:, 0], "h0": problem.h0[:, 0], "c0": problem.c0[:, 0]}
        feed = [(name, self.ncnn.Mat(np.ascontiguousarray(array)).clone()) for name, array in arrays.items()]

        def forward() -> Any:
            extractor = net.create_extractor()
            for name, mat in feed:
                extractor.input(name, mat)
            return extractor.extract("y")[1]

        def y(result: Any) -> dict[str, Array]:
            return {"y": np.array(result)[:, None]}

        return Contestant(self.name, work, forward, y)
