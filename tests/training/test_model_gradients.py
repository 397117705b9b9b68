"""Gradients of whole models by finite differences, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import losses, optimizers
from fastrnn.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Embedding,
    Flatten,
    Masking,
    RepeatVector,
    SimpleRNN,
    TimeDistributed,
)
from fastrnn.model import Sequential
from tests.support.gradients import numeric_gradient
from tests.support.models import B, C, I, T, padded

LOSS_CASES = {
    "mse": ("mse", "linear", "real"),
    "mae": ("mae", "linear", "real"),
    "huber": ("huber", "tanh", "real"),
    "cce_fused": ("categorical_crossentropy", "softmax", "one_hot"),
    "cce_logits": (losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), "linear", "one_hot"),
    "cce_not_fused": ("categorical_crossentropy", "sigmoid", "one_hot"),
    "sparse_fused": ("sparse_categorical_crossentropy", "softmax", "labels"),
    "bce_fused": ("binary_crossentropy", "sigmoid", "bits"),
    "bce_softmax": ("binary_crossentropy", "softmax", "bits"),
}


def targets(kind, shape, rng):
    labels = rng.integers(0, shape[-1], shape[:-1])
    return {
        "real": rng.standard_normal(shape),
        "one_hot": np.eye(shape[-1])[labels],
        "labels": labels,
        "bits": rng.integers(0, 2, shape).astype(float),
    }[kind]


def sequence_stack(activation):
    return [
        Masking(),
        Bidirectional(LSTM(3, return_sequences=True)),
        GRU(4, return_sequences=True),
        TimeDistributed(Dense(3, activation="tanh")),
        Dense(C, activation=activation),
    ]


def vector_stack(activation):
    return [
        Masking(),
        Bidirectional(GRU(3, return_sequences=True, reset_after=False), merge_mode="sum"),
        LSTM(4, peephole="diagonal", go_backwards=True),
        Dense(C),
        Activation(activation),
    ]


def check_model_gradient(model, x, y, weight):
    """Compare every parameter's gradient with central differences of the loss which `test_on_batch` reports."""
    seen = []

    class Recorder(optimizers.SGD):
        def apply(self, parameters):
            seen.extend((p, p.grad.copy()) for p in parameters)

    model.compile(Recorder(), model.loss)
    reported = model.train_on_batch(x, y, sample_weight=weight)
    np.testing.assert_allclose(reported, model.test_on_batch(x, y, sample_weight=weight), rtol=1e-12)
    assert len(seen) == len(model.parameters())
    for parameter, gradient in seen:
        numeric = numeric_gradient(lambda: model.test_on_batch(x, y, sample_weight=weight), parameter.value)
        np.testing.assert_allclose(gradient, numeric, atol=2e-8, err_msg=parameter.name)
    assert max(np.abs(gradient).max() for _, gradient in seen) > 1e-3


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("stack", [sequence_stack, vector_stack])
@pytest.mark.parametrize("case", LOSS_CASES)
def test_gradient_of_a_stack(case, stack, weighted, rng, float64):
    loss, activation, kind = LOSS_CASES[case]
    model, x = Sequential(stack(activation)), padded(rng)
    shape = (B, T, C) if stack is sequence_stack else (B, C)
    y = targets(kind, shape, rng)
    model.compile("sgd", loss)
    check_model_gradient(model, x, y, rng.random(shape[:-1]) if weighted else None)


def test_gradient_of_an_embedding_model(rng, float64):
    model = Sequential([Embedding(6, 3, mask_zero=True), SimpleRNN(4, return_sequences=True), GRU(3), Dense(1)])
    x = np.array([[1, 2, 3, 0, 0], [5, 5, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 4]])
    model.compile("sgd", "mse")
    check_model_gradient(model, x, rng.standard_normal((B, 1)), None)


def test_gradient_of_an_autoencoder(rng, float64):
    stack = [LSTM(3), RepeatVector(T), LSTM(3, return_sequences=True, go_backwards=True), Flatten(), Dense(2)]
    model = Sequential(stack)
    model.compile("sgd", "mse")
    check_model_gradient(model, rng.standard_normal((B, T, I)), rng.standard_normal((B, 2)), None)
