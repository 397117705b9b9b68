"""What the tests of the layers share: sizes, masks, Keras' equations in NumPy, and how gradients are checked."""

from __future__ import annotations

import numpy as np

from fastrnn.layers.draws import StepSeeds
from tests.support.gradients import numeric_gradient

B, T, I, H = 3, 6, 4, 5  # noqa: E741 - I is the input size everywhere
D64 = {"dtype": "float64"}
NORMAL = {**D64, "bias_initializer": "random_normal"}
MASKS = {
    "none": None,
    "prefix": np.arange(T) < np.array([[T], [3], [1]]),
    "empty_row": np.arange(T) < np.array([[4], [0], [6]]),
    "suffix": np.arange(T) >= np.array([[2], [0], [5]]),
    "holes": np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]], dtype=bool),
}
RATES = {"dropout": 0.3, "recurrent_dropout": 0.4, "weight_dropout": 0.25, "zoneout_h": 0.2, "candidate_dropout": 0.1}


def without(*names):
    """RATES without those that a cell does not have."""
    return {name: rate for name, rate in RATES.items() if name not in names}


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


# -- Keras' equations in Keras' layout, one row and one step ---------------------------------------------------------


def keras_rnn(x, weights, state, activation=np.tanh):
    kernel, recurrent, bias = weights
    (h,) = state
    return (activation(x @ kernel + bias + h @ recurrent),)


def keras_lstm(x, weights, state, activation=np.tanh, recurrent_activation=sigmoid):
    kernel, recurrent, bias = weights
    h, c = state
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
    return recurrent_activation(o) * activation(c), c


def keras_gru(x, weights, state, reset_after, activation=np.tanh, recurrent_activation=sigmoid):
    kernel, recurrent, bias = weights
    (h,) = state
    b, rb = bias if reset_after else (bias, np.zeros_like(bias))
    xz, xr, xh = np.split(x @ kernel + b, 3)
    rz, rr, rh = np.split(recurrent, 3, axis=1)
    bz, br, bh = np.split(rb, 3)
    z, r = recurrent_activation(xz + h @ rz + bz), recurrent_activation(xr + h @ rr + br)
    candidate = activation(xh + r * (h @ rh + bh)) if reset_after else activation(xh + (r * h) @ rh)
    return (z * h + (1 - z) * candidate,)


def keras_sequence(step, x, mask, weights, state, zero_output_for_mask=False):
    """Run `step` over one row as Keras' backends do; return the outputs, the last one being Keras' last output."""
    outputs, output = [], np.zeros_like(state[0])
    for x_t, valid in zip(x, mask, strict=True):
        if valid:
            state = step(x_t, weights, state)
            output = state[0]
        outputs.append(output if valid or not zero_output_for_mask else np.zeros_like(output))
    return np.array(outputs), state


def assert_gradients(layer, x, mask, rng, seed=None):
    """Gradients of `layer` to x and every weight, along a random direction, against finite differences.

    With a `seed` the differences are those of the layer in training, where it draws masks.
    """

    def forward(training):
        if seed is not None:
            layer._seeds = StepSeeds(seed)
        return layer.forward(x, mask, training)

    layer.ensure_built(x.shape)
    direction = rng.standard_normal(forward(False).shape)
    forward(True)
    dx = layer.backward(direction)

    def loss():
        return float(np.sum(forward(seed is not None) * direction))

    np.testing.assert_allclose(dx, numeric_gradient(loss, x), atol=2e-8)
    gradients = [(p.name, p.grad.copy(), p.value) for p in layer.parameters()]
    for name, gradient, value in gradients:
        np.testing.assert_allclose(gradient, numeric_gradient(loss, value), atol=5e-8, err_msg=name)
