"""Layers: against hand-made NumPy in Keras' layout, masks, states, directions, gradients, configs, errors."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import config
from fastrnn.base_layer import layer_from_config
from fastrnn.initializers import RandomNormal, serialize
from fastrnn.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Masking,
    RepeatVector,
    SimpleRNN,
    TimeDistributed,
)

B, T, I, H = 3, 6, 4, 5  # noqa: E741 - I is the input size everywhere
NORMAL = {"dtype": "float64", "bias_initializer": "random_normal"}


@pytest.fixture
def rng():
    config.set_random_seed(11)
    return np.random.default_rng(7)


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


# -- Keras' equations in Keras' layout, one row and one step at a time; a masked step leaves the state as it is ------


def keras_rnn(x, mask, weights, state, activation=np.tanh):
    kernel, recurrent, bias = weights
    (h,) = state
    outputs = []
    for t in range(len(x)):
        if mask[t]:
            h = activation(x[t] @ kernel + bias + h @ recurrent)
        outputs.append(h if mask[t] else np.zeros_like(h))
    return np.array(outputs), (h,)


def keras_lstm(x, mask, weights, state):
    kernel, recurrent, bias = weights
    h, c = state
    outputs = []
    for t in range(len(x)):
        if mask[t]:
            zi, zf, zc, zo = np.split(x[t] @ kernel + h @ recurrent + bias, 4)
            c = sigmoid(zf) * c + sigmoid(zi) * np.tanh(zc)
            h = sigmoid(zo) * np.tanh(c)
        outputs.append(h if mask[t] else np.zeros_like(h))
    return np.array(outputs), (h, c)


def keras_gru(x, mask, weights, state, reset_after):
    kernel, recurrent, bias = weights
    (h,) = state
    b, rb = bias if reset_after else (bias, np.zeros_like(bias))
    outputs = []
    for t in range(len(x)):
        if mask[t]:
            xz, xr, xh = np.split(x[t] @ kernel + b, 3)
            rz, rr, rh = np.split(recurrent, 3, axis=1)
            bz, br, bh = np.split(rb, 3)
            z, r = sigmoid(xz + h @ rz + bz), sigmoid(xr + h @ rr + br)
            candidate = np.tanh(xh + r * (h @ rh + bh)) if reset_after else np.tanh(xh + (r * h) @ rh)
            h = z * h + (1 - z) * candidate
        outputs.append(h if mask[t] else np.zeros_like(h))
    return np.array(outputs), (h,)


CELLS = {
    "rnn": (SimpleRNN, {}, keras_rnn),
    "rnn_relu": (SimpleRNN, {"activation": "relu"}, lambda *a: keras_rnn(*a, activation=lambda v: np.maximum(v, 0))),
    "rnn_linear": (SimpleRNN, {"activation": None}, lambda *a: keras_rnn(*a, activation=lambda v: v)),
    "lstm": (LSTM, {}, keras_lstm),
    "gru_after": (GRU, {}, lambda *a: keras_gru(*a, reset_after=True)),
    "gru_before": (GRU, {"reset_after": False}, lambda *a: keras_gru(*a, reset_after=False)),
}
MASKS = {
    "none": None,
    "prefix": np.arange(T) < np.array([[T], [3], [1]]),
    "empty_row": np.arange(T) < np.array([[4], [0], [6]]),
    "suffix": np.arange(T) >= np.array([[2], [0], [5]]),
    "holes": np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]], dtype=bool),
}


@pytest.mark.parametrize("mask_name", MASKS)
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_layers_compute_what_keras_computes(cell, go_backwards, mask_name, rng):
    cls, options, equations = CELLS[cell]
    layer = cls(H, return_sequences=True, return_state=True, go_backwards=go_backwards, **options, **NORMAL)
    x, mask = rng.standard_normal((B, T, I)), MASKS[mask_name]
    state = [rng.standard_normal((B, H)) for _ in range(layer.state_count)]
    y, *last = layer(x, mask=mask, initial_state=state)
    full = np.ones((B, T), bool) if mask is None else mask
    step = -1 if go_backwards else 1  # Keras reverses the whole sequence, padding and mask included
    for b in range(B):
        outputs, final = equations(x[b, ::step], full[b, ::step], layer.get_weights(), [s[b] for s in state])
        np.testing.assert_allclose(y[b], outputs, rtol=1e-12, atol=1e-13)
        for got, expected in zip(last, final, strict=True):
            np.testing.assert_allclose(got[b], expected, rtol=1e-12, atol=1e-13)
    layer.return_sequences = layer.return_state = False
    np.testing.assert_array_equal(layer(x, mask=mask, initial_state=state), last[0])


def test_every_cell_of_the_keras_test_uses_its_bias(rng):
    """NORMAL draws the biases, so the comparison above would notice a bias in the wrong place."""
    layer = GRU(H, **NORMAL)
    layer.build((None, None, I))
    bias = layer.get_weights()[2]
    assert bias.shape == (2, 3 * H)
    assert len(np.unique(bias)) == bias.size


# -- weights ---------------------------------------------------------------------------------------------------------

SHAPES = {
    "rnn": (SimpleRNN, {}, [(I, H), (H, H), (H,)]),
    "lstm": (LSTM, {}, [(I, 4 * H), (H, 4 * H), (4 * H,)]),
    "lstm_no_bias": (LSTM, {"use_bias": False}, [(I, 4 * H), (H, 4 * H)]),
    "lstm_diagonal": (LSTM, {"peephole": "diagonal"}, [(I, 4 * H), (H, 4 * H), (4 * H,), (3, H)]),
    "lstm_full": (LSTM, {"peephole": "full"}, [(I, 4 * H), (H, 4 * H), (4 * H,), (3, H, H)]),
    "gru": (GRU, {}, [(I, 3 * H), (H, 3 * H), (2, 3 * H)]),
    "gru_before": (GRU, {"reset": "before"}, [(I, 3 * H), (H, 3 * H), (3 * H,)]),
    "gru_output": (GRU, {"reset": "output"}, [(I, 3 * H), (H, 3 * H), (3 * H,)]),
}


@pytest.mark.parametrize("case", SHAPES)
def test_weights_have_keras_shapes_and_round_trip(case, rng):
    cls, options, shapes = SHAPES[case]
    layer = cls(H, **options)
    layer.build((None, None, I))
    assert [w.shape for w in layer.get_weights()] == shapes
    assert {w.dtype for w in layer.get_weights()} == {np.dtype("float32")}
    assert layer.count_params() == sum(int(np.prod(s)) for s in shapes)
    new = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    layer.set_weights(new)
    for got, expected in zip(layer.get_weights(), new, strict=True):
        np.testing.assert_array_equal(got, expected)


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


def test_seeded_initializer_sees_the_keras_shape():
    seeded = RandomNormal(seed=3)
    layer = GRU(H, kernel_initializer=seeded, bias_initializer=seeded)
    layer.build((None, None, I))
    np.testing.assert_array_equal(layer.get_weights()[0], seeded((I, 3 * H), "float32"))
    np.testing.assert_array_equal(layer.get_weights()[2], seeded((2, 3 * H), "float32"))


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


@pytest.mark.parametrize("cls", [SimpleRNN, LSTM, GRU])
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
    layer = LSTM(H, stateful=True, **NORMAL)
    x, states = rng.standard_normal((B, T, I)), rng.standard_normal((2, B, H))
    expected = layer(x, initial_state=states)
    layer.reset_states(states)
    np.testing.assert_array_equal(layer(x), expected)
    with pytest.raises(ValueError, match="states: expected 2 arrays"):
        layer.reset_states(states[:1])


def test_stateless_layers_carry_nothing(rng):
    layer = GRU(H, **NORMAL)
    x = rng.standard_normal((B, T, I))
    np.testing.assert_array_equal(layer(x), layer(x))


# -- Bidirectional ---------------------------------------------------------------------------------------------------


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


# -- gradients -------------------------------------------------------------------------------------------------------


def numeric_gradient(function, array, step=1e-6):
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        old = array[index]
        array[index] = old + step
        above = function()
        array[index] = old - step
        below = function()
        array[index] = old
        gradient[index] = (above - below) / (2 * step)
    return gradient


D64 = {"dtype": "float64"}
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
    "dense": lambda: Dense(H, activation="tanh", **NORMAL),
    "dense_softmax": lambda: Dense(H, activation="softmax", use_bias=False, **D64),
    "activation": lambda: Activation("sigmoid", **D64),
    "time_distributed": lambda: TimeDistributed(Dense(H, activation="elu", **NORMAL), **D64),
    "masking": lambda: Masking(0.5, **D64),
    "flatten": lambda: Flatten(**D64),
}


@pytest.mark.parametrize("mask_name", MASKS)
@pytest.mark.parametrize("case", GRADIENT_CASES)
def test_gradients_by_finite_differences(case, mask_name, rng):
    layer, mask = GRADIENT_CASES[case](), MASKS[mask_name]
    x = rng.standard_normal((B, T, I))
    x[0, 1] = 0.5  # the step that Masking covers
    direction = rng.standard_normal(layer(x, mask=mask).shape)

    def loss():
        return float(np.sum(layer.forward(x, mask) * direction))

    layer.forward(x, mask, training=True)
    dx = layer.backward(direction)
    if case == "masking":
        np.testing.assert_array_equal(dx[0, 1], 0)  # a step in x moves it off the mask: no finite difference there
        dx[0, 1] = numeric_gradient(loss, x)[0, 1]
    np.testing.assert_allclose(dx, numeric_gradient(loss, x), atol=2e-8)
    for parameter in layer.parameters():
        np.testing.assert_allclose(parameter.grad, numeric_gradient(loss, parameter.value), atol=5e-8)


def test_gradients_of_states(rng):
    layer = LSTM(H, return_state=True, return_sequences=True, **NORMAL)
    x, (h, c) = rng.standard_normal((B, T, I)), rng.standard_normal((2, B, H))
    dy, dh, dc = rng.standard_normal((B, T, H)), rng.standard_normal((B, H)), rng.standard_normal((B, H))

    def loss():
        y, h_n, c_n = layer(x, initial_state=(h, c))
        return float((y * dy).sum() + (h_n * dh).sum() + (c_n * dc).sum())

    layer(x, initial_state=(h, c), training=True)
    np.testing.assert_allclose(layer.backward(dy, (dh, dc)), numeric_gradient(loss, x), atol=2e-8)
    for got, array in zip(layer.initial_state_gradients, (h, c), strict=True):
        np.testing.assert_allclose(got, numeric_gradient(loss, array), atol=2e-8)


def test_embedding(rng):
    layer = Embedding(7, 3, mask_zero=True, dtype="float64")
    x = np.array([[1, 2, 2, 0], [6, 2, 0, 0]])
    y = layer(x, training=True)
    np.testing.assert_array_equal(y, layer.get_weights()[0][x])
    np.testing.assert_array_equal(layer.compute_mask(x, None), x != 0)
    dy = rng.standard_normal(y.shape)
    assert layer.backward(dy) is None
    expected = np.zeros((7, 3))
    np.add.at(expected, x, dy)
    np.testing.assert_allclose(layer.embeddings.grad, expected, rtol=1e-14)
    np.testing.assert_array_equal(layer(x.astype(np.float32)), y)
    with pytest.raises(ValueError, match=r"x: expected values in 0..6 .*, got 7"):
        layer(x + 1)
    with pytest.raises(ValueError, match="got -1"):
        layer(x - 1)
    with pytest.raises(TypeError, match="expected integers"):
        layer(x + 0.5)
    layer(x[:0], training=True)
    layer.backward(np.zeros((0, 4, 3)))
    assert not layer.embeddings.grad.any()


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


# -- dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_scales_what_it_keeps():
    layer, x = Dropout(0.25, seed=1), np.ones((200, 50), np.float32)
    y = layer(x, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(layer.backward(x), y)
    assert layer(x) is x
    again = Dropout(0.25, seed=1)
    np.testing.assert_array_equal(again(x, training=True), y)
    assert (again(x, training=True) != y).any()


def test_dropout_noise_shape():
    y = Dropout(0.5, noise_shape=(None, 1, None), seed=1)(np.ones((4, 5, 6), np.float32), training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert len(np.unique(y)) == 2


def test_recurrent_dropout_of_inputs_is_one_mask_for_all_steps(rng):
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


# -- shapes, small layers --------------------------------------------------------------------------------------------


def test_masking():
    layer, x = Masking(-1.0), np.zeros((1, 3, 2), np.float32)
    x[0, 1] = -1
    x[0, 2, 0] = -1
    np.testing.assert_array_equal(layer.compute_mask(x, None), [[True, False, True]])
    np.testing.assert_array_equal(layer(x)[0], [[0, 0], [0, 0], [-1, 0]])
    assert Masking()(x) is x


def test_repeat_vector_and_flatten(rng):
    x = rng.standard_normal((B, I)).astype(np.float32)
    layer = RepeatVector(T)
    y = layer(x, training=True)
    assert y.shape == layer.compute_output_shape((B, I)) == (B, T, I)
    np.testing.assert_array_equal(y[:, 3], x)
    np.testing.assert_array_equal(layer.backward(y[..., :] * 0 + 1), np.full((B, I), T))
    assert Flatten().compute_output_shape((None, T, I)) == (None, T * I)
    assert Flatten().compute_output_shape((None, None, I)) == (None, None)
    np.testing.assert_array_equal(Flatten()(y), y.reshape(B, -1))


def test_mask_after_each_layer(rng):
    x, mask = rng.standard_normal((B, T, I)), MASKS["prefix"]
    assert LSTM(H).compute_mask(x, mask) is None
    np.testing.assert_array_equal(LSTM(H, return_sequences=True).compute_mask(x, mask), mask)
    backwards = LSTM(H, return_sequences=True, go_backwards=True)
    np.testing.assert_array_equal(backwards.compute_mask(x, mask), mask[:, ::-1])
    for layer in (Dense(2), Dropout(0.1), Activation("relu"), TimeDistributed(Dense(2))):
        assert layer.compute_mask(x, mask) is mask
    assert Flatten().compute_mask(x, mask) is None


def test_time_distributed_recurrent_layer(rng):
    layer, x = TimeDistributed(LSTM(H, **NORMAL), **D64), rng.standard_normal((2, 3, T, I))
    y = layer(x)
    assert y.shape == layer.compute_output_shape((2, 3, T, I)) == (2, 3, H)
    np.testing.assert_array_equal(y[1], layer.layer(x[1]))


def test_input_is_cast_to_the_layer_dtype(rng):
    x = rng.integers(0, 2, (B, T, I))
    for array in (x, x.astype(bool), x.astype(np.float64), x.astype(np.float16), x.tolist()):
        assert LSTM(H)(array).dtype == np.float32
    with pytest.raises(TypeError, match="x: expected numbers, got dtype complex128"):
        LSTM(H)(x * 1j)


def test_empty_batch_and_no_steps(rng):
    for layer in (LSTM(H), Bidirectional(GRU(H)), Dense(H)):
        assert layer(np.zeros((0, T, I))).shape[0] == 0
    np.testing.assert_array_equal(GRU(H)(np.zeros((B, 0, I))), np.zeros((B, H)))


# -- configs ---------------------------------------------------------------------------------------------------------

CONFIG_CASES = [
    lambda: SimpleRNN(H, activation="relu", use_bias=False, stateful=True, input_shape=(T, I)),
    lambda: LSTM(H, peephole="full", peephole_output="previous", coupled=True, dropout=0.2, seed=5, go_backwards=True),
    lambda: LSTM(H, kernel_initializer=RandomNormal(stddev=0.3, seed=4), unit_forget_bias=False, return_state=True),
    lambda: GRU(H, reset="output", return_sequences=True, name="the_gru", trainable=False),
    lambda: GRU(H, reset_after=False, dtype="float64"),
    lambda: Bidirectional(LSTM(H), merge_mode="sum"),
    lambda: Bidirectional(LSTM(H), backward_layer=GRU(H + 1, go_backwards=True)),
    lambda: TimeDistributed(Dense(H, activation="softmax", kernel_initializer="he_normal")),
    lambda: Dropout(0.3, noise_shape=(None, 1, None), seed=2),
    lambda: Embedding(9, 3, mask_zero=True),
    lambda: Masking(-1.0),
    lambda: Activation("elu"),
    lambda: RepeatVector(3),
    lambda: Flatten(),
    lambda: Input((None, 4), batch_size=2),
]


@pytest.mark.parametrize("make", CONFIG_CASES)
def test_config_round_trip(make):
    layer = make()
    again = layer_from_config(serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def test_floatx_is_the_dtype_of_new_layers():
    config.set_floatx("float64")
    try:
        assert LSTM(H)(np.zeros((B, T, I))).dtype == np.float64
    finally:
        config.set_floatx("float32")
    assert LSTM(H)(np.zeros((B, T, I))).dtype == np.float32
    with pytest.raises(ValueError, match="value: expected one of 'float32', 'float64', got 'float16'"):
        config.set_floatx("float16")


def test_trainable_reaches_the_weights():
    layer = Bidirectional(LSTM(H))
    layer.build((None, None, I))
    layer.trainable = False
    assert not layer.trainable_weights
    assert len(layer.non_trainable_weights) == 6


# -- errors ----------------------------------------------------------------------------------------------------------

CONSTRUCTOR_ERRORS = [
    (lambda: LSTM(0), ValueError, "units: expected at least 1, got 0"),
    (lambda: LSTM(2.5), TypeError, "units: expected an integer, got float"),
    (lambda: LSTM(H, activation="relu"), ValueError, "activation: expected 'tanh'.* got 'relu'"),
    (lambda: GRU(H, recurrent_activation="tanh"), ValueError, "recurrent_activation: expected 'sigmoid'.* got 'tanh'"),
    (lambda: SimpleRNN(H, activation="elu"), ValueError, "activation: expected one of 'tanh', 'relu'.* got 'elu'"),
    (lambda: LSTM(H, dropout=1.0), ValueError, r"dropout: expected a value in \[0, 1\), got 1.0"),
    (lambda: LSTM(H, dropout="a"), TypeError, "dropout: expected a number, got str"),
    (lambda: LSTM(H, recurrent_dropout=0.1), ValueError, "recurrent_dropout: expected 0, it is not supported yet"),
    (lambda: LSTM(H, peephole="yes"), ValueError, "peephole: expected None, 'diagonal' or 'full', got 'yes'"),
    (lambda: LSTM(H, peephole_output="x"), ValueError, "peephole_output: expected one of 'current', 'previous'"),
    (lambda: GRU(H, reset="never"), ValueError, "reset: expected one of 'after', 'before', 'output', got 'never'"),
    (lambda: LSTM(H, kernel_initializer="good"), ValueError, "initializer: expected one of .* got 'good'"),
    (lambda: LSTM(H, dtype="int32"), ValueError, "dtype: expected one of 'float32', 'float64', got 'int32'"),
    (lambda: LSTM(H, input_shape=(T, 0)), ValueError, "input_shape: expected at least 1, got 0"),
    (lambda: LSTM(H, name=3), TypeError, "name: expected a str, got int"),
    (lambda: Dense(H, activation="foo"), ValueError, "activation: expected one of .* got 'foo'"),
    (lambda: Bidirectional(Dense(2)), TypeError, "layer: expected a SimpleRNN, LSTM or GRU, got Dense"),
    (lambda: Bidirectional(LSTM(2), "max"), ValueError, "merge_mode: expected one of .* got 'max'"),
    (lambda: Bidirectional(LSTM(2), backward_layer=LSTM(2)), ValueError, "opposite go_backwards"),
    (
        lambda: Bidirectional(LSTM(2), "sum", backward_layer=LSTM(3, go_backwards=True)),
        ValueError,
        "backward_layer: expected 2 units as layer, got 3",
    ),
    (lambda: TimeDistributed(3), TypeError, "layer: expected a layer, got int"),
    (lambda: layer_from_config({"class_name": "Foo", "config": {}}), ValueError, "class_name: .* got 'Foo'"),
    (lambda: layer_from_config([1]), ValueError, "layer config: expected a dict"),
    (lambda: layer_from_config({"class_name": "LSTM", "config": {"size": 3}}), ValueError, "unknown key 'size'"),
    (lambda: layer_from_config({"class_name": "LSTM", "config": {}}), ValueError, "LSTM config: .*units"),
    (lambda: config.set_random_seed(-1), ValueError, "seed: expected a value in 0..4294967295, got -1"),
    (lambda: config.set_random_seed(1.0), TypeError, "seed: expected an integer, got float"),
]


@pytest.mark.parametrize(("make", "error", "message"), CONSTRUCTOR_ERRORS)
def test_constructor_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


X = np.zeros((B, T, I), np.float32)
CALL_ERRORS = [
    (LSTM(H), (X[0],), {}, r"x: expected shape \(B, T, I\) for layer .*, got \(6, 4\)"),
    (LSTM(H), (X,), {"mask": np.ones((B, T + 1))}, r"mask: expected shape \(3, 6\), got \(3, 7\)"),
    (LSTM(H), (X,), {"initial_state": [X[:, 0]]}, "initial_state: expected 2 arrays for .*, got 1"),
    (GRU(H), (X,), {"initial_state": [X[:, 0]]}, r"initial_state\[0\]: expected shape \(3, 5\), got \(3, 4\)"),
    (Bidirectional(GRU(H)), (X,), {"initial_state": [X[:, 0]]}, "initial_state: expected 2 arrays, got 1"),
    (TimeDistributed(Dense(2)), (X[0],), {}, r"x: expected shape \(B, T, ...\)"),
    (RepeatVector(2), (X,), {}, r"x: expected shape \(B, I\)"),
    (Dropout(0.5, noise_shape=(1, 1)), (X,), {"training": True}, "noise_shape: expected 3 axes"),
]


@pytest.mark.parametrize(("layer", "args", "kwargs", "message"), CALL_ERRORS)
def test_call_errors(layer, args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        layer(*args, **kwargs)


def test_features_must_stay_the_same():
    layer = Dense(2)
    layer(X)
    with pytest.raises(ValueError, match=r"x: expected a last axis of 4 for layer .*, got shape \(3, 6, 3\)"):
        layer(X[..., :3])
    with pytest.raises(ValueError, match="input_shape: expected a known last axis"):
        LSTM(H).build((None, T, None))
