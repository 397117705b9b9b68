"""The scan of random shapes, kept runs and what became slower between two of them."""

from __future__ import annotations

import json

import pytest

from bench import compare, history, peers, scan, work
from bench.section import Section, Variant
from tests.support.bench_contestants import SHAPES, ReferencePeer

TINY = Section("inference", "Tiny", "inference", (Variant(),), ("torch",), "")


def ratio(value: float, low: float, high: float) -> dict:
    return {"ratio": value, "lowest_round": low, "highest_round": high}


def result(name: str, **ratios: dict) -> dict:
    return {
        "section": "inference",
        "name": name,
        "ratios": {peer: {"total": value} for peer, value in ratios.items()},
        "variants": {},
    }


def test_shapes_of_a_seed_are_the_same_and_within_their_bounds():
    works = scan.random_works(1, 300)
    assert works[:20] == scan.random_works(1, 20)
    assert works != scan.random_works(2, 300)
    assert {section.name for section, _ in works} == {"inference", "training", "bfloat16", "int8"}
    for section, one in works:
        assert 1 <= one.T <= 300
        assert 1 <= one.B <= 128
        assert 1 <= one.I <= 300
        assert 8 <= one.H <= 512
        assert one.kind == section.kind
        assert one.T == 1 or one.flops() <= 3e9
    assert {one.cell for section, one in works if section.name == "int8"} == {"lstm"}
    assert {one.L for _, one in works} == {1, 2, 3}
    assert {one.bidirectional for _, one in works} == {True, False}
    assert min(one.T for _, one in works) == 1
    assert max(one.T for _, one in works) > 200


def test_the_summary_has_the_mean_the_worst_and_every_shape_behind():
    results = [
        result("A", torch=ratio(2.0, 1.9, 2.1), openvino=ratio(1.0, 1.0, 1.0)),
        result("B", torch=ratio(0.5, 0.4, 0.6)),
        result("C", torch=ratio(0.9, 0.8, 1.1)),
    ]
    torch, openvino = scan.summary(results)
    assert (torch["peer"], torch["shapes"], torch["worst"], torch["worst_at"]) == ("torch", 3, 0.5, "B")
    assert torch["geometric_mean"] == pytest.approx((2 * 0.5 * 0.9) ** (1 / 3))
    assert [(one["name"], one["beyond_noise"]) for one in torch["behind"]] == [("B", True), ("C", False)]
    assert openvino["behind"] == []
    text = scan.summary_text([torch, openvino])
    assert "| inference | torch | 0.97x | 0.50x | B | 2 of 3 |" in text
    assert "behind torch: 0.50x  inference B (rounds 0.40 to 0.60)" in text
    assert "behind torch: 0.90x  inference C (rounds 0.80 to 1.10, within the noise)" in text
    assert scan.summary_text([openvino]).endswith("behind nobody")


def test_a_scan_measures_and_writes(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(peers, "load_peers", lambda names, threads: ([ReferencePeer()], {}))
    works = [(TINY, work.parse(shape, "inference")) for shape in SHAPES]
    monkeypatch.setattr(scan, "random_works", lambda seed, count: works[:count])
    monkeypatch.setattr(history, "FOLDER", tmp_path / "history")
    argv = ["--rounds", "2", "--seconds", "0.002", "--json", str(tmp_path / "scan.json"), "--history", "one"]
    assert scan.main(["--shapes", "3", *argv]) == 0
    full = json.loads((tmp_path / "scan.json").read_text())
    assert [one["name"] for one in full["results"]] == [one.name for _, one in works]
    assert full["summary"][0]["shapes"] == 3
    assert "| inference | torch |" in capsys.readouterr().out
    assert len(history.read("one")["ratios"]) == 3
    assert scan.main([*argv, "--minutes", "0"]) == 0
    assert "not measured, time was up" in capsys.readouterr().err


def test_a_scan_refuses_what_it_cannot_do(capsys):
    for argv in (["--shapes", "0"], ["--seconds", "0"], ["--history", "a/b"]):
        with pytest.raises(SystemExit):
            scan.main(argv)
    assert "history: expected a name" in capsys.readouterr().err
    assert scan.main(["--peers", "nobody"]) == 2


def full_report() -> dict:
    machine = dict.fromkeys(("date", "cpu", "isa", "compiler", "load_before"), "x") | {"versions": {"torch": "1"}}
    steps = {"I": 8, "H": 8, "dtype": "float32", "median_us": 1.0, "p99_us": 1.0, "rounds_us": [0.5, 1.0]}
    results = [result("A", torch=ratio(2.0, 1.9, 2.1)), result("B", torch=ratio(3.0, 2.9, 3.1))]
    results[0]["variants"] = {"fastrnn int8": {"torch": ratio(4.00006, 3.9, 4.1)}}
    results[0]["ratios"]["torch"]["forward"] = ratio(5.0, 4.0, 6.0)
    return {
        "machine": machine,
        "settings": {"rounds": 2},
        "results": results,
        "roofline": {"gflops": {"float32": 100.0}},
        "native_step": {"steps": [steps]},
    }


def test_a_kept_run_has_ratios_and_no_times():
    found = history.entries(full_report())
    share = 2 * 4 * 8 * 16 / 0.5e-6 / 100e9
    assert found == {
        "inference | A | fastrnn : torch": [2.0, 1.9, 2.1],
        "inference | A | fastrnn forward : torch": [5.0, 4.0, 6.0],
        "inference | A | fastrnn int8 : torch": [4.0, 3.9, 4.1],
        "inference | B | fastrnn : torch": [3.0, 2.9, 3.1],
        "small steps | LSTM T1 B1 H8 | float32 : peak": pytest.approx([share, share / 2, share], rel=1e-3),
    }
    assert history.entries(full_report() | {"roofline": {"skipped": "why"}}).keys() == set(list(found)[:4])


def test_what_became_slower_beyond_the_noise_is_printed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(history, "FOLDER", tmp_path / "history")
    new = full_report()
    new["results"][0]["ratios"]["torch"]["total"] = ratio(1.8, 1.7, 1.95)  # the rounds of both have 1.9 to 1.95
    new["results"][1]["ratios"]["torch"]["total"] = ratio(1.5, 1.4, 1.6)
    new["results"][0]["variants"]["fastrnn int8"]["torch"] = ratio(8.0, 7.0, 9.0)
    new["machine"] = new["machine"] | {"versions": {"torch": "2"}}
    new["native_step"] = {"skipped": "why"}
    old = history.write(full_report(), "old")
    history.write(new, "new")
    assert compare.main([str(old), "old"]) == 0
    assert compare.main(["old", "new"]) == 1
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("slower")] == [
        "slower: 0.50x  inference | B | fastrnn : torch  3 -> 1.5"
    ]
    assert "not alike: torch was 1, is 2" in out
    assert "4 in both: 1 slower, 1 faster, 2 within the noise; 1 only in old, 0 only in new" in out


def test_what_is_no_kept_run_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(history, "FOLDER", tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    for name, message in (("none", "expected one of those kept (bad)"), ("bad", "expected a file that bench.cpu")):
        with pytest.raises(SystemExit):
            compare.main([name, name])
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="history: expected a name"):
        history.write(full_report(), "../up")
