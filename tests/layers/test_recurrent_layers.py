"""SimpleRNN, LSTM and GRU: against Keras' equations in Keras' layout, with masks; weights and states."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import config
from fastrnn.initializers import RandomNormal
from fastrnn.layers import GRU, LSTM, Bidirectional, SimpleRNN
from fastrnn.recurrent_layers import MGU, SLSTM, IndRNN
from tests.support.layer_problems import MASKS, NORMAL, B, H, I, T, keras_gru, keras_lstm, keras_rnn, keras_sequence


@pytest.fixture
def rng():
    config.set_random_seed(11)
    return np.random.default_rng(7)


def relu(a):
    return np.maximum(a, 0)


def hard_sigmoid(a):
    return np.clip(a / 6 + 0.5, 0, 1)


CELLS = {
    "rnn": (SimpleRNN, {}, keras_rnn),
    "rnn_relu": (SimpleRNN, {"activation": "relu"}, lambda *a: keras_rnn(*a, activation=relu)),
    "rnn_linear": (SimpleRNN, {"activation": None}, lambda *a: keras_rnn(*a, activation=lambda v: v)),
    "lstm": (LSTM, {}, keras_lstm),
    "lstm_relu": (
        LSTM,
        {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
        lambda *a: keras_lstm(*a, relu, hard_sigmoid),
    ),
    "gru_after": (GRU, {}, lambda *a: keras_gru(*a, reset_after=True)),
    "gru_before": (GRU, {"reset_after": False}, lambda *a: keras_gru(*a, reset_after=False)),
    "gru_softsign": (
        GRU,
        {"activation": "softsign", "recurrent_activation": "hard_sigmoid"},
        lambda *a: keras_gru(*a, True, lambda v: v / (1 + abs(v)), hard_sigmoid),
    ),
}


@pytest.mark.parametrize("zero_output", [False, True], ids=["repeat", "zero"])
@pytest.mark.parametrize("mask_name", MASKS)
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_layers_compute_what_keras_computes(cell, go_backwards, mask_name, zero_output, rng):
    cls, options, step = CELLS[cell]
    layer = cls(
        H,
        return_sequences=True,
        return_state=True,
        go_backwards=go_backwards,
        zero_output_for_mask=zero_output,
        **options,
        **NORMAL,
    )
    x, mask = rng.standard_normal((B, T, I)), MASKS[mask_name]
    state = [rng.standard_normal((B, H)) for _ in range(layer.state_count)]
    y, *last = layer(x, mask=mask, initial_state=state)
    layer.return_sequences = layer.return_state = False
    y_last = layer(x, mask=mask, initial_state=state)
    full = np.ones((B, T), bool) if mask is None else mask
    order = -1 if go_backwards else 1  # Keras reverses the whole sequence, padding and mask included
    for b in range(B):
        row = x[b, ::order], full[b, ::order], layer.get_weights(), [s[b] for s in state]
        outputs, final = keras_sequence(step, *row, zero_output)
        np.testing.assert_allclose(y[b], outputs, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(y_last[b], outputs[-1], rtol=1e-12, atol=1e-13)
        for got, expected in zip(last, final, strict=True):
            np.testing.assert_allclose(got[b], expected, rtol=1e-12, atol=1e-13)


# A linear cell that counts its steps from 10 shows which output is which. The numbers are Keras 3.15's.
COUNTS = {
    (False, False): ([[0, 11, 12, 12], [11, 11, 12, 13], [0, 0, 0, 0]], [12, 13, 0]),
    (False, True): ([[0, 11, 12, 12], [11, 12, 12, 13], [0, 0, 0, 0]], [12, 13, 0]),
    (True, False): ([[0, 11, 12, 0], [11, 0, 12, 13], [0, 0, 0, 0]], [0, 13, 0]),
    (True, True): ([[0, 11, 12, 0], [11, 12, 0, 13], [0, 0, 0, 0]], [0, 13, 0]),
}


@pytest.mark.parametrize(("zero_output", "go_backwards"), COUNTS)
def test_masked_outputs_as_numbers(zero_output, go_backwards):
    mask = np.array([[0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]], bool)
    sequences, last = COUNTS[zero_output, go_backwards]
    for return_sequences, expected in ((True, sequences), (False, last)):
        layer = SimpleRNN(
            1,
            activation="linear",
            kernel_initializer="ones",
            recurrent_initializer="ones",
            return_sequences=return_sequences,
            return_state=True,
            go_backwards=go_backwards,
            zero_output_for_mask=zero_output,
        )
        y, h = layer(np.ones((3, 4, 1), np.float32), mask=mask, initial_state=np.full((3, 1), 10, np.float32))
        np.testing.assert_array_equal(y[..., 0], expected)
        np.testing.assert_array_equal(h[:, 0], [12, 13, 10])  # of a row with no valid step, the initial state


def test_every_cell_of_the_keras_test_uses_its_bias(rng):
    """NORMAL draws the biases, so the comparison above would notice a bias in the wrong place."""
    layer = GRU(H, **NORMAL)
    layer.build((None, None, I))
    bias = layer.get_weights()[2]
    assert bias.shape == (2, 3 * H)
    assert len(np.unique(bias)) == bias.size


# -- weights ---------------------------------------------------------------------------------------------------------

KERAS_LSTM = [(I, 4 * H), (H, 4 * H), (4 * H,)]
GAINS = [(4 * H,), (4 * H,), (2, H)]
SHAPES = {
    "rnn": (SimpleRNN, {}, [(I, H), (H, H), (H,)]),
    "rnn_norm": (SimpleRNN, {"layer_norm": True}, [(I, H), (H, H), (H,), (H,)]),
    "lstm": (LSTM, {}, KERAS_LSTM),
    "lstm_no_bias": (LSTM, {"use_bias": False}, KERAS_LSTM[:2]),
    "lstm_diagonal": (LSTM, {"peephole": "diagonal"}, [*KERAS_LSTM, (3, H)]),
    "lstm_full": (LSTM, {"peephole": "full"}, [*KERAS_LSTM, (3, H, H)]),
    "lstm_norm": (LSTM, {"layer_norm": True}, [*KERAS_LSTM, *GAINS]),
    "lstm_projection": (LSTM, {"projection_units": 2}, [(I, 4 * H), (2, 4 * H), (4 * H,), (2, H)]),
    "lstm_everything": (
        LSTM,
        {"peephole": "diagonal", "projection_units": 2, "layer_norm": True},
        [(I, 4 * H), (2, 4 * H), (4 * H,), (3, H), (2, H), *GAINS],
    ),
    "gru": (GRU, {}, [(I, 3 * H), (H, 3 * H), (2, 3 * H)]),
    "gru_before": (GRU, {"reset": "before"}, [(I, 3 * H), (H, 3 * H), (3 * H,)]),
    "gru_output": (GRU, {"reset": "output"}, [(I, 3 * H), (H, 3 * H), (3 * H,)]),
    "gru_norm": (GRU, {"layer_norm": True}, [(I, 3 * H), (H, 3 * H), (2, 3 * H), (3 * H,), (3 * H,)]),
    "indrnn": (IndRNN, {}, [(I, H), (H,), (H,)]),
    "mgu": (MGU, {}, [(I, 2 * H), (H, 2 * H), (2 * H,)]),
    "slstm": (SLSTM, {}, KERAS_LSTM),
}


@pytest.mark.parametrize("case", SHAPES)
def test_weights_have_keras_shapes_and_round_trip(case, rng):
    cls, options, shapes = SHAPES[case]
    layer = cls(H, **options)
    assert layer.get_weights() == []
    layer.build((None, None, I))
    assert [w.shape for w in layer.get_weights()] == shapes
    assert {w.dtype for w in layer.get_weights()} == {np.dtype("float32")}
    assert layer.count_params() == sum(int(np.prod(s)) for s in shapes)
    new = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    layer.set_weights(new)
    for got, expected in zip(layer.get_weights(), new, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert not any(np.shares_memory(got, p.value) for p in layer.parameters())


def test_gru_canonical_rows_are_r_z_n(rng):
    layer = GRU(2)
    layer.build((None, None, 1))
    kernel = np.array([[10, 11, 20, 21, 30, 31]], np.float32)  # Keras: z, r, h
    bias = np.stack([kernel[0], kernel[0] + 100])
    layer.set_weights([kernel, np.zeros((2, 6)), bias])
    np.testing.assert_array_equal(layer.w_ih.value[:, 0], [20, 21, 10, 11, 30, 31])
    np.testing.assert_array_equal(layer.b_hh.value, [120, 121, 110, 111, 130, 131])


def test_initial_weights(rng):
    layer = LSTM(8)
    layer.build((None, None, 3))
    kernel, recurrent, bias = layer.get_weights()
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(8), atol=1e-6)  # orthonormal rows of (H, 4H)
    limit = np.sqrt(6 / (3 + 32))
    assert 0.9 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], 8))
    layer = LSTM(8, unit_forget_bias=False)
    layer.build((None, None, 3))
    assert not layer.get_weights()[2].any()


def test_initial_weights_of_the_extras(rng):
    layer = LSTM(8, layer_norm=True, projection_units=3)
    layer.build((None, None, 3))
    projection, ln_ih, ln_hh, ln_c = layer.get_weights()[3:]
    assert 0.8 * np.sqrt(6 / 11) < np.abs(projection).max() <= np.sqrt(6 / 11)
    assert (ln_ih == 1).all()
    assert (ln_hh == 1).all()
    np.testing.assert_array_equal(ln_c, np.repeat([[1], [0]], 8, axis=1))
    layer = IndRNN(200)
    layer.build((None, None, 3))
    u = layer.get_weights()[1]
    assert 0 <= u.min() < 0.05
    assert 0.95 < u.max() < 1
    layer = SLSTM(8)
    layer.build((None, None, 3))
    np.testing.assert_array_equal(layer.get_weights()[2], np.repeat([0, 1, 0, 0], 8))


def test_seeded_initializer_sees_the_keras_shape():
    seeded = RandomNormal(seed=3)
    layer = GRU(H, kernel_initializer=seeded, bias_initializer=seeded)
    layer.build((None, None, I))
    np.testing.assert_array_equal(layer.get_weights()[0], seeded((I, 3 * H), "float32"))
    np.testing.assert_array_equal(layer.get_weights()[2], seeded((2, 3 * H), "float32"))
    layer = LSTM(H, projection_units=2, projection_initializer=seeded)
    layer.build((None, None, I))
    np.testing.assert_array_equal(layer.get_weights()[3], seeded((H, 2), "float32").T)


def test_set_weights_changes_nothing_when_one_does_not_fit(rng):
    layer = Bidirectional(LSTM(H))
    layer.build((None, None, I))
    before = layer.get_weights()
    wrong = [w + 1 for w in before]
    wrong[-1] = wrong[-1][:-1]
    with pytest.raises(ValueError, match=r"weights\[5\].*expected shape \(20,\), got \(19,\)"):
        layer.set_weights(wrong)
    for got, expected in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


# -- states ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [SimpleRNN, LSTM, GRU, IndRNN, MGU, SLSTM])
def test_stateful_halves_equal_the_whole(cls, rng):
    layer = cls(H, stateful=True, return_sequences=True, **NORMAL)
    x = rng.standard_normal((B, T, I))
    first, second = layer(x[:, :2]), layer(x[:, 2:])
    layer.reset_states()
    np.testing.assert_array_equal(layer(x), np.concatenate([first, second], axis=1))
    with pytest.raises(ValueError, match="x: expected a batch of 3 for the stateful layer"):
        layer(x[:2])
    layer.reset_state()
    assert layer(x[:2]).shape == (2, T, H)


def test_reset_states_to_given_ones(rng):
    layer = LSTM(H, stateful=True, projection_units=2, **NORMAL)
    x, states = rng.standard_normal((B, T, I)), [rng.standard_normal((B, 2)), rng.standard_normal((B, H))]
    expected = layer(x, initial_state=states)
    layer.reset_states(states)
    np.testing.assert_array_equal(layer(x), expected)
    message = r"states: expected 2 arrays of shape \(B, 2\), \(B, 5\), got \[\(3, 2\)\]"
    with pytest.raises(ValueError, match=message):
        layer.reset_states(states[:1])
    with pytest.raises(ValueError, match="states: expected 2 arrays"):
        layer.reset_states(states[::-1])


def test_stateless_layers_carry_nothing(rng):
    layer = GRU(H, **NORMAL)
    x = rng.standard_normal((B, T, I))
    np.testing.assert_array_equal(layer(x), layer(x))
