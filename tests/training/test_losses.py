"""Losses: values by hand, gradients by finite differences, the fused ones against the chain rule, weights, errors."""

import math

import numpy as np
import pytest

from fastrnn import activations, losses
from tests.support.gradients import numeric_gradient

RNG = np.random.default_rng(5)
B, T, C = 4, 3, 5


def softmax(z):
    return activations.softmax(z)


def sigmoid(z):
    return activations.sigmoid(z)


def distribution(shape):
    p = RNG.random(shape) + 0.05
    return p / p.sum(axis=-1, keepdims=True)


def one_hot(labels):
    return np.eye(C)[labels]


LABELS = RNG.integers(0, C, (B, T))
LOGITS = RNG.standard_normal((B, T, C)) * 2
BITS = RNG.integers(0, 2, (B, T, C)).astype(float)

# name: (loss, y_true, y_pred)
CASES = {
    "mse": (losses.MeanSquaredError(), RNG.standard_normal((B, T, C)), LOGITS),
    "mae": (losses.MeanAbsoluteError(), RNG.standard_normal((B, T, C)), LOGITS),
    "huber": (losses.Huber(0.8), RNG.standard_normal((B, T, C)), LOGITS),
    "bce": (losses.BinaryCrossentropy(), BITS, sigmoid(LOGITS)),
    "bce smooth": (losses.BinaryCrossentropy(label_smoothing=0.1), BITS, sigmoid(LOGITS)),
    "bce logits": (losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1), BITS, LOGITS),
    "cce": (losses.CategoricalCrossentropy(), one_hot(LABELS), softmax(LOGITS)),
    "cce soft unnormalised": (losses.CategoricalCrossentropy(), distribution((B, T, C)), RNG.random((B, T, C)) + 0.1),
    "cce smooth": (losses.CategoricalCrossentropy(label_smoothing=0.2), one_hot(LABELS), softmax(LOGITS)),
    "cce logits": (losses.CategoricalCrossentropy(True, 0.2), one_hot(LABELS), LOGITS),
    "scce": (losses.SparseCategoricalCrossentropy(), LABELS, softmax(LOGITS)),
    "scce unnormalised": (losses.SparseCategoricalCrossentropy(), LABELS, RNG.random((B, T, C)) + 0.1),
    "scce logits": (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, LOGITS),
}
WEIGHTS = {"none": None, "row": RNG.random(B), "step": RNG.random((B, T))}


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("case", CASES)
def test_gradient(case, weight, reduction):
    loss, y_true, y_pred = CASES[case]
    config = {**loss.get_config(), "reduction": reduction}
    loss = type(loss)(**config)
    w = WEIGHTS[weight]
    y_pred = y_pred.copy()
    numeric = numeric_gradient(lambda: loss(y_true, y_pred, w), y_pred)
    np.testing.assert_allclose(loss.gradient(y_true, y_pred, w), numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("case", ["bce", "bce smooth", "cce", "cce smooth", "scce"])
def test_fused_gradient(case, weight):
    loss, y_true, _ = CASES[case]
    activation = activations.get(loss.fused_activation)
    w = WEIGHTS[weight]
    fused = loss.fused_gradient(y_true, activation(LOGITS), w)
    z = LOGITS.copy()
    numeric = numeric_gradient(lambda: loss(y_true, activation(z), w), z)
    np.testing.assert_allclose(fused, numeric, rtol=1e-5, atol=1e-8)
    chain = activation.gradient(activation(LOGITS), loss.gradient(y_true, activation(LOGITS), w))
    np.testing.assert_allclose(fused, chain, rtol=1e-9, atol=1e-12)


def test_fused_activation_names():
    assert losses.BinaryCrossentropy().fused_activation == "sigmoid"
    assert losses.CategoricalCrossentropy().fused_activation == "softmax"
    assert losses.SparseCategoricalCrossentropy().fused_activation == "softmax"
    assert losses.SparseCategoricalCrossentropy(from_logits=True).fused_activation is None
    assert losses.MeanSquaredError().fused_activation is None
    with pytest.raises(ValueError, match="loss: expected one with a fused activation, got MeanSquaredError"):
        losses.MeanSquaredError().fused_gradient(np.zeros((1, 1)), np.zeros((1, 1)))


@pytest.mark.filterwarnings("error")
def test_fused_gradient_is_finite_where_the_chain_is_not():
    z = np.array([[-200.0, 200.0]])
    loss = losses.SparseCategoricalCrossentropy()
    np.testing.assert_allclose(loss.fused_gradient([0], softmax(z)), [[-1, 1]])
    assert loss([0], softmax(z)) == pytest.approx(-math.log(1e-7))
    assert losses.SparseCategoricalCrossentropy(from_logits=True)([0], z) == pytest.approx(400)
    assert losses.BinaryCrossentropy(from_logits=True)([[1.0, 0.0]], z) == pytest.approx(200)


@pytest.mark.parametrize("p", [[1.0, 0.0], [0.0, 1.0], [1 - 1e-9, 1e-9]], ids=str)
@pytest.mark.parametrize(("loss", "target"), [(losses.SparseCategoricalCrossentropy(), [0]),
                                              (losses.CategoricalCrossentropy(), [[1.0, 0.0]]),
                                              (losses.BinaryCrossentropy(), [[1.0, 0.0]])])  # fmt: skip
def test_probabilities_beyond_the_clip_have_its_value_and_no_gradient(loss, target, p):
    """Keras clips to [1e-7, 1 - 1e-7]."""
    expected = -math.log(1 - 1e-7) if p[0] > 0.5 else -math.log(1e-7)
    assert loss(target, np.array([p])) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(loss.gradient(target, np.array([p])), np.zeros((1, 2)))


def test_values_by_hand():
    y, p = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[2.0, 4.0], [0.0, 1.0]])
    assert losses.MeanSquaredError()(y, p) == pytest.approx((2.5 + 0.5) / 2)
    assert losses.MeanAbsoluteError()(y, p) == pytest.approx((1.5 + 0.5) / 2)
    assert losses.Huber()(y, p) == pytest.approx(((0.5 + 1.5) / 2 + 0.5 / 2) / 2)
    q = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    expected = -(math.log(0.2) + math.log(0.4)) / 2
    assert losses.SparseCategoricalCrossentropy()([1, 2], q) == pytest.approx(expected)
    assert losses.CategoricalCrossentropy()([[0, 1, 0], [0, 0, 1]], q) == pytest.approx(expected)
    smooth = losses.CategoricalCrossentropy(label_smoothing=0.3)([[0, 1, 0], [0, 0, 1]], q)
    by_hand = -(0.1 * math.log(0.7) + 0.8 * math.log(0.2) + 0.1 * math.log(0.1))
    by_hand -= 0.1 * math.log(0.3) + 0.1 * math.log(0.3) + 0.8 * math.log(0.4)
    assert smooth == pytest.approx(by_hand / 2)
    assert losses.BinaryCrossentropy()([1, 0], [[0.9], [0.4]]) == pytest.approx(-(math.log(0.9) + math.log(0.6)) / 2)
    s = losses.BinaryCrossentropy(label_smoothing=0.2)([[1.0]], [[0.9]])
    assert s == pytest.approx(-(0.9 * math.log(0.9) + 0.1 * math.log(0.1)))


def test_keras_weight_semantics():
    y, p = np.zeros((2, 3, 1)), np.ones((2, 3, 1)) * np.array([1.0, 2.0, 3.0])[:, None]
    values = np.array([1.0, 4.0, 9.0])
    loss = losses.MeanSquaredError()
    # Divided by the number of values, not by the sum of the weights.
    assert loss(y, p, np.array([2.0, 0.0])) == pytest.approx(2 * values.sum() / 6)
    steps = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    assert loss(y, p, steps) == pytest.approx((1 + 18 + 4) / 6)
    assert losses.MeanSquaredError("mean_with_sample_weight")(y, p, steps) == pytest.approx(23 / 4)
    assert losses.MeanSquaredError("sum")(y, p, steps) == pytest.approx(23)
    assert loss(y, p, steps[..., None]) == loss(y, p, steps)
    assert losses.MeanSquaredError("mean_with_sample_weight")(y, p, np.zeros(2)) == 0.0


def test_mask_to_weight_is_the_mean_over_valid_steps():
    _, y_true, y_pred = CASES["scce"]
    loss = losses.SparseCategoricalCrossentropy()
    mask = np.arange(T) < np.array([3, 1, 2, 0])[:, None]
    values = loss.values(y_true, y_pred)
    assert loss(y_true, y_pred, losses.mask_to_weight(mask)) == pytest.approx(values[mask].mean())
    row = np.array([1.0, 2.0, 3.0, 4.0])
    expected = (values * row[:, None])[mask].sum() / mask.sum()
    assert loss(y_true, y_pred, losses.mask_to_weight(mask, row)) == pytest.approx(expected)
    assert np.array_equal(losses.mask_to_weight(np.zeros((2, 2), bool)), np.zeros((2, 2)))


@pytest.mark.parametrize("case", CASES)
def test_dtype_and_inputs_untouched(case):
    loss, y_true, y_pred = CASES[case]
    p, t = y_pred.astype(np.float32), y_true.copy()
    kept = p.copy()
    gradient = loss.gradient(t, p, WEIGHTS["step"])
    assert gradient.dtype == np.float32
    assert gradient.shape == p.shape
    assert not np.shares_memory(gradient, p)
    assert np.array_equal(p, kept)
    assert np.array_equal(t, y_true)
    if loss.fused_activation:
        assert loss.fused_gradient(t, p).dtype == np.float32


def test_two_dimensional_and_empty_batches():
    loss = losses.get("mse")
    assert loss(np.zeros(3), np.ones((3, 1))) == 1.0
    assert loss(np.zeros((0, 2)), np.zeros((0, 2))) == 0.0
    assert loss.gradient(np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 2)
    assert losses.SparseCategoricalCrossentropy()(np.array([[1], [0]]), softmax(np.zeros((2, 4)))) == pytest.approx(
        math.log(4)
    )


def test_nan_is_not_swallowed():
    for name in ("mse", "mae", "huber"):
        assert math.isnan(losses.get(name)([[0.0]], np.array([[math.nan]])))
    assert math.isnan(losses.BinaryCrossentropy()([[1.0]], np.array([[math.nan]])))
    assert math.isnan(losses.SparseCategoricalCrossentropy()([0], np.array([[math.nan, 0.5]])))
    assert math.isnan(losses.CategoricalCrossentropy()([[1.0, 0.0]], np.array([[math.nan, 0.5]])))


def test_function_loss():
    loss = losses.get(lambda y, p: (np.square(p - y).sum(-1), 2 * (p - y)))
    y, p = RNG.random((3, 2)), RNG.random((3, 2))
    assert loss(y, p) == pytest.approx(2 * losses.MeanSquaredError()(y, p))
    np.testing.assert_allclose(loss.gradient(y, p), 2 * losses.MeanSquaredError().gradient(y, p))
    with pytest.raises(TypeError, match=r"expected <lambda> to return \(values, gradient\), got float"):
        losses.get(lambda y, p: 1.0)(y, p)
    with pytest.raises(ValueError, match=r"loss function's values: expected shape \(3,\), got \(3, 2\)"):
        losses.get(lambda y, p: (p, p))(y, p)


@pytest.mark.parametrize("case", CASES)
def test_serialize_round_trip(case):
    loss, y_true, y_pred = CASES[case]
    assert losses.get(losses.serialize(loss))(y_true, y_pred) == loss(y_true, y_pred)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: losses.get("msee"), ValueError, "loss: expected one of 'mse', .* got 'msee'"),
        (lambda: losses.get(2), TypeError, "loss: expected a name, .* got int"),
        (lambda: losses.Huber(0), ValueError, "delta: expected a number > 0, got 0"),
        (lambda: losses.MeanSquaredError("mean"), ValueError, "reduction: expected one of 'sum_over_batch_size'"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=1), ValueError, r"label_smoothing: .* \[0, 1\), got 1"),
        (
            lambda: losses.get("mse")(np.zeros((2, 3)), np.zeros((2, 4))),
            ValueError,
            r"y_true: expected shape \(2, 4\) \(that of y_pred\), got \(2, 3\)",
        ),
        # Never broadcast: (B,) against (B, B) is a classic silent mistake.
        (lambda: losses.get("mse")(np.zeros(2), np.zeros((2, 2))), ValueError, r"got \(2,\)"),
        (lambda: losses.get("mse")(np.zeros(2), np.zeros(2, int)), TypeError, "y_pred: expected a floating dtype"),
        (
            lambda: losses.get("mse")(np.zeros((2, 3)), np.zeros((2, 3)), np.ones(3)),
            ValueError,
            r"sample_weight: expected shape \(2,\) or a leading part of it, got \(3,\)",
        ),
        (
            lambda: losses.SparseCategoricalCrossentropy()([0, 3], np.full((2, 3), 1 / 3)),
            ValueError,
            r"y_true: expected class numbers in 0\.\.2, got 3",
        ),
        (
            lambda: losses.SparseCategoricalCrossentropy()(np.eye(3), np.full((3, 3), 1 / 3)),
            ValueError,
            r"y_true: expected shape \(3,\) \(class numbers\), got \(3, 3\)",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
