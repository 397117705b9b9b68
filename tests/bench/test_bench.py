"""The benchmark's own machinery on tiny shapes, against the reference instead of other libraries; no time is judged."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time

import numpy as np
import pytest

from bench import machine, measure, work
from bench.section import Variant
from tests.support.bench_contestants import RAGGED, SHAPES, ReferencePeer, contestants


@pytest.mark.parametrize("kind", ["inference", "training"])
@pytest.mark.parametrize("shape", [*SHAPES, RAGGED])
def test_fastrnn_agrees_and_every_round_times_everyone(shape, kind):
    timings, refused = measure.measure(contestants(shape, kind, ReferencePeer()), rounds=3, seconds=0.03)
    assert refused == {}
    assert [t.name for t in timings] == ["fastrnn", "torch"]
    assert 0 < timings[1].difference < measure.TOLERANCE["float32"]
    for timing in timings:
        assert len(timing.round_ends) == 3
        assert timing.round_ends[-1] == len(timing.total) >= 3
        assert len(timing.backward) == (len(timing.total) if kind == "training" else 0)
        if kind == "training":
            assert timing.total == [a + b for a, b in zip(timing.forward, timing.backward, strict=True)]


@pytest.mark.parametrize("broken", ["w_ih", "w_hh", "b_ih", "b_hh", "y"])
@pytest.mark.parametrize("kind", ["inference", "training"])
def test_a_contestant_that_computes_something_else_is_not_timed(broken, kind):
    made = contestants(SHAPES[0], kind, ReferencePeer(broken))
    calls = []
    made[1].forward, original = lambda: calls.append(1) or original(), made[1].forward
    timings, refused = measure.measure(made, rounds=1, seconds=0.001)
    assert [t.name for t in timings] == ["fastrnn"]
    assert list(refused) == ["torch"]
    assert refused["torch"].startswith("y differs by ")
    assert refused["torch"].endswith(", expected 5e-05 at most")
    assert len(calls) == 1


def test_nothing_is_timed_against_a_nan_of_our_own():
    made = contestants(SHAPES[0], "inference", ReferencePeer("y"))
    with pytest.raises(measure.Disagreement, match=r"^torch: y differs by nan"):
        measure.measure(made[::-1], rounds=1, seconds=0.001)


def test_tolerance_is_that_of_the_precision():
    made = contestants(SHAPES[0], "inference", ReferencePeer("w_hh"))
    made[1].precision = "int8"
    timings, _ = measure.measure(made, rounds=1, seconds=0.001)
    assert measure.TOLERANCE["float32"] < timings[1].difference < measure.TOLERANCE["int8"]
    made[1].precision = None  # not comparable
    timings, _ = measure.measure(made, rounds=1, seconds=0.001)
    assert timings[1].difference is None


def test_who_takes_much_longer_than_his_share_sits_out_the_other_rounds():
    made = contestants(SHAPES[2], "inference", ReferencePeer())
    made[1].forward, original = lambda: time.sleep(0.03) or original(), made[1].forward
    timings, _ = measure.measure(made, rounds=3, seconds=0.003)
    assert [len(t.round_ends) for t in timings] == [3, 1]
    assert measure.ratios(*timings)["ratio"] > 1


def test_difference_refuses_other_shapes_and_nothing_in_common():
    a = np.ones((2, 3), np.float32)
    assert measure.difference({"y": 4 * a}, {"y": 3 * a, "z": a}) == {"y": 0.25}
    with pytest.raises(measure.Disagreement, match=r"y: expected shape \(2, 3\), got \(3, 2\)"):
        measure.difference({"y": a}, {"y": a.T})
    with pytest.raises(measure.Disagreement, match="no array in common"):
        measure.difference({"y": a}, {"z": a})


def test_ratio_is_that_of_the_medians_and_ranges_over_rounds():
    shape = work.parse("RNN H8", "inference")
    first = measure.Timing("a", shape, total=[1.0, 1.0, 2.0, 2.0, 2.0], round_ends=[2, 5])
    second = measure.Timing("b", shape, total=[3.0, 2.0, 8.0], round_ends=[1, 3])
    assert measure.ratios(first, second) == {"ratio": 1.5, "lowest_round": 2.5, "highest_round": 3.0}
    assert measure.ratios(first, second, "backward") is None


def test_gflops_count_the_products():
    shape = work.parse("LSTM T100 B32 I64 H256", "training")
    forward = 2 * (4 * 256 * (64 + 256)) * 100 * 32
    assert [shape.flops(part) for part in measure.PARTS] == [3 * forward, forward, 2 * forward]
    assert dataclasses.replace(shape, kind="inference").flops() == forward
    assert dataclasses.replace(shape, kind="product").flops() == forward * 64 // (64 + 256)
    timing = measure.Timing("a", shape, total=[3.0], forward=[1.0], backward=[2.0], round_ends=[1])
    summary = timing.summary()
    assert [summary[part]["gflops"] for part in measure.PARTS] == pytest.approx([forward * 1e-9] * 3)


def test_a_ragged_batch_counts_its_own_steps():
    ragged = work.parse(RAGGED, "inference")
    padded = dataclasses.replace(ragged, ragged=False)
    assert ragged.lengths.min() >= 1
    assert list(ragged.lengths) == list(dataclasses.replace(ragged, cell="gru", kind="training").lengths)
    assert len(set(ragged.lengths)) > 1
    assert padded.lengths is None
    assert (ragged.steps, padded.steps) == (ragged.lengths.sum(), 20)
    assert ragged.flops() * 20 == padded.flops() * ragged.steps
    made = contestants(RAGGED, "training", ReferencePeer(), Variant(), Variant(padded=True))
    assert [c.name for c in made] == ["fastrnn", "fastrnn padded", "torch"]
    y, whole = (measure.run_once(contestant)["y"] for contestant in made[:2])
    for b, length in enumerate(ragged.lengths):
        np.testing.assert_array_equal(y[:length, b], whole[:length, b])
        assert not y[length:, b].any()
        assert whole[length:, b].all()


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("LSTM T100 B32 H256", (100, 32, 256, 256)), ("gru:I3:H4", (1, 1, 3, 4)), (RAGGED, (5, 4, 3, 8))],
)
def test_parse_reads_shapes(text, sizes):
    shape = work.parse(text, "inference")
    assert sizes == (shape.T, shape.B, shape.I, shape.H)
    assert not shape.stacked
    assert work.parse(shape.name, "inference") == shape


def test_parse_reads_stacks():
    stack = work.parse("gru:T9:I5:H8:L3:bidirectional:ragged", "training")
    assert (stack.L, stack.D, stack.ragged, stack.stacked) == (3, 2, True, True)
    assert stack.name == "GRU T9 B1 I5 H8 L3 bidirectional ragged"
    assert work.parse(stack.name, "training") == stack


def test_a_stack_counts_each_of_its_layers():
    stack = work.parse("LSTM T9 B2 I5 H8 L3 bidirectional", "inference")
    widths = [5, 5, 16, 16, 16, 16]
    assert stack.flops() == sum(2 * 4 * 8 * (width + 8) for width in widths) * 9 * 2
    problem = work.make_problem(stack)
    assert [[parameters[0].shape for parameters in layer] for layer in problem.layers] == [
        [(32, 5)] * 2, [(32, 16)] * 2, [(32, 16)] * 2,
    ]  # fmt: skip
    assert (problem.h0.shape, problem.dy.shape) == ((6, 2, 8), (9, 2, 16))
    assert len(stack.gradients) == len(set(stack.gradients)) == 2 + 4 * 6


def test_an_epoch_counts_its_rows_and_no_gradient_of_the_data():
    epoch = work.parse("RNN T3 B64 I5 H8", "fit")
    assert epoch.flops() == 2 * 8 * (2 * 5 + 3 * 8) * 3 * 512


@pytest.mark.parametrize(
    "text", ["LSTM", "LSTM T5", "LSTM H0", "CNN H5", "LSTM T100B32H256", "LSTM H5 L0", "LSTM H5ragged"]
)
def test_parse_refuses(text):
    with pytest.raises(ValueError, match="shape: expected"):
        work.parse(text, "inference")


@pytest.mark.parametrize(
    ("shape", "neighbour"),
    [
        ("LSTM T9 B8 H50", "LSTM T9 B8 H64"),
        ("LSTM B8 H96", "LSTM T1 B8 H128"),
        ("GRU B8 H200", "GRU T1 B8 H192"),
        ("LSTM B8 H300", "LSTM T1 B8 H320"),
        ("LSTM B3 H256", "LSTM T1 B4 H256"),
        ("LSTM B7 I9 H256", "LSTM T1 B8 I9 H256"),
        ("RNN B33 H256", "RNN T1 B32 H256"),
    ],
)
def test_neighbour(shape, neighbour):
    assert work.parse(shape, "inference").neighbour.name == neighbour


def test_denormal_problems_are():
    problem = work.make_problem(work.parse("LSTM T2 B2 H8", "inference")).denormal()
    for array in (problem.x, problem.h0, problem.c0):
        assert 0 < np.abs(array).max() < np.finfo(np.float32).tiny
    assert not problem.b_ih.any()
    assert not problem.b_hh.any()


@pytest.mark.skipif(len(machine.usable_cores()) < 2, reason="one core, or none that one can choose")
def test_a_busy_core_is_busy_for_that_long_alone(monkeypatch):
    started = []
    popen = subprocess.Popen

    def start(*args, **keywords):
        started.append(popen(*args, **keywords))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    allowed = machine.usable_cores()
    try:
        os.sched_setaffinity(0, {max(allowed)})
        with machine.cores(2, allowed, busy=True):
            assert len(os.sched_getaffinity(0)) == 2
            assert started[0].poll() is None
            assert os.sched_getaffinity(started[0].pid) == {
                min(allowed)
            }  # the core that the measuring process was not on
        assert started[0].poll() is not None
        assert os.sched_getaffinity(0) == {max(allowed)}
        with machine.cores(2, allowed, busy=False):
            pass
        assert len(started) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    with pytest.raises(measure.Unable, match="2 cores are not there"), machine.cores(2, {0}, busy=True):
        pass


def test_gates_are_reordered_in_blocks():
    parameter = np.arange(12).reshape(6, 2)
    np.testing.assert_array_equal(work.reorder(parameter, [2, 0, 1]), parameter[[4, 5, 0, 1, 2, 3]])
    np.testing.assert_array_equal(work.reorder(parameter[:, 0], [0, 2, 1]), parameter[[0, 1, 4, 5, 2, 3], 0])
