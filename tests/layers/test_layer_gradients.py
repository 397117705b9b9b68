"""Gradients of the layers by finite differences, under every mask and every option."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import config
from fastrnn.layers import GRU, LSTM, Activation, Bidirectional, Dense, Flatten, Masking, SimpleRNN, TimeDistributed
from fastrnn.recurrent_layers import MGU, SLSTM, IndRNN
from tests.support.gradients import numeric_gradient
from tests.support.layer_problems import D64, MASKS, NORMAL, B, H, I, T, assert_gradients


@pytest.fixture
def rng():
    config.set_random_seed(11)
    return np.random.default_rng(7)


GRADIENT_CASES = {
    "rnn": lambda: SimpleRNN(H, return_sequences=True, **NORMAL),
    "rnn_sigmoid_last": lambda: SimpleRNN(H, activation="sigmoid", **NORMAL),
    "lstm_backwards": lambda: LSTM(H, return_sequences=True, go_backwards=True, **NORMAL),
    "lstm_last": lambda: LSTM(H, go_backwards=True, **NORMAL),
    "lstm_peephole": lambda: LSTM(H, return_sequences=True, peephole="diagonal", **NORMAL),
    "lstm_full": lambda: LSTM(H, peephole="full", peephole_output="previous", **NORMAL),
    "lstm_coupled": lambda: LSTM(H, coupled=True, use_bias=False, **D64),
    "gru": lambda: GRU(H, return_sequences=True, **NORMAL),
    "gru_before": lambda: GRU(H, reset_after=False, **NORMAL),
    "gru_output": lambda: GRU(H, reset="output", return_sequences=True, **NORMAL),
    "bidirectional_concat": lambda: Bidirectional(GRU(H, return_sequences=True, **NORMAL)),
    "bidirectional_mul": lambda: Bidirectional(LSTM(H, **NORMAL), merge_mode="mul"),
    "bidirectional_ave": lambda: Bidirectional(SimpleRNN(H, return_sequences=True, **NORMAL), merge_mode="ave"),
    "bidirectional_sum": lambda: Bidirectional(SimpleRNN(H, **NORMAL), merge_mode="sum"),
    "rnn_norm": lambda: SimpleRNN(H, layer_norm=True, return_sequences=True, **NORMAL),
    "rnn_softsign": lambda: SimpleRNN(H, activation="softsign", clip=1.5, return_sequences=True, **NORMAL),
    "lstm_norm": lambda: LSTM(H, layer_norm=True, return_sequences=True, **NORMAL),
    "lstm_projection": lambda: LSTM(H, projection_units=2, proj_clip=0.3, cell_clip=0.8, **NORMAL),
    "lstm_activations": lambda: LSTM(
        H, activation=("scaled_tanh", 1.5, 0.7), recurrent_activation="hard_sigmoid", return_sequences=True, **NORMAL
    ),
    "lstm_zero_output": lambda: LSTM(H, return_sequences=True, zero_output_for_mask=True, **NORMAL),
    "lstm_zero_output_last": lambda: LSTM(H, go_backwards=True, zero_output_for_mask=True, **NORMAL),
    "gru_norm": lambda: GRU(H, layer_norm=True, activation="elu", return_sequences=True, **NORMAL),
    "gru_checkpoints": lambda: GRU(H, checkpoint_every=2, return_sequences=True, **NORMAL),
    "indrnn": lambda: IndRNN(H, activation="tanh", return_sequences=True, **NORMAL),
    "mgu": lambda: MGU(H, return_sequences=True, go_backwards=True, **NORMAL),
    "slstm": lambda: SLSTM(H, return_sequences=True, **NORMAL),
    "slstm_exp_last": lambda: SLSTM(H, forget_gate="exp", **NORMAL),
    "bidirectional_projection": lambda: Bidirectional(LSTM(H, projection_units=3, return_sequences=True, **NORMAL)),
    "dense": lambda: Dense(H, activation="tanh", **NORMAL),
    "dense_softmax": lambda: Dense(H, activation="softmax", use_bias=False, **D64),
    "activation": lambda: Activation("sigmoid", **D64),
    "time_distributed": lambda: TimeDistributed(Dense(H, activation="elu", **NORMAL), **D64),
    "flatten": lambda: Flatten(**D64),
}


@pytest.mark.parametrize("mask_name", MASKS)
@pytest.mark.parametrize("case", GRADIENT_CASES)
def test_gradients_by_finite_differences(case, mask_name, rng):
    layer, mask = GRADIENT_CASES[case](), MASKS[mask_name]
    assert_gradients(layer, rng.standard_normal((B, T, I)), mask, rng)


# What is drawn in training is drawn alike for each of the differences: all masks come from one seed.
RANDOM_CASES = {
    "rnn": lambda: SimpleRNN(H, dropout=0.3, recurrent_dropout=0.3, zoneout_h=0.2, weight_dropout=0.2, **NORMAL),
    "lstm": lambda: LSTM(H, dropout=0.3, recurrent_dropout=0.3, candidate_dropout=0.2, return_sequences=True, **NORMAL),
    "lstm_zoneout": lambda: LSTM(
        H, zoneout_h=0.3, zoneout_c=0.4, weight_dropout=0.3, projection_units=3, return_sequences=True, **NORMAL
    ),
    "gru": lambda: GRU(H, dropout=0.3, recurrent_dropout=0.3, zoneout_h=0.2, return_sequences=True, **NORMAL),
    "gru_before": lambda: GRU(H, reset_after=False, recurrent_dropout=0.4, candidate_dropout=0.3, **NORMAL),
    "indrnn": lambda: IndRNN(H, "tanh", dropout=0.3, recurrent_dropout=0.3, zoneout_h=0.3, **NORMAL),
    "mgu": lambda: MGU(H, recurrent_dropout=0.3, candidate_dropout=0.2, return_sequences=True, **NORMAL),
    "slstm": lambda: SLSTM(H, dropout=0.3, recurrent_dropout=0.3, weight_dropout=0.3, **NORMAL),
}


@pytest.mark.parametrize("mask_name", ["none", "holes"])
@pytest.mark.parametrize("case", RANDOM_CASES)
def test_gradients_of_what_is_drawn_in_training(case, mask_name, rng):
    assert_gradients(RANDOM_CASES[case](), rng.standard_normal((B, T, I)), MASKS[mask_name], rng, seed=5)


def test_gradient_of_masking(rng):
    """A step in x moves it off the mask: there is no finite difference there."""
    x = rng.standard_normal((B, T, I))
    x[0, 1] = 0.5
    layer, dy = Masking(0.5, **D64), rng.standard_normal((B, T, I))
    layer(x, training=True)
    dx = layer.backward(dy)
    np.testing.assert_array_equal(dx[0, 1], 0)
    dx[0, 1] = dy[0, 1]
    np.testing.assert_array_equal(dx, dy)


@pytest.mark.parametrize("mask_name", ["none", "prefix", "holes"])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(("cls", "options"), [(LSTM, {}), (LSTM, {"projection_units": 2}), (GRU, {}), (SLSTM, {})])
def test_gradients_of_states(cls, options, sequences, mask_name, rng):
    layer, mask = cls(H, return_state=True, return_sequences=sequences, **options, **NORMAL), MASKS[mask_name]
    x = rng.standard_normal((B, T, I))
    widths = [layer.output_units, *[H] * (layer.state_count - 1)]
    states = [rng.standard_normal((B, w)) for w in widths]
    if cls is SLSTM:
        states[2] = np.abs(states[2]) + 1  # n, a sum of exponentials
    directions = [rng.standard_normal(a.shape) for a in layer(x, mask=mask, initial_state=states)]

    def loss():
        results = layer(x, mask=mask, initial_state=states)
        return sum(float((a * d).sum()) for a, d in zip(results, directions, strict=True))

    layer(x, mask=mask, initial_state=states, training=True)
    dx = layer.backward(directions[0], directions[1:])
    np.testing.assert_allclose(dx, numeric_gradient(loss, x), atol=2e-8)
    for got, array in zip(layer.initial_state_gradients, states, strict=True):
        np.testing.assert_allclose(got, numeric_gradient(loss, array), atol=2e-8)


def test_backward_needs_a_training_pass_each_time(rng):
    layer, x = Bidirectional(LSTM(H, **NORMAL)), rng.standard_normal((B, T, I))
    dy = np.ones_like(layer(x, training=True))
    layer.backward(dy)
    with pytest.raises(RuntimeError, match="forward pass with training=True"):
        layer.backward(dy)
    layer(x, training=True)
    layer(x)  # an inference pass drops what was kept
    with pytest.raises(RuntimeError, match="forward pass with training=True"):
        layer.backward(dy)
