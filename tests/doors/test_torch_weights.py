"""Packed weights of fastrnn.torch are kept between calls and never stale, however the parameters are written."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[torch]'")

import fastrnn.torch

torch.set_num_threads(1)
from fastrnn.torch import packing


def step_of(optimizer: Any) -> Any:
    def change(module: Any) -> None:
        opt = optimizer(module.parameters())
        module(torch.ones(2, 1, 4))[0].sum().backward()
        opt.step()

    return change


def under_inference_mode(module: Any) -> None:
    with torch.inference_mode():
        module.weight_hh_l0.add_(0.5)


def moving_average(module: Any) -> None:
    other = copy.deepcopy(module)
    with torch.no_grad():
        for mine, theirs in zip(module.parameters(), other.parameters(), strict=True):
            theirs.mul_(2.0)
            mine.lerp_(theirs, 0.25)


def replace_data(module: Any) -> None:
    module.weight_hh_l0.data = module.weight_hh_l0.data * 1.5


def replace_parameter(module: Any) -> None:
    module.weight_hh_l0 = torch.nn.Parameter(module.weight_hh_l0.detach() * 1.5)


def transpose_data(module: Any) -> None:
    """The same memory, address and version, read in another order: w_hh of an RNN is square."""
    module.weight_hh_l0.data = module.weight_hh_l0.data.t()


CHANGES = {
    "sgd": step_of(lambda p: torch.optim.SGD(p, 0.1)),
    "adam": step_of(lambda p: torch.optim.Adam(p, 0.1)),
    "adam foreach": step_of(lambda p: torch.optim.Adam(p, 0.1, foreach=True)),
    "data": lambda m: m.weight_hh_l0.data.add_(0.5),
    "data of a bias": lambda m: m.bias_hh_l0.data.add_(0.5),
    "one element through numpy": lambda m: m.weight_ih_l0.detach().numpy().__setitem__((3, 3), 0.25),
    "inference mode": under_inference_mode,
    "vector_to_parameters": lambda m: torch.nn.utils.vector_to_parameters(
        torch.nn.utils.parameters_to_vector(m.parameters()).detach() * 1.5, m.parameters()
    ),
    "moving average": moving_average,
    "load_state_dict": lambda m: m.load_state_dict({k: v * 1.5 for k, v in m.state_dict().items()}),
    "load_state_dict assign": lambda m: m.load_state_dict({k: v * 1.5 for k, v in m.state_dict().items()}, assign=True),
    "replaced data": replace_data,
    "replaced parameter": replace_parameter,
    "transposed data": transpose_data,
}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_weights_are_never_stale(change, grad):
    torch.manual_seed(0)
    module = fastrnn.torch.RNN(4, 4)
    x = torch.randn(3, 2, 4)

    def run(m: Any) -> Any:
        with torch.set_grad_enabled(grad):
            return m(x)[0].detach()

    before = run(module)
    assert torch.equal(run(module), before)
    CHANGES[change](module)
    after = run(module)
    assert not torch.equal(after, before)
    fresh = fastrnn.torch.RNN(4, 4)
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(after, run(fresh))


def test_weights_are_packed_once(monkeypatch):
    packed = []
    pack = packing.pack
    monkeypatch.setattr(packing, "pack", lambda *arguments: packed.append(1) or pack(*arguments))
    module = fastrnn.torch.LSTM(4, 4, num_layers=2)
    x = torch.randn(3, 2, 4)
    for _ in range(3):
        module(x)
    with torch.no_grad():
        module(x)
    with torch.inference_mode():
        module(x)
    assert packed == [1]
    module.weight_hh_l1.data[0, 0] += 1
    module(x)
    assert packed == [1, 1]


def test_nan_weights_are_packed_once_too(monkeypatch):
    packed = []
    pack = packing.pack
    monkeypatch.setattr(packing, "pack", lambda *arguments: packed.append(1) or pack(*arguments))
    module = fastrnn.torch.GRU(4, 4)
    module.weight_hh_l0.data[0, 0] = float("nan")
    for _ in range(2):
        assert module(torch.ones(2, 1, 4))[0].isnan().any()
    assert packed == [1]


def test_parameters_that_are_computed():
    """weight_norm and its likes put tensors, new at each call, where parameters were."""
    torch.manual_seed(0)
    for wrap in (torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.parametrizations.spectral_norm):
        module = wrap(fastrnn.torch.LSTM(4, 4), "weight_hh_l0")
        x = torch.randn(3, 2, 4)
        module(x)[0].sum().backward()
        for p in module.parameters():
            assert p.grad is not None
        module.eval()
        plain = fastrnn.torch.LSTM(4, 4)
        names = dict(plain.named_parameters())
        plain.load_state_dict({name: getattr(module, name).detach() for name in names})
        torch.testing.assert_close(module(x)[0], plain(x)[0])


def test_stores_of_other_processes_are_few():
    numbers = [10**9 + k for k in range(20)]
    stores = [packing.store_of(number) for number in numbers]
    assert packing.store_of(numbers[-1]) is stores[-1]
    assert len(packing._others) <= packing._OTHERS_AT_MOST
