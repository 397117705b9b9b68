"""`python -m bench.cpu`: the whole command, and what it writes."""

from __future__ import annotations

import json
import shutil

import pytest

from bench import cpu, goals, native, peers, report, roofline
from tests.support.bench_contestants import SHAPES, ReferencePeer
from tests.support.tree import ROOT


def run(monkeypatch, tmp_path, peer, *more):
    """The whole command with `peer` as the only one; returns exit status and results.json."""
    monkeypatch.setattr(peers, "load_peers", lambda names, threads: ([peer], {"keras": "not installed"}))
    shapes = [] if "--shapes" in more else ["--shapes", *SHAPES]
    argv = [*shapes, "--rounds", "2", "--seconds", "0.002", "--no-roofline", "--out", str(tmp_path)]
    status = cpu.main([*argv, *more])
    return status, json.loads((tmp_path / "results.json").read_text())


@pytest.mark.full
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
        mine = goal.section in ("inference", "training") and goal.isa in ("", full["machine"]["isa"])
        assert (f"| {goal.name} |" in text) == mine
    rows = [line for line in text.splitlines() if line.startswith("| LSTM T3 B2 I5 H8")]
    ours_timed = sum(report.is_ours(name) for name in full["results"][0]["timings"])
    assert [line.count("|") for line in rows] == [ours_timed + 3, 4, 4, 4]
    assert "not measured" in capsys.readouterr().out


@pytest.mark.full
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


@pytest.mark.full
def test_command_leaves_out_who_disagrees_and_says_so(monkeypatch, tmp_path, capsys):
    status, full = run(monkeypatch, tmp_path, ReferencePeer("w_hh"), "--sections", "inference")
    assert status == 1
    assert all("torch" not in r["timings"] and "torch" not in r["ratios"] for r in full["results"])
    assert all(r["unable"]["torch"].startswith("y differs by") for r in full["results"])
    assert capsys.readouterr().err.count("NOT AGREED, not timed") == len(SHAPES)


@pytest.mark.full
def test_each_instruction_set_has_its_own_tables_in_the_readme(monkeypatch, tmp_path):
    _, full = run(monkeypatch, tmp_path, ReferencePeer(), "--sections", "inference")
    readme = tmp_path / "README.md"
    shutil.copy(ROOT / "bench" / "README.md", readme)
    before = readme.read_text()
    avx2 = before[before.index(report.BEGIN.format(isa="avx2")) : before.index(report.END.format(isa="avx2"))]
    assert "| LSTM T100 B32 H256 |" in avx2
    full["machine"]["isa"] = "avx1024"  # a new block, and the others as they are
    report.write_readme(full, readme)
    once = readme.read_text()
    begin, end = report.BEGIN.format(isa="avx1024"), report.END.format(isa="avx1024")
    block = once[once.index(begin) : once.index(end) + len(end)]
    assert "| RNN T1 B1 H8 |" in block
    assert once.replace(f"\n\n### avx1024\n\n{block}", "") == before
    report.write_readme(full, readme)
    assert readme.read_text() == once
    full["machine"]["isa"] = "avx2"
    report.write_readme(full, readme)
    twice = readme.read_text()
    assert avx2 not in twice
    assert block in twice
    assert twice[: twice.index(report.BEGIN.format(isa="avx2"))] == before[: before.index(avx2)]
    readme.write_text("no markers")
    with pytest.raises(ValueError, match=r"README\.md: expected a line"):
        report.write_readme(full, readme)
    readme.write_text(report.END.format(isa="avx2") + report.BEGIN.format(isa="avx2"))
    with pytest.raises(ValueError, match=r"README\.md: expected one line"):
        report.write_readme(full, readme)


def test_a_figure_above_the_roofline_is_said_to_be_a_fault(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(peers, "load_peers", lambda names, threads: ([ReferencePeer()], {}))
    roof = {"gflops": {"float32": 1e-6}, "read_gbytes_per_second": {}, "weights_gbytes_per_second": {}}
    monkeypatch.setattr(roofline, "measure", lambda *arguments: roof)
    argv = ["--shapes", "LSTM T3 B8 H8", "--sections", "inference", "--rounds", "1", "--seconds", "0.002"]
    assert cpu.main([*argv, "--out", str(tmp_path)]) == 0
    assert "FAULT OF THE MEASUREMENT: LSTM T3 B8 H8 inference: fastrnn at " in capsys.readouterr().err
    assert "(fault of the measurement)" in (tmp_path / "results.md").read_text()


def test_fits_are_measured_in_a_process_of_their_own(monkeypatch, tmp_path):
    status, full = run(
        monkeypatch, tmp_path, ReferencePeer(), "--sections", "fit", "fit defaults", "--shapes", "LSTM T2 B256 I3 H8",
        "--peers",
    )  # fmt: skip
    assert status == 0
    assert [(result["section"], result["name"]) for result in full["results"]] == [
        ("fit", "LSTM T2 B256 I3 H8"), ("fit defaults", "LSTM T2 B256 I3 H8"),
    ]  # fmt: skip
    assert all(result["timings"]["fastrnn"]["total"]["median_us"] > 0 for result in full["results"])
    assert any(note == "fit: torch: left out, not asked for" for note in full["notes"])
    assert "LSTM T2 B256 I3 H8" in (tmp_path / "results.md").read_text()


def test_picture(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    run(monkeypatch, tmp_path, ReferencePeer())
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


def test_speed_picture(tmp_path):
    """Drawn from a run in bench/history, where a variant stands beside one library and the others follow from it."""
    pytest.importorskip("matplotlib")
    from bench import history, speed_picture

    kept = history.read("2026-11-30-zen4-whole")
    assert all(speed_picture.ratios(kept, *work[:3], "torch") for work in speed_picture.WORKS)
    (followed,) = speed_picture.ratios(kept, "step", "LSTM T1 B1 H64", "fastrnn step", "onnxruntime")
    assert followed == pytest.approx(12.0 / 1.48, rel=0.02)  # of README's table
    speed_picture.draw(kept, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_unknown_peers_and_shapes_are_named(capsys):
    assert cpu.main(["--peers", "nobody", "--shapes", "RNN H4"]) == 2
    assert "got 'nobody'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cpu.main(["--shapes", "RNN"])
    assert "shape: expected" in capsys.readouterr().err


def test_sections_with_threads_of_their_own_need_one_thread_elsewhere():
    quick = cpu.arguments(["--quick"])
    assert {"threads", "stack training"} <= {section.name for section, _ in quick.plan}
    assert native.SMALL_STEPS in quick.sections
    assert not {"fit", "fit defaults"} & set(quick.sections)  # which are asked for by name
    assert "fit" in cpu.arguments(["--quick", "--sections", "fit"]).sections
    assert "fit" in cpu.arguments([]).sections
    assert "threads" not in {section.name for section, _ in cpu.arguments(["--quick", "--threads", "2"]).plan}
