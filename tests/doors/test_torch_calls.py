"""Calls of fastrnn.torch past NumPy, by PyTorch's functions for C, and the same by way of NumPy: they are one."""

from __future__ import annotations

import os
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[torch]'")

import fastrnn.torch

torch.set_num_threads(1)
from fastrnn import _core
from fastrnn.torch import compute, packing

native = pytest.mark.skipif(
    not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"), reason="this PyTorch has no functions for C"
)


def run(module: Any, x: Any, hx: Any = None, change: Any = lambda y: y) -> list[Any]:
    """Outputs without a gradient, then outputs and all gradients."""
    with torch.no_grad():
        y, last = module(x, hx)
    found = [y, *(last if isinstance(last, tuple) else (last,))]
    y, last = module(x, hx)
    found += [y, *(last if isinstance(last, tuple) else (last,))]
    loss = change(found[-1]).square().sum() + change(y).sum()
    leaves = [t for t in (x, *module.parameters()) if t.requires_grad and t.is_leaf]
    return [t.detach() for t in (*found, *torch.autograd.grad(loss, leaves))]


def both(monkeypatch: Any, module: Any, *arguments: Any) -> None:
    """Compare a call with one where C reads no tensor."""
    torch.manual_seed(1)
    ours = run(module, *arguments)
    with monkeypatch.context() as patch:
        patch.setattr(_core, "tensor_stack", lambda *_: None)
        module._fast.store.packings.clear()
        torch.manual_seed(1)
        theirs = run(module, *arguments)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype is b.dtype
        assert torch.equal(a, b)


MODULES = [
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 2, "batch_first": True, "dtype": torch.float64}),
    ("LSTM", {"peephole": "diagonal", "layer_norm": True}),
    ("LSTM", {"peephole": "full"}),
    ("GRU", {"num_layers": 2, "dropout": 0.5}),
    ("GRU", {"reset": "before", "bias": False}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {"weight_dtype": "int8"}),
]


@pytest.mark.parametrize(("name", "options"), MODULES, ids=str)
@pytest.mark.parametrize("states", [False, True])
def test_both_ways_give_the_same_bits(monkeypatch, name, options, states):
    torch.manual_seed(0)
    module = getattr(fastrnn.torch, name)(3, 4, **options)
    dtype, rows = module.weight_hh_l0.dtype, module.num_layers * (1 + module.bidirectional)
    x = torch.randn(2, 5, 3, dtype=dtype, requires_grad=True)
    h0 = torch.randn(rows, 2 if module.batch_first else 5, module.proj_size or 4, dtype=dtype)
    c0 = torch.randn(rows, 2 if module.batch_first else 5, 4, dtype=dtype)
    both(monkeypatch, module, x, ((h0, c0) if name == "LSTM" else h0) if states else None)


UNUSUAL = {
    "every second feature": lambda: torch.randn(4, 2, 6)[..., ::2],
    "transposed": lambda: torch.randn(2, 4, 3).transpose(0, 1),
    "expanded": lambda: torch.randn(1, 1, 3).expand(4, 2, 3),
    "a sign to be applied": lambda: torch.randn(4, 2, 3, dtype=torch.complex64).conj().imag,
    "no rows": lambda: torch.randn(4, 0, 3),
}


@pytest.mark.parametrize("x", UNUSUAL)
def test_unusual_inputs(monkeypatch, x):
    both(monkeypatch, fastrnn.torch.LSTM(3, 4), UNUSUAL[x]())


def test_unusual_gradients(monkeypatch):
    """A sum's is one number everywhere, a transpose's has its axes in another order, a conjugate's a sign to apply."""
    for change in (torch.sum, lambda y: y.transpose(0, 1).contiguous(), lambda y: (y * 1j).conj().imag):
        both(monkeypatch, fastrnn.torch.GRU(3, 4), torch.randn(4, 2, 3), None, change)


def test_weights_that_c_reads_otherwise(monkeypatch):
    """Slices of a larger tensor, and one whose sign is still to be applied, which looks in memory as it was."""
    module = fastrnn.torch.RNN(4, 4)
    x = torch.randn(3, 2, 4)
    module.weight_hh_l0.data = torch.randn(8, 8)[2:6, 3:7]
    both(monkeypatch, module, x)
    before = module(x)[0]
    module.weight_hh_l0.data = torch.randn(4, 4)
    module(x)
    module.weight_hh_l0 = torch.nn.Parameter(module.weight_hh_l0.detach()._neg_view())
    after = module(x)[0].detach()
    assert not torch.equal(after, before)
    both(monkeypatch, module, x)


@native
def test_usual_calls_go_past_numpy(monkeypatch):
    """A call with new weights, too, as in training."""
    module, cell = fastrnn.torch.LSTM(3, 4), fastrnn.torch.GRUCell(3, 4)
    monkeypatch.setattr(compute._core, "stack_forward", None)
    monkeypatch.setattr(compute._core, "stack_backward", None)
    for _ in range(3):
        module(torch.randn(4, 2, 3))[0].sum().backward()
        for p in module.parameters():
            p.data.sub_(p.grad)
        cell(torch.randn(2, 3)).sum().backward()
    with torch.no_grad():
        module(torch.randn(4, 2, 3))


@native
def test_a_copy_of_what_is_kept_is_none():
    module = fastrnn.torch.LSTM(3, 4)
    x = torch.randn(4, 2, 3)
    with torch.no_grad():
        plan = module._fast.plan(1, 1, False, False, True, 0.0)
        weights = tuple(module.parameters())
        y, _, _, reserve = compute.forward(plan, module._fast.store, x, None, None, weights, (None,) * 4, True)
    arguments = (torch.ones_like(y), None, None, True, True, 1)
    assert len(_core.tensor_backward(reserve.data_ptr(), *arguments)) == 4
    assert _core.tensor_backward(reserve.clone().data_ptr(), *arguments) is None
    assert _core.tensor_backward(0, *arguments) is None
    assert _core.tensor_backward(2**80, *arguments) is NotImplemented


def test_results_are_as_torchs_own():
    """They may be edited through NumPy, and a part of them kept when all else is gone."""
    module = fastrnn.torch.LSTM(3, 4)
    with torch.inference_mode():
        y, (h, c) = module(torch.randn(4, 2, 3))
    assert y.is_inference()
    y.numpy()[0] = 1
    assert torch.equal(y[0], torch.ones(2, 4))
    last = y[-1].clone()
    rest = y[-1]
    del y, h, module
    assert torch.equal(rest, last)
    assert c.is_contiguous()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_may_train():
    """As a worker of a DataLoader may: with what was packed, and what was kept, before it."""
    module = fastrnn.torch.LSTM(3, 4)
    x = torch.randn(4, 2, 3)
    loss = module(x)[0].sum()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            loss.backward()
            module.weight_hh_l0.data.add_(1.0)
            module(x)[0].sum().backward()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    loss.backward()


def test_an_empty_object_is_refused():
    if not hasattr(_core, "TensorStack"):
        pytest.skip("no native calls")
    assert _core.tensor_forward(None, None, None, None, (), False, 1, False) is NotImplemented
    empty = _core.TensorStack.__new__(_core.TensorStack)
    assert _core.tensor_forward(empty, None, None, None, (), False, 1, False) is NotImplemented
    assert packing.Store().packings == {}
