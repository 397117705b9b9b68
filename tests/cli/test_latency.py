"""python -m fastrnn latency: what it reports of given times, and that it runs; never how long anything took."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.cli.command_line import main
from fastrnn.cli.latency import native, report, shapes, timing
from tests.support.tree import ROOT

SMALL = shapes.Shape("small", 2, 8, 3)
two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="takes two cores"
)


def measured(times: Any) -> timing.Measured:
    return timing.Measured(shapes.Case(SMALL, "float32", 1, "quiet"), "python", 99.0, np.asarray(times, float))


def test_percentiles_are_times_that_were_measured():
    """p99 of 1000 times is the smallest of them that at least 990 do not exceed."""
    summary = measured(np.random.default_rng(0).permutation(np.arange(1.0, 1001.0))).summary()
    assert summary == {"cold_us": 99.0, "p50_us": 501.0, "p99_us": 991.0, "p999_us": 1000.0, "max_us": 1000.0}


@pytest.mark.parametrize("times", [[5.0], [5.0] * 100, [0.0, 1.0], np.geomspace(1, 1e4, 1000)], ids=len)
def test_every_call_is_in_the_histogram(times):
    counts, edges = report.histogram(np.asarray(times))
    positive = np.maximum(times, 1e-3)
    assert counts.sum() == np.count_nonzero(np.asarray(times) >= edges[0])
    assert edges[0] <= positive.min()
    assert positive.max() <= edges[-1]


def test_a_single_slow_call_is_in_the_picture():
    lines = report.picture(np.array([1.0] * 10_000 + [50.0]))
    bars = [line.partition("|")[2].count("#") for line in lines]
    assert bars[0] == max(bars) == 50
    assert bars[-1] == round(np.log10(2) / np.log10(10_001) * 50)
    assert not any(bars[1:-1])


def test_the_table_has_every_figure():
    lines = report.table([measured(range(1, 1001))])
    assert lines[0].split()[:7] == ["us", "from", "cold", "p50", "p99", "p99.9", "max"]
    assert lines[1].split()[-6:] == ["python", "99.00", "501.00", "991.00", "1000.00", "1000.00"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stepper_computes_the_stream(threads):
    """Both ways: a session, and the functions with their states fed back."""
    case = shapes.Case(SMALL, "float32", threads, "quiet")
    step, x = timing.stepper(case), np.random.default_rng(0).standard_normal((5, 3), np.float32)
    y = [np.array(step(x_t)).ravel() for x_t in x]
    session = fastrnn.Session(fastrnn.Model(SMALL.weights("float32")))
    np.testing.assert_array_equal(y, session.run(x[:, np.newaxis])[:, 0])


def test_cases_are_those_that_mean_something():
    assert [shape.name for shape in shapes.SHAPES] == ["stac-a", "stac-b", "stac-c", "silero"]
    found = shapes.cases(shapes.SHAPES, ["float32", "int8"], [1, 2], ["quiet", "busy"])
    assert len(found) == 4 * 2 * 2 + 2 * 2 * 2  # two threads for the two large ones
    assert {case.shape.name for case in found if case.threads == 2} == {"stac-b", "stac-c"}
    assert [(s.layers, s.hidden) for s in shapes.SHAPES] == [(2, 128), (3, 256), (3, 480), (1, 128)]


@two_cores
def test_it_measures_and_writes(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib: pip install '.[bench]'")
    before = os.sched_getaffinity(0)
    out, drawn = tmp_path / "out.json", tmp_path / "out.png"
    command = ["latency", "--shapes", "silero", "--dtypes", "int8", "--calls", "20", "--warm-up", "3"]
    assert main([*command, "--only", "python", "--json", str(out), "--picture", str(drawn)]) == 0
    assert os.sched_getaffinity(0) == before
    results = json.loads(out.read_text())["results"]
    assert [(r["shape"], r["dtype"], r["threads"], r["load"], r["calls"]) for r in results] == [
        ("silero", "int8", 1, "quiet", 20),
        ("silero", "int8", 1, "busy", 20),
    ]
    for result in results:
        assert 0 < result["p50_us"] <= result["p99_us"] <= result["p999_us"] <= result["max_us"]
        assert result["cold_us"] > 0
        assert sum(result["histogram"]["counts"]) == 20
    text = capsys.readouterr().out
    assert "silero 1x128 int8 busy, from python" in text
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_the_model_of_a_file(tmp_path, capsys):
    layers = [fastrnn.Input((None, 3)), fastrnn.GRU(4), fastrnn.Dense(2, activation="softmax")]
    fastrnn.Sequential(layers).save(tmp_path / "plain.npz")
    masked = fastrnn.Sequential([layers[0], fastrnn.Masking(-1.0), fastrnn.GRU(4)])
    masked.save(tmp_path / "masked.npz")
    both = fastrnn.Sequential([layers[0], fastrnn.Bidirectional(fastrnn.GRU(4))])
    both.save(tmp_path / "both.npz")
    words = ["--dtypes", "float32", "int8", "--loads", "quiet", "--calls", "3", "--warm-up", "0", "--json", "-"]
    assert main(["latency", str(tmp_path / "plain.npz"), *words]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(r["shape"], r["inputs"], r["hidden"], r["dtype"]) for r in results] == [
        ("plain", 3, 2, "float32"), ("plain", 3, 2, "int8"),
    ]  # fmt: skip
    for name, message in (
        ("masked.npz", "fastrnn convert --without-masking writes one for streams"),
        ("both.npz", "both.npz: expected a model that runs step by step; fastrnn inspect names the layers"),
        ("none.npz", "none.npz: No such file or directory"),
    ):
        assert main(["latency", str(tmp_path / name), *words]) == 2
        assert message in capsys.readouterr().err
    stream = tmp_path / "stream.npz"
    assert main(["convert", str(tmp_path / "masked.npz"), str(stream), "--without-masking"]) == 0
    assert main(["latency", str(stream), *words]) == 0
    assert main(["convert", str(stream), str(tmp_path / "again.npz"), "--without-masking"]) == 2
    assert "expected a model with Masking" in capsys.readouterr().err
    x = np.random.default_rng(0).standard_normal((2, 5, 3), np.float32)
    np.testing.assert_array_equal(fastrnn.load_model(stream).predict(x), masked.predict(x))


def test_json_alone_on_the_standard_output(capsys):
    command = "latency --shapes silero --dtypes float32 --loads quiet --calls 3 --warm-up 0 --only python --json -"
    assert main(command.split()) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--calls", "0"], "calls, warm-up: expected at least 1 and at least 0, got 0 and 2000"),
        (["--native", "nowhere"], "native: expected the program fastrnn-latency, got 'nowhere'"),
    ],
)
def test_errors(options, message, capsys):
    assert main(["latency", *options]) == 2
    assert message in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ the native twin


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")
def test_the_native_twin_fits_the_public_headers():
    compiler = os.environ.get("CXX", "c++").split()
    command = [*compiler, "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "csrc" / "include"]
    subprocess.run([*command, ROOT / "bench" / "latency.cc"], check=True)


def program(tmp_path: Path, script: str) -> Path:
    path = tmp_path / native.PROGRAM
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_native_twin_is_asked_for_the_same_case(tmp_path):
    twin = program(tmp_path, 'echo "$@" > "$(dirname "$0")/asked"; echo 9000; echo 1000; echo 2500')
    found = native.measure(twin, shapes.Case(SMALL, "int8", 2, "quiet"), 2, 7)
    assert (tmp_path / "asked").read_text().split() == ["int8", "2", "8", "3", "2", "2", "7", "--times"]
    assert (found.runner, found.cold_us, found.times_us.tolist()) == ("native", 9.0, [1.0, 2.5])


def test_a_native_twin_that_fails_is_named(tmp_path):
    twin = program(tmp_path, "echo no such dtype >&2; exit 2")
    with pytest.raises(ValueError, match=r"^fastrnn-latency: no such dtype$"):
        native.measure(twin, shapes.Case(SMALL, "int8", 1, "quiet"), 2, 7)


@pytest.mark.skipif(native.find(None) is None, reason="fastrnn-latency is not built (cmake -DFASTRNN_TOOLS=ON)")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_native_twin_runs(threads):
    twin = native.find(None)
    assert twin is not None
    found = native.measure(twin, shapes.Case(SMALL, "float32", threads, "quiet"), 50, 5)
    assert len(found.times_us) == 50
    assert found.times_us.min() > 0
