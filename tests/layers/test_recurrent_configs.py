"""The recurrent layers' arguments: in configs and files, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastrnn
from fastrnn import config
from fastrnn.initializers import RandomNormal, serialize
from fastrnn.layers import GRU, LSTM, Bidirectional, SimpleRNN
from fastrnn.layers.base import layer_from_config
from fastrnn.recurrent_layers import MGU, SLSTM, IndRNN
from tests.support.layer_problems import RATES, B, H, I, T, without


@pytest.fixture
def rng():
    config.set_random_seed(11)
    return np.random.default_rng(7)


CONFIGS = [
    lambda: SimpleRNN(H, activation="relu", use_bias=False, stateful=True, input_shape=(T, I)),
    lambda: SimpleRNN(H, layer_norm=True, activation=("leaky_relu", 0.3), zero_output_for_mask=True),
    lambda: LSTM(H, peephole="full", peephole_output="previous", coupled=True, dropout=0.2, seed=5, go_backwards=True),
    lambda: LSTM(H, kernel_initializer=RandomNormal(stddev=0.3, seed=4), unit_forget_bias=False, return_state=True),
    lambda: LSTM(H, projection_units=3, projection_initializer="ones", layer_norm=True, cell_clip=3, proj_clip=2.5),
    lambda: LSTM(H, **RATES, zoneout_c=0.3, clip=1, truncate=7, checkpoint_every=3),
    lambda: LSTM(H, output_activation=("elu", 0.7), forget_bias=0.5, layer_norm=True, norm_eps=0.1),
    lambda: GRU(H, reset="output", return_sequences=True, name="the_gru", trainable=False),
    lambda: GRU(H, reset_after=False, dtype="float64", recurrent_activation="hard_sigmoid", layer_norm=True),
    lambda: IndRNN(H, recurrent_initializer="ones", **without("candidate_dropout", "weight_dropout")),
    lambda: MGU(H, "relu", ("hard_sigmoid", 0.2, 0.5), **RATES),
    lambda: SLSTM(H, forget_gate="exp", unit_forget_bias=False, weight_dropout=0.1),
    lambda: Bidirectional(LSTM(H, projection_units=2, recurrent_dropout=0.5), merge_mode="sum"),
]


@pytest.mark.parametrize("make", CONFIGS)
def test_config_round_trip(make):
    layer = make()
    entry = json.loads(json.dumps(serialize(layer)))
    again = layer_from_config(entry)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config() == entry["config"]


def test_a_model_of_everything_is_saved(tmp_path, rng):
    model = fastrnn.Sequential(
        [
            LSTM(H, projection_units=3, layer_norm=True, peephole="diagonal", return_sequences=True),
            GRU(H, layer_norm=True, activation="softsign", return_sequences=True),
            SimpleRNN(H, layer_norm=True, return_sequences=True),
            IndRNN(H, return_sequences=True),
            MGU(H, return_sequences=True),
            SLSTM(H),
        ]
    )
    x = rng.standard_normal((B, T, I)).astype(np.float32)
    y = model.predict(x, verbose=0)
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(fastrnn.load_model(tmp_path / "model.npz").predict(x, verbose=0), y)


# -- errors ----------------------------------------------------------------------------------------------------------

UNDETERMINED = "activation: expected an activation whose derivative follows from its output.* got '{}'"
ERRORS = [
    (lambda: LSTM(H, activation="gelu"), ValueError, "^" + UNDETERMINED.format("gelu")),
    (lambda: GRU(H, recurrent_activation="silu"), ValueError, "^recurrent_" + UNDETERMINED.format("silu")),
    (lambda: SimpleRNN(H, activation="softmax"), ValueError, "^" + UNDETERMINED.format("softmax")),
    (lambda: SimpleRNN(H, activation="relu6"), ValueError, "activation: expected one of 'tanh', .* got 'relu6'"),
    (lambda: MGU(H, activation=3), TypeError, r"activation: expected a name or a tuple \(name, alpha, beta\), got 3"),
    (lambda: MGU(H, activation=("elu",)), TypeError, "activation: expected a name or a tuple .*, got "),
    (lambda: LSTM(H, activation=("elu", "a")), TypeError, "activation: expected numbers after the name 'elu', got 'a'"),
    (lambda: LSTM(H, dropout=1.0), ValueError, r"dropout: expected a value in \[0, 1\), got 1.0"),
    (lambda: LSTM(H, dropout="a"), TypeError, "dropout: expected a number, got str"),
    (lambda: LSTM(H, recurrent_dropout=-0.1), ValueError, r"recurrent_dropout: expected a value in \[0, 1\), got -0.1"),
    (lambda: LSTM(H, zoneout_c=2), ValueError, r"zoneout_c: expected a value in \[0, 1\), got 2"),
    (lambda: LSTM(H, clip=0), ValueError, "clip: expected a number > 0, got 0"),
    (lambda: LSTM(H, cell_clip=-1), ValueError, "cell_clip: expected a number > 0, got -1"),
    (lambda: LSTM(H, forget_bias="1"), TypeError, "forget_bias: expected a number, got str"),
    (lambda: LSTM(H, coupled="yes"), TypeError, "coupled: expected a bool, got str"),
    (lambda: LSTM(H, layer_norm=None), TypeError, "layer_norm: expected a bool, got NoneType"),
    (lambda: GRU(H, stateful=2), TypeError, "stateful: expected a bool, got int"),
    (lambda: SimpleRNN(H, return_sequences="no"), TypeError, "return_sequences: expected a bool, got str"),
    (lambda: LSTM(H, forget_bias=1, coupled=True), ValueError, "forget_bias: expected 0 with coupled"),
    (lambda: LSTM(H, output_activation="gelu"), ValueError, "^output_" + UNDETERMINED.format("gelu")),
    (lambda: GRU(H, norm_eps=0.1), ValueError, "norm_eps: expected None without layer_norm, got 0.1"),
    (lambda: GRU(H, norm_eps=0, layer_norm=True), ValueError, "norm_eps: expected a number > 0, got 0"),
    (lambda: GRU(H, truncate=0), ValueError, "truncate: expected at least 1, got 0"),
    (lambda: GRU(H, checkpoint_every=1.5), TypeError, "checkpoint_every: expected an integer, got float"),
    (lambda: LSTM(H, projection_units=6), ValueError, "projection_units: expected at most units, 5, got 6"),
    (lambda: LSTM(H, projection_units=0), ValueError, "projection_units: expected at least 1, got 0"),
    (lambda: LSTM(H, proj_clip=1.0), ValueError, "proj_clip: expected None without projection_units, got 1.0"),
    (lambda: LSTM(H, peephole="yes"), ValueError, "peephole: expected None, 'diagonal' or 'full', got 'yes'"),
    (
        lambda: LSTM(H, peephole="full", layer_norm=True),
        ValueError,
        "peephole: expected None or 'diagonal' with layer_",
    ),
    (
        lambda: LSTM(H, peephole="full", zoneout_c=0.1),
        ValueError,
        "peephole: expected None or 'diagonal' with zoneout_c",
    ),
    (
        lambda: LSTM(H, peephole="full", projection_units=2),
        ValueError,
        "peephole: expected None or 'diagonal' with projection_units, got 'full'",
    ),
    (lambda: LSTM(H, peephole_output="x"), ValueError, "peephole_output: expected one of 'current', 'previous'"),
    (lambda: GRU(H, reset="never"), ValueError, "reset: expected one of 'after', 'before', 'output', got 'never'"),
    (lambda: SLSTM(H, forget_gate="tanh"), ValueError, "forget_gate: expected one of 'sigmoid', 'exp', got 'tanh'"),
    (
        lambda: SLSTM(H, zoneout_h=0.1),
        TypeError,
        "SLSTM: unknown keyword 'zoneout_h', expected one of .*weight_dropout",
    ),
    (lambda: IndRNN(H, weight_dropout=0.1), TypeError, "IndRNN: unknown keyword 'weight_dropout', expected one of"),
    (lambda: MGU(H, layer_norm=True), TypeError, "MGU: unknown keyword 'layer_norm', expected one of"),
    (lambda: GRU(H, zoneout_c=0.1), TypeError, "GRU: unknown keyword 'zoneout_c', expected one of"),
    (lambda: LSTM(H, unroll=True), TypeError, "LSTM: unknown keyword 'unroll', expected one of activation, "),
    (
        lambda: layer_from_config({"class_name": "MGU", "config": {"units": 2, "layer_norm": True}}),
        ValueError,
        "MGU config: unknown key 'layer_norm'",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), ERRORS)
def test_constructor_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_initial_state_of_a_projection():
    x = np.zeros((B, T, I), np.float32)
    with pytest.raises(ValueError, match=r"initial_state\[0\]: expected shape \(3, 2\), got \(3, 5\)"):
        LSTM(H, projection_units=2)(x, initial_state=np.zeros((2, B, H)))
