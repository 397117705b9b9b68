"""The further options of the recurrent layers: against the functions, and as numbers."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from fastrnn import activations, config
from fastrnn.layers import GRU, LSTM, Bidirectional, SimpleRNN
from fastrnn.recurrent_layers import MGU, SLSTM, IndRNN
from tests.support.layer_problems import D64, MASKS, NORMAL, RATES, B, H, I, T, without


@pytest.fixture
def rng():
    config.set_random_seed(11)
    return np.random.default_rng(7)


# the layer's class and arguments; what the function is called with instead of them
OPTIONS = {
    "rnn": (SimpleRNN, {"activation": "leaky_relu", "clip": 0.5}, {"activation": ("leaky_relu", 0.2), "clip": 0.5}),
    "rnn_linear": (SimpleRNN, {"activation": "linear", "layer_norm": True}, {"activation": "identity"}),
    "rnn_rates": (SimpleRNN, without("candidate_dropout"), without("candidate_dropout")),
    "lstm": (
        LSTM,
        {"recurrent_activation": "hard_sigmoid", "activation": ("elu", 0.7), "cell_clip": 0.4},
        {"recurrent_activation": ("hard_sigmoid", 1 / 6, 0.5), "activation": ("elu", 0.7), "cell_clip": 0.4},
    ),
    "lstm_keras2": (
        LSTM,
        {"recurrent_activation": ["hard_sigmoid", 0.2, 0.5], "activation": activations.softsign},
        {"recurrent_activation": "hard_sigmoid", "activation": "softsign"},
    ),
    "lstm_projection": (LSTM, {"projection_units": 3, "proj_clip": 0.1, "clip": 1}, {"proj_clip": 0.1, "clip": 1.0}),
    "lstm_norm": (LSTM, {"layer_norm": True, "peephole": "diagonal"}, {}),
    "lstm_output": (
        LSTM,
        {"output_activation": "hard_sigmoid", "forget_bias": 0.5, "layer_norm": True, "norm_eps": 0.2},
        {"output_activation": ("hard_sigmoid", 1 / 6, 0.5), "forget_bias": 0.5, "norm_eps": 0.2},
    ),
    "lstm_peephole": (
        LSTM,
        {"peephole": "full", "peephole_output": "previous", "coupled": True},
        {"peephole_output": "previous", "coupled": True},
    ),
    "lstm_rates": (LSTM, {**RATES, "zoneout_c": 0.3}, {**RATES, "zoneout_c": 0.3}),
    "gru": (GRU, {"reset": "output", "activation": "relu"}, {"reset": "output", "activation": "relu"}),
    "gru_norm": (GRU, {"layer_norm": True}, {}),
    "gru_rates": (GRU, {"reset_after": False, **RATES}, {"reset": "before", **RATES}),
    "indrnn": (IndRNN, {}, {"activation": "relu"}),
    "indrnn_rates": (
        IndRNN,
        {"activation": "tanh", **without("candidate_dropout", "weight_dropout")},
        without("candidate_dropout", "weight_dropout"),
    ),
    "mgu": (MGU, {"activation": "softplus", "clip": 2}, {"activation": "softplus", "clip": 2.0}),
    "mgu_rates": (MGU, RATES, RATES),
    "slstm": (SLSTM, {"forget_gate": "exp"}, {"forget_gate": "exp"}),
    "slstm_rates": (SLSTM, without("zoneout_h", "candidate_dropout"), without("zoneout_h", "candidate_dropout")),
}


@pytest.mark.parametrize("mask_name", ["none", "prefix", "holes"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", OPTIONS)
def test_a_layer_is_its_function(case, training, mask_name, rng):
    cls, options, function_options = OPTIONS[case]
    layer = cls(H, return_sequences=True, return_state=True, go_backwards=True, seed=5, **options, **NORMAL)
    x, mask = rng.standard_normal((B, T, I)), MASKS[mask_name]
    y, *last = layer(x, mask=mask, training=training)
    parameters = {p.name.split("/")[1]: p.value for p in layer.parameters()}
    result = getattr(fastrnn, f"{cls.cell}_forward")(
        x,
        **parameters,
        **function_options,
        mask=mask,
        reverse=True,
        batch_first=True,
        training=training,
        seed=int(np.random.default_rng(5).integers(2**63)),
    )
    np.testing.assert_array_equal(y[:, ::-1], result[0])
    for got, expected in zip(last, result[1:], strict=not training):
        np.testing.assert_array_equal(got, expected[0])
    if training:
        dy = rng.standard_normal(y.shape)
        grads = getattr(fastrnn, f"{cls.cell}_backward")(dy[:, ::-1], result[-1])
        np.testing.assert_array_equal(layer.backward(dy), grads.x)
        for name, parameter in zip(parameters, layer.parameters(), strict=True):
            np.testing.assert_array_equal(parameter.grad, getattr(grads, name), err_msg=name)


# -- what is drawn ---------------------------------------------------------------------------------------------------


def test_dropout_of_inputs_is_one_mask_for_all_steps(rng):
    """The gradient of a linear cell with zero recurrent weights shows the mask itself."""
    layer = SimpleRNN(1, activation="linear", return_sequences=True, dropout=0.5, seed=3, **D64)
    layer.build((None, None, 8))
    layer.set_weights([np.ones((8, 1)), np.zeros((1, 1)), np.zeros(1)])
    x = rng.standard_normal((B, T, 8))
    y = layer(x, training=True)
    dx = layer.backward(np.ones_like(y))
    np.testing.assert_array_equal(dx, np.broadcast_to(dx[:, :1], dx.shape))
    assert set(np.unique(dx)) == {0.0, 2.0}
    np.testing.assert_allclose(y[..., 0], (x * dx).sum(axis=-1), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer(x)[..., 0], x.sum(axis=-1), rtol=1e-12, atol=1e-14)


def test_recurrent_dropout_is_one_mask_for_all_steps():
    """A linear cell that hands h on doubles what is kept, step by step, and loses the rest in the first."""
    layer = SimpleRNN(
        64, activation="linear", return_sequences=True, recurrent_dropout=0.5, recurrent_initializer="identity", seed=3
    )
    x, h = np.zeros((2, 4, 1), np.float32), np.ones((2, 64), np.float32)
    y = layer(x, training=True, initial_state=h)
    kept = y[:, 0] == 2
    assert 0.3 < kept.mean() < 0.7
    np.testing.assert_array_equal(y, kept[:, np.newaxis] * np.float32([2, 4, 8, 16])[:, np.newaxis])
    np.testing.assert_array_equal(layer(x, initial_state=h), np.ones((2, 4, 64)))


def test_zoneout_is_the_mean_in_inference():
    """h goes to 1 at once, but for the quarter that zoneout keeps of what it was."""
    layer = SimpleRNN(
        1, "linear", zoneout_h=0.25, return_sequences=True, kernel_initializer="ones", recurrent_initializer="zeros"
    )
    y = layer(np.ones((1, 3, 1), np.float32))
    np.testing.assert_array_equal(y[0, :, 0], [0.75, 0.9375, 0.984375])


def test_weight_dropout_leaves_inference_alone(rng):
    x = rng.standard_normal((B, T, I))
    layer, plain = LSTM(H, weight_dropout=0.5, **NORMAL), LSTM(H, **NORMAL)
    y = layer(x)
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(y, plain(x))
    assert (layer(x, training=True) != y).any()
    layer.backward(np.ones((B, H)))
    dropped = layer.w_hh.grad == 0
    assert 0.3 < dropped.mean() < 0.7  # where the mask was 0, the gradient is, too


def test_set_random_seed_makes_training_repeatable(rng):
    x = rng.standard_normal((B, T, I)).astype(np.float32)

    def run():
        config.set_random_seed(3)
        layer = Bidirectional(GRU(H, dropout=0.4, recurrent_dropout=0.4))
        return [layer(x, training=True) for _ in range(2)]

    first, second = run(), run()
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any()  # every call draws anew


def test_a_layer_that_draws_nothing_leaves_the_generator_alone():
    config.set_random_seed(3)
    expected = config.random_generator().random()
    config.set_random_seed(3)
    LSTM(H, clip=1.0, truncate=3, dropout=0.0)
    assert config.random_generator().random() == expected


# -- resets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("cls", [SimpleRNN, LSTM, GRU, IndRNN, MGU, SLSTM])
def test_a_reset_begins_another_sequence(cls, go_backwards, rng):
    """Two sequences in one row are two rows, alone and in both directions."""
    layer = cls(H, return_sequences=True, return_state=True, go_backwards=go_backwards, **NORMAL)
    x = rng.standard_normal((B, T, I))
    resets = np.zeros((B, T), bool)
    resets[:, 2] = True
    y, *last = layer(x, reset_mask=resets)
    first, second = layer(x[:, :2]), layer(x[:, 2:])
    parts = [second, first] if go_backwards else [first, second]
    np.testing.assert_array_equal(y, np.concatenate([part[0] for part in parts], axis=1))
    for got, expected in zip(last, parts[1][1:], strict=True):
        np.testing.assert_array_equal(got, expected)
    both = Bidirectional(cls(H, return_sequences=True, **NORMAL))
    y = both(x, reset_mask=resets, training=True)
    np.testing.assert_array_equal(y, np.concatenate([both(x[:, :2]), both(x[:, 2:])], axis=1))


def test_reset_mask_beside_masks(rng):
    layer, x = GRU(H, **NORMAL), rng.standard_normal((B, T, I))
    resets = np.zeros((B, T), bool)
    resets[0, 1] = True
    y = layer(x, mask=MASKS["prefix"], reset_mask=resets)
    np.testing.assert_array_equal(y[0], layer(x[:1, 1:])[0])
    np.testing.assert_array_equal(y[1:], layer(x, mask=MASKS["prefix"])[1:])
    with pytest.raises(ValueError, match=r"^reset_mask: expected None beside mask, got an array$"):
        layer(x, mask=MASKS["holes"], reset_mask=resets)
    with pytest.raises(ValueError, match=r"^reset_mask: expected shape \(3, 6\), got \(6, 3\)$"):
        layer(x, reset_mask=resets.T)


# -- the backward pass -----------------------------------------------------------------------------------------------


def test_truncate_stops_the_gradient(rng):
    """Six steps with truncate=4: the gradient of the last output ends at step 4, four of them before that."""
    x = rng.standard_normal((B, T, I))
    layer = LSTM(H, truncate=4, **NORMAL)
    y = layer(x, training=True)
    dx = layer.backward(np.ones_like(y))
    assert not dx[:, :4].any()
    assert dx[:, 4:].all()
    assert not layer.initial_state_gradients[0].any()


@pytest.mark.parametrize("cls", [SimpleRNN, LSTM, GRU, IndRNN, MGU, SLSTM])
def test_truncate_is_training_a_stateful_layer_piece_by_piece(cls, rng):
    """The gradients of a sequence cut every three steps are the sum of those of its halves."""
    x, dy = rng.standard_normal((B, T, I)), rng.standard_normal((B, T, H))
    whole = cls(H, truncate=3, return_sequences=True, **NORMAL)
    pieces = cls(H, stateful=True, return_sequences=True, **NORMAL)
    whole.build(x.shape)
    pieces.build(x.shape)
    pieces.set_weights(whole.get_weights())
    y = whole(x, training=True)
    dx = whole.backward(dy)
    sums = [np.zeros_like(p.value) for p in pieces.parameters()]
    for part in (slice(0, 3), slice(3, 6)):
        np.testing.assert_array_equal(pieces(x[:, part], training=True), y[:, part])
        np.testing.assert_allclose(pieces.backward(dy[:, part]), dx[:, part], rtol=1e-12, atol=1e-14)
        for total, parameter in zip(sums, pieces.parameters(), strict=True):
            total += parameter.grad
    for total, parameter in zip(sums, whole.parameters(), strict=True):
        np.testing.assert_allclose(parameter.grad, total, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("cls", [SimpleRNN, LSTM, GRU, IndRNN, MGU, SLSTM])
def test_checkpoints_change_no_gradient(cls, rng):
    x, dy = rng.standard_normal((B, T, I)), rng.standard_normal((B, H))
    layer = cls(H, dropout=0.3, recurrent_dropout=0.3, seed=5, **NORMAL)
    again = cls(H, dropout=0.3, recurrent_dropout=0.3, seed=5, checkpoint_every=2, **NORMAL)
    layer.build(x.shape)
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x, training=True), again(x, training=True))
    np.testing.assert_allclose(again.backward(dy), layer.backward(dy), rtol=1e-12, atol=1e-14)
    for got, expected in zip(again.parameters(), layer.parameters(), strict=True):
        np.testing.assert_allclose(got.grad, expected.grad, rtol=1e-12, atol=1e-14)
