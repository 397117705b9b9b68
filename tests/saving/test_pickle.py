"""pickle and copy: of packed weights and native models, to the bit and on any instruction set, and of what trains."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastrnn
from fastrnn import activations, config, io, optimizers
from fastrnn.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Flatten,
    Input,
    Masking,
    SimpleRNN,
    TimeDistributed,
)  # fmt: skip
from fastrnn.model import Sequential
from tests.support.options import COMBINATIONS, SINGLES, Case, make_case
from tests.support.variants import VARIANTS, assert_same, make_problem, use_isa

T, I, C = 4, 3, 2  # noqa: E741 - I is the input size everywhere
SIZES = {"hidden": 19, "inputs": 3, "batch": 3, "steps": 4}
OPTIONS = (*(c for c in SINGLES if c.options or c.arrays), *COMBINATIONS[:24])
DTYPES = ("float32", "float64", "bfloat16", "bfloat16_weights", "int8")
CASES = [*((v, d) for v in VARIANTS for d in DTYPES), *((c, DTYPES[i % 5]) for i, c in enumerate(OPTIONS))]


def problem_of(variant, dtype="float32"):
    return (make_case if isinstance(variant, Case) else make_problem)(variant, **SIZES, dtype=dtype)


def packed_of(variant, problem, **more):
    options = dict(variant.options)
    if "weight_dropout" in options:
        options["seed"] = 3
    return variant.function(fastrnn, "pack")(**problem.parameters(), **options, **more)


def inputs(problem):
    """Plain x, whatever the run of the problem is."""
    shape = SIZES["steps"], SIZES["batch"], SIZES["inputs"]
    return np.random.default_rng(2).standard_normal(shape).astype(problem.arrays["x"].dtype)


def again(thing):
    return pickle.loads(pickle.dumps(thing))


@pytest.mark.parametrize(("variant", "dtype"), CASES, ids=lambda v: getattr(v, "id", v))
def test_weights_come_back_to_the_bit(variant, dtype):
    problem = problem_of(variant, "float64" if dtype == "float64" else "float32")
    x = inputs(problem)
    try:
        weights = packed_of(variant, problem, dtype=dtype)
    except ValueError as error:  # options that a precision has not
        pytest.skip(str(error))
    restored = again(weights)
    assert (repr(restored), restored.options, restored.nbytes) == (repr(weights), weights.options, weights.nbytes)
    forward = variant.function(fastrnn, "forward")
    assert_same(forward(x, restored), forward(x, weights))
    _, (_, _, options, arrays, *rest) = weights.__reduce__()
    _, (_, _, same_options, same_arrays, *same_rest) = restored.__reduce__()
    assert (same_options, same_rest) == (options, rest)
    assert {name: a.tobytes() for name, a in same_arrays.items()} == {name: a.tobytes() for name, a in arrays.items()}
    if dtype not in ("float32", "float64"):
        return
    results = [forward(x, w, training=True, seed=3) for w in (weights, restored)]
    backward = variant.function(fastrnn, "backward")
    grads = [backward(np.ones_like(r[0]), r[-1]) for r in results]
    assert grads[0]._fields == grads[1]._fields
    assert_same(grads[1], grads[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", [VARIANTS[0], *COMBINATIONS[:6]], ids=lambda v: v.id)
def test_weights_travel_between_instruction_sets(variant, dtype):
    problem = problem_of(variant, "float64" if dtype == "float64" else "float32")
    for home in fastrnn.isa_available():
        with use_isa(home):
            blob = pickle.dumps(packed_of(variant, problem, dtype=dtype))
        for away in fastrnn.isa_available():
            with use_isa(away):
                restored = pickle.loads(blob)
                assert restored.isa == away
                there = packed_of(variant, problem, dtype=dtype)
                forward = variant.function(fastrnn, "forward")
                assert_same(forward(inputs(problem), restored), forward(inputs(problem), there))


def test_numbers_that_rounding_treats_apart_come_back():
    w = np.array([[np.nan, 1], [np.inf, 2], [1e-31, -1e-31], [0.0, -0.0]], np.float32)
    for dtype in DTYPES[:1] + DTYPES[2:]:
        weights = fastrnn.pack_rnn(w, np.eye(4, dtype=np.float32), np.full(4, -0.0, np.float32), dtype=dtype)
        x = np.array([[[1.0, -2.0]]], np.float32)
        for a, b in zip(fastrnn.rnn_forward(x, again(weights)), fastrnn.rnn_forward(x, weights), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(np.signbit(a), np.signbit(b))


def test_weights_are_immutable_so_that_a_copy_is_the_same_object():
    problem = problem_of(VARIANTS[0])
    weights = packed_of(VARIANTS[0], problem)
    model = fastrnn.Model(weights)
    assert copy.copy(weights) is weights
    assert copy.deepcopy([weights])[0] is weights
    assert copy.copy(model) is model
    assert copy.deepcopy(model) is model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bfloat16_weights", "int8"])
def test_a_native_model_comes_back_to_the_bit_on_any_instruction_set(tmp_path, dtype):
    pytest.importorskip("safetensors")
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((20, 3), (20, 5), (20,), (5, 7), (7,), (7, 2))]
    io.save_layers(
        tmp_path / "m.safetensors",
        [
            {"cell": "lstm", "w_ih": arrays[0], "w_hh": arrays[1], "b_hh": arrays[2], "forget_bias": 1.0},
            {"kernel": arrays[3], "bias": arrays[4], "activation": ("leaky_relu", 0.3)},
            {"kernel": arrays[5], "activation": "softmax"},
        ],
    )
    x = rng.standard_normal((6, 1, 3)).astype(np.float32)
    for home in fastrnn.isa_available():
        with use_isa(home):
            blob = pickle.dumps(fastrnn.Model.load(tmp_path / "m.safetensors", dtype))
        for away in fastrnn.isa_available():
            with use_isa(away):
                expected = fastrnn.Session(fastrnn.Model.load(tmp_path / "m.safetensors", dtype)).run(x)
                np.testing.assert_array_equal(fastrnn.Session(pickle.loads(blob)).run(x), expected)


def test_joblib_takes_them(tmp_path):
    joblib = pytest.importorskip("joblib")
    problem = problem_of(VARIANTS[0])
    weights = packed_of(VARIANTS[0], problem)
    joblib.dump({"weights": weights, "model": fastrnn.Model(weights)}, tmp_path / "x.joblib")
    back = joblib.load(tmp_path / "x.joblib")
    forward = VARIANTS[0].function(fastrnn, "forward")
    assert_same(forward(problem.arrays["x"], back["weights"]), forward(problem.arrays["x"], weights))
    assert repr(back["model"]) == repr(fastrnn.Model(weights))


@pytest.mark.parametrize("make", [fastrnn.Session, fastrnn.StreamPool])
def test_streams_say_what_to_keep_instead(make):
    stream = make(packed_of(VARIANTS[0], problem_of(VARIANTS[0])))
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"{make.__name__}: cannot be pickled or copied, .* give .*get_state"):
            act(stream)


# -- what trains -------------------------------------------------------------------------------------------------------


def layers_of_every_kind():
    return [
        Input((T, I)),
        Masking(),
        LSTM(4, return_sequences=True, dropout=0.2, peephole="diagonal"),
        Bidirectional(GRU(3, return_sequences=True)),
        TimeDistributed(Dense(4, activation="relu")),
        Activation("tanh"),
        Dropout(0.1),
        SimpleRNN(3),
        Flatten(),
        Dense(C, activation="softmax"),
    ]


def data():
    rng = np.random.default_rng(1)
    return rng.standard_normal((6, T, I)).astype(np.float32), np.eye(C, dtype=np.float32)[rng.integers(0, C, 6)]


@pytest.mark.parametrize("way", [again, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("name", activations.__all__)
def test_activations_are_the_same_objects(way, name):
    activation = getattr(activations, name)
    if isinstance(activation, activations.Activation):
        assert way(activation) is activation


def double(x):
    return 2 * x


def double_gradient(y, dy):
    return 2 * dy


def test_an_activation_of_ones_own():
    mine = activations.Activation("tanh", double, double_gradient)  # no name of ours can shadow it
    for way in (again, copy.deepcopy):
        assert way(mine) == mine
        assert way(mine).forward is double


@pytest.mark.parametrize("way", [again, copy.deepcopy])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", optimizers.RMSprop(0.01, momentum=0.5, clipnorm=1.0)])
def test_a_model_trains_on_as_if_nothing_had_been(way, optimizer):
    config.set_random_seed(3)
    model = Sequential(layers_of_every_kind())
    model.compile(way(optimizers.get(optimizer)), "categorical_crossentropy", ["accuracy"])
    model.fit(*data(), epochs=2, batch_size=3, verbose=0)
    other = way(model)
    x, y = data()
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    assert other.get_config() == model.get_config()
    assert other.history.history == model.history.history
    for a, b in zip(other.parameters(), model.parameters(), strict=True):
        assert a is not b
        assert not np.shares_memory(a.value, b.value)
    losses = [m.fit(x, y, epochs=3, shuffle=False, verbose=0).history for m in (model, other)]
    assert losses[0] == losses[1]  # dropout too: the generators of the layers came along
    assert other.optimizer.iterations == model.optimizer.iterations
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


def test_the_state_of_an_optimizer_is_found_by_the_copies_of_the_parameters():
    model = Sequential(layers_of_every_kind())
    model.compile("adam", "categorical_crossentropy")
    model.fit(*data(), verbose=0)
    other = again(model)
    slots = other.optimizer._slots
    assert set(slots) == {id(p) for p in other.parameters()}
    assert all(key == id(parameter) for key, (parameter, _) in slots.items())


@pytest.mark.parametrize("way", [again, copy.copy, copy.deepcopy])
def test_models_that_are_not_built_or_in_the_middle_of_a_step(way):
    empty = way(Sequential([LSTM(2), Dense(1)], name="empty"))
    assert not empty.built
    model = Sequential(layers_of_every_kind())
    model.forward_batch(data()[0], training=True)
    np.testing.assert_array_equal(way(model).predict(data()[0]), model.predict(data()[0]))


def test_joblib_takes_a_model(tmp_path):
    joblib = pytest.importorskip("joblib")
    model = Sequential(layers_of_every_kind())
    joblib.dump(model, tmp_path / "m.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "m.joblib").predict(data()[0]), model.predict(data()[0]))


@pytest.mark.parametrize("change", range(7))
def test_a_damaged_pickle_of_weights_is_an_error(change):
    function, arguments = packed_of(VARIANTS[0], problem_of(VARIANTS[0])).__reduce__()
    arguments = list(arguments)
    arguments[change] = {0: 2, 1: "ran", 2: {"clip": -1.0}, 3: {}, 4: 3, 5: "int3", 6: "x"}[change]
    with pytest.raises((ValueError, TypeError)):
        function(*arguments)


@pytest.mark.parametrize("key", [1, None, (2,), b"w_hh", "w_hh\0", "\ud800"], ids=repr)
def test_a_pickle_of_weights_with_a_key_of_no_parameter(key):
    weights = fastrnn.pack_rnn(np.ones((2, 3), np.float32), np.ones((2, 2), np.float32))
    restore, arguments = weights.__reduce__()
    arguments[3][key] = np.ones(2, np.float32)
    assert repr(restore(*arguments)) == repr(weights)
