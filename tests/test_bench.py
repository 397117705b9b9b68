"""The benchmark's own machinery on tiny shapes, against the reference instead of other libraries; no time is judged."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fastrnn import reference

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # `bench` is run from the project's root and is not installed

from bench import cpu, goals, machine, measure, native, ours, peers, report, roofline, work  # noqa: E402
from bench.sections import SECTIONS, Section, Variant  # noqa: E402

SHAPES = ["LSTM T3 B2 I5 H8", "gru:T3:B2:H8", "RNN H8"]
RAGGED = "LSTM T5 B4 I3 H8 ragged"


def reference_contestant(problem: work.Problem, broken: str = "") -> measure.Contestant:
    """fastrnn.reference in float64; `broken` names a parameter that is perturbed by 1%, or "y" for one NaN in y."""
    cell = problem.work.cell
    states = {"h0": problem.h0, "c0": problem.c0} if cell == "lstm" else {"h0": problem.h0}
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    parameters = [p * np.float32(1.01 if n == broken else 1) for n, p in zip(names, problem.parameters, strict=True)]

    def forward():
        run = getattr(reference, f"{cell}_forward")
        lengths = problem.work.lengths
        return run(problem.x, *parameters, **states, lengths=lengths, training=problem.work.kind == "training")

    def backward(result):
        return result[0], getattr(reference, f"{cell}_backward")(problem.dy, result[-1])

    def arrays(result):
        out = {"y": np.array(result[0])}
        if problem.work.kind == "training":
            out |= {name: getattr(result[1], name[2:]) for name in work.GRADIENTS}
        if broken == "y":
            out["y"][-1, -1, -1] = np.nan
        return out

    training = problem.work.kind == "training"
    return measure.Contestant("torch", problem.work, forward, arrays, backward if training else None)


class ReferencePeer(peers.Peer):
    """The reference under the name of a peer that every section knows."""

    name, version = "torch", "1"

    def __init__(self, broken: str = "") -> None:
        self.broken = broken

    def inference(self, problem):
        return reference_contestant(problem, self.broken)

    training = inference


def section(kind: work.Kind, *variants: Variant) -> Section:
    return Section("mine", "Mine", kind, variants or (Variant(),), ("torch", "numpy"), "")


def contestants(shape: str, kind: work.Kind, peer: peers.Peer, *variants: Variant) -> list[measure.Contestant]:
    made, unable = peers.contestants(work.parse(shape, kind), section(kind, *variants), ours.FastRNN(1), [peer])
    assert not unable
    return made


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
    assert work.parse(shape.name, "inference") == shape


@pytest.mark.parametrize(
    "text", ["LSTM", "LSTM T5", "LSTM H0", "CNN H5", "LSTM T100B32H256", "LSTM H5 L2", "LSTM H5ragged"]
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


def test_sections_are_sound():
    for part in SECTIONS:
        quick, full = part.works(quick=True), part.works(quick=False)
        assert quick
        assert set(quick) <= set(full)
        assert len(full) == len(set(full))
        assert part.ours[0] == Variant()  # what the others are compared with
        assert len({variant.name for variant in part.ours}) == len(part.ours)
    assert len({part.name for part in SECTIONS}) == len(SECTIONS)


def test_quick_covers_every_goal_and_its_contestants_take_part():
    by_name = {part.name: part for part in SECTIONS}
    for goal in goals.GOALS:
        part = by_name[goal.section]
        works = [{"section": part.name, "cell": w.cell, "shape": dataclasses.asdict(w)} for w in part.works(quick=True)]
        assert any(map(goal.concerns, works)), goal.name
        names = {variant.name for variant in part.ours} | set(part.peers)
        for field in ("ours", "of", "than"):
            wanted = getattr(goal.metric, field, ())
            assert names.issuperset({wanted} if isinstance(wanted, str) else wanted), goal.name


def fake_result(shape: str = "LSTM T1 B1 H8", bound_us: float | None = None, **medians: float) -> dict:
    """A result as cpu.py makes it; p99 is three times the median, GFLOP/s a thousandth of its inverse."""
    shape_of = work.parse(shape, "inference")
    return {
        "section": "step",
        "name": shape_of.name,
        "cell": shape_of.cell,
        "shape": {letter: getattr(shape_of, letter) for letter in "TBIH"},
        "bound_us": bound_us,
        "unable": {"c": "has no such thing"},
        "timings": {
            name: {"total": {"median_us": us, "p99_us": 3 * us, "gflops": 1e-3 / us}} for name, us in medians.items()
        },
    }


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (goals.Microseconds("fastrnn"), 2.0),
        (goals.Faster("fastrnn", ("b", "a", "c")), 1.5),
        (goals.Faster("a", ("fastrnn",)), 0.5),
        (goals.OfRoofline("fastrnn"), 0.5),
        (goals.OverRoofline("fastrnn"), 2.0),
        (goals.Cost("a"), 2.0),
        (goals.Cost("a", figure="p99_us"), 6.0),
        (goals.PerFlop("fastrnn", "a"), 2.0),
        (goals.TimePerFlop("fastrnn", "a"), 0.5),
    ],
)
def test_metrics(metric, value):
    assert metric.value(fake_result(bound_us=1.0, fastrnn=2.0, a=4.0, b=3.0)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (goals.Microseconds("c"), "has no such thing"),
        (goals.Faster("fastrnn", ("c", "d")), "has no such thing"),
        (goals.Faster("d", ("fastrnn",)), "d is not in this run"),
        (goals.OfRoofline("fastrnn"), "the roofline was not measured"),
    ],
)
def test_what_was_not_measured_says_why(metric, reason):
    with pytest.raises(goals.NotMeasured, match=reason):
        metric.value(fake_result(fastrnn=2.0))
    judged = goals.Goal("g", "step", metric, 1.0).judge([fake_result(fastrnn=2.0)])
    assert (judged["verdict"], judged["reasons"], judged["works"]) == ("not measured", [reason], 1)


@pytest.mark.parametrize(("wanted", "verdict", "reached"), [(3.0, "reached", 2), (2.5, "missed", 1)])
def test_a_goal_is_reached_if_every_work_reaches_it(wanted, verdict, reached):
    results = [
        fake_result("LSTM H8", fastrnn=2.0),
        fake_result("LSTM H9", fastrnn=3.0),
        fake_result("LSTM H10"),
        fake_result("LSTM H11", fastrnn=9.0),  # too large, and the next ones are of another cell and batch
        fake_result("GRU H8", fastrnn=9.0),
        fake_result("LSTM B2 H8", fastrnn=9.0),
    ]
    goal = goals.Goal("g", "step", goals.Microseconds("fastrnn"), wanted, ("lstm",), B=goals.only(1), H=range(1, 11))
    judged = goal.judge(results)
    assert (judged["verdict"], judged["reached"], judged["works"]) == (verdict, reached, 3)
    assert (judged["worst"], judged["worst_at"]) == ("3.00 us", "LSTM T1 B1 H9")
    assert judged["reasons"] == ["fastrnn is not in this run"]
    faster = goals.Goal("g", "step", goals.Faster("fastrnn", ("a",)), 1.0, B=goals.only(2))
    assert faster.judge([fake_result("LSTM B2 H8", fastrnn=1.0, a=2.0)])["verdict"] == "reached"
    assert faster.judge([fake_result("LSTM B2 H8", fastrnn=2.0, a=1.0)])["verdict"] == "missed"
    assert faster.judge([fake_result("LSTM H8", fastrnn=2.0, a=1.0)])["reasons"] == ["no such work in this run"]


def test_the_roofline_of_a_work():
    roof = {"gflops": 10.0, "weights_gbytes_per_second": {"256": 2.0, "512": 1.0, "1024": 4.0}}

    def bound(shape: str, kind: work.Kind = "inference", threads: int = 1) -> float | None:
        return roofline.bound_seconds(work.parse(shape, kind), roof, threads)

    # H 8, LSTM: 2 * 4 * 8 * 8 = 512 FLOP and 1024 bytes in each of the two products of a row and step.
    assert bound("LSTM T10 B1 H8") == pytest.approx(10 * 512 / 10e9 + 10 * 1024 / 4e9)
    assert bound("LSTM T10 B8 H8") == pytest.approx(10 * 8 * 1024 / 10e9)
    assert bound("LSTM T10 B8 H8", threads=2) == pytest.approx(10 * 8 * 1024 / 20e9)
    assert bound("LSTM T10 B8 H8", "training") == pytest.approx(3 * 10 * 8 * 1024 / 10e9)
    assert bound("LSTM T10 B1 H8", "product") == pytest.approx(10 * 512 / 10e9)
    # Backward reads the recurrent weights again; dx, dW and dR are computed for all steps at once.
    assert bound("LSTM T10 B1 H8", "training") == pytest.approx(4 * 10 * 512 / 10e9 + 2 * 10 * 1024 / 4e9)
    assert bound("RNN T1 B1 H8") == pytest.approx(512 / 1e9)  # one step reads all of its weights
    assert bound("RNN T5 B7 H8") == pytest.approx(5 * (7 * 128 / 10e9 + 256 / 2e9))
    assert bound("GRU T5 B1 H8") is None  # whose bytes were not read
    assert roofline.bound_seconds(work.parse("RNN H8", "inference"), {"skipped": ""}) is None


def test_the_higher_roofline_counts():
    one = {"gflops": 2.0, "read_gbytes_per_second": {"L1": 5.0}, "weights_gbytes_per_second": {"8": 1.0}}
    other = {"gflops": 1.0, "read_gbytes_per_second": {"L1": 6.0}, "weights_gbytes_per_second": {"8": 2.0}}
    merged = roofline.highest(one, other)
    assert merged == {"gflops": 2.0, "read_gbytes_per_second": {"L1": 6.0}, "weights_gbytes_per_second": {"8": 2.0}}
    assert roofline.highest({"skipped": "why"}, other) == {"skipped": "why"}


def test_a_product_agrees_with_numpy():
    made = contestants("GRU T3 B2 I5 H8", "product", peers.NumPy())
    timings, refused = measure.measure(made, rounds=1, seconds=0.001)
    assert refused == {}
    assert [t.name for t in timings] == ["fastrnn", "numpy"]


def test_variants_of_other_data_and_shape_are_timed_but_not_compared():
    variants = (Variant(), Variant(neighbour=True), Variant(denormal=True))
    made = contestants("LSTM T3 B3 H9", "inference", ReferencePeer(), *variants)
    timings, _ = measure.measure(made, rounds=1, seconds=0.001)
    assert [t.name for t in timings] == ["fastrnn", "fastrnn neighbour", "fastrnn denormal", "torch"]
    assert [t.work.name for t in timings[:2]] == ["LSTM T3 B3 H9", "LSTM T3 B4 H64"]
    assert [t.difference is None for t in timings] == [False, True, True, False]
    y = [measure.run_once(contestant)["y"] for contestant in made]
    assert np.abs(y[0]).max() > 0.01
    assert np.abs(y[2]).max() < 1e-30


@pytest.mark.parametrize("shape", ["LSTM T1 B2 I5 H8", "GRU T1 B1 H8", "RNN T1 B1 H8"])
def test_steps_start_from_the_same_state_as_sequences(shape):
    variants = [Variant(), *(v for v in SECTIONS[0].ours if v.step)]
    timings, refused = measure.measure(contestants(shape, "inference", ReferencePeer(), *variants), 1, 0.001)
    assert refused == {}
    assert len(timings) == len(variants) + 1 >= 6
    assert timings[-2].name == "fastrnn step int8"
    assert timings[-2].difference > measure.TOLERANCE["float32"]


@pytest.mark.parametrize("shape", ["LSTM B7 H8", "GRU B3 I5 H8", "RNN B1 H8"])
def test_a_pool_agrees_with_a_batch_from_the_same_states(shape):
    problem = work.make_problem(work.parse(shape, "pool"))
    library = ours.FastRNN(1)
    pool = library.contestant(problem, Variant())
    batch = library.contestant(dataclasses.replace(problem, work=work.parse(shape, "inference")), Variant())
    np.testing.assert_array_equal(measure.run_once(pool)["y"], measure.run_once(batch)["y"])
    many = library.contestant(problem, Variant(steps=4))
    assert (many.name, many.work.T, many.precision, many.work.flops()) == (
        "fastrnn 4 steps", 4, None, 4 * problem.work.flops(),
    )  # fmt: skip


def test_a_pool_agrees_with_as_many_calls_of_onnxruntime():
    pytest.importorskip("onnx", reason="a peer of the benchmark: pip install '.[bench]'")
    pytest.importorskip("onnxruntime", reason="a peer of the benchmark: pip install '.[bench]'")
    problem = work.make_problem(work.parse("LSTM B5 I3 H8", "pool"))
    own, theirs = ours.FastRNN(1).contestant(problem, Variant()), peers.OnnxRuntime(1).pool(problem)
    for _ in range(3):  # the states are fed back
        measure.compare(measure.run_once(own), measure.run_once(theirs), "float32")


@pytest.mark.parametrize("threads", [None, 2])
def test_threads_are_those_of_the_variant(monkeypatch, threads):
    asked = []
    for name in ("lstm_forward", "lstm_backward"):
        original = getattr(ours.fastrnn, name)

        def call(*arguments, original=original, **keywords):
            asked.append(keywords["threads"])
            return original(*arguments, **keywords)

        monkeypatch.setattr(ours.fastrnn, name, call)
    variants = (Variant(), Variant(threads=threads)) if threads else (Variant(),)
    made = contestants("LSTM T2 B2 H8", "training", ReferencePeer(), *variants)
    measure.run_once(made[len(variants) - 1])
    assert asked == [threads, threads]


def test_sections_with_threads_of_their_own_need_one_thread_elsewhere():
    assert "threads" in {section.name for section, _ in cpu.arguments(["--quick"]).plan}
    assert "threads" not in {section.name for section, _ in cpu.arguments(["--quick", "--threads", "2"]).plan}


def test_who_is_unable_is_left_out_with_the_reason():
    class UnablePeer(ReferencePeer):
        def inference(self, problem):
            raise measure.Unable("not this one")

    part = section("inference", Variant(), Variant(step=True))
    made, unable = peers.contestants(work.parse("RNN T2 H8", "inference"), part, ours.FastRNN(1), [UnablePeer()])
    assert [contestant.name for contestant in made] == ["fastrnn"]
    assert unable == {"fastrnn step": "Session.step is one step", "torch": "not this one"}


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
            assert os.sched_getaffinity(started[0].pid) == {min(allowed)}  # not the one that we were on
        assert started[0].poll() is not None
        assert os.sched_getaffinity(0) == {max(allowed)}
        with machine.cores(2, allowed, busy=False):
            pass
        assert len(started) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    with pytest.raises(measure.Unable, match="2 cores are not there"), machine.cores(2, {0}, busy=True):
        pass


def run(monkeypatch, tmp_path, peer, *more):
    """The whole command with `peer` as the only one; returns exit status and results.json."""
    monkeypatch.setattr(peers, "load_peers", lambda names, threads: ([peer], {"keras": "not installed"}))
    argv = ["--shapes", *SHAPES, "--rounds", "2", "--seconds", "0.002", "--no-roofline", "--out", str(tmp_path)]
    status = cpu.main([*argv, *more])
    return status, json.loads((tmp_path / "results.json").read_text())


def test_command_writes_a_complete_report(monkeypatch, tmp_path, capsys):
    status, full = run(monkeypatch, tmp_path, ReferencePeer())
    assert status == 0
    assert [(r["section"], r["name"]) for r in full["results"]] == [
        (kind, name)
        for kind in ("inference", "training")
        for name in ("LSTM T3 B2 I5 H8", "GRU T3 B2 H8", "RNN T1 B1 H8")
    ]
    assert {"date", "cpu", "cores", "caches", "isa", "compiler", "flags", "versions", "load_before"} <= set(
        full["machine"]
    )
    assert full["notes"][0] == "keras: left out, not installed"
    assert full["results"][0]["unable"]["keras"] == "not installed"
    text = (tmp_path / "results.md").read_text()
    for title in ("Sequences: inference", "Training:", "the forward part", "the backward part", "Goals"):
        assert title in text
    for goal in goals.GOALS:
        assert (f"| {goal.name} |" in text) == (goal.section in ("inference", "training"))
    rows = [line for line in text.splitlines() if line.startswith("| LSTM T3 B2 I5 H8")]
    ours_timed = sum(report.is_ours(name) for name in full["results"][0]["timings"])
    assert [line.count("|") for line in rows] == [ours_timed + 3, 4, 4, 4]
    assert "not measured" in capsys.readouterr().out


def test_a_peer_is_compared_with_our_own_precision(monkeypatch, tmp_path):
    peer = ReferencePeer()
    peer.dtype = "int8"
    _, full = run(monkeypatch, tmp_path, peer, "--sections", "inference")
    for result in full["results"]:
        median = {name: timing["total"]["median_us"] for name, timing in result["timings"].items()}
        ratio = result["ratios"]["torch"]["total"]["ratio"]
        assert ratio == pytest.approx(median["torch"] / median["fastrnn int8"])


def test_a_work_that_would_begin_too_late_is_left_out(monkeypatch, tmp_path):
    _, full = run(monkeypatch, tmp_path, ReferencePeer(), "--minutes", "0")
    assert full["results"] == []
    assert "RNN T1 B1 H8 training: not measured, time was up" in full["notes"]


def test_command_leaves_out_who_disagrees_and_says_so(monkeypatch, tmp_path, capsys):
    status, full = run(monkeypatch, tmp_path, ReferencePeer("w_hh"), "--sections", "inference")
    assert status == 1
    assert all("torch" not in r["timings"] and "torch" not in r["ratios"] for r in full["results"])
    assert all(r["unable"]["torch"].startswith("y differs by") for r in full["results"])
    assert capsys.readouterr().err.count("NOT AGREED, not timed") == len(SHAPES)


def test_tables_go_between_the_markers_of_the_readme(monkeypatch, tmp_path):
    _, full = run(monkeypatch, tmp_path, ReferencePeer(), "--sections", "inference")
    readme = tmp_path / "README.md"
    shutil.copy(ROOT / "bench" / "README.md", readme)
    before = readme.read_text()
    report.write_readme(full, readme)
    once = readme.read_text()
    assert once.startswith(before[: before.index(report.BEGIN)])
    assert once.endswith(before[before.index(report.END) :])
    assert "| RNN T1 B1 H8 |" in once
    report.write_readme(full, readme)
    assert readme.read_text() == once
    readme.write_text("no markers")
    with pytest.raises(ValueError, match=r"README\.md: expected one line"):
        report.write_readme(full, readme)


def test_picture(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    run(monkeypatch, tmp_path, ReferencePeer())
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


def test_unknown_peers_and_shapes_are_named(capsys):
    assert cpu.main(["--peers", "nobody", "--shapes", "RNN H4"]) == 2
    assert "got 'nobody'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cpu.main(["--shapes", "RNN"])
    assert "shape: expected" in capsys.readouterr().err


def test_gates_are_reordered_in_blocks():
    parameter = np.arange(12).reshape(6, 2)
    np.testing.assert_array_equal(work.reorder(parameter, [2, 0, 1]), parameter[[4, 5, 0, 1, 2, 3]])
    np.testing.assert_array_equal(work.reorder(parameter[:, 0], [0, 2, 1]), parameter[[0, 1, 4, 5, 2, 3], 0])


needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")


@needs_compiler
def test_roofline_builds_and_measures():
    found = roofline.measure("portable", {"L1": 1 << 15}, [work.parse("RNN T2 H64", "inference")])
    assert "skipped" not in found, found
    assert found["gflops"] > 0
    assert set(found["read_gbytes_per_second"]) == {"L1", "memory"}
    assert set(found["weights_gbytes_per_second"]) == {str(4 * 64 * 64)}


def test_native_tools_without_a_compiler_say_so(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "did not build" in roofline.measure("portable", {}, [])["skipped"]
    assert "did not build" in native.native_step(Path("nowhere.a"), 1.0)["skipped"]


@needs_compiler
def test_native_step_fits_the_public_header():
    command = [*native.compiler(), "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-I", ROOT / "csrc" / "include", ROOT / "bench" / "step.cc"], check=True)


def test_native_step_takes_the_newest_library(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "HERE", tmp_path / "bench")
    assert "no libfastrnn.a under build/" in native.native_step(None, 1.0)["skipped"]
    for age, folder in enumerate(("new", "old", "older")):
        library = tmp_path / "build" / folder / "libfastrnn.a"
        library.parent.mkdir(parents=True)
        library.touch()
        os.utime(library, (1e9 - age, 1e9 - age))
    built = []
    monkeypatch.setattr(native, "build_and_run", lambda *arguments: built.append(arguments) or {"steps": []})
    assert native.native_step(None, 0.5) == {"steps": []}
    source, flags, arguments = built[0]
    assert (source, arguments) == ("step.cc", ["0.5"])
    assert str(tmp_path / "build" / "new" / "libfastrnn.a") in flags


def test_native_steps_are_a_table_or_a_reason():
    row = {"dtype": "int8", "calls": 9, "median_us": 1.0, "p99_us": 2.0}
    rows = [row | {"H": 32}, row | {"H": 64}, row | {"H": 64, "dtype": "float32"}]
    text = "\n".join(report.native_table({"isa": "avx2", "clock_us": 0.02, "steps": rows}))
    assert "| H | int8 | float32 |" in text
    assert "| 64 | 1.00 / 2.00 | 1.00 / 2.00 |" in text
    assert report.native_table({"skipped": "why"})[2] == "skipped: why"
