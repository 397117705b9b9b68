"""The further keywords of the functions: which cell takes which, packed or not, and what comes back."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import fastrnn
from fastrnn import functional
from fastrnn.functional._cells import CELLS
from tests.support.cells import GATES, STATES
from tests.support.variants import assert_same

T, B, I, H = 5, 3, 2, 4  # noqa: E741  # the names of the documentation
FIELDS = {
    "rnn": "x h0 w_ih w_hh b_ih b_hh ln_hh",
    "gru": "x h0 w_ih w_hh b_ih b_hh ln_ih ln_hh",
    "lstm": "x h0 c0 w_ih w_hh b_ih b_hh w_peep w_hr ln_ih ln_hh ln_c",
    "indrnn": "x h0 w_ih w_hh b_ih b_hh",
    "mgu": "x h0 w_ih w_hh b_ih b_hh",
    "slstm": "x h0 c0 n0 m0 w_ih w_hh b_ih b_hh",
}
every_cell = pytest.mark.parametrize("cell", GATES)


def arguments(cell, width=H):
    """x, the parameters and the states of a call; n0 is positive, as a sum of exponentials is."""
    rng = np.random.default_rng(3)
    rows = GATES[cell] * H

    def uniform(*shape):
        return rng.uniform(-0.8, 0.8, shape)

    weights = {"w_ih": uniform(rows, I), "w_hh": uniform(*([H] if cell == "indrnn" else [rows, width]))}
    weights |= {"b_ih": uniform(rows), "b_hh": uniform(rows)}
    states = {name: uniform(1, B, width if name == "h0" else H) for name in STATES[cell]}
    if "n0" in states:
        states["n0"] = np.abs(states["n0"]) + 1
    return uniform(T, B, I), weights, states


def function(cell, what):
    return getattr(fastrnn, f"pack_{cell}" if what == "pack" else f"{cell}_{what}")


def gains(cell, name):
    rng = np.random.default_rng(4)
    return rng.uniform(0.5, 1.5, (2, H) if name == "ln_c" else GATES[cell] * H)


def weight_options(cell):
    """For every option of the weights that a cell has, one call that uses it."""
    values = {
        "activation": {"activation": ("leaky_relu", 0.3)},
        "recurrent_activation": {"recurrent_activation": "hard_sigmoid"},
        "output_activation": {"output_activation": "softsign"},
        "clip": {"clip": 0.5},
        "cell_clip": {"cell_clip": 0.2},
        "forget_bias": {"forget_bias": 1.0},
        "zoneout_h": {"zoneout_h": 0.3},
        "zoneout_c": {"zoneout_c": 0.3},
        "forget_gate": {"forget_gate": "exp"},
        "reset": {"reset": "before"},
        "peephole_output": {"peephole_output": "previous", "w_peep": np.full((3, H), 0.5)},
        "coupled": {"coupled": True},
        "w_peep": {"w_peep": np.full((3, H), 0.5)},
        "ln_hh": {"ln_hh": gains(cell, "ln_hh")} | ({} if cell == "rnn" else {"ln_ih": gains(cell, "ln_ih")}),
        "w_hr": {"w_hr": np.full((2, H), 0.5)},
    }
    values["norm_eps"] = {**values["ln_hh"], "norm_eps": 0.1}
    values["ln_c"] = {**values["ln_hh"], "ln_c": gains(cell, "ln_c")}
    values["proj_clip"] = {**values["w_hr"], "proj_clip": 0.1}
    # weight_dropout is for training alone, ln_ih comes with ln_hh
    names = (CELLS[cell].weights | set(CELLS[cell].defaults)) - {"weight_dropout", "ln_ih"}
    return {name: values[name] for name in sorted(names)}


OPTIONS = [
    pytest.param(cell, value, id=f"{cell}-{name}") for cell in GATES for name, value in weight_options(cell).items()
]


@pytest.mark.parametrize("value", ["yes", 1, np.ones(1, bool)])
def test_coupled_is_a_bool(value):
    x, weights, _ = arguments("lstm")
    for act in (
        lambda: fastrnn.lstm_forward(x, **weights, coupled=value),
        lambda: fastrnn.pack_lstm(**weights, coupled=value),
    ):
        with pytest.raises(TypeError, match=f"coupled: expected a bool, got .*{type(value).__name__}"):
            act()
    assert fastrnn.pack_lstm(**weights, coupled=np.bool_(True)).options["coupled"] is True


@every_cell
def test_signatures_and_results_have_the_documented_names(cell):
    x, weights, states = arguments(cell)
    output = function(cell, "forward")(x, **weights, **states)
    assert output._fields == ("y", *(name[0] + "_n" for name in states))
    *final, cache = function(cell, "forward")(x, **weights, **states, training=True)
    assert_same(final, output)
    grads = function(cell, "backward")(np.ones_like(output.y), cache)
    assert " ".join(grads._fields) == FIELDS[cell]
    given = {"x": x, **weights, **states}
    for name, grad in grads._asdict().items():
        assert (None if grad is None else grad.shape) == (given[name].shape if name in given else None), name
    assert function(cell, "backward")(np.ones_like(output.y), cache, need_dx=False).x is None
    for what in ("forward", "backward", "cell", "pack"):
        assert function(cell, what).__name__ in functional.__all__
        assert list(inspect.signature(function(cell, what)).parameters)[:1] == [
            {"backward": "dy", "pack": "w_ih"}.get(what, "x")
        ]


@pytest.mark.parametrize(("cell", "options"), OPTIONS)
def test_every_option_changes_something_and_packed_gives_the_same(cell, options):
    width = len(options["w_hr"]) if "w_hr" in options else H
    x, weights, states = arguments(cell, width)
    actual = function(cell, "forward")(x, **weights, **states, **options)
    assert actual.y.shape == (T, B, width)
    packed = function(cell, "pack")(**weights, **options)
    assert_same(function(cell, "forward")(x, packed, **states), actual)
    if width == H:
        assert (actual.y != function(cell, "forward")(x, **weights, **states).y).any()
    with pytest.raises(ValueError, match=r"^(\w+): expected nothing beside PackedWeights, got ") as error:
        function(cell, "forward")(x, packed, **states, **options)
    assert str(error.value).split(":")[0] in options


@pytest.mark.parametrize(("cell", "options"), OPTIONS)
def test_a_cell_takes_the_options_too(cell, options):
    width = len(options["w_hr"]) if "w_hr" in options else H
    x, weights, states = arguments(cell, width)
    expected = function(cell, "forward")(x[:1], **weights, **states, **options)[1:]
    one = {name: state[0] for name, state in states.items()}
    actual = function(cell, "cell")(x[0], **weights, **one, **options)
    assert_same(actual if len(states) > 1 else (actual,), [e[0] for e in expected])
    *trained, cache = function(cell, "cell")(x[0], **weights, **one, **options, training=True, seed=3)
    *expected, sequence_cache = function(cell, "forward")(x[:1], **weights, **states, **options, training=True, seed=3)
    assert_same(trained, [e[0] for e in expected[1:]])
    dy = np.ones((1, B, width))
    assert_same(function(cell, "backward")(dy, cache), function(cell, "backward")(dy, sequence_cache))


@every_cell
def test_none_is_the_default_of_every_option(cell):
    x, weights, states = arguments(cell)
    nothing = dict.fromkeys(CELLS[cell].weights | CELLS[cell].run)
    assert_same(
        function(cell, "forward")(x, **weights, **states, **nothing),
        function(cell, "forward")(x, **weights, **states),
    )
    packed = function(cell, "pack")(**weights, **dict.fromkeys(CELLS[cell].weights))
    assert_same(
        function(cell, "forward")(x, packed, **states, **nothing), function(cell, "forward")(x, packed, **states)
    )


@pytest.mark.parametrize("cell", [c for c in GATES if c != "indrnn"])
def test_weight_dropout(cell):
    """A seed decides, in pack and in training alike; without training the weights are whole."""
    x, weights, states = arguments(cell)
    forward = function(cell, "forward")
    whole = forward(x, **weights, **states)
    assert_same(forward(x, **weights, **states, weight_dropout=0.5), whole)
    *dropped, cache = forward(x, **weights, **states, weight_dropout=0.5, training=True, seed=9)
    assert (dropped[0] != whole.y).any()
    packed = function(cell, "pack")(**weights, weight_dropout=0.5, seed=9)
    assert_same(forward(x, packed, **states), dropped)
    w_hh = function(cell, "backward")(np.ones_like(whole.y), cache).w_hh
    assert 0.1 < (w_hh == 0).mean() < 0.9
    kept = weights["w_hh"] * 2 * (w_hh != 0)
    assert_same(forward(x, **{**weights, "w_hh": kept}, **states), dropped)


@every_cell
def test_seed_makes_a_run_repeatable(cell):
    x, weights, states = arguments(cell)
    rates = {"dropout": 0.5, "recurrent_dropout": 0.5}
    packed = function(cell, "pack")(**weights)

    def y(**more):
        return function(cell, "forward")(x, packed, **states, **rates, training=True, **more)[0]

    np.testing.assert_array_equal(y(seed=2**64 - 1), y(seed=2**64 - 1))
    assert (y(seed=1) != y(seed=2)).any()
    assert (y() != y()).any()
    np.testing.assert_array_equal(
        function(cell, "forward")(x, packed, **states, **rates).y, function(cell, "forward")(x, packed, **states).y
    )


# -- errors ----------------------------------------------------------------------------------------------------------

UNKNOWN = [
    ("rnn", "forward", "zoneout_c"),
    ("rnn", "forward", "candidate_dropout"),
    ("gru", "forward", "length"),
    ("gru", "pack", "mask"),
    ("lstm", "pack", "reset"),
    ("lstm", "cell", "dropout"),
    ("lstm", "forward", "forget_gate"),
    ("indrnn", "forward", "weight_dropout"),
    ("indrnn", "pack", "seed"),
    ("mgu", "forward", "ln_ih"),
    ("slstm", "forward", "zoneout_h"),
    ("slstm", "pack", "clip"),
]


@pytest.mark.parametrize(("cell", "what", "name"), UNKNOWN)
@pytest.mark.parametrize("packed", [False, True])
def test_unknown_keyword(cell, what, name, packed):
    x, weights, _ = arguments(cell)
    if packed and what != "pack":
        weights = {"w_ih": function(cell, "pack")(**weights)}
    inputs = {} if what == "pack" else {"x": x if what == "forward" else x[0]}
    full_name = function(cell, what).__name__
    with pytest.raises(
        TypeError, match=rf"^{full_name}: unknown keyword '{name}', expected one of .*\bb_hh\b"
    ) as error:
        function(cell, what)(**inputs, **weights, **{name: 1})
    known = str(error.value).split("expected one of ")[1].split("; did you mean")[0].split(", ")
    assert known == sorted(known)
    assert name not in known
    assert {"pack": "dtype", "cell": "training", "forward": "lengths"}[what] in known
    assert CELLS[cell].weights <= set(known)


@pytest.mark.parametrize("rate", [-0.1, 1.0, np.nan])
def test_weight_dropout_out_of_range(rate):
    x, weights, _ = arguments("gru")
    for training in (False, True):
        with pytest.raises(ValueError, match=r"^weight_dropout: expected .*\[0, 1\), got "):
            fastrnn.gru_forward(x, **weights, weight_dropout=rate, training=training)
        with pytest.raises(TypeError, match=r"^weight_dropout: expected a number, got str$"):
            fastrnn.gru_forward(x, **weights, weight_dropout="0.5", training=training)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("c0", np.zeros((B, H)), ValueError, r"c0: expected shape \(1, 3, 4\), got \(3, 4\)"),
        ("n0", np.zeros((1, B, 5)), ValueError, r"n0: expected shape \(1, 3, 4\), got \(1, 3, 5\)"),
        ("m0", np.zeros((1, B, H), "float32"), TypeError, r"m0: expected float64 \(the dtype of x\), got float32"),
        ("m0", "0.0", TypeError, r"m0: expected an array of numbers, got str"),
    ],
)
@pytest.mark.parametrize("batch_first", [False, True])
def test_states_of_slstm(name, value, error, message, batch_first):
    x, weights, states = arguments("slstm")
    x = np.ascontiguousarray(x.swapaxes(0, 1)) if batch_first else x
    with pytest.raises(error, match=f"^{message}$"):
        fastrnn.slstm_forward(x, **weights, **{**states, name: value}, batch_first=batch_first)
    *final, cache = fastrnn.slstm_forward(x, **weights, **states, batch_first=batch_first, training=True)
    gradient = {"c0": "dc_n", "n0": "dn_n", "m0": "dm_n"}[name]
    with pytest.raises(error, match=f"^{gradient}{message[2:]}$"):
        fastrnn.slstm_backward(np.ones_like(final[0]), cache, **{gradient: value})


def test_states_of_slstm_left_out_are_zero():
    x, weights, states = arguments("slstm")
    for name in ("c0", "n0", "m0"):
        left = {**states, name: None}
        zero = {**states, name: np.zeros((1, B, H))}
        assert_same(fastrnn.slstm_forward(x, **weights, **left), fastrnn.slstm_forward(x, **weights, **zero))
    packed = {"x": x.reshape(T * B, I), "batch_sizes": np.full(T, B)}
    expected = fastrnn.slstm_forward(x, **weights, **states)
    actual = fastrnn.slstm_forward(**packed, **weights, **states)
    np.testing.assert_array_equal(actual.y.reshape(T, B, H), expected.y)
    assert_same(actual[1:], expected[1:])
