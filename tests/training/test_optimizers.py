"""Optimizers against the formulas written out by hand, in float64 scalars; schedules at known points."""

import math

import numpy as np
import pytest

from fastrnn import GRU, optimizers, schedules
from fastrnn.parameters import Parameter

GRADS = [0.3, -1.2, 0.05, 2.0, -0.4]


def run(optimizer, grads=GRADS, start=0.7, dtype=np.float64):
    """Values of a one-element weight after each step."""
    parameter = Parameter("w", np.array([[start]], dtype=dtype))
    seen = []
    for g in grads:
        parameter.grad = np.array([[g]], dtype=dtype)
        optimizer.apply([parameter])
        seen.append(float(parameter.value[0, 0]))
    return seen


def by_hand(rule, grads=GRADS, start=0.7):
    """The same from ``rule(w, g, state, t) -> w``."""
    w, state, seen = start, {}, []
    for t, g in enumerate(grads, 1):
        w = rule(w, g, state, t)
        seen.append(w)
    return seen


def sgd(w, g, s, t):
    return w - 0.01 * g


def momentum(w, g, s, t):
    s["v"] = 0.9 * s.get("v", 0.0) - 0.1 * g
    return w + s["v"]


def nesterov(w, g, s, t):
    s["v"] = 0.9 * s.get("v", 0.0) - 0.1 * g
    return w + 0.9 * s["v"] - 0.1 * g


def rmsprop(w, g, s, t):
    s["v"] = 0.9 * s.get("v", 0.0) + 0.1 * g * g
    return w - 0.001 * g / math.sqrt(s["v"] + 1e-7)


def rmsprop_all(w, g, s, t):
    s["v"] = 0.8 * s.get("v", 0.0) + 0.2 * g * g
    s["a"] = 0.8 * s.get("a", 0.0) + 0.2 * g
    s["m"] = 0.5 * s.get("m", 0.0) + 0.02 * g / math.sqrt(s["v"] - s["a"] ** 2 + 1e-3)
    return w - s["m"]


def adam(w, g, s, t):
    # The textbook form with bias-corrected moments; epsilon scaled as Keras' form implies.
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0.0) + 0.001 * g * g
    m_hat, v_hat = s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.999**t)
    return w - 0.001 * m_hat / (math.sqrt(v_hat) + 1e-7 / math.sqrt(1 - 0.999**t))


def amsgrad(w, g, s, t):
    s["m"] = 0.8 * s.get("m", 0.0) + 0.2 * g
    s["v"] = 0.7 * s.get("v", 0.0) + 0.3 * g * g
    s["max"] = max(s.get("max", 0.0), s["v"])
    return w - 0.02 * math.sqrt(1 - 0.7**t) / (1 - 0.8**t) * s["m"] / (math.sqrt(s["max"]) + 1e-3)


def adamw(w, g, s, t):
    return adam(w - 0.001 * 0.004 * w, g, s, t)


def adagrad(w, g, s, t):
    s["a"] = s.get("a", 0.1) + g * g
    return w - 0.001 * g / math.sqrt(s["a"] + 1e-7)


def sgd_decay(w, g, s, t):
    return w - 0.5 * 0.1 * w - 0.5 * g


CASES = {
    "sgd": (lambda: optimizers.SGD(), sgd),
    "sgd momentum": (lambda: optimizers.SGD(0.1, momentum=0.9), momentum),
    "sgd nesterov": (lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True), nesterov),
    "sgd weight_decay": (lambda: optimizers.SGD(0.5, weight_decay=0.1), sgd_decay),
    "rmsprop": (lambda: optimizers.RMSprop(), rmsprop),
    "rmsprop centered momentum": (
        lambda: optimizers.RMSprop(0.02, rho=0.8, momentum=0.5, epsilon=1e-3, centered=True),
        rmsprop_all,
    ),
    "adam": (lambda: optimizers.Adam(), adam),
    "adam amsgrad": (lambda: optimizers.Adam(0.02, 0.8, 0.7, 1e-3, amsgrad=True), amsgrad),
    "adamw": (lambda: optimizers.AdamW(), adamw),
    "adagrad": (lambda: optimizers.Adagrad(), adagrad),
}


@pytest.mark.parametrize("case", CASES)
def test_formula(case):
    make, rule = CASES[case]
    np.testing.assert_allclose(run(make()), by_hand(rule), rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_float32_stays_float32_and_close(case):
    make, rule = CASES[case]
    # 1e-5: RMSprop's centered root takes the difference of two numbers of the size of g**2.
    np.testing.assert_allclose(run(make(), dtype=np.float32), by_hand(rule), rtol=1e-5)
    parameter = Parameter("w", np.ones((3, 2), np.float32))
    parameter.grad = np.ones((3, 2), np.float32)
    optimizer = make()
    optimizer.apply([parameter])
    assert parameter.value.dtype == np.float32
    assert all(a.dtype == np.float32 for k, a in optimizer.state_dict().items() if k != "iterations")


def test_amsgrad_differs_from_adam():
    assert run(optimizers.Adam(amsgrad=True, beta_2=0.5)) != run(optimizers.Adam(beta_2=0.5))


@pytest.mark.parametrize("case", CASES)
def test_several_shapes_equal_single_ones(case):
    """Scratch memory is shared between parameters; each must come out as if it were alone."""
    make, _ = CASES[case]
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (), (50,), (2, 0), (5, 6)]
    values = [rng.standard_normal(s) for s in shapes]
    together = [Parameter(f"w{i}", v.copy()) for i, v in enumerate(values)]
    alone = [Parameter(f"w{i}", v.copy()) for i, v in enumerate(values)]
    optimizer, singles = make(), [make() for _ in shapes]
    for _ in range(3):
        for a, b, single in zip(together, alone, singles, strict=True):
            a.grad = b.grad = rng.standard_normal(a.value.shape)
            single.apply([b])
        optimizer.apply(together)
    for a, b in zip(together, alone, strict=True):
        assert np.array_equal(a.value, b.value)


@pytest.mark.parametrize("case", CASES)
def test_in_place_and_gradient_untouched(case):
    parameter = Parameter("w", np.arange(6.0).reshape(2, 3))
    array, grad = parameter.value, np.linspace(-1, 1, 6).reshape(2, 3)
    parameter.grad, kept = grad, grad.copy()
    grad.flags.writeable = False
    CASES[case][0]().apply([parameter])
    assert parameter.value is array
    assert np.array_equal(grad, kept)
    assert not np.array_equal(array, np.arange(6.0).reshape(2, 3))


def test_frozen_and_gradless_parameters_do_not_change():
    frozen, idle = Parameter("a", np.ones(2), trainable=False), Parameter("b", np.ones(2))
    frozen.grad = np.ones(2)
    optimizer = optimizers.AdamW(0.1)
    optimizer.apply([frozen, idle])
    assert np.array_equal(frozen.value, [1, 1])
    assert np.array_equal(idle.value, [1, 1])
    assert optimizer.iterations == 1


def clipped(grads, **clip):
    """What plain descent at rate 1 takes off zero weights: the gradients after clipping."""
    parameters = [Parameter(f"w{i}", np.zeros(len(g))) for i, g in enumerate(grads)]
    for parameter, g in zip(parameters, grads, strict=True):
        parameter.grad = np.array(g, dtype=float)
    optimizers.SGD(1.0, **clip).apply(parameters)
    return [-p.value for p in parameters]


def test_clipping():
    grads = [[3.0, 4.0], [0.6, -0.8], [0.0, 12.0]]
    got = clipped(grads, clipnorm=2.5)
    for g, expected in zip(got, [[1.5, 2.0], [0.6, -0.8], [0.0, 2.5]], strict=True):
        np.testing.assert_allclose(g, expected)
    got = clipped(grads, clipvalue=1.0)
    for g, expected in zip(got, [[1, 1], [0.6, -0.8], [0, 1]], strict=True):
        np.testing.assert_allclose(g, expected)
    norm = math.sqrt(25 + 1 + 144)
    for g, original in zip(clipped(grads, global_clipnorm=1.0), grads, strict=True):
        np.testing.assert_allclose(g, np.array(original) / norm)
    for g, original in zip(clipped(grads, global_clipnorm=20.0), grads, strict=True):
        assert np.array_equal(g, original)


def test_clipping_shows_nan():
    assert np.isnan(clipped([[math.nan, 1.0]], clipnorm=1.0)[0]).all()
    assert np.isnan(clipped([[math.nan], [1.0]], global_clipnorm=1.0)[1]).all()


def test_clipnorm_is_of_a_whole_variable():
    """Keras' bias (2, 3H) of a GRU is two parameters here; those of a GRU that resets before are one anyway."""
    gru = GRU(3)
    gru.build((None, None, 2))
    for parameter in gru.parameters():
        parameter.value[...] = 0
        parameter.grad = np.full_like(parameter.value, 2)
    optimizers.SGD(1.0, clipnorm=1.0).apply(gru.parameters())
    for weights in gru.get_weights():
        np.testing.assert_allclose(weights, np.full_like(weights, -1 / math.sqrt(weights.size)), rtol=1e-6)


def test_exclude_from_weight_decay():
    kernel, bias = Parameter("d/kernel", np.ones(1)), Parameter("d/bias", np.ones(1))
    kernel.grad, bias.grad = np.zeros(1), np.zeros(1)
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(["bias"])
    optimizer.apply([kernel, bias])
    assert kernel.value[0] == pytest.approx(0.95)
    assert bias.value[0] == 1.0


@pytest.mark.parametrize("case", CASES)
def test_state_dict_continues_where_it_stopped(case):
    make, _ = CASES[case]
    straight, first, second = make(), make(), make()
    expected = run(straight)
    before = run(first, GRADS[:3])
    second.load_state_dict(first.state_dict())
    assert second.iterations == 3
    assert run(second, GRADS[3:], start=before[-1]) == expected[3:]
    # State that is loaded but not yet used is not lost.
    third = make()
    third.load_state_dict(first.state_dict())
    assert third.state_dict().keys() == first.state_dict().keys()


@pytest.mark.parametrize("case", CASES)
def test_config_round_trip(case):
    optimizer = CASES[case][0]()
    again = optimizers.get(optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert run(again) == run(optimizer)


def test_defaults_are_keras():
    assert optimizers.get("sgd").get_config()["learning_rate"] == 0.01
    for name in ("rmsprop", "adam", "adamw", "adagrad"):
        assert optimizers.get(name).get_config()["learning_rate"] == 0.001
    assert optimizers.get("adamw").get_config()["weight_decay"] == 0.004


def test_learning_rate_set_and_scheduled():
    optimizer = optimizers.SGD(1.0)
    optimizer.learning_rate = 0.25
    assert run(optimizer, [1.0], start=0.0) == [-0.25]
    scheduled = optimizers.SGD(schedules.PiecewiseConstantDecay([0, 1], [1.0, 0.5, 0.25]))
    assert run(scheduled, [1.0, 1.0, 1.0], start=0.0) == [-1.0, -1.5, -1.75]
    assert scheduled.learning_rate == 0.25
    with pytest.raises(TypeError, match="learning_rate: expected an optimizer without a schedule"):
        scheduled.learning_rate = 0.1


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (schedules.ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 10: 0.05, 15: 0.1 * 0.5**1.5}),
        (schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), {9: 0.1, 10: 0.05, 19: 0.05, 20: 0.025}),
        (schedules.InverseTimeDecay(1.0, 2, 0.5), {0: 1.0, 2: 1 / 1.5, 3: 1 / 1.75}),
        (schedules.InverseTimeDecay(1.0, 2, 0.5, staircase=True), {1: 1.0, 3: 1 / 1.5, 4: 0.5}),
        (schedules.CosineDecay(2.0, 100), {0: 2.0, 50: 1.0, 25: 1 + math.sqrt(0.5), 100: 0.0, 500: 0.0}),
        (schedules.CosineDecay(2.0, 100, alpha=0.1), {0: 2.0, 50: 1.1, 100: 0.2}),
        (
            schedules.CosineDecay(0.0, 100, warmup_target=1.0, warmup_steps=10),
            {0: 0.0, 5: 0.5, 10: 1.0, 60: 0.5, 110: 0.0, 111: 0.0},
        ),
        (schedules.PiecewiseConstantDecay([5, 8], [1, 2, 3]), {0: 1, 5: 1, 6: 2, 8: 2, 9: 3}),
        (schedules.PolynomialDecay(1.0, 10, 0.2), {0: 1.0, 5: 0.6, 10: 0.2, 99: 0.2}),
        (schedules.PolynomialDecay(1.0, 10, 0.0, power=2.0), {5: 0.25}),
        (schedules.PolynomialDecay(1.0, 10, 0.0, cycle=True), {0: 1.0, 10: 0.0, 15: 0.25, 20: 0.0, 25: 1 - 25 / 30}),
    ],
    ids=lambda p: type(p).__name__ if isinstance(p, schedules.Schedule) else "",
)
def test_schedule(schedule, points):
    again = schedules.get(schedules.serialize(schedule))
    for step, expected in points.items():
        assert schedule(step) == pytest.approx(expected, abs=1e-12)
        assert again(step) == schedule(step)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optimizers.get("adan"), ValueError, "optimizer: expected one of 'sgd', 'rmsprop', .*, got 'adan'"),
        (lambda: optimizers.get(1.0), TypeError, "optimizer: expected a name, .* got float"),
        (lambda: optimizers.SGD(-1), ValueError, "learning_rate: expected a number >= 0, got -1"),
        (lambda: optimizers.SGD(momentum=1.0), ValueError, r"momentum: expected a number in \[0, 1\), got 1.0"),
        (lambda: optimizers.Adam(beta_2=-0.1), ValueError, "beta_2: expected"),
        (lambda: optimizers.Adam(epsilon=0), ValueError, "epsilon: expected a number > 0, got 0"),
        (lambda: optimizers.SGD(clipnorm=0), ValueError, "clipnorm: expected a number > 0, got 0"),
        (lambda: optimizers.SGD(clipnorm=1, clipvalue=1), ValueError, "at most one of .*, got clipnorm, clipvalue"),
        (lambda: optimizers.SGD(weight_decay=-1), ValueError, "weight_decay: expected a number >= 0, got -1"),
        (lambda: optimizers.SGD().exclude_from_weight_decay("bias"), TypeError, "names: expected a sequence of str"),
        (lambda: optimizers.SGD().load_state_dict({}), ValueError, "state: expected a key 'iterations'"),
        (
            lambda: optimizers.SGD().load_state_dict({"iterations": np.array(1), "m": np.ones(1)}),
            ValueError,
            "state: expected keys like '0/m', got 'm'",
        ),
        (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), ValueError, "values: expected 2 .* got 1"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 1, 1]), ValueError, "boundaries: expected rising"),
        (lambda: schedules.CosineDecay(1.0, 0), ValueError, "decay_steps: expected a number > 0, got 0"),
        (lambda: schedules.get({"class_name": "X", "config": {}}), ValueError, "schedule: expected one of .* got 'X'"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_wrong_gradient_or_state_shape_writes_nothing():
    good, bad = Parameter("good", np.zeros(2)), Parameter("bad", np.zeros(3))
    good.grad, bad.grad = np.ones(2), np.ones(2)
    optimizer = optimizers.Adam()
    with pytest.raises(ValueError, match=r"bad.grad: expected shape \(3,\), got \(2,\)"):
        optimizer.apply([good, bad])
    assert np.array_equal(good.value, [0, 0])
    assert optimizer.iterations == 0
    optimizer.load_state_dict({"iterations": np.array(3), "0/m": np.ones(7), "0/v": np.ones(7)})
    with pytest.raises(ValueError, match=r"state: expected slots \['m', 'v'\] of shape \(2,\) for good, got 'm'"):
        optimizer.apply([good])
