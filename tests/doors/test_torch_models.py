"""Whole PyTorch models made into fastrnn's and back: modules, state dicts and files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from fastrnn import GRU, LSTM, Activation, Bidirectional, Dense, Embedding, Input, Sequential, SimpleRNN
from fastrnn.interop import load
from fastrnn.interop import torch as door
from fastrnn.interop.conventions import CONVENTIONS, to_canonical
from tests.support import model_files

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 7, 3)).astype(np.float32)
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Tagger(nn.Module):
    """As people write them: a forward that no importer can read."""

    def __init__(self, kind: str = "LSTM") -> None:
        super().__init__()
        self.head = nn.Linear(12, 4)
        self.encoder = nn.ModuleDict({"rnn": getattr(nn, kind)(5, 6, 2, batch_first=True, bidirectional=True)})
        self.embedding = nn.Embedding(11, 5)

    def forward(self, x):
        y, _ = self.encoder["rnn"](self.embedding(x))
        return self.head(y).softmax(-1)


PARTS = [("embedding", {"kind": "embedding"}), "encoder.rnn", ("head", {"activation": "softmax"})]


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True, dropout=0.2),
        nn.LSTM(3, 5, proj_size=2, batch_first=True),
        nn.GRU(3, 5, 2, batch_first=True),
        nn.GRU(3, 5, batch_first=True, bias=False),
        nn.RNN(3, 5, nonlinearity="relu", batch_first=True, bidirectional=True),
        nn.RNN(3, 5, batch_first=True).double(),
    ],
    ids=lambda m: str(m),
)
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_modules_there_and_back(module):
    module.eval()
    x = torch.from_numpy(X).to(module.weight_ih_l0.dtype)
    expected = module(x)[0].detach().numpy()
    model = door.from_module(module)
    np.testing.assert_allclose(model(x.numpy()), expected, **TOLERANCE)
    assert model(x.numpy()).dtype == expected.dtype
    weighted = [layer for layer in model.layers if layer.parameters()]
    state = door.to_state_dict(model, [""] * len(weighted))
    assert set(state) == set(module.state_dict())
    module.load_state_dict(state)
    np.testing.assert_allclose(module(x)[0].detach().numpy(), expected, **TOLERANCE)


def test_last_states_alone():
    module = nn.GRU(3, 5, batch_first=True, bidirectional=True)
    _, last = module(torch.from_numpy(X))
    model = door.from_module(module, [("", {"return_sequences": False})])
    expected = torch.cat([last[0], last[1]], dim=-1).detach().numpy()
    np.testing.assert_allclose(model(X), expected, **TOLERANCE)


def test_rows_of_the_table():
    """The convention of each cell, on the cells themselves."""
    for cell, kind in (("rnn", nn.RNNCell), ("gru", nn.GRUCell), ("lstm", nn.LSTMCell)):
        module = kind(3, 5)
        state = {name: value.detach().numpy() for name, value in module.state_dict().items()}
        named = dict(zip(("w_ih", "w_hh", "b_ih", "b_hh"), state.values(), strict=True))
        for name, array in to_canonical(CONVENTIONS["torch"][cell], named, 5).items():
            np.testing.assert_array_equal(array, named[name])
        h = module(torch.from_numpy(X[:, 0]))
        expected = (h[0] if cell == "lstm" else h).detach().numpy()
        np.testing.assert_allclose(door.from_module(module)(X[:, :1])[:, 0], expected, **TOLERANCE)


def test_a_sequential_of_modules():
    parts = [nn.Embedding(9, 4), nn.Sequential(nn.Linear(4, 6), nn.ELU()), nn.Dropout(0.5), nn.Identity()]
    module = nn.Sequential(*parts, nn.Linear(6, 3, bias=False), nn.LogSoftmax(-1)).eval()
    words = RNG.integers(0, 9, (2, 7))
    expected = module(torch.from_numpy(words)).detach().numpy()
    np.testing.assert_allclose(door.from_module(module)(words), expected, **TOLERANCE)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_whole_models_by_prefix(kind, tmp_path):
    module = Tagger(kind).eval()
    words = RNG.integers(0, 11, (2, 7))
    expected = module(torch.from_numpy(words)).detach().numpy()
    live = ["embedding", "encoder.rnn", "head", Activation("softmax")]
    np.testing.assert_allclose(door.from_module(module, live)(words), expected, **TOLERANCE)
    np.testing.assert_allclose(door.from_state_dict(module.state_dict(), PARTS)(words), expected, **TOLERANCE)
    torch.save(module.state_dict(), tmp_path / "a.pt")
    np.testing.assert_allclose(door.load(tmp_path / "a.pt", PARTS)(words), expected, **TOLERANCE)
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, tmp_path / "b.ckpt")
    np.testing.assert_allclose(door.load(tmp_path / "b.ckpt", PARTS, "state_dict")(words), expected, **TOLERANCE)
    with pytest.raises(ValueError, match=r"b\.ckpt: state_dict: expected a tensor, got OrderedDict"):
        door.load(tmp_path / "b.ckpt", PARTS)
    # back, into a module of the same class
    model = door.from_state_dict(module.state_dict(), PARTS)
    twin = Tagger(kind).eval()
    twin.load_state_dict(door.to_state_dict(model, ["embedding", "encoder.rnn", "encoder.rnn", "head"]))
    np.testing.assert_allclose(twin(torch.from_numpy(words)).detach().numpy(), expected, **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, tmp_path):
    files = pytest.importorskip("safetensors.torch")
    module = Tagger().to(dtype)
    files.save_file(module.state_dict(), tmp_path / "a.safetensors")
    words = RNG.integers(0, 11, (2, 7))
    expected = module.float()(torch.from_numpy(words)).detach().numpy()
    model = load(tmp_path / "a.safetensors", parts=PARTS)
    assert model(words).dtype == np.float32
    np.testing.assert_allclose(model(words), expected, **TOLERANCE)
    np.testing.assert_array_equal(model.layers[0].embeddings.value, module.embedding.weight.detach().numpy())
    np.testing.assert_allclose(door.from_module(module.to(dtype), PARTS)(words), expected, **TOLERANCE)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_files_of_ours(name, tmp_path):
    if name.endswith("s"):
        pytest.importorskip("safetensors")
    model = model_files.words()
    door.save(model, tmp_path / name)
    words = RNG.integers(0, 7, (2, 5))
    np.testing.assert_array_equal(load(tmp_path / name, parts=model_files.PARTS)(words), model(words))
    if name == "a.pt":
        assert set(torch.load(tmp_path / name, weights_only=True)) > {"0.weight", "1.weight_ih_l0_reverse", "2.bias"}


def test_every_tensor_is_used():
    state = Tagger().state_dict()
    with pytest.raises(ValueError, match=r"expected every tensor to belong to a layer, got other\.x \(2,\) beside"):
        door.from_state_dict({**state, "other.x": torch.ones(2)}, PARTS)
    with pytest.raises(ValueError, match=r"expected names as encoder\.rnn\.weight_ih_l0 beside it, got 'gain'"):
        door.from_state_dict({**state, "encoder.rnn.gain": torch.ones(2)}, PARTS)
    with pytest.raises(ValueError, match=r"got head\.weight \(4, 12\), head\.bias \(4,\) beside them"):
        door.from_state_dict(state, PARTS[:2])
    module = Tagger()
    module.register_buffer("scale", torch.ones(3))
    with pytest.raises(ValueError, match=r"Tagger: expected every tensor .*, got scale \(3,\)"):
        door.from_module(module, ["embedding", "encoder.rnn", "head"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder.rnn.weight_hh_l1": None}, r"expected a matrix weight_hh of every layer, got none"),
        ({"encoder.rnn.weight_hh_l0": torch.ones(23, 6)}, r"weight_hh: expected shape \(G\*H, H\) with G of"),
        ({"encoder.rnn.weight_ih_l1": torch.ones(24, 6)}, r"layer 2 .*w_ih: expected shape \(24, 12\), got \(24, 6\)"),
        ({"encoder.rnn.bias_ih_l0": torch.ones(24, dtype=torch.complex64)}, "expected real numbers .*complex64"),
        ({"encoder.rnn.bias_ih_l0": torch.ones(1).expand(24)}, "expected a tensor of its own numbers, got a view"),
        ({"encoder.rnn.bias_ih_l0": torch.ones(24).to_sparse()}, r"bias_ih_l0: expected a plain tensor"),
        ({"encoder.rnn.bias_ih_l0": torch.full((24,), torch.nan)}, r"forward/b_ih: expected finite numbers"),
        ({"head.weight": None}, r"head: expected tensors as weight_ih_l0 or weight, got bias"),
    ],
)
def test_refuses_tensors(changes, message):
    state = {k: v for k, v in {**Tagger().state_dict(), **changes}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        door.from_state_dict(state, PARTS)


def test_errors_are_one_line(tmp_path):
    torch.save({"weight_ih_l0": torch.ones(4, 1), "a\nb": torch.ones(2)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt: .*, got 'a\\nb'$"):
        door.load(tmp_path / "a.pt")


def test_refuses_modules_and_parts():
    module = Tagger()
    with pytest.raises(ValueError, match=r"name the order of its submodules in parts"):
        door.from_module(module)
    with pytest.raises(ValueError, match=r"parts: expected submodules of Tagger \(head, .*\), got 'encoder.lstm'"):
        door.from_module(module, ["encoder.lstm"])
    with pytest.raises(ValueError, match=r"parts: expected the order in which the parts run, of 'head', "):
        door.from_state_dict(module.state_dict())
    with pytest.raises(ValueError, match=r"head: nonlinearity: expected options activation, got 'relu'"):
        door.from_state_dict(module.state_dict(), [*PARTS[:2], ("head", {"nonlinearity": "relu"})])
    with pytest.raises(TypeError, match=r"^parts: expected a sequence of names, got str"):
        door.from_state_dict(module.state_dict(), "head")
    for wrong, message in (
        (nn.LeakyReLU(), "expected LeakyReLU with the settings of Keras' leaky_relu, got LeakyReLU"),
        (nn.Embedding(3, 2, max_norm=1.0), "expected an Embedding without max_norm"),
        (nn.Conv2d(2, 2, 1), "expected RNN, GRU, .*, got Conv2d"),
    ):
        with pytest.raises(ValueError, match=message):
            door.from_module(nn.Sequential(nn.Linear(2, 2), wrong))
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="expected a module without hooks"):
        door.from_module(hooked)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LSTM(2, peephole="diagonal", name="l"), "l: PyTorch has no cell with the weights w_peep"),
        (LSTM(2, recurrent_activation="hard_sigmoid", name="l"), "l: PyTorch has no cell with recurrent_activation="),
        (GRU(2, reset_after=False, name="l"), "l: PyTorch has no cell with reset='before'"),
        (SimpleRNN(2, go_backwards=True, name="l"), "l: PyTorch has no module that reads backwards alone"),
        (Bidirectional(GRU(2), merge_mode="sum", name="l"), "l: PyTorch's bidirectional modules put outputs side by"),
    ],
)
def test_what_pytorch_cannot_hold(layer, message):
    with pytest.raises(ValueError, match=message):
        door.to_state_dict(Sequential([Input((None, 3)), layer]))


def test_no_pickle_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    torch.save({"weight": torch.ones(2, 2), "evil": Evil()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "c.pt").write_bytes(b"nothing")
    for name in ("a.pt", "b.pt", "c.pt"):
        with pytest.raises(ValueError, match=rf"{name}: not readable by torch\.load\(weights_only=True\): "):
            door.load(tmp_path / name)
    assert not (tmp_path / "made").exists()
    with pytest.raises(FileNotFoundError):
        door.load(tmp_path / "none.pt")


def test_what_no_state_dict_can_tell_is_in_the_model():
    layers = [Input((None,)), Embedding(5, 3), SimpleRNN(4, "relu", return_sequences=True), Dense(2)]
    model = model_files.randomise(Sequential(layers))
    parts = [("0", {"kind": "embedding"}), ("1", {"activation": "relu"}), "2"]
    again = door.from_state_dict(door.to_state_dict(model), parts)
    words = RNG.integers(0, 5, (2, 4))
    np.testing.assert_array_equal(again(words), model(words))


class Denoiser(nn.Module):
    """Convolutions see time last, all else the features."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(3, 6, 3, padding=1), nn.BatchNorm1d(6, eps=1e-3), nn.ReLU())
        self.wide = nn.Conv1d(6, 4, 3, padding=4, dilation=2, groups=2, bias=False)
        self.norm = nn.LayerNorm(4)
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.last = nn.BatchNorm1d(5)

    def forward(self, x):
        x = self.wide(self.front(x.transpose(1, 2)))[..., : x.shape[1]]  # causal, as what it looks ahead is cut off
        x = self.gru(self.norm(x.transpose(1, 2)))[0]
        return self.last(x.transpose(1, 2)).transpose(1, 2)


def test_convolutions_and_normalisations(tmp_path):
    module = Denoiser().eval()
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.2, 1.0)
    parts = ["front", ("wide", {"padding": "causal"}), "norm", "gru", "last"]
    model = door.from_module(module, parts)
    x = np.random.default_rng(0).standard_normal((2, 7, 3)).astype(np.float32)
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model(x), expected, rtol=2e-5, atol=2e-6)
    assert model.layers[1].momentum == pytest.approx(0.9)
    names = ["front.0", "front.1", "wide", "norm", "gru", "last"]
    state = door.to_state_dict(model, names)
    assert set(state) == set(module.state_dict())
    again = Denoiser().eval()
    again.load_state_dict(state)
    np.testing.assert_allclose(again(torch.from_numpy(x)).detach().numpy(), expected, rtol=2e-5, atol=2e-6)
    door.save(model, tmp_path / "a.safetensors", names)
    epsilon = {"epsilon": 1e-3}
    loaded = door.load(
        tmp_path / "a.safetensors",
        [
            ("front.0", {"padding": "same"}), ("front.1", epsilon), Activation("relu"),
            ("wide", {"padding": "causal", "dilation_rate": 2, "groups": 2}), "norm", "gru", "last",
        ],
    )  # fmt: skip
    np.testing.assert_array_equal(loaded(x), model(x))


class Spotter(nn.Module):
    """Strides, groups and pools, as of keyword spotting."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(3, 6, 3, stride=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 6, 2, groups=6),
            nn.AvgPool1d((3,), (1,), (1,), count_include_pad=False),
        )  # fmt: skip
        self.lstm = nn.LSTM(6, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.lstm(self.front(x.transpose(1, 2)).transpose(1, 2))[0])


@pytest.mark.parametrize("steps", [9, 14, 15])
def test_strides_and_pools(steps):
    module = Spotter().eval()
    x = np.random.default_rng(0).standard_normal((2, steps, 3)).astype(np.float32)
    expected = module(torch.from_numpy(x)).detach().numpy()
    model = door.from_module(module, ["front", "lstm", "head"])
    np.testing.assert_allclose(model(x), expected, rtol=2e-5, atol=2e-6)
    native = model.to_native()
    assert native.output_steps(steps) == expected.shape[1]
    y = native.forward(np.swapaxes(x, 0, 1))
    np.testing.assert_allclose(np.swapaxes(y, 0, 1), expected, rtol=2e-5, atol=2e-6)
    pools = [nn.Conv1d(3, 4, 2, 2), nn.MaxPool1d(2)]
    again = door.to_state_dict(door.from_module(nn.Sequential(*pools)), ["0"])
    np.testing.assert_array_equal(again["0.weight"], pools[0].weight.detach())


def test_axes_and_settings_that_differ_are_named():
    for module, message in (
        (
            nn.Sequential(nn.MaxPool1d(2), nn.LSTM(7, 2)),
            "expected a MaxPool1d, which sees time last, apart from a LSTM",
        ),
        (nn.MaxPool1d(2, padding=1), r"expected a pool over windows within the sequence.*got MaxPool1d\(kernel_size=2"),
        (nn.MaxPool1d(2, dilation=2), "expected a pool over windows within the sequence"),
        (nn.AvgPool1d(3, 1, 1), "expected a pool over windows within the sequence"),
        (nn.AvgPool1d(3, ceil_mode=True), "expected a pool over windows within the sequence"),
        (
            nn.Sequential(nn.Conv1d(3, 4, 1), nn.Linear(7, 2)),
            "expected a Conv1d, which sees time last, apart",
        ),
        (nn.Conv1d(3, 4, 3, padding=2), "padding: expected 'valid', 'same' or 'causal' in its part"),
        (
            nn.Conv1d(3, 4, 3, padding=1, padding_mode="reflect"),
            "expected padding of zeros, got padding_mode",
        ),
        (nn.LayerNorm((3, 4)), "expected a LayerNorm over the features"),
        (nn.BatchNorm1d(3, track_running_stats=False), "expected a BatchNorm1d with running statistics"),
    ):
        with pytest.raises(ValueError, match=message):
            door.from_module(module)


def test_a_model_that_fastrnn_computes():
    import fastrnn.torch

    model = torch.nn.Sequential(torch.nn.RNN(3, 4, nonlinearity="relu", batch_first=True))
    expected = door.from_module(model)
    fastrnn.torch.accelerate(model)
    for a, b in zip(door.from_module(model).get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"expected a layer that torch\.nn has, too, got one with options of fastrnn"):
        door.from_module(fastrnn.torch.LSTM(3, 4, zoneout_h=0.1))
