"""fastrnn.keras on TensorFlow: ``KERAS_BACKEND=tensorflow pytest tests/doors/test_keras_tensorflow.py``."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

if os.environ.get("KERAS_BACKEND") != "tensorflow":
    pytest.skip("these tests are of Keras on TensorFlow: KERAS_BACKEND=tensorflow", allow_module_level=True)
tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
keras = pytest.importorskip("keras", reason="Keras is not installed; pip install '.[keras]'")

import fastrnn.keras

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
SIZES = (1, 2, 3, 5, 8, 13)


def run(layer: Any, x: Any, mask: Any, compiled: bool) -> list[Any]:
    """Outputs and gradients."""
    weights = [v.value for v in layer.trainable_weights]

    def step(x: Any, mask: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = tf.nest.flatten(layer(x, mask=mask, training=True))
            loss = sum(tf.reduce_sum(tf.sin(y) * (k + 1)) for k, y in enumerate(outputs))
        return [*outputs, *tape.gradient(loss, [x, *weights], unconnected_gradients="zero")]

    function = tf.function(step) if compiled else step
    return [value.numpy() for value in function(tf.constant(x), None if mask is None else tf.constant(mask))]


@pytest.mark.parametrize("layer", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("compiled", [False, True])
def test_300_random_settings(layer, compiled):
    for seed in range(50):
        rng = np.random.default_rng([3, seed, compiled])
        units, batch, steps, inputs = (int(n) for n in rng.choice(SIZES, 4))
        dtype = str(rng.choice(["float32", "float64"]))
        names = ("return_sequences", "return_state", "go_backwards", "use_bias", "zero_output_for_mask")
        settings: dict[str, Any] = {name: bool(rng.random() < 0.5) for name in names}
        if layer == "GRU":
            settings["reset_after"] = bool(rng.random() < 0.5)
        theirs, ours = (getattr(p, layer)(units, dtype=dtype, **settings) for p in (keras.layers, fastrnn.keras))
        if rng.random() < 0.3:
            theirs.go_backwards = ours.go_backwards = False
            theirs, ours = (keras.layers.Bidirectional(one, dtype=dtype) for one in (theirs, ours))
        x = rng.standard_normal((batch, steps, inputs)).astype(dtype)
        mask = rng.random((batch, steps)) < 0.7 if rng.random() < 0.5 else None
        theirs.build(x.shape)
        ours.build(x.shape)
        ours.set_weights(theirs.get_weights())
        expected, actual = run(theirs, x, mask, compiled), run(ours, x, mask, compiled)
        for a, b in zip(actual, expected, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 if dtype == "float32" else 1e-11)


def test_training_and_accelerate(tmp_path):
    x = np.random.default_rng(0).standard_normal((32, 7, 3)).astype("float32")
    y = (x.sum((1, 2)) > 0).astype("float32")
    losses, models = [], []
    for accelerated in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((7, 3)), keras.layers.LSTM(8), keras.layers.Dense(1)])
        if accelerated:
            assert fastrnn.keras.accelerate(model).replaced == ("lstm",) or model.layers[0].name.startswith("lstm")
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        losses.append(model.fit(x, y, epochs=20, batch_size=8, shuffle=False, verbose=0).history["loss"])
        models.append(model)
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-4)
    expected = models[1].predict(x, verbose=0)
    fastrnn.keras.restore(models[1])
    np.testing.assert_allclose(models[1].predict(x, verbose=0), expected, atol=1e-5)
    models[1].save(tmp_path / "m.keras")
    assert type(keras.saving.load_model(tmp_path / "m.keras").layers[0]) is keras.layers.LSTM


def test_gradients_of_calls_that_are_evicted():
    from fastrnn.keras import tensorflow_backend

    layer = fastrnn.keras.GRU(3)
    x = tf.constant(np.ones((2, 4, 3), "float32"))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True))
    with tf.GradientTape() as other:
        again = tf.reduce_sum(layer(x, training=True))
    tensorflow_backend._caches.clear()
    for a, b in zip(tape.gradient(loss, layer.trainable_weights), other.gradient(again, layer.trainable_weights),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a.numpy(), b.numpy())
