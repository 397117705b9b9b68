"""bench/cuda_speed.py without a GPU: its half that is ours over the emulation, with a clock that stands still."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import cuda_speed
from bench.cuda_speed import Machine, Shape
from tests.support.cuda.fake_arrays import FakeArray, read


def once(call) -> float:
    call()
    return 0.5


MACHINE = Machine(FakeArray, once, "H100")


@pytest.mark.parametrize("tier", [None, "grid"])
def test_what_is_measured_is_the_call(gpu, tier):
    shape = Shape("gru", 6, 2, "bfloat16", 4)
    found = cuda_speed.ours(shape, MACHINE, tier)
    assert found["us"] == found["train_us"] == 125.0  # half a millisecond over four steps
    assert len(found["tiers"]) == len(found["predicted_us"]) == 3
    assert read(found.pop("y")).shape == (4, 2, 6)
    if tier:
        assert found["tiers"] == ["grid"] * 3


def test_who_cannot_says_why_and_the_other_is_measured(gpu, monkeypatch):
    def no_cudnn(shape, machine):
        raise RuntimeError("no cuDNN for this")

    monkeypatch.setattr(cuda_speed, "cudnn", no_cudnn)
    line = cuda_speed.line(Shape("lstm", 6, 2, "float32", 4), MACHINE)
    json.dumps(line)
    assert line["cudnn_unable"] == "no cuDNN for this"
    assert line["us"] == 125.0
    assert "difference" not in line


def test_the_named_shapes_come_first_and_each_once():
    shapes = list(cuda_speed.shapes())
    assert shapes[0] == Shape("lstm", 768, 16, "bfloat16", 1024)
    assert len(set(shapes)) == len(shapes) == 4 * 4 * 5 * 2 + 1  # B 32
    _, (w_ih, w_hh, b_ih, _) = cuda_speed.arrays(shapes[-1])
    rows = cuda_speed.GATES[shapes[-1].cell] * shapes[-1].hidden
    assert w_ih.shape == w_hh.shape == (rows, shapes[-1].hidden)
    assert b_ih.shape == (rows,)
    assert w_ih.dtype == np.float32


@pytest.mark.full
@pytest.mark.parametrize(("cell", "dtype"), [("lstm", "float32"), ("gru", "tf32"), ("gru", "bfloat16")])
def test_the_peer_does_the_same_work(gpu, cell, dtype):
    torch = pytest.importorskip("torch")
    shape = Shape(cell, 6, 2, dtype, 4)
    peer = Machine(torch.from_numpy, once, "H100", "cpu")
    found = cuda_speed.cudnn(shape, peer)
    assert found["cudnn_us"] == found["cudnn_train_us"] == 125.0
    mine = read(cuda_speed.ours(shape, MACHINE)["y"])
    np.testing.assert_allclose(found["y"].float().numpy(), mine, atol=2e-2 if dtype == "bfloat16" else 2e-3, rtol=0)
