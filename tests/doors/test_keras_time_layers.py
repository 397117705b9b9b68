"""Convolution, normalisation and pooling beside keras.layers: outputs, gradients, statistics; models both ways."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[keras]'")
keras = pytest.importorskip("keras", reason="Keras is not installed; pip install '.[keras]'")
if keras.backend.backend() != "torch":
    pytest.skip("these tests are of Keras on torch", allow_module_level=True)

import fastrnn
from fastrnn.interop import keras as door

pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras and its backend, about themselves
L = keras.layers
T, I = 14, 4  # noqa: E741 - I is the input size everywhere


def gradients(layer, x, direction, **call):
    """The output, and the gradients of its product with a direction: of x and of the weights."""
    leaf = torch.tensor(x, requires_grad=True)
    y = layer(leaf, **call)
    leaves = [leaf, *(v.value for v in layer.trainable_weights)]
    found = torch.autograd.grad((y * torch.tensor(direction(tuple(y.shape)))).sum(), leaves)
    return [a.detach().numpy() for a in (y, *found)]


CASES = [
    *(
        ("Conv1D", {"filters": 6, "kernel_size": size, "strides": strides, "padding": padding,
                    "dilation_rate": dilation, "groups": groups, "activation": "tanh"})
        for padding in ("valid", "same", "causal")
        for size, strides, dilation, groups in [(1, 1, 1, 1), (2, 1, 3, 1), (3, 1, 2, 2), (5, 1, 1, 1), (3, 2, 1, 1),
                                                (2, 3, 1, 2), (1, 2, 1, 1)]
    ),
    ("LayerNormalization", {}),
    ("LayerNormalization", {"center": False, "scale": False, "epsilon": 0.1}),
    ("BatchNormalization", {}),
    ("BatchNormalization", {"center": False, "momentum": 0.5}),
    ("GlobalAveragePooling1D", {}),
    ("GlobalMaxPooling1D", {"keepdims": True}),
    *(
        (kind, {"pool_size": size, "strides": strides, "padding": padding})
        for kind in ("MaxPooling1D", "AveragePooling1D")
        for size, strides in [(1, 2), (2, None), (3, 1), (3, 2), (4, 5)]
        for padding in ("valid", "same")
        # Keras on torch repeats the last step there; on TensorFlow and JAX, and here, padding does not count.
        if (kind, padding) != ("AveragePooling1D", "same")
    ),
]  # fmt: skip


MASKED = [(*case, True) for case in CASES if case[0] in ("BatchNormalization", "GlobalAveragePooling1D")]


@pytest.mark.parametrize(("kind", "settings", "masked"), [*((*case, False) for case in CASES), *MASKED], ids=str)
def test_layers(kind, settings, masked):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, T, I))
    theirs, ours = (getattr(library, kind)(dtype="float64", **settings) for library in (L, fastrnn.layers))
    theirs.build(x.shape)
    ours.build(x.shape)
    weights = [rng.uniform(0.5, 1.5, w.shape) for w in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    assert [p.name.rpartition("/")[2] for p in ours.parameters()] == [v.name for v in theirs.weights]
    call = {"training": True} if kind == "BatchNormalization" else {}
    mask = rng.random((3, T)) < 0.6 if masked else None
    if masked:
        call["mask"] = torch.tensor(mask)
    direction = {}
    expected = gradients(
        theirs, x, lambda shape: direction.setdefault(shape, rng.standard_normal(shape)), **call
    )  # fmt: skip
    y = ours.forward(x, mask, True)
    dx = ours.backward(direction[y.shape])
    actual = [y, dx, *(p.grad for p in ours.trainable_weights)]
    # Keras on torch computes means in float32, whatever the dtype.
    tolerance = 1e-11 if kind == "Conv1D" else 3e-6
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a.reshape(b.shape), b, rtol=tolerance, atol=tolerance)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def full_model():
    return keras.Sequential(
        [
            keras.Input((None, I)),
            L.Conv1D(6, 3, padding="causal", activation="relu", kernel_regularizer="l2"),
            L.BatchNormalization(momentum=0.8),
            L.MaxPooling1D(2),
            L.Conv1D(6, (2,), groups=2, padding="same"),
            L.AveragePooling1D(3, 1, padding="valid"),
            L.Bidirectional(L.GRU(4, return_sequences=True)),
            L.LayerNormalization(epsilon=1e-5),
            L.GlobalAveragePooling1D(),
            L.Dense(2),
        ]
    )


def largest():
    layers = [L.Conv1D(5, 3, 2), L.LayerNormalization(scale=False), L.GlobalMaxPooling1D()]
    return keras.Sequential([keras.Input((T, I)), *layers])


def as_deployed():
    layers = [
        L.Conv1D(8, 3, strides=2, activation="relu"), L.MaxPooling1D(2), L.Conv1D(8, 2, padding="causal", groups=8),
        L.AveragePooling1D(2, 1, padding="same"), L.LSTM(6), L.Dense(2),
    ]  # fmt: skip
    return keras.Sequential([keras.Input((None, I)), *layers])


@pytest.mark.parametrize("make", [full_model, largest, as_deployed])
def test_models_both_ways(make, tmp_path):
    model, rng = make(), np.random.default_rng(4)
    model.set_weights([rng.uniform(0.2, 1, w.shape) * rng.choice([-1, 1]) ** (w.ndim > 1) for w in model.get_weights()])
    x = rng.standard_normal((3, T, I)).astype(np.float32)
    expected = model.predict(x, verbose=0)
    ours = door.from_model(model)
    np.testing.assert_allclose(ours.predict(x), expected, rtol=2e-5, atol=1e-5)
    native = ours.to_native().forward(np.swapaxes(x, 0, 1))
    np.testing.assert_allclose(native, expected, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(door.to_model(ours).predict(x, verbose=0), expected, rtol=2e-5, atol=1e-5)
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"theirs.{suffix}")
        np.testing.assert_array_equal(door.load(tmp_path / f"theirs.{suffix}").predict(x), ours.predict(x))
        door.save(ours, tmp_path / f"ours.{suffix}")
        np.testing.assert_array_equal(door.load(tmp_path / f"ours.{suffix}").predict(x), ours.predict(x))


def test_training_coincides():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((64, T, I)).astype(np.float32)
    y = x[:, :, :2].max(axis=1)
    theirs = full_model()
    theirs.build((None, None, I))
    ours = door.from_model(theirs)
    ours.layers[0].kernel.regularizer = fastrnn.regularizers.get("l2")  # the importer leaves it out
    curves = []
    for model, package in ((theirs, keras), (ours, fastrnn)):
        model.compile(package.optimizers.Adam(0.01), "mse")
        curves.append(model.fit(x, y, epochs=5, batch_size=16, shuffle=False, verbose=0).history["loss"])
    assert curves[1][-1] < 0.5 * curves[1][0]
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3)


def test_what_either_has_not_is_refused():
    ours = fastrnn.Sequential([fastrnn.Input((None, I)), fastrnn.layers.GlobalMaxPooling1D(use_mask=True)])
    with pytest.raises(ValueError, match="Keras' GlobalMaxPooling1D knows no masks"):
        door.to_model(ours)
    for layer, message in (
        (L.Conv1D(2, 3, data_format="channels_first"), "data_format: expected 'channels_last'"),
        (L.LayerNormalization(axis=1), "axis: expected -1"),
        (L.BatchNormalization(renorm=True), "renorm: expected False"),
    ):
        model = keras.Sequential([keras.Input((8, I)), layer])
        with pytest.raises(ValueError, match=message):
            door.from_model(model)
    x = keras.Input((8, I))
    skip = keras.Model(x, L.Concatenate()([L.Dense(2)(x), x]))
    with pytest.raises(ValueError, match=r"expected a chain of layers.*fastrnn\.keras\.accelerate"):
        door.from_model(skip)
