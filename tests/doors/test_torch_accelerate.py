"""Models that fastrnn.torch accelerates: what is replaced, training, copies, threads, processes, the way back."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[torch]'")

import fastrnn.torch

torch.set_num_threads(1)

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")


class Tagger(torch.nn.Module):
    def __init__(self, kind: str = "LSTM", **options: Any) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 6)
        self.rnn = getattr(torch.nn, kind)(6, 8, num_layers=2, bidirectional=True, batch_first=True, **options)
        self.head = torch.nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(self.embedding(x))[0])


def data(steps: int = 7) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(11, (24, steps), generator=generator)
    return x, (x + x.roll(1, 1)) % 3


def train(model: Any, dtype: Any, epochs: int = 20) -> list[float]:
    x, y = data()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(epochs):
        for k in range(0, len(x), 8):
            loss = torch.nn.functional.cross_entropy(model(x[k : k + 8]).flatten(0, 1), y[k : k + 8].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-3)], ids=str)
def test_20_epochs_of_training_coincide(kind, dtype, tolerance):
    torch.manual_seed(0)
    theirs = Tagger(kind).to(dtype)
    ours = copy.deepcopy(theirs)
    assert fastrnn.torch.accelerate(ours).replaced == ("rnn",)
    a, b = train(theirs, dtype), train(ours, dtype)
    assert a[-1] < 0.7 * a[0]
    torch.testing.assert_close(torch.tensor(b), torch.tensor(a), rtol=0, atol=tolerance)
    if dtype is torch.float64:  # Adam divides by the root of small squares: what was 1e-16 may have grown
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=0, atol=1e-8)


def test_what_is_replaced_and_what_is_left():
    class Own(torch.nn.LSTM):
        pass

    model = torch.nn.ModuleDict(
        {
            "a": torch.nn.LSTM(3, 4, proj_size=2, bias=False),
            "b": torch.nn.Sequential(torch.nn.RNN(3, 4, nonlinearity="relu"), torch.nn.Linear(4, 4)),
            "cell": torch.nn.GRUCell(3, 4),
            "own": Own(3, 4),
            "bf16": torch.nn.GRU(3, 4, dtype=torch.bfloat16),
            "done": fastrnn.torch.GRU(3, 4),
        }
    )
    hooked = []
    model["a"].register_forward_hook(lambda *a: hooked.append(1))
    modules, parameters = [*model.modules()], [*model.parameters()]
    report = fastrnn.torch.accelerate(model)
    assert report.replaced == ("a", "b.0", "cell")
    assert report.left == {
        "own": "Own is no class of torch.nn, and may compute something else",
        "bf16": "its parameters are torch.bfloat16, not all torch.float32 or all torch.float64",
        "done": "it is fastrnn's already",
    }
    assert str(report).splitlines()[0] == "replaced a"
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    x = torch.randn(5, 2, 3)
    found = model["a"](x)[0]
    assert hooked == [1]
    assert isinstance(model["b"][0], fastrnn.torch.RNN)
    relu = model["b"][0](x)[0]
    assert fastrnn.torch.restore(model).replaced == ("a", "b.0", "cell", "done")
    assert type(model["a"]) is torch.nn.LSTM
    torch.testing.assert_close(model["a"](x)[0], found)
    torch.testing.assert_close(model["b"][0](x)[0], relu)
    assert "_fast" not in vars(model["a"])
    assert str(fastrnn.torch.accelerate(torch.nn.Linear(2, 2))) == "no recurrent layer"


def test_a_dtype_may_be_pytorchs():
    model = torch.nn.Sequential(torch.nn.LSTM(3, 4))
    fastrnn.torch.accelerate(model, torch.bfloat16)
    assert model[0]._fast.dtype == "bfloat16"


class Steps(torch.nn.Module):
    """What comes in is among what goes out, so that a trace which lost the rest would not be noticed."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner = getattr(torch.nn, kind)(3, 3)

    def forward(self, x: Any) -> Any:
        if isinstance(self.inner, torch.nn.RNNBase):
            return x + self.inner(x)[0]
        return x[0] + self.inner(x[0])[0]


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("grad", [True, False], ids=["gradient", "no_grad"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "LSTMCell"])
def test_a_trace_has_torchs_own_layer(kind, grad):
    """torch.jit.trace sees operators of PyTorch alone: what fastrnn computes would be a constant to it."""
    model = Steps(kind).eval()
    fastrnn.torch.accelerate(model)
    with torch.set_grad_enabled(grad):
        traced = torch.jit.trace(model, torch.randn(4, 2, 3))
        x = torch.randn(4, 2, 3)
        torch.testing.assert_close(traced(x), model(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("make", [fastrnn.torch.LSTM, fastrnn.torch.LSTMCell], ids=["LSTM", "LSTMCell"])
def test_a_trace_of_options_that_torch_lacks_is_refused(make):
    x = torch.randn(4, 2, 3) if make is fastrnn.torch.LSTM else torch.randn(2, 3)
    with pytest.raises(ValueError, match=f"{make.__name__}: expected no options .* torch.jit.trace"):
        torch.jit.trace(make(3, 4, zoneout_h=0.1).eval(), x)


def test_an_optimizer_goes_on():
    torch.manual_seed(0)
    model = Tagger()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    fastrnn.torch.accelerate(model)
    x, y = data()
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_deepcopy_and_pickle(duplicate):
    model = Tagger("GRU")
    fastrnn.torch.accelerate(model, dtype="bfloat16")
    x, _ = data()
    with torch.no_grad():
        expected = model(x)
        other = duplicate(model)
        assert type(other.rnn) is fastrnn.torch.GRU
        assert other.rnn._fast.store.slot != model.rnn._fast.store.slot
        assert torch.equal(other(x), expected)
        other.rnn.weight_hh_l0.mul_(2.0)
        assert torch.equal(model(x), expected)
        assert not torch.equal(other(x), expected)


def test_torch_save_and_load():
    model = Tagger()
    fastrnn.torch.accelerate(model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    plain = Tagger()
    plain.load_state_dict(torch.load(file, weights_only=True))
    x, _ = data()
    torch.testing.assert_close(plain(x), model(x))


def test_threads_share_a_module():
    """As DataParallel has it: several threads call one module, with gradients, while nobody writes it."""
    torch.manual_seed(0)
    model = Tagger().double()
    fastrnn.torch.accelerate(model)
    inputs = [torch.randint(11, (4, 3 + k)) for k in range(4)]

    def run(x: Any) -> Any:
        y = model(x)
        return y.detach(), torch.autograd.grad(y.square().sum(), [*model.rnn.parameters()])

    expected = [run(x) for x in inputs]
    model.rnn._fast.store.packings.clear()
    failures: list[Any] = []

    def work(k: int) -> None:
        for _ in range(10):
            y, grads = run(inputs[k])
            if not torch.equal(y, expected[k][0]) or not all(map(torch.equal, grads, expected[k][1])):
                failures.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


FORK = """
import sys, torch, fastrnn.torch
torch.manual_seed(0)
torch.set_num_threads(2)
model = fastrnn.torch.LSTM(64, 256)
x = torch.randn(20, 16, 64)
with torch.no_grad():
    y = model(x)[0]  # with a pool of threads, which a fork leaves behind

class Set(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, k):
        with torch.no_grad():
            torch.set_num_threads(2)
            y = model(x)[0]
            torch.set_num_threads(1)  # PyTorch's own threads do not outlive a fork
        return y

loader = torch.utils.data.DataLoader(Set(), num_workers=2, multiprocessing_context="fork", timeout=100)
for batch in loader:
    assert torch.equal(batch[0], y)
with torch.no_grad():
    assert torch.equal(model(x)[0], y)
print("same")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_in_a_worker_of_a_data_loader():
    found = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=300, check=False)
    assert found.stdout.strip() == "same", found.stderr


def import_with(version: str | None) -> str:
    """What `import fastrnn.torch` says where PyTorch is missing, or is of this version."""
    fake = "None" if version is None else f"type('T', (), {{'__version__': {version!r}}})"
    code = f"import sys; sys.modules['torch'] = {fake}\nimport fastrnn.torch"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    return found.stderr.strip().splitlines()[-1]


def test_a_missing_or_old_pytorch_is_named():
    assert import_with(None) == (
        "ImportError: fastrnn.torch: expected PyTorch 2.4 or newer, found none; pip install 'fastrnn[torch]'"
    )
    assert import_with("2.3.1+cpu") == "ImportError: fastrnn.torch: expected PyTorch 2.4 or newer, found 2.3.1+cpu"
