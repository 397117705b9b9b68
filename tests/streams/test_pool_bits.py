"""Every stream of a pool gets, bit by bit, what a session of its own would give it, whatever the others do."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import fastrnn
from tests.support.options import SINGLES, make_case
from tests.support.packed import pack
from tests.support.streams import DTYPES, QUEUE, H, I, Twins, stack, weights_of
from tests.support.variants import VARIANTS

# A pool has no options of a run, and its streams begin at zero.
CASES = [case for case in SINGLES if not set(dict(case.run)) - {"seed"}]


class Schedule(RuleBasedStateMachine):
    """Streams join, leave, push chunks, are served and move as Hypothesis likes."""

    weights: Any

    def __init__(self) -> None:
        super().__init__()
        self.twins = Twins(self.weights)
        self.rng = np.random.default_rng(0)

    def key(self, data: Any) -> tuple[int, int]:
        return data.draw(st.sampled_from(sorted(self.twins.alone)))

    @rule(pool=st.integers(0, 1), count=st.integers(1, 4))
    def open(self, pool: int, count: int) -> None:
        for _ in range(count):
            self.twins.open(pool)

    @precondition(lambda self: self.twins.alone)
    @rule(data=st.data())
    def close(self, data: Any) -> None:
        self.twins.close(self.key(data))

    @precondition(lambda self: self.twins.alone)
    @rule(data=st.data())
    def reset(self, data: Any) -> None:
        self.twins.reset(self.key(data))

    @precondition(lambda self: self.twins.alone)
    @rule(data=st.data(), steps=st.integers(0, QUEUE + 1))
    def push(self, data: Any, steps: int) -> None:
        for key in data.draw(st.sets(st.sampled_from(sorted(self.twins.alone)), min_size=1)):
            self.twins.push(key, self.rng.standard_normal((steps, self.twins.inputs), np.float32))

    @rule(pool=st.integers(0, 1), most=st.one_of(st.none(), st.integers(1, 4)))
    def advance(self, pool: int, most: int | None) -> None:
        self.twins.advance(pool, most)

    @precondition(lambda self: self.twins.alone)
    @rule(data=st.data(), steps=st.one_of(st.none(), st.integers(0, 3)))
    def pull(self, data: Any, steps: int | None) -> None:
        for key in data.draw(st.sets(st.sampled_from(sorted(self.twins.alone)), min_size=1)):
            self.twins.pull(key, steps)

    @precondition(lambda self: self.twins.alone)
    @rule(data=st.data(), to=st.integers(0, 1))
    def move(self, data: Any, to: int) -> None:
        self.twins.move(self.key(data), to)

    @invariant()
    def agree(self) -> None:
        self.twins.check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["lstm-none", "gru-before", "a model"])
def test_any_schedule_gives_the_bits_of_each_stream_alone(name, dtype, isa):
    weights = stack(dtype) if name == "a model" else weights_of(next(v for v in VARIANTS if v.id == name), dtype)
    machine = type("Machine", (Schedule,), {"weights": weights})
    settings = hypothesis.settings(max_examples=25, stateful_step_count=30, deadline=None, derandomize=True)
    run_state_machine_as_test(machine, settings=settings)


def random_schedule(weights: Any, actions: int) -> None:
    rng = np.random.default_rng(1)
    twins = Twins(weights, capacity=9)
    for _ in range(7):
        twins.open(0)
    for _ in range(actions):
        action = rng.choice(["open", "close", "push", "push", "push", "advance", "advance", "pull", "move"])
        key = sorted(twins.alone)[rng.integers(len(twins.alone))]
        if action == "open" or len(twins.alone) < 3:
            twins.open(int(rng.integers(2)))
        elif action == "close":
            twins.close(key)
        elif action == "push":
            twins.push(key, rng.standard_normal((rng.integers(1, 4), twins.inputs), np.float32))
        elif action == "advance":
            twins.advance(int(rng.integers(2)), None if rng.integers(2) else int(rng.integers(1, 5)))
        elif action == "pull":
            twins.pull(key, None)
        else:
            twins.move(key, int(rng.integers(2)))
        twins.check()
    for pool in (0, 1):
        while twins.pools[pool].runnable:
            twins.advance(pool, None)
    for key in twins.alone:
        twins.pull(key, None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_option_and_dtype(case, dtype, isa):
    problem = make_case(case, hidden=H, inputs=I, batch=1, steps=1, dtype="float32")
    random_schedule(pack(problem, dtype=dtype), 40)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.id)
def test_every_variant_with_fast_activations(variant, isa):
    random_schedule(weights_of(variant, fast_activations=True), 40)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_nan_stays_in_its_stream(dtype, isa):
    rng = np.random.default_rng(0)
    clean, spoilt = (fastrnn.StreamPool(weights_of(dtype=dtype), capacity=7) for _ in range(2))
    one, other = clean.open(7), spoilt.open(7)
    for _ in range(3):
        x = rng.standard_normal((7, I), np.float32)
        wanted = clean.step(one, x)
        x[2] = np.nan
        y = spoilt.step(other, x)
        assert np.isnan(y[2]).all()
        np.testing.assert_array_equal(np.delete(y, 2, 0), np.delete(wanted, 2, 0))
    spoilt.reset(int(other[2]))
    assert not np.isnan(spoilt.step(other, rng.standard_normal((7, I), np.float32))).any()


def test_a_state_moves_to_other_precisions(isa):
    """The states are in float32 whatever the weights are in."""
    session = fastrnn.Session(weights_of())
    session.run(np.random.default_rng(0).standard_normal((5, 1, I), np.float32))
    for dtype in DTYPES:
        pool = fastrnn.StreamPool(weights_of(dtype=dtype), capacity=1)
        stream = pool.open()
        pool.set_state(stream, session.get_state())
        assert pool.get_state(stream) == session.get_state()
