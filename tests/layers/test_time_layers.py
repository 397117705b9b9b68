"""Convolution, normalisation and pooling over time: equations, gradients, masks, and what training makes of them."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from fastrnn import config, reference
from fastrnn.initializers import serialize
from fastrnn.layers import (
    GRU,
    AveragePooling1D,
    BatchNormalization,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    LayerNormalization,
    Masking,
    MaxPooling1D,
    TimeDistributed,
)
from fastrnn.layers.base import layer_from_config
from fastrnn.model import Sequential
from tests.support.gradients import numeric_gradient
from tests.support.layer_problems import D64, MASKS, NORMAL, B, I, T, assert_gradients

MIXED = {**D64, "beta_initializer": "random_normal", "gamma_initializer": "random_normal"}
F = 6  # filters


@pytest.fixture
def rng():
    config.set_random_seed(11)
    return np.random.default_rng(7)


def convolution(layer, x):
    """The definition: of each step, the window's product with the kernel, group by group."""
    _, strides, padding, dilation = layer.windows
    return reference.conv1d(x, *layer.get_weights(), strides, padding, dilation, layer.groups)


CONVOLUTIONS = [
    {"kernel_size": size, "strides": strides, "padding": padding, "dilation_rate": dilation, "groups": groups}
    for padding in ("valid", "same", "causal")
    for size, strides, dilation, groups in [
        (1, 1, 1, 1), (3, 1, 1, 1), (3, 1, 2, 1), (2, 1, 3, 2), (4, 2, 1, 2), (2, 3, 1, 1), ((3,), (1,), (1,), 1)
    ]
]  # fmt: skip


@pytest.mark.parametrize("settings", CONVOLUTIONS, ids=str)
def test_convolution(settings, rng):
    layer, x = Conv1D(F, activation="linear", **settings, **NORMAL), rng.standard_normal((B, T, I))
    y = layer(x)
    np.testing.assert_allclose(y, convolution(layer, x), rtol=1e-12, atol=1e-13)
    assert layer.compute_output_shape((None, T, I)) == (None, *y.shape[1:])
    assert layer.compute_output_shape((None, None, I)) == (None, None, F)
    assert [w.shape for w in layer.get_weights()] == [(layer.windows.size, I // layer.groups, F), (F,)]
    again = layer_from_config(serialize(layer))
    again.build((None, None, I))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), y)
    assert_gradients(Conv1D(F, activation="tanh", **settings, **NORMAL), x, None, rng)


OTHERS = {
    "layer_norm": lambda: LayerNormalization(**MIXED),
    "layer_norm_bare": lambda: LayerNormalization(center=False, scale=False, epsilon=0.1, **D64),
    "average": lambda: GlobalAveragePooling1D(**D64),
    "average_kept": lambda: GlobalAveragePooling1D(keepdims=True, **D64),
    "max": lambda: GlobalMaxPooling1D(use_mask=True, **D64),
    "max_kept": lambda: GlobalMaxPooling1D(keepdims=True, use_mask=True, **D64),
    "time_distributed": lambda: TimeDistributed(LayerNormalization(**MIXED), **D64),
}


@pytest.mark.parametrize("mask_name", ["none", "prefix", "holes"])
@pytest.mark.parametrize("case", OTHERS)
def test_gradients(case, mask_name, rng):
    layer, mask = OTHERS[case](), MASKS[mask_name]
    if mask is not None and not mask.any(axis=1).all():
        mask = mask | (np.arange(T) == 2)  # a mean of no steps has no gradient
    assert_gradients(layer, rng.standard_normal((B, T, I)), mask, rng)


@pytest.mark.parametrize("mask_name", ["none", "prefix", "holes"])
@pytest.mark.parametrize("settings", [{}, {"trainable": False}, {"center": False}, {"scale": False}], ids=str)
def test_gradients_of_batch_statistics(settings, mask_name, rng):
    """As in training, where the statistics move: each difference begins with the same ones."""
    layer, mask, x = BatchNormalization(**settings, **MIXED), MASKS[mask_name], rng.standard_normal((B, T, I))
    layer.build(x.shape)
    weights = layer.get_weights()
    learned = layer.parameters()[:-2]
    direction = rng.standard_normal(x.shape)

    def loss():
        y = layer.forward(x, mask, True)
        layer.set_weights([*(p.value for p in learned), *weights[-2:]])
        return float((y * direction).sum())

    loss()
    dx = layer.backward(direction)
    gradients = [parameter.grad for parameter in learned]
    np.testing.assert_allclose(dx, numeric_gradient(loss, x), atol=1e-7)
    for gradient, parameter in zip(gradients, learned, strict=True):
        np.testing.assert_allclose(gradient, numeric_gradient(loss, parameter.value), atol=5e-8)


WINDOWS = [
    {"pool_size": size, "strides": strides, "padding": padding}
    for padding in ("valid", "same")
    for size, strides in [(1, None), (2, None), (3, 1), (3, 2), (2, 3), ((4,), (1,))]
]


@pytest.mark.parametrize("settings", WINDOWS, ids=str)
@pytest.mark.parametrize(
    ("kind", "definition"),
    [(MaxPooling1D, reference.max_pooling1d), (AveragePooling1D, reference.average_pooling1d)],
)
def test_pooling_of_windows(kind, definition, settings, rng):
    layer, x = kind(**settings, **D64), rng.standard_normal((B, T, I))
    y = layer(x)
    size, strides, padding, _ = layer.windows
    np.testing.assert_allclose(y, definition(x, size, strides, padding))
    assert layer.compute_output_shape((None, T, I)) == (None, *y.shape[1:])
    assert_gradients(layer, x, None, rng)


def test_normalisations(rng):
    x = 3 + 2 * rng.standard_normal((B, T, I))
    y = LayerNormalization(**D64)(x)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    layer = BatchNormalization(momentum=0.75, **D64)
    layer(x)
    np.testing.assert_array_equal(layer.moving_mean.value, 0)  # inference moves nothing
    y = layer(x, training=True)
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(layer.moving_mean.value, 0.25 * mean, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.value, 0.75 + 0.25 * variance, rtol=1e-12)
    inference = (x - 0.25 * mean) / np.sqrt(0.75 + 0.25 * variance + 1e-3)
    np.testing.assert_allclose(layer(x), inference, rtol=1e-12)
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), inference, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_mean.value, 0.25 * mean, rtol=1e-12)


def test_masked_steps_count_for_nothing(rng):
    mask, x = MASKS["holes"], rng.standard_normal((B, T, I))
    other = np.where(mask[..., np.newaxis], x, 7.0)
    first, second = BatchNormalization(**D64), BatchNormalization(**D64)
    kept = [layer(values, mask=mask, training=True)[mask] for layer, values in ((first, x), (second, other))]
    np.testing.assert_array_equal(*kept)
    np.testing.assert_array_equal(first.moving_variance.value, second.moving_variance.value)
    rows = mask.any(axis=1)
    y = GlobalAveragePooling1D(**D64)(other, mask=mask)
    np.testing.assert_allclose(y[rows], [x[b][mask[b]].mean(0) for b in np.flatnonzero(rows)])
    assert np.isnan(y[~rows]).all()
    y = GlobalMaxPooling1D(use_mask=True, **D64)(other, mask=mask)
    np.testing.assert_array_equal(y[rows], [x[b][mask[b]].max(0) for b in np.flatnonzero(rows)])
    assert (y[~rows] == -np.inf).all()
    for layer in (GlobalMaxPooling1D(), Conv1D(F, 2), MaxPooling1D(), AveragePooling1D()):
        with pytest.warns(UserWarning, match=f"{layer.name}: the mask ends here"):
            layer(x, mask=mask)
        assert layer.compute_mask(x, mask) is None


def test_moving_statistics_stay_out_of_the_optimizers_way(rng):
    layer = BatchNormalization()
    layer.build((None, None, I))
    outer = TimeDistributed(BatchNormalization(), trainable=False)
    outer.build((None, None, I))
    assert [p.trainable for p in layer.parameters()] == [True, True, False, False]
    for switched in (layer, outer):
        switched.trainable = False
        assert not switched.trainable_weights
        assert switched.built
        assert not getattr(switched, "layer", switched).trainable
        switched.trainable = True
        assert [p.trainable for p in switched.parameters()] == [True, True, False, False]


def make_model():
    return Sequential(
        [
            Input((None, I)),
            Conv1D(8, 3, padding="causal", activation="relu"),
            BatchNormalization(momentum=0.9),
            GRU(6, return_sequences=True),
            LayerNormalization(),
            GlobalAveragePooling1D(),
            Dense(1),
        ]
    )


def problem(rng):
    x = rng.standard_normal((48, 9, I)).astype(np.float32)
    return x, x[:, 2:, :1].mean(axis=1)


def test_training(rng, tmp_path):
    model, (x, y) = make_model(), problem(rng)
    model.compile("adam", "mse")
    first = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=20, batch_size=16, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.3 * first
    lines = []
    model.summary(lines.append)
    assert any("conv1d" in line and "(None, None, 8)" in line for line in lines)
    assert any("batch_normalization" in line and " 32" in line for line in lines)
    assert "frozen 16" in lines[-1]
    for suffix in ("npz", "safetensors"):
        if suffix == "safetensors":
            pytest.importorskip("safetensors")
        model.save(tmp_path / f"m.{suffix}")
        again = fastrnn.load_model(tmp_path / f"m.{suffix}")
        np.testing.assert_array_equal(again.predict(x), model.predict(x))
        model_history, history = (
            m.fit(x, y, epochs=1, batch_size=16, shuffle=False, verbose=0) for m in (model, again)
        )
        assert model_history.history == history.history
    clone = Sequential.from_config(model.get_config())
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(x), model.predict(x))


def test_resumed_training_has_the_same_bits(rng, tmp_path):
    x, y = problem(rng)
    results = []
    for epochs in ((4,), (2, 4)):
        for end in epochs:
            config.set_random_seed(3)
            model = make_model()
            model.compile("adam", "mse")
            model.fit(x, y, epochs=end, batch_size=16, verbose=0, resume=tmp_path / str(len(epochs)))
        results.append(model.get_weights())
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


CONFIGS = [
    lambda: Conv1D(F, 3, 2, "same", groups=2, activation="relu", use_bias=False, kernel_regularizer="l2"),
    lambda: LayerNormalization(epsilon=1e-6, center=False, gamma_regularizer="l1"),
    lambda: BatchNormalization(-1, 0.5, scale=False, moving_mean_initializer="ones"),
    lambda: GlobalAveragePooling1D(keepdims=True),
    lambda: GlobalMaxPooling1D(use_mask=True),
    lambda: MaxPooling1D(3, 1, "same"),
    lambda: AveragePooling1D(),
]


@pytest.mark.parametrize("make", CONFIGS)
def test_configs(make):
    layer = make()
    again = layer_from_config(serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


ERRORS = [
    (lambda: Conv1D(0, 3), "filters: expected at least 1, got 0"),
    (lambda: Conv1D(F, 0), "kernel_size: expected at least 1, got 0"),
    (lambda: Conv1D(F, 3, padding="full"), "padding: expected one of 'valid', 'same', 'causal', got 'full'"),
    (lambda: Conv1D(F, 3, 2, dilation_rate=2), "strides: expected 1 with a dilation_rate above 1"),
    (lambda: Conv1D(F, 3, groups=4), "groups: expected a divisor of 6, the filters, got 4"),
    (lambda: Conv1D(F, 3, groups=3).build((None, None, I)), "groups: expected a divisor of 4, the inputs"),
    (lambda: Conv1D(F, 3, data_format="channels_first"), "data_format: expected None or 'channels_last'"),
    (lambda: Conv1D(F, 3)(np.zeros((1, 2, I))), "x: expected at least 3 steps for layer conv1d.*, got 2"),
    (lambda: Sequential([Input((2, I)), Conv1D(F, 3)]), "x: expected at least 3 steps for layer conv1d.*, got 2"),
    (lambda: MaxPooling1D(3)(np.zeros((1, 2, I))), "x: expected at least 3 steps for layer max_pooling1d.*, got 2"),
    (lambda: LayerNormalization(axis=1)(np.zeros((B, T, I))), "axis: expected -1, that of the features"),
    (lambda: LayerNormalization(epsilon=0), "epsilon: expected a number > 0, got 0"),
    (lambda: BatchNormalization(synchronized=True), "synchronized: expected False"),
    (lambda: BatchNormalization(momentum=2), r"momentum: expected a value in \[0, 1\), got 2"),
    (lambda: BatchNormalization()(np.zeros((B, T, I)), mask=np.ones((B, 2), bool)), "mask: expected shape"),
    (lambda: Conv1D(F, 3).set_weights([]), "conv1d.*: set_weights needs a built layer"),
    (lambda: fastrnn.layers.Concatenate(), "Concatenate: a Sequential is a chain.*fastrnn.keras, fastrnn.torch"),
    (lambda: fastrnn.layers.Add(name="skip"), "Add: a Sequential is a chain.*fastrnn.keras, fastrnn.torch"),
]


@pytest.mark.parametrize(("make", "message"), ERRORS)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_sequences_of_nothing():
    for layer in (Conv1D(F, 3, padding="causal"), BatchNormalization(), LayerNormalization()):
        for shape in ((0, T, I), (B, 0, I)):
            y = layer(np.zeros(shape), training=True)
            assert y.shape[:2] == shape[:2]
            assert layer.backward(np.zeros_like(y)).shape == shape
            assert all(np.isfinite(w).all() for w in layer.get_weights())  # a mean of nothing moves no statistics


def test_masks_reach_the_pooling(rng):
    model = Sequential([Embedding(9, 5, mask_zero=True), Dropout(0.2), GlobalAveragePooling1D(), Dense(2)])
    x = rng.integers(1, 9, (4, 7))
    x[1, 3:] = 0
    y = model.predict(x)
    np.testing.assert_allclose(y[1], model.predict(x[1:2, :3])[0], rtol=1e-6)
    model = Sequential([Masking(), BatchNormalization(), GRU(3)])
    assert model.predict(np.zeros((1, 4, 2), np.float32)).shape == (1, 3)
