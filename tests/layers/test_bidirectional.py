"""Bidirectional: what it merges, its states and weights, and masks."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import config, set_num_threads
from fastrnn.layers import GRU, LSTM, Bidirectional, SimpleRNN
from fastrnn.recurrent_layers import SLSTM
from tests.support.layer_problems import MASKS, NORMAL, B, H, I, T


@pytest.fixture
def rng():
    config.set_random_seed(11)
    return np.random.default_rng(7)


@pytest.mark.parametrize("mask_name", ["none", "prefix", "holes"])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
def test_bidirectional_merges_in_the_order_of_time(mode, sequences, mask_name, rng):
    layer = Bidirectional(GRU(H, return_sequences=sequences, return_state=True, **NORMAL), merge_mode=mode)
    x, mask = rng.standard_normal((B, T, I)), MASKS[mask_name]
    result = layer(x, mask=mask)
    ya, ha = layer.forward_layer(x, mask=mask)
    yb, hb = layer.backward_layer(x, mask=mask)
    if sequences:
        yb = yb[:, ::-1]
    np.testing.assert_array_equal(result[-2], ha)
    np.testing.assert_array_equal(result[-1], hb)
    if mode is None:
        np.testing.assert_array_equal(result[0], ya)
        np.testing.assert_array_equal(result[1], yb)
        return
    merged = {"concat": np.concatenate([ya, yb], -1), "sum": ya + yb, "mul": ya * yb, "ave": (ya + yb) / 2}[mode]
    np.testing.assert_allclose(result[0], merged, rtol=1e-15)
    assert layer.compute_output_shape((B, T, I)) == merged.shape


def test_bidirectional_initial_state_and_weights(rng):
    layer = Bidirectional(LSTM(H, **NORMAL))
    x, states = rng.standard_normal((B, T, I)), list(rng.standard_normal((4, B, H)))
    y = layer(x, initial_state=states)
    np.testing.assert_array_equal(y[:, :H], layer.forward_layer(x, initial_state=states[:2]))
    np.testing.assert_array_equal(y[:, H:], layer.backward_layer(x, initial_state=states[2:]))
    assert [p.name.split("/")[1] for p in layer.parameters()] == ["w_ih", "w_hh", "b_ih"] * 2
    assert layer.backward_layer.go_backwards
    assert not layer.forward_layer.go_backwards


def test_bidirectional_of_masked_rows_as_numbers():
    """A linear cell that counts its steps. The output of a masked step is zero, as in Keras; the last outputs are those
    of the ends of the valid steps. A row without any is zero.
    """
    counting = {"activation": "linear", "kernel_initializer": "ones", "recurrent_initializer": "ones"}
    mask, x = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool), np.ones((2, 4, 1), np.float32)
    layer = Bidirectional(SimpleRNN(1, return_sequences=True, **counting))
    y = layer(x, mask=mask)
    np.testing.assert_array_equal(y[0], [[1, 3], [2, 2], [3, 1], [0, 0]])
    assert not y[1].any()
    layer = Bidirectional(SimpleRNN(1, return_state=True, **counting))
    states = np.full((2, 2, 1), 10, np.float32)
    y, ha, hb = layer(x, mask=mask, initial_state=list(states))
    np.testing.assert_array_equal(y, [[13, 13], [0, 0]])
    np.testing.assert_array_equal(ha[:, 0], [13, 10])
    np.testing.assert_array_equal(hb[:, 0], [13, 10])


def test_bidirectional_with_a_projection(rng):
    layer = Bidirectional(LSTM(H, projection_units=2, return_sequences=True, **NORMAL))
    x = rng.standard_normal((B, T, I))
    y = layer(x)
    assert y.shape == layer.compute_output_shape(x.shape) == (B, T, 4)
    np.testing.assert_array_equal(y[..., :2], layer.forward_layer(x))
    np.testing.assert_array_equal(y[..., 2:], layer.backward_layer(x)[:, ::-1])


BIDIRECTIONAL_ERRORS = [
    (lambda: Bidirectional(3), TypeError, "layer: expected a recurrent layer, got int"),
    (
        lambda: Bidirectional(LSTM(2), backward_layer=3),
        TypeError,
        "backward_layer: expected a recurrent layer, got int",
    ),
    (lambda: Bidirectional(LSTM(2), "max"), ValueError, "merge_mode: expected one of .* got 'max'"),
    (lambda: Bidirectional(LSTM(2), backward_layer=LSTM(2)), ValueError, "opposite go_backwards"),
    (
        lambda: Bidirectional(LSTM(2), "sum", backward_layer=LSTM(3, go_backwards=True)),
        ValueError,
        "backward_layer: expected 2 units as layer, got 3",
    ),
    (
        lambda: Bidirectional(LSTM(2), "ave", backward_layer=LSTM(2, projection_units=1, go_backwards=True)),
        ValueError,
        "backward_layer: expected 2 units as layer, got 1",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), BIDIRECTIONAL_ERRORS)
def test_constructor_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_initial_state_errors():
    x = np.zeros((B, T, I), np.float32)
    with pytest.raises(ValueError, match="initial_state: expected 2 arrays, got 1"):
        Bidirectional(GRU(H))(x, initial_state=[x[:, 0]])


# -- one native call -------------------------------------------------------------------------------------------------

PAIRS = {
    "rnn": lambda **more: SimpleRNN(H, layer_norm=True, **more),
    "lstm": lambda **more: LSTM(H, peephole="diagonal", checkpoint_every=2, **more),
    "lstm_projection": lambda **more: LSTM(H, projection_units=2, zero_output_for_mask=True, **more),
    "gru": lambda **more: GRU(H, truncate=2, use_bias=False, **more),
    "slstm": lambda **more: SLSTM(H, **more),
}


@pytest.mark.parametrize("mask_name", MASKS)
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("pair", PAIRS)
def test_one_call_is_both_layers(pair, mode, sequences, mask_name, rng, monkeypatch):
    """Outputs, states and gradients of the layers one by one, to the last bit, over two batches of a stateful layer."""
    layer = Bidirectional(PAIRS[pair](return_sequences=sequences, return_state=True, stateful=True, **NORMAL), mode)
    x, mask = rng.standard_normal((B, T, I)), MASKS[mask_name]
    layer.build(x.shape)

    def run():
        layer.reset_states()
        results = list(layer(x, mask=mask))
        results += layer(x, mask=mask, training=True)
        dy = [np.cos(np.arange(y.size)).reshape(y.shape) for y in results[: 2 if mode is None else 1]]
        count = len(results) // 2
        dstates = [None, *(np.sin(s) for s in results[count + len(dy) + 1 :])]
        results.append(layer.backward(dy if mode is None else dy[0], dstates))
        results += [p.grad for p in layer.parameters()]
        return results + list(layer.initial_state_gradients)

    assert layer._is_stack(training=True)
    actual = run()
    monkeypatch.setattr(Bidirectional, "_is_stack", lambda self, training: False)
    for a, e in zip(actual, run(), strict=True):
        np.testing.assert_array_equal(a, e, strict=True)


@pytest.mark.parametrize(
    ("layer", "stacks"),
    [
        (lambda: Bidirectional(GRU(H)), (True, True)),
        (lambda: Bidirectional(GRU(H, dropout=0.5)), (True, False)),  # each draws masks of its own
        (lambda: Bidirectional(LSTM(H, zoneout_h=0.5)), (True, False)),
        (lambda: Bidirectional(GRU(H, go_backwards=True)), (False, False)),
        (lambda: Bidirectional(GRU(H), backward_layer=LSTM(H, go_backwards=True)), (False, False)),
        (lambda: Bidirectional(GRU(H), backward_layer=GRU(H + 1, go_backwards=True)), (False, False)),
        (lambda: Bidirectional(GRU(H), backward_layer=GRU(H, clip=1.0, go_backwards=True)), (True, True)),
        (lambda: Bidirectional(GRU(H), backward_layer=GRU(H, truncate=2, go_backwards=True)), (True, False)),
        (
            lambda: Bidirectional(GRU(H), backward_layer=GRU(H, zero_output_for_mask=True, go_backwards=True)),
            (True, True),
        ),
    ],
)
def test_which_pairs_are_one_call(layer, stacks, rng):
    layer = layer()
    assert (layer._is_stack(training=False), layer._is_stack(training=True)) == stacks
    x = rng.standard_normal((B, T, I)).astype(np.float32)
    y = layer(x)
    np.testing.assert_array_equal(y, np.concatenate([layer.forward_layer(x), layer.backward_layer(x)], axis=-1))
    layer(x, training=True)
    assert layer.backward(np.ones_like(y)).shape == x.shape


def test_threads_do_not_change_a_bit(rng):
    layer = Bidirectional(LSTM(64, return_sequences=True), "sum")
    x = rng.standard_normal((2, 60, 40)).astype(np.float32)
    results = []
    for threads in (1, 2):
        set_num_threads(threads)
        try:
            inferred, y = layer(x), layer(x, training=True)
            results.append([inferred, y, layer.backward(np.ones_like(y)), *(p.grad for p in layer.parameters())])
        finally:
            set_num_threads(1)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
