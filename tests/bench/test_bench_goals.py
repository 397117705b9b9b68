"""The goals of the benchmark, and the figures that they are about."""

from __future__ import annotations

import dataclasses
import re

import pytest

from bench import goals, metrics, native, report
from bench.goal import Goal, only
from bench.section import Variant
from bench.sections import SECTIONS
from tests.support.bench_contestants import fake_result
from tests.support.tree import ROOT


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
        if goal.section == native.SMALL_STEPS:
            continue
        part = by_name[goal.section]
        works = [{"section": part.name, "cell": w.cell, "shape": dataclasses.asdict(w)} for w in part.works(quick=True)]
        assert any(map(goal.concerns, works)), goal.name
        names = {variant.name for variant in part.ours} | set(part.peers)
        for field in ("ours", "of", "than"):
            wanted = getattr(goal.metric, field, ())
            assert names.issuperset({wanted} if isinstance(wanted, str) else wanted), goal.name


def test_small_steps_cover_their_goals():
    source = (ROOT / "bench" / "step.cc").read_text()
    sizes = re.findall(r"\{(\d+), (\d+)\}", source[source.index("kSizes[]") :])
    dtypes = re.findall(r'"(\w+)"\}', (ROOT / "bench" / "timing.h").read_text())
    figures = {"median_us": 1.0, "p99_us": 1.0, "rounds_us": [1.0]}
    rows = [{"I": int(i), "H": int(h), "dtype": dtype} | figures for i, h in sizes for dtype in dtypes]
    results = native.step_results({"steps": rows})
    mine = [goal for goal in goals.GOALS if goal.section == native.SMALL_STEPS]
    assert mine
    assert all(goal.judge(results)["verdict"] != "not measured" for goal in mine)


def test_goals_of_one_instruction_set_are_no_goals_of_another():
    names = {goal.name for goal in goals.GOALS if goal.section == "inference"}
    assert len([goal.name for goal in goals.GOALS if goal.section == "inference"]) == len(names)
    zen = {goal["goal"] for goal in goals.judge([], ["inference"], "avx512_bf16")}
    avx2 = {goal["goal"] for goal in goals.judge([], ["inference"], "avx2")}
    assert zen == names > avx2
    assert "LSTM T100 B8 H256: int8" in zen - avx2


def test_more_than_the_roofline_is_a_fault_of_the_measurement():
    good, bad = fake_result("LSTM H8", 1.0, fastrnn=1.0), fake_result("LSTM H9", 1.77, fastrnn=1.0)
    for metric, wanted in ((metrics.OfRoofline(), 0.93), (metrics.OverRoofline(), 1.1)):
        goal = Goal("g", "step", metric, wanted)
        assert goal.judge([good])["verdict"] == "reached"
        judged = goal.judge([good, bad])
        assert judged["verdict"] == "fault of the measurement"
        assert judged["reasons"] == ["LSTM T1 B1 H9: 177% of the roofline"]
        assert "fault of the measurement: LSTM T1 B1 H9: 177%" in report.goals_table([judged])
        assert goal.judge([fake_result("LSTM H8", 1.04, fastrnn=1.0)])["verdict"] == "reached"
    assert report.share(bad) == "177% (fault of the measurement)"
    assert report.share(good) == "100%"
    assert report.share(fake_result(fastrnn=1.0)) == ""


def test_a_dtype_is_held_to_its_own_roofline():
    result = fake_result(bound_us=1.0, fastrnn=2.0) | {"dtypes": {"fastrnn": "int8"}}
    with pytest.raises(metrics.NotMeasured, match="there is no int8 roofline"):
        metrics.OfRoofline().value(result)
    result["bounds_us"]["int8"] = 0.5
    assert metrics.OfRoofline().value(result) == 0.25


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (metrics.Microseconds("fastrnn"), 2.0),
        (metrics.Microseconds("fastrnn", "p99_us"), 6.0),
        (metrics.Rate("a"), 1e-3 / 4),
        (metrics.Faster("fastrnn", ("b", "a", "c")), 1.5),
        (metrics.Faster("a", ("fastrnn",)), 0.5),
        (metrics.OfRoofline("fastrnn"), 0.5),
        (metrics.OverRoofline("fastrnn"), 2.0),
        (metrics.Cost("a"), 2.0),
        (metrics.Cost("a", figure="p99_us"), 6.0),
        (metrics.PerFlop("fastrnn", "a"), 2.0),
        (metrics.TimePerFlop("fastrnn", "a"), 0.5),
    ],
)
def test_metrics(metric, value):
    assert metric.value(fake_result(bound_us=1.0, fastrnn=2.0, a=4.0, b=3.0)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (metrics.Microseconds("c"), "has no such thing"),
        (metrics.Faster("fastrnn", ("c", "d")), "has no such thing"),
        (metrics.Faster("d", ("fastrnn",)), "d is not in this run"),
        (metrics.OfRoofline("fastrnn"), "there is no float32 roofline"),
    ],
)
def test_what_was_not_measured_says_why(metric, reason):
    with pytest.raises(metrics.NotMeasured, match=reason):
        metric.value(fake_result(fastrnn=2.0))
    judged = Goal("g", "step", metric, 1.0).judge([fake_result(fastrnn=2.0)])
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
    goal = Goal("g", "step", metrics.Microseconds("fastrnn"), wanted, ("lstm",), B=only(1), H=range(1, 11))
    judged = goal.judge(results)
    assert (judged["verdict"], judged["reached"], judged["works"]) == (verdict, reached, 3)
    assert (judged["worst"], judged["worst_at"]) == ("3 us", "LSTM T1 B1 H9")
    assert judged["reasons"] == ["fastrnn is not in this run"]
    faster = Goal("g", "step", metrics.Faster("fastrnn", ("a",)), 1.0, B=only(2))
    assert faster.judge([fake_result("LSTM B2 H8", fastrnn=1.0, a=2.0)])["verdict"] == "reached"
    assert faster.judge([fake_result("LSTM B2 H8", fastrnn=2.0, a=1.0)])["verdict"] == "missed"
    assert faster.judge([fake_result("LSTM H8", fastrnn=2.0, a=1.0)])["reasons"] == ["no such work in this run"]
