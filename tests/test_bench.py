"""The benchmark's own machinery on tiny shapes, against the reference instead of other libraries; no time is judged."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from fastrnn import reference

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # `bench` is run from the project's root and is not installed

from bench import cpu, goals, machine, measure, peers, report, work  # noqa: E402

SHAPES = ["LSTM T3 B2 I5 H8", "gru:T3:B2:H8", "RNN H8"]


def reference_contestant(problem: work.Problem, broken: str = "") -> measure.Contestant:
    """fastrnn.reference in float64; `broken` names a parameter that is perturbed by 1%, or "y" for one NaN in y."""
    cell = problem.work.cell
    states = {"h0": problem.h0, "c0": problem.c0} if cell == "lstm" else {"h0": problem.h0}
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    parameters = [p * np.float32(1.01 if n == broken else 1) for n, p in zip(names, problem.parameters, strict=True)]

    def forward():
        run = getattr(reference, f"{cell}_forward")
        return run(problem.x, *parameters, **states, training=problem.work.kind == "training")

    def backward(result):
        return result[0], getattr(reference, f"{cell}_backward")(problem.dy, result[-1])

    def arrays(result):
        out = {"y": np.array(result[0])}
        if problem.work.kind == "training":
            out |= {name: getattr(result[1], name[2:]) for name in work.GRADIENTS}
        if broken == "y":
            out["y"][-1, -1, -1] = np.nan
        return out

    return measure.Contestant("reference", forward, arrays, backward if problem.work.kind == "training" else None)


class ReferencePeer:
    """The reference as a peer."""

    name, version = "reference", "1"

    def __init__(self, broken: str = "") -> None:
        self.broken = broken

    def inference(self, problem):
        return reference_contestant(problem, self.broken)

    training = inference


@pytest.mark.parametrize("kind", ["inference", "training"])
@pytest.mark.parametrize("shape", SHAPES)
def test_fastrnn_agrees_and_every_round_times_everyone(shape, kind):
    problem = work.make_problem(work.parse(shape, kind))
    made = peers.contestants(problem, peers.FastRNN(1), [ReferencePeer()])
    timings = measure.measure(made, rounds=3, seconds=0.003)
    assert [t.name for t in timings] == ["fastrnn", "reference"]
    assert 0 < timings[1].difference < measure.TOLERANCE_OUTPUT
    for timing in timings:
        assert len(timing.round_ends) == 3
        assert timing.round_ends[-1] == len(timing.total) >= 3
        assert len(timing.backward) == (len(timing.total) if kind == "training" else 0)
        if kind == "training":
            assert timing.total == [a + b for a, b in zip(timing.forward, timing.backward, strict=True)]


@pytest.mark.parametrize("broken", ["w_ih", "w_hh", "b_ih", "b_hh", "y"])
@pytest.mark.parametrize("kind", ["inference", "training"])
def test_a_contestant_that_computes_something_else_is_not_timed(broken, kind):
    problem = work.make_problem(work.parse(SHAPES[0], kind))
    made = peers.contestants(problem, peers.FastRNN(1), [ReferencePeer(broken)])
    calls = []
    made[0].forward, original = lambda: calls.append(1) or original(), made[0].forward
    with pytest.raises(measure.Disagreement, match=r"^reference: y differs by .*, expected 5e-05 at most"):
        measure.measure(made, rounds=1, seconds=0.001)
    assert len(calls) == 1


def test_difference_refuses_other_shapes_and_nothing_in_common():
    a = np.ones((2, 3), np.float32)
    assert measure.difference({"y": 4 * a}, {"y": 3 * a, "z": a}) == {"y": 0.25}
    with pytest.raises(measure.Disagreement, match=r"y: expected shape \(2, 3\), got \(3, 2\)"):
        measure.difference({"y": a}, {"y": a.T})
    with pytest.raises(measure.Disagreement, match="no array in common"):
        measure.difference({"y": a}, {"z": a})


def test_ratio_is_that_of_the_medians_and_ranges_over_rounds():
    ours = measure.Timing("a", total=[1.0, 1.0, 2.0, 2.0, 2.0], round_ends=[2, 5])
    theirs = measure.Timing("b", total=[3.0, 2.0, 8.0], round_ends=[1, 3])
    assert measure.ratios(ours, theirs) == {"ratio": 1.5, "lowest_round": 2.5, "highest_round": 3.0}
    assert measure.ratios(ours, theirs, "backward") is None


def test_gflops_count_the_products():
    shape = work.parse("LSTM T100 B32 I64 H256", "training")
    assert shape.flops == 2 * (4 * 256 * (64 + 256)) * 100 * 32
    timing = measure.Timing("a", total=[3.0], forward=[1.0], backward=[2.0], round_ends=[1])
    summary = timing.summary(10**9, training=True)
    assert [summary[part]["gflops"] for part in ("total", "forward", "backward")] == pytest.approx([1, 1, 1])
    assert measure.Timing("a", total=[2.0]).summary(10**9, training=False)["total"]["gflops"] == pytest.approx(0.5)


@pytest.mark.parametrize(("text", "sizes"), [("LSTM T100 B32 H256", (100, 32, 256, 256)), ("gru:I3:H4", (1, 1, 3, 4))])
def test_parse_reads_shapes(text, sizes):
    shape = work.parse(text, "inference")
    assert sizes == (shape.T, shape.B, shape.I, shape.H)
    assert work.parse(shape.name, "inference") == shape


@pytest.mark.parametrize("text", ["LSTM", "LSTM T5", "LSTM H0", "CNN H5", "LSTM T100B32H256", "LSTM H5 L2"])
def test_parse_refuses(text):
    with pytest.raises(ValueError, match="shape: expected"):
        work.parse(text, "inference")


def test_quick_is_a_part_and_covers_every_goal():
    quick, full = work.default_works(quick=True), work.default_works(quick=False)
    assert set(quick) < set(full)
    assert len(full) == len(set(full))
    assert {goal.work for goal in goals.GOALS} <= set(quick)


def test_goals_are_judged_by_their_part_and_peer():
    def goal(part: str, peer: str, ratio: float) -> goals.Goal:
        return goals.Goal("g", "LSTM H8", "training", part, peer, ratio)

    ratios = {"a": {"forward": {"ratio": 2.0}, "backward": {"ratio": 0.9}}, "b": {"forward": {"ratio": 1.2}}}
    results = [{"name": "LSTM T1 B1 H8", "kind": "training", "ratios": ratios}]
    wanted = [
        goal("forward", "a", 2.0),
        goal("backward", "a", 1.0),
        goal("forward", "best", 1.5),
        goal("total", "a", 1),
    ]
    judged = goals.judge(results, wanted)
    assert [g["verdict"] for g in judged] == ["reached", "missed", "missed", "not measured"]
    assert [g["measured"] for g in judged] == [2.0, 0.9, 1.2, None]
    assert goals.judge([{**results[0], "kind": "inference"}], wanted[:1])[0]["verdict"] == "not measured"


def run(monkeypatch, tmp_path, peer, *more):
    """The whole command with `peer` as the only one; returns exit status and results.json."""
    monkeypatch.setattr(peers, "load_peers", lambda names, threads: ([peer], ["other: skipped, not installed"]))
    argv = ["--shapes", *SHAPES, "--rounds", "2", "--seconds", "0.002", "--no-roofline", "--out", str(tmp_path)]
    status = cpu.main([*argv, *more])
    return status, json.loads((tmp_path / "results.json").read_text())


def test_command_writes_a_complete_report(monkeypatch, tmp_path, capsys):
    status, full = run(monkeypatch, tmp_path, ReferencePeer(), "--goals")
    assert status == 0
    assert [(r["kind"], r["name"]) for r in full["results"]] == [
        (kind, name)
        for kind in ("inference", "training")
        for name in ("LSTM T3 B2 I5 H8", "GRU T3 B2 H8", "RNN T1 B1 H8")
    ]
    assert {"date", "cpu", "cores", "caches", "isa", "compiler", "flags", "versions", "load_before"} <= set(
        full["machine"]
    )
    assert full["notes"][0] == "other: skipped, not installed"
    text = (tmp_path / "results.md").read_text()
    for title in ("Inference:", "Training:", "the forward part", "the backward part", "Goals"):
        assert title in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    widths = [line.count("|") for line in table if line.startswith("| LSTM T3 B2 I5 H8")]
    assert widths == [5, 5, 4, 4]
    assert "not measured" in capsys.readouterr().out


def test_command_leaves_out_who_disagrees_and_says_so(monkeypatch, tmp_path, capsys):
    status, full = run(monkeypatch, tmp_path, ReferencePeer("w_hh"), "--kind", "inference")
    assert status == 1
    assert all(list(r["timings"]) == ["fastrnn"] and r["ratios"] == {} for r in full["results"])
    assert capsys.readouterr().err.count("NOT AGREED, not timed") == len(SHAPES)


def test_tables_go_between_the_markers_of_the_readme(monkeypatch, tmp_path):
    _, full = run(monkeypatch, tmp_path, ReferencePeer(), "--kind", "inference")
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


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")
def test_roofline_builds_and_measures():
    found = machine.roofline("portable", {"L1": 1 << 15})
    assert "skipped" not in found, found
    assert found["gflops"] > 0
    assert set(found["read_gbytes_per_second"]) == {"L1", "memory"}


def test_roofline_without_a_compiler_says_so(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "did not build" in machine.roofline("portable", {})["skipped"]
