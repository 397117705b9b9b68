"""Models of arrays under the user's names, and of fastrnn's own files by the one `load`."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, Bidirectional, Dense, Input, Sequential, io
from fastrnn.interop import arrays, load, save
from fastrnn.interop.conventions import CONVENTIONS, from_canonical
from tests.support import model_files

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 3)).astype(np.float32)


def test_there_and_back(tmp_path):
    model = model_files.plain()
    for name in ("a.npz", "a.safetensors"):
        if name.endswith("s"):
            pytest.importorskip("safetensors")
        arrays.save(model, tmp_path / name)
        again = arrays.load(tmp_path / name, model_files.MAPPING)
        np.testing.assert_array_equal(again(X), model(X))


def test_a_convention_for_each_layer():
    model = Sequential(
        [Input((None, 3)), Bidirectional(LSTM(4, return_sequences=True)), GRU(3, reset_after=False), Dense(2)]
    )
    model_files.randomise(model)
    both, gru, dense = model.layers
    parts = {}
    for side, layer in (("f", both.forward_layer), ("b", both.backward_layer)):
        ours = {p.name.rpartition("/")[2]: p.value for p in layer.parameters()}
        parts |= {f"{side}/{k}": a for k, a in from_canonical(CONVENTIONS["onnx"]["lstm"], ours, 4).items()}
    parts |= dict(zip(("k", "r", "b"), gru.get_weights(), strict=True))
    parts |= {"W": dense.kernel.value.T, "b2": dense.bias.value}
    named = {side: {n: f"{side[0]}/{n}" for n in ("w_ih", "w_hh", "b_ih")} for side in ("forward", "backward")}
    mapping = [
        {
            "layer": Bidirectional(LSTM(4, return_sequences=True)),
            **{side: {**names, "convention": "onnx"} for side, names in named.items()},
        },
        {"layer": GRU(3, reset_after=False), "convention": "keras", "w_ih": "k", "w_hh": "r", "b_ih": "b"},
        {"layer": Dense(2), "weight": "W", "bias": "b2"},
    ]
    np.testing.assert_allclose(arrays.from_arrays(parts, mapping)(X), model(X), rtol=1e-6, atol=1e-7)
    wide = {name: array.astype(np.float64) for name, array in parts.items()}
    assert arrays.from_arrays(wide, mapping)(X).dtype == np.float64
    half = {name: array.astype(np.float16) for name, array in parts.items()}
    assert arrays.from_arrays(half, mapping)(X).dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"more": np.ones(2)}, r"^arrays: expected every tensor to belong to a layer, got more \(2,\) beside them"),
        ({"0/w_ih": None}, r"^arrays: expected a tensor '0/w_ih', got "),
        ({"0/w_ih": np.ones((16, 4), np.float32), "2/bias": np.ones(3)}, r"bias: expected shape \(2,\), got \(3,\)"),
        ({"0/w_hh": np.ones((12, 4))}, r"^mapping\[0\]: w_hh: expected shape \(G\*H, I\) with G\*H of 16, got"),
        ({"0/w_hh": np.full((16, 4), np.nan)}, r"layer 0 \(LSTM\): w_hh: expected finite numbers"),
        ({"0/w_hh": np.array(["x"])}, "0/w_hh: expected real numbers of at most 64 bits, got <U1"),
    ],
)
def test_refuses(changes, message):
    found = {**arrays.to_arrays(model_files.plain()), **changes}
    with pytest.raises(ValueError, match=message):
        arrays.from_arrays({k: a for k, a in found.items() if a is not None}, model_files.MAPPING)


def test_refuses_mappings():
    found = arrays.to_arrays(model_files.plain())
    with pytest.raises(TypeError, match=r"^mapping: expected a sequence of dicts, got dict"):
        arrays.from_arrays(found, {"layer": 1})
    with pytest.raises(TypeError, match=r"^mapping\[0\]: expected a dict with a fastrnn layer under 'layer'"):
        arrays.from_arrays(found, [{"layer": "LSTM"}])
    with pytest.raises(ValueError, match=r"^mapping\[0\]: expected the keys w_ih, .*, got 'kernel'"):
        arrays.from_arrays(found, [{"layer": LSTM(4), "kernel": "0/w_ih"}])
    with pytest.raises(ValueError, match=r"^mapping\[0\]: expected the name of an array under 'w_ih'"):
        arrays.from_arrays(found, [{"layer": LSTM(4)}])


def test_one_load_for_all(tmp_path):
    pytest.importorskip("safetensors")
    model = model_files.plain()
    for name in ("a.npz", "a.safetensors"):
        save(model, tmp_path / name)
        np.testing.assert_array_equal(load(tmp_path / name)(X), model(X))
    with pytest.raises(ValueError, match=r"^path: expected one of .*, got '\.txt'"):
        load(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"^path: expected one of .*, got '\.h6'"):
        save(model, tmp_path / "a.h6")


def test_load_model_reads_what_save_layers_wrote(tmp_path):
    pytest.importorskip("safetensors")

    def r(*shape):
        return 0.5 * RNG.standard_normal(shape).astype(np.float32)

    path = tmp_path / "a.safetensors"
    io.save_layers(
        path,
        [
            {
                "cell": "lstm", "w_ih": r(16, 3), "w_hh": r(16, 2), "b_ih": r(16), "b_hh": r(16), "w_hr": r(2, 4),
                "w_peep": r(3, 4), "activation": ("leaky_relu", 0.3), "recurrent_activation": "hard_sigmoid",
                "forget_bias": 1.0, "clip": 2.0,
            },
            {"cell": "gru", "w_ih": r(12, 2), "w_hh": r(12, 4), "b_hh": r(12)},
            {"cell": "indrnn", "w_ih": r(4, 4), "w_hh": r(4)},
            {"cell": "rnn", "w_ih": r(4, 4), "w_hh": r(4, 4), "ln_hh": r(4), "activation": "identity"},
            {"cell": "slstm", "w_ih": r(16, 4), "w_hh": r(16, 4), "forget_gate": "exp"},
            {"cell": "mgu", "w_ih": r(8, 4), "w_hh": r(8, 4), "zoneout_h": 0.25},
            {"kernel": r(4, 5), "bias": r(5), "activation": ("leaky_relu", 0.2)},
            {"activation": "softmax"},
        ],
    )  # fmt: skip
    model = fastrnn.load_model(path)
    session = fastrnn.Session(fastrnn.Model.load(str(path)))
    steps = np.stack([session.step(X[:1, t]) for t in range(5)], axis=1)
    np.testing.assert_allclose(model(X[:1]), steps, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "b.safetensors")  # and Model.load what save_model wrote
    session = fastrnn.Session(fastrnn.Model.load(str(tmp_path / "b.safetensors")))
    np.testing.assert_array_equal(np.stack([session.step(X[:1, t]) for t in range(5)], axis=1), steps)
    for name in ("relu6", "hard_sigmoid", "log_softmax"):
        twin = Sequential([Input((None, 3)), GRU(4, return_sequences=True), Dense(2, name)])
        twin.save(tmp_path / "c.safetensors")
        native = fastrnn.Session(fastrnn.Model.load(str(tmp_path / "c.safetensors")))
        np.testing.assert_allclose(native.step(X[:1, 0]), twin(X[:1, :1])[:, 0], rtol=1e-5, atol=1e-6)


def test_load_model_refuses_what_only_the_native_reader_runs(tmp_path):
    pytest.importorskip("safetensors")
    kernel = np.ones((3, 2), np.float32)
    io.save_layers(tmp_path / "a.safetensors", [{"kernel": kernel, "activation": ("leaky_relu", 0.3)}])
    with pytest.raises(ValueError, match=r"layer 1: activation: expected one of fastrnn.activations, got \['leaky"):
        fastrnn.load_model(tmp_path / "a.safetensors")
