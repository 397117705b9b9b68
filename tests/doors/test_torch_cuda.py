"""How `backend="fastrnn"` makes a stack of calls of one layer, with the functions of the CPU in place of the GPU's.

What the GPU's functions do with tensors of a GPU is the matter of tests/cuda.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[torch]'")

import fastrnn
import fastrnn.torch
from fastrnn.torch import cuda

torch.set_num_threads(1)


def on_tensors(name: str) -> Any:
    """A function of fastrnn whose arrays are tensors on both sides, as on a GPU."""
    function = getattr(fastrnn, name)

    def to(value: Any, convert: Any) -> Any:
        return convert(value) if hasattr(value, "shape") else value

    def call(*arguments: Any, **options: Any) -> Any:
        arrays = [to(value, np.asarray) for value in arguments]
        found = function(*arrays, **{name: to(value, np.asarray) for name, value in options.items()})
        if hasattr(found, "_fields"):
            return type(found)(*(to(value, torch.from_numpy) for value in found))
        return tuple(to(value, torch.from_numpy) for value in found)

    return call


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    cells = {
        cell: SimpleNamespace(forward=on_tensors(f"{cell}_forward"), backward=on_tensors(f"{cell}_backward"))
        for cell in ("rnn", "lstm", "gru")
    }
    monkeypatch.setattr(cuda, "CELLS", cells)


FORMS = ["plain", "lengths", "packed", "reset", "states"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_stacks_are_those_of_the_cpu(name, form):
    torch.manual_seed(0)
    module = getattr(fastrnn.torch, name)(3, 5, num_layers=2, bidirectional=True, backend="fastrnn")
    weights = [*module.parameters()]
    plan = module._fast.plan(2, 2, False, form == "packed", True, 0.0)
    x, lengths, reset = torch.randn(6, 2, 3), None, None
    h0 = c0 = hx = None
    if form == "lengths":
        lengths = torch.tensor([4, 6])
    if form == "reset":
        reset = torch.rand(6, 2) < 0.3
    if form == "states":
        h0, c0 = torch.randn(4, 2, 5), torch.randn(4, 2, 5) if name == "LSTM" else None
        hx = h0 if c0 is None else (h0, c0)
    given = x
    if form == "packed":
        given = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 4]))
        x, lengths = given.data, given.batch_sizes
    y, h_n, c_n = cuda.call(plan, x, h0, c0, weights, lengths, None, reset)
    options = {"lengths": lengths} if form == "lengths" else {"reset_mask": reset}
    expected, last = module(given, hx, **options)
    expected = expected.data if form == "packed" else expected
    last = last if isinstance(last, tuple) else (last,)
    ours = [y, h_n, *([] if c_n is None else [c_n])]
    for a, b in zip(ours, (expected, *last), strict=True):
        torch.testing.assert_close(a, b)
    grads = [torch.autograd.grad(sum(v.sin().sum() for v in values), weights) for values in (ours, (expected, *last))]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(cuda.call(plan, x, h0, c0, weights, lengths, None, reset)[0], expected)


def test_what_a_gpu_cannot_do_is_named():
    module = fastrnn.torch.GRU(3, 5, weight_dtype="int8", backend="fastrnn")
    plan = module._fast.plan(1, 1, False, False, True, 0.0)
    with pytest.raises(ValueError, match="weight_dtype: expected None on a GPU, got 'int8'"):
        cuda.call(plan, torch.zeros(4, 2, 3), None, None, [*module.parameters()], None, None, None)
    with pytest.raises(TypeError, match=r"input: expected torch\.float32 on a GPU"):
        cuda.call(plan, torch.zeros(4, 2, 3).double(), None, None, [*module.parameters()], None, None, None)
