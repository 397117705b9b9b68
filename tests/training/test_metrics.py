"""Metrics: values by hand, accumulation over batches, weights, how "accuracy" is resolved."""

import math

import numpy as np
import pytest

from fastrnn import losses, metrics

P = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.3, 0.3, 0.4], [0.2, 0.5, 0.3]])
LABELS = np.array([1, 2, 2, 0])
ONE_HOT = np.eye(3)[LABELS]
COLUMN = np.array([[0.9], [0.4], [0.5], [0.6]])
BITS = np.array([1, 0, 1, 0])
CE = -np.log(P[np.arange(4), LABELS]).mean()

CASES = {
    "sparse_categorical_accuracy": (LABELS, P, 0.5),
    "categorical_accuracy": (ONE_HOT, P, 0.5),
    "binary_accuracy": (BITS, COLUMN, 0.5),
    "mse": (BITS, COLUMN, (0.01 + 0.16 + 0.25 + 0.36) / 4),
    "mae": (BITS, COLUMN, (0.1 + 0.4 + 0.5 + 0.6) / 4),
    "rmse": (BITS, COLUMN, math.sqrt((0.01 + 0.16 + 0.25 + 0.36) / 4)),
    "sparse_categorical_crossentropy": (LABELS, P, CE),
    "categorical_crossentropy": (ONE_HOT, P, CE),
    "binary_crossentropy": (BITS, COLUMN, -np.log([0.9, 0.6, 0.5, 0.4]).mean()),
}


@pytest.mark.parametrize("name", CASES)
def test_value_in_one_batch_and_in_uneven_ones(name):
    y, p, expected = CASES[name]
    metric = metrics.get(name)
    assert metric.name == name
    assert metric.result() == 0.0
    metric.update_state(y, p)
    assert metric.result() == pytest.approx(expected)
    metric.reset_state()
    assert metric.result() == 0.0
    metric.update_state(y[:1], p[:1])
    metric.update_state(y[1:], p[1:])
    assert metric.result() == pytest.approx(expected)


@pytest.mark.parametrize("name", CASES)
def test_weights(name):
    y, p, _ = CASES[name]
    weighted, repeated = metrics.get(name), metrics.get(name)
    weighted.update_state(y, p, np.array([2.0, 0.0, 1.0, 3.0]))
    index = [0, 0, 2, 3, 3, 3]
    repeated.update_state(y[index], p[index])
    assert weighted.result() == pytest.approx(repeated.result())
    nothing = metrics.get(name)
    nothing.update_state(y, p, np.zeros(4))
    assert nothing.result() == 0.0


def test_per_time_step_weights():
    metric = metrics.get("sparse_categorical_accuracy")
    y = np.array([[1, 2], [2, 0]])
    p = P.reshape(2, 2, 3)
    metric.update_state(y, p, np.array([[1, 0], [1, 1]]))
    assert metric.result() == pytest.approx(2 / 3)
    metric.reset_state()
    metric.update_state(y, p, np.array([3, 1]))
    assert metric.result() == pytest.approx((3 + 1) / 8)


@pytest.mark.parametrize(("k", "expected"), [(1, 0.5), (2, 0.75), (3, 1.0)])
def test_top_k(k, expected):
    for metric, y in (
        (metrics.SparseTopKCategoricalAccuracy(k), LABELS),
        (metrics.TopKCategoricalAccuracy(k), ONE_HOT),
    ):
        metric.update_state(y, P)
        assert metric.result() == expected


def test_top_k_defaults_ties_and_nan():
    assert metrics.get("top_k_categorical_accuracy").get_config()["k"] == 5
    tie = metrics.SparseTopKCategoricalAccuracy(1)
    tie.update_state([1], np.array([[0.5, 0.5]]))
    assert tie.result() == 1.0
    nan = metrics.SparseTopKCategoricalAccuracy(1)
    nan.update_state([0], np.array([[np.nan, np.nan]]))
    assert nan.result() == 0.0


def test_mean_and_accuracy():
    mean = metrics.Mean("loss")
    mean.update_state(3.0)
    mean.update_state(np.array([1.0, 5.0]), np.array([1.0, 0.0]))
    assert mean.result() == 2.0
    equal = metrics.Accuracy()
    equal.update_state([1, 2, 3, 4], [1, 2, 0, 4])
    assert equal.result() == 0.75
    with pytest.raises(ValueError, match="y_true: expected shape"):
        equal.update_state([1, 2], [1])


def test_rmse_is_the_root_of_the_whole_mean():
    metric = metrics.RootMeanSquaredError()
    metric.update_state([[0.0]], np.array([[3.0]]))
    metric.update_state([[0.0]], np.array([[1.0]]))
    assert metric.result() == pytest.approx(math.sqrt(5))


@pytest.mark.parametrize(
    ("loss", "kind", "y", "p"),
    [
        ("binary_crossentropy", metrics.BinaryAccuracy, BITS, COLUMN),
        ("categorical_crossentropy", metrics.CategoricalAccuracy, ONE_HOT, P),
        ("sparse_categorical_crossentropy", metrics.SparseCategoricalAccuracy, LABELS, P),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_follows_the_loss(name, loss, kind, y, p):
    metric = metrics.get(name, losses.get(loss))
    assert type(metric) is kind
    assert metric.name == name
    metric.update_state(y, p)
    by_shape = metrics.get(name, losses.get("mse"))
    assert by_shape.name == name
    by_shape.update_state(y, p)
    assert by_shape.result() == metric.result() == 0.5
    crossentropy = metrics.get("ce", losses.get(loss))
    crossentropy.update_state(y, p)
    assert crossentropy.result() == pytest.approx(losses.get(loss)(y, p))


def test_logits_move_the_threshold():
    logits = np.log(COLUMN / (1 - COLUMN))
    metric = metrics.get("accuracy", losses.BinaryCrossentropy(from_logits=True))
    metric.update_state(BITS, logits)
    assert metric.result() == 0.5
    entropy = metrics.get("crossentropy", losses.BinaryCrossentropy(from_logits=True))
    entropy.update_state(BITS, logits)
    assert entropy.result() == pytest.approx(CASES["binary_crossentropy"][2])


def test_function_metric():
    def share_of_ones(y_true, y_pred):
        return y_true.mean(axis=-1)

    metric = metrics.get(share_of_ones)
    assert metric.name == "share_of_ones"
    metric.update_state(ONE_HOT, P)
    assert metric.result() == pytest.approx(1 / 3)
    scalar = metrics.get(lambda y, p: 2.0)
    scalar.update_state(ONE_HOT, P, np.array([1, 0, 0, 0]))
    assert scalar.result() == 2.0


@pytest.mark.parametrize(
    "metric",
    [
        metrics.BinaryAccuracy(threshold=0.3),
        metrics.SparseTopKCategoricalAccuracy(2),
        metrics.TopKCategoricalAccuracy(2, name="top2"),
        metrics.CategoricalCrossentropy(label_smoothing=0.1),
        metrics.BinaryCrossentropy("b", from_logits=True),
        metrics.SparseCategoricalCrossentropy(),
        metrics.RootMeanSquaredError(),
        metrics.get("accuracy"),
    ],
    ids=lambda m: m.name,
)
def test_serialize_round_trip(metric):
    again = metrics.get(metrics.serialize(metric))
    assert type(again) is type(metric)
    assert again.name == metric.name
    assert again.get_config() == metric.get_config()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: metrics.get("accurracy"), ValueError, "metric: expected one of 'accuracy', .* got 'accurracy'"),
        (lambda: metrics.get(1), TypeError, "metric: expected a name, .* got int"),
        (lambda: metrics.TopKCategoricalAccuracy(0), ValueError, "k: expected an integer >= 1, got 0"),
        (
            lambda: metrics.get("mse").update_state(np.zeros((2, 2)), np.zeros((2, 3))),
            ValueError,
            r"y_true: expected shape \(2, 3\)",
        ),
        (
            lambda: metrics.get("mse").update_state(BITS, COLUMN, np.ones(3)),
            ValueError,
            r"sample_weight: expected shape \(4,\) or a leading part of it, got \(3,\)",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
