"""fastrnn.keras beside keras.layers, on the torch backend: random settings, models, files, errors."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[keras]'")
keras = pytest.importorskip("keras", reason="Keras is not installed; pip install '.[keras]'")
if keras.backend.backend() != "torch":
    pytest.skip("these tests are of Keras on torch", allow_module_level=True)

import fastrnn.keras
from tests.support.conformance import keras_cases
from tests.support.conformance.recorder import error_in_eps

pytestmark = keras_cases.quiet


def draw(layer: str, dtype: str, seed: int) -> tuple[dict[str, Any], Any, Any, Any, str | None]:
    """Settings, x, a mask, initial states and the merge mode of Bidirectional, None for one direction."""
    rng = np.random.default_rng([17, keras_cases.LAYERS.index(layer), keras_cases.DTYPES.index(dtype), seed])
    settings = keras_cases.draw_settings(rng, layer, dtype)
    batch, steps, inputs = keras_cases.draw_sizes(rng, settings)
    settings |= {name: bool(rng.random() < 0.3) for name in ("go_backwards", "zero_output_for_mask")}
    merge = str(rng.choice(keras_cases.MERGES[:-1])) if rng.random() < 0.3 else None
    if merge is not None:
        settings["go_backwards"] = False
    _, mask = keras_cases.draw_mask(rng, batch, steps)
    states = None
    if merge is None and rng.random() < 0.5:
        shape = (1 + (layer == "LSTM"), batch, settings["units"])
        states = [*rng.uniform(-0.8, 0.8, shape).astype(dtype)]
    return settings, rng.standard_normal((batch, steps, inputs)).astype(dtype), mask, states, merge


def run(layer: Any, x: Any, mask: Any, states: Any) -> dict[str, Any]:
    """Outputs and every gradient, by name."""
    leaves = [torch.tensor(array, requires_grad=True) for array in (x, *(states or ()))]
    given = {"initial_state": leaves[1:]} if states else {}
    outputs = layer(leaves[0], mask=None if mask is None else torch.from_numpy(mask), **given)
    outputs = [*outputs] if isinstance(outputs, (list, tuple)) else [outputs]
    leaves += [v.value for v in layer.trainable_weights]
    loss = sum((y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum() for y in outputs)
    loss = loss + 0 * leaves[0].sum()  # where all steps are masked the outputs depend on nothing
    grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    found = {f"y{k}": y.detach().numpy() for k, y in enumerate(outputs)}
    return found | {f"d{k}": grad.numpy() for k, grad in enumerate(grads)}


@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("dtype", keras_cases.DTYPES)
@pytest.mark.parametrize("layer", keras_cases.LAYERS)
def test_300_random_settings(layer, dtype, block):
    for seed in range(10 * block, 10 * block + 10):
        settings, x, mask, states, merge = draw(layer, dtype, seed)
        exact = {n: keras_cases.EXACT.get(v, v) if dtype == "float64" and n.endswith("activation") else v
                 for n, v in settings.items()}  # fmt: skip
        theirs, ours = getattr(keras.layers, layer)(**exact), getattr(fastrnn.keras, layer)(**settings)
        if merge is not None:
            theirs, ours = (keras.layers.Bidirectional(one, merge_mode=merge, dtype=dtype) for one in (theirs, ours))
        for one in (theirs, ours):
            one.build(x.shape)
        rng = np.random.default_rng(seed)
        scale = 0.15 if "exponential" in settings.values() else 0.7
        weights = [scale * rng.standard_normal(w.shape) / np.sqrt(w.shape[0]) for w in theirs.get_weights()]
        theirs.set_weights(weights)
        ours.set_weights(weights)
        expected, actual = run(theirs, x, mask, states), run(ours, x, mask, states)
        assert set(actual) == set(expected)
        tolerance = (x.shape[0] * x.shape[1] + x.shape[2] + settings["units"] + 16) * x.shape[1] * 4
        for name, array in expected.items():
            where = (settings, x.shape, merge, seed, name)
            assert actual[name].dtype == array.dtype, where
            assert actual[name].shape == array.shape, where
            assert error_in_eps(actual[name], array, dtype) <= tolerance, where


NAMES = ["backward_lstm", "forward_lstm", "gru"]


def make_model(package: Any, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(20, 6, mask_zero=True),
            keras.layers.Bidirectional(package.LSTM(8, return_sequences=True, name="lstm", **options)),
            package.GRU(8, name="gru", **options),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def data() -> tuple[Any, Any]:
    x = np.random.default_rng(0).integers(1, 20, (16, 9))
    x[:, 6:] *= np.random.default_rng(1).random((16, 3)) < 0.5
    return x, (x[:, 0] > 9).astype(int)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_training_coincides(dropout):
    """20 epochs by their loss curves; dropout draws from Keras' own seeds."""
    losses = []
    for accelerated in (False, True):
        model = make_model(keras.layers, dropout=dropout)
        if accelerated:
            report = fastrnn.keras.accelerate(model)
            assert sorted(report.replaced) == NAMES
        model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", jit_compile=False)
        keras.utils.set_random_seed(1)
        losses.append(model.fit(*data(), epochs=20, batch_size=8, shuffle=False, verbose=0).history["loss"])
    assert losses[0][-1] < 0.5 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], atol=2e-3)


def test_stateful_layers():
    layers = [package.LSTM(4, stateful=True, return_sequences=True) for package in (keras.layers, fastrnn.keras)]
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype("float32")
    for layer in layers:
        layer.build(x.shape)
    layers[1].set_weights(layers[0].get_weights())
    for _ in range(3):
        a, b = (layer(x).detach().numpy() for layer in layers)
        np.testing.assert_allclose(a, b, atol=1e-6)
    for layer in layers:
        layer.reset_state()
    np.testing.assert_allclose(*(layer(x).detach().numpy() for layer in layers), atol=1e-6)


def test_recurrent_dropout_is_that_of_keras():
    found = []
    for package in (keras.layers, fastrnn.keras):
        keras.utils.set_random_seed(3)
        layer = package.GRU(4, recurrent_dropout=0.5, seed=5)
        found.append(layer(np.ones((2, 3, 5), "float32"), training=True).detach().numpy())
    np.testing.assert_array_equal(*found)


def test_layers_and_models_are_saved_with_their_class(tmp_path):
    model = make_model(fastrnn.keras)
    x, _ = data()
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "ours.keras")
    loaded = keras.saving.load_model(tmp_path / "ours.keras")
    assert type(loaded.layers[2]) is fastrnn.keras.GRU
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    layer = fastrnn.keras.GRU.from_config(fastrnn.keras.GRU(3, reset_after=False).get_config())
    assert layer.get_config() == fastrnn.keras.GRU(3, reset_after=False, name=layer.name).get_config()


LOAD = """
import sys
sys.modules["fastrnn"] = None
import numpy as np, keras
model = keras.saving.load_model(sys.argv[1])
x = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict(x, verbose=0))
"""


def test_a_restored_model_is_loaded_without_fastrnn(tmp_path):
    model = make_model(keras.layers)
    x, _ = data()
    expected = model.predict(x, verbose=0)
    fastrnn.keras.accelerate(model)
    found = model.predict(x, verbose=0)
    assert "_fastrnn" in vars(model.layers[2])  # it was computed here
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sorted(fastrnn.keras.restore(model).replaced) == NAMES
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", x)
    files = [str(tmp_path / name) for name in ("m.keras", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True, timeout=300)
    np.testing.assert_allclose(np.load(files[2]), expected, atol=1e-6)


def test_what_is_left_is_named():
    inputs = keras.Input((4, 3))
    one = keras.layers.LSTM(4, activation="gelu", return_sequences=True, name="one")(inputs)
    two = keras.layers.RNN(keras.layers.GRUCell(4), return_sequences=True, name="two")(one)
    three = fastrnn.keras.LSTM(4, name="three")(two)
    report = fastrnn.keras.accelerate(keras.Model(inputs, three))
    assert report.replaced == ()
    assert "activation: expected an activation whose derivative follows" in report.left["one"]
    assert report.left["two"] == "RNN is none of SimpleRNN, LSTM and GRU"
    assert report.left["three"] == "it is fastrnn's already"
    assert str(fastrnn.keras.accelerate(keras.layers.Dense(2))) == "no recurrent layer"


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: fastrnn.keras.LSTM(4, activation="gelu"), ValueError, "activation: expected .* got 'gelu'"),
        (lambda: fastrnn.keras.GRU(4, dtype="mixed_bfloat16"), ValueError, "dtype: expected .* got bfloat16"),
        (lambda: fastrnn.keras.accelerate(3), TypeError, "model: expected a keras.Model .* got int"),
    ],
)
def test_errors(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_other_backends_are_refused():
    code = """import sys, types
keras = types.ModuleType("keras")
keras.__version__, keras.backend = {version!r}, types.SimpleNamespace(backend=lambda: {backend!r})
sys.modules["keras"] = {module}
import fastrnn.keras"""
    for module, version, backend, message in (
        ("keras", "3.15.0", "jax", "expected the backend 'torch' or 'tensorflow', found 'jax'; set KERAS_BACKEND"),
        ("keras", "2.15.0", "tensorflow", "expected Keras 3 or newer, found 2.15.0"),
        ("None", "", "", "expected Keras 3 and its backend, found none; pip install 'fastrnn[keras]'"),
    ):
        text = code.format(module=module, version=version, backend=backend)
        found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=100, check=False)
        assert f"ImportError: fastrnn.keras: {message}" in found.stderr
