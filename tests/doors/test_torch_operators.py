"""The operators of fastrnn.torch as PyTorch sees them: checks, compile, export, transforms, saved tensors."""

from __future__ import annotations

import gc
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[torch]'")

import fastrnn.torch

torch.set_num_threads(1)
from fastrnn.torch import compute

MODULES = [
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 2, "batch_first": True}),
    ("GRU", {"batch_first": True}),
    ("RNN", {"bias": False}),
    ("GRU", {"num_layers": 2, "dropout": 0.5}),
]


def make(name: str, options: dict[str, Any], dtype: Any = torch.float64) -> Any:
    torch.manual_seed(0)
    return getattr(fastrnn.torch, name)(3, 4, dtype=dtype, **options)


def states_of(module: Any, batch: int) -> Any:
    rows = module.num_layers * (1 + module.bidirectional)
    dtype = next(module.parameters()).dtype
    h0 = torch.randn(rows, batch, module.proj_size or module.hidden_size, dtype=dtype)
    return (h0, torch.randn(rows, batch, module.hidden_size, dtype=dtype)) if module.mode == "LSTM" else h0


@pytest.mark.parametrize(("name", "options"), MODULES, ids=str)
def test_opcheck(name, options):
    module = make(name, options)
    if module.dropout:
        module.eval()  # else two calls differ, as they should
    plan = module._fast.plan(module.num_layers, 1 + module.bidirectional, module.batch_first, False, False, 0.0)
    weights = [p.detach().clone().requires_grad_() for p in module.parameters()]
    hx = states_of(module, 2)
    h0, c0 = hx if module.mode == "LSTM" else (hx, None)
    x = torch.randn((2, 5, 3) if module.batch_first else (5, 2, 3), dtype=torch.float64, requires_grad=True)
    slot = module._fast.store.slot
    lengths = torch.tensor([3, 5])
    for keep, states in ((True, (h0.requires_grad_(), c0)), (False, (None, None))):
        arguments = (x, *states, weights, lengths if keep else None, None, None, None, plan.text, slot, keep)
        torch.library.opcheck(torch.ops.fastrnn.forward.default, arguments)
    with torch.no_grad():
        y, h_n, c_n, reserve = torch.ops.fastrnn.forward(
            x, h0, c0, weights, None, None, None, None, plan.text, slot, True
        )
        cotangents = (torch.ones_like(y), torch.ones_like(h_n), torch.ones_like(c_n) if plan.has_c else None)
        rest = (x.detach(), h0.detach(), c0, [w.detach() for w in weights], None, None, None, None, y)
        arguments = (*cotangents, *rest, reserve, plan.text, slot, True)
        torch.library.opcheck(torch.ops.fastrnn.backward.default, arguments)


@pytest.mark.parametrize(("name", "options"), MODULES, ids=str)
def test_gradcheck(name, options):
    module = make(name, options)
    hx = states_of(module, 2)
    hx = hx if isinstance(hx, tuple) else (hx,)
    x = torch.randn((2, 3, 3) if module.batch_first else (3, 2, 3), dtype=torch.float64)
    names = [name for name, _ in module.named_parameters()]

    def run(x: Any, *rest: Any) -> Any:
        torch.manual_seed(3)
        states, weights = rest[: len(hx)], dict(zip(names, rest[len(hx) :], strict=True))
        y, last = torch.func.functional_call(module, weights, (x, states if len(hx) == 2 else states[0]))
        return (y, *last) if isinstance(last, tuple) else (y, last)

    leaves = [t.detach().clone().requires_grad_() for t in (x, *hx, *module.parameters())]
    # Every element of the small modules; of the large ones, all elements in one random direction.
    assert torch.autograd.gradcheck(run, leaves, fast_mode=module.num_layers > 1)


def test_double_backward_is_refused():
    module = make("LSTM", {})
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    (dx,) = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"fastrnn\.torch: the second derivative .* is not there"):
        dx.sum().backward()


class Model(torch.nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.rnn = fastrnn.torch.LSTM(3, 8, **options)
        self.head = torch.nn.Linear(8 * (1 + self.rnn.bidirectional), 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0]).tanh()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_has_no_graph_break(backend):
    torch.manual_seed(0)
    model = Model(num_layers=2, bidirectional=True, batch_first=True)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    for batch, steps in ((2, 5), (3, 7), (4, 9)):
        x = torch.randn(batch, steps, 3)
        loss, same = compiled(x).sum(), model(x).sum()
        torch.testing.assert_close(loss, same)
        ours, theirs = (torch.autograd.grad(value, [*model.parameters()]) for value in (loss, same))
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x))
        before = compiled(x)
        model.rnn.weight_hh_l0.data.mul_(1.5)  # the compiled program reads the weights as they are
        assert not torch.equal(compiled(x), before)
        torch.testing.assert_close(compiled(x), model(x))
    torch._dynamo.reset()


class Packed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = fastrnn.torch.LSTM(3, 4, batch_first=True, bidirectional=True)

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # PyTorch's own
def test_compile_of_packed_sequences():
    """PyTorch breaks the graph at them; what runs beside it must not be traced down into this package."""
    model = Packed()
    x, lengths = torch.randn(3, 5, 3), torch.tensor([2, 5, 4])
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    results = []
    for call in (model, compiled):
        y = call(x, lengths)
        results.append((y, *torch.autograd.grad(y.square().sum(), [*model.parameters()])))
    torch._dynamo.reset()
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_compile_draws_dropout_anew():
    model = Model(num_layers=2, dropout=0.5)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    x = torch.randn(5, 2, 3)
    torch.manual_seed(0)
    first = compiled(x)
    assert not torch.equal(first, compiled(x))
    torch.manual_seed(0)
    assert torch.equal(first, compiled(x))
    torch._dynamo.reset()


# Of torch.export itself in PyTorch 2.4.
@pytest.mark.filterwarnings("ignore:At pre-dispatch tracing:UserWarning")
@pytest.mark.filterwarnings("ignore:You are using .torch.load:FutureWarning")
@pytest.mark.parametrize("strict", [False, True])
def test_export_with_dynamic_sizes(strict, tmp_path):
    torch.manual_seed(0)
    model = Model(batch_first=True).eval()
    batch, steps = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("steps", min=1, max=64)
    program = torch.export.export(
        model, (torch.randn(2, 5, 3),), dynamic_shapes={"x": {0: batch, 1: steps}}, strict=strict
    )
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    for shape in ((1, 1, 3), (7, 11, 3)):
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), model(x))
        torch.testing.assert_close(loaded(x), model(x))
    # A gradient of an exported program is there, too.
    x = torch.randn(2, 3, 3, requires_grad=True)
    (ours,), (theirs,) = (torch.autograd.grad(m(x).sum(), x) for m in (program.module(), model))
    torch.testing.assert_close(ours, theirs)


def test_gradients_of_torch_func():
    model = Model()
    x = torch.randn(5, 2, 3)

    def loss(parameters: Any) -> Any:
        return torch.func.functional_call(model, parameters, (x,)).square().sum()

    parameters = {name: p.detach() for name, p in model.named_parameters()}
    found = torch.func.grad(loss)(parameters)
    model(x).square().sum().backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad)


def test_fake_and_meta_tensors():
    with torch._subclasses.FakeTensorMode():
        module = fastrnn.torch.GRU(3, 4, bidirectional=True)
        y, h = module(torch.empty(5, 2, 3))
    assert y.shape == (5, 2, 8)
    assert h.shape == (2, 2, 4)
    y, (h, c) = fastrnn.torch.LSTM(3, 4, device="meta")(torch.empty(5, 2, 3, device="meta"))
    assert y.device.type == "meta"
    assert y.shape == (5, 2, 4)
    assert h.shape == c.shape == (1, 2, 4)


@pytest.mark.parametrize("change", ["x", "y", "weight"])
def test_edits_in_place_before_the_backward_pass_raise(change):
    module = make("GRU", {})
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    y, _ = module(x)
    with torch.no_grad():
        {"x": x, "y": y, "weight": module.weight_hh_l0}[change].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_what_a_graph_keeps_is_freed_with_it():
    gc.collect()
    before = compute.count_kept()
    module = make("LSTM", {})
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    loss = module(x)[0].sum()
    assert compute.count_kept() == before + 1
    loss.backward()
    assert compute.count_kept() == before
    loss = module(x)[0].sum()
    del loss
    assert compute.count_kept() == before


def test_backward_twice_with_a_graph_kept():
    module = make("GRU", {})
    loss = module(torch.randn(3, 2, 3, dtype=torch.float64))[0].sum()
    first = torch.autograd.grad(loss, module.weight_hh_l0, retain_graph=True)
    assert torch.equal(first[0], torch.autograd.grad(loss, module.weight_hh_l0)[0])
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast:FutureWarning")  # of a checkpoint of PyTorch 2.4
def test_saved_tensors_may_be_copied_or_dropped():
    """Hooks that move them elsewhere, and checkpoints, which make the forward call again."""
    module = make("LSTM", {"num_layers": 2, "dropout": 0.5})
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    leaves = [x, *module.parameters()]

    def run(call: Any) -> Any:
        torch.manual_seed(5)
        return torch.autograd.grad(call(x).square().sum(), leaves)

    expected = run(lambda x: module(x)[0])
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda t: t):
        copied = run(lambda x: module(x)[0])
    checkpoint = torch.utils.checkpoint.checkpoint
    dropped = run(lambda x: checkpoint(lambda x: module(x)[0], x, use_reentrant=False))
    for found in (copied, dropped):
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)
