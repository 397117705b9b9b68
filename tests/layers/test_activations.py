"""Activations: values against formulas, gradients against finite differences, extremes, dtype."""

import math

import numpy as np
import pytest

from fastrnn import activations

FORMULAS = {
    "linear": lambda x: x,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "leaky_relu": lambda x: x if x >= 0 else 0.2 * x,
    "softplus": lambda x: math.log1p(math.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "exponential": math.exp,
    "hard_sigmoid": lambda x: min(max(x / 6 + 0.5, 0.0), 1.0),
}
POINTS = np.array([[-7.3, -2.9, -0.6, -0.01], [0.02, 0.7, 2.4, 6.9]])


@pytest.mark.parametrize("name", FORMULAS)
def test_values(name):
    expected = [[FORMULAS[name](v) for v in row] for row in POINTS.tolist()]
    np.testing.assert_allclose(activations.get(name)(POINTS), expected, rtol=1e-13)


def test_softmax_values():
    e = np.exp(POINTS)
    expected = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(activations.softmax(POINTS), expected, rtol=1e-13)
    np.testing.assert_allclose(activations.log_softmax(POINTS), np.log(expected), rtol=1e-12)


@pytest.mark.parametrize("name", [*FORMULAS, "softmax", "log_softmax"])
def test_gradient_from_output(name):
    f = activations.get(name)
    rng = np.random.default_rng(0)
    dy = rng.standard_normal(POINTS.shape)
    analytic = f.gradient(f(POINTS), dy)
    for index in np.ndindex(POINTS.shape):
        step = np.zeros_like(POINTS)
        step[index] = 1e-6
        numeric = (dy * (f(POINTS + step) - f(POINTS - step))).sum() / 2e-6
        assert analytic[index] == pytest.approx(numeric, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", [*FORMULAS, "softmax", "log_softmax"])
def test_new_array_same_dtype_and_nan(name):
    f = activations.get(name)
    x = np.array([[1.0, np.nan, -3.0]], np.float32)
    kept = x.copy()
    y = f(x)
    assert y.dtype == np.float32
    assert f.gradient(y, np.ones_like(y)).dtype == np.float32
    assert y.shape == x.shape
    assert np.isnan(y[0, 1])
    assert not np.shares_memory(x, y)
    assert np.array_equal(x, kept, equal_nan=True)


@pytest.mark.filterwarnings("error")
def test_extremes_do_not_overflow():
    x = np.array([[-1e4, 0.0, 1e4]], np.float32)
    assert np.array_equal(activations.sigmoid(x), [[0, 0.5, 1]])
    assert np.array_equal(activations.softmax(x), [[0, 0, 1]])
    assert np.array_equal(activations.softplus(x), [[0, np.float32(math.log(2)), 1e4]])
    assert np.array_equal(activations.elu(x), [[-1, 0, 1e4]])
    # Small outputs keep their relative precision; 0.5 * (1 + tanh(x / 2)) would give 0.
    assert activations.sigmoid(np.array([-30.0], np.float32))[0] == pytest.approx(math.exp(-30), rel=1e-6)


def test_empty():
    assert activations.softmax(np.zeros((0, 3))).shape == (0, 3)
    assert activations.softmax(np.zeros((3, 0))).shape == (3, 0)


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get(activations.tanh) is activations.tanh
    with pytest.raises(ValueError, match=r"activation: expected one of 'linear', .*, got 'tanhh'"):
        activations.get("tanhh")
    with pytest.raises(TypeError, match="activation: expected a name, an Activation or None, got int"):
        activations.get(3)
