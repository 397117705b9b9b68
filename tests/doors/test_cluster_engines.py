"""The recipes for Ray, Dask, Spark, Arrow and Optuna, each run in a process of its own: engines fork, warn and stay."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import LSTM, Dense, Input, Scorer, Sequential
from tests.support.tree import ROOT

pytest.importorskip("safetensors")
LONGEST = 600  # seconds; on two idle cores the slowest engine takes twenty


def need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; nox -s clusters has it")


def run(name: str, *arguments: object) -> str:
    """What the example prints."""
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, arguments)]
    environment = {**os.environ, "RAY_worker_niceness": "0"}  # else Ray's workers starve where others work, too
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=LONGEST, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def work(tmp_path) -> tuple[Path, list[Any]]:
    """A folder with a model and sequences in four files, and the output of each sequence's last step."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed; nox -s clusters has it")
    pytest.importorskip("pyarrow.parquet")
    fastrnn.set_random_seed(1)
    model = Sequential([Input((None, 3)), LSTM(16, return_sequences=True), Dense(2)])
    model.save(tmp_path / "model.safetensors")
    random = np.random.default_rng(0)
    sequences = [random.standard_normal((n, 3), dtype=np.float32) for n in random.integers(1, 30, 200)]
    (tmp_path / "in").mkdir()
    for part in range(4):
        rows = range(50 * part, 50 * part + 50)
        column = pa.array([sequences[row].ravel() for row in rows], pa.list_(pa.float32()))
        table = pa.table({"id": pa.array(rows, pa.int64()), "x": column, "other": pa.array(["-"] * 50)})
        pa.parquet.write_table(table, tmp_path / "in" / f"part-{part}.parquet")
    return tmp_path, Scorer(tmp_path / "model.safetensors", last=True)(sequences)


def check(folder: Path, expected: list[Any]) -> None:
    """The files of a folder have the results, to the last bit, in whatever order."""
    import pyarrow.dataset

    files = [str(path) for path in folder.rglob("*.parquet")] if folder.is_dir() else str(folder)
    table = pyarrow.dataset.dataset(files).to_table().sort_by("id")
    assert table["id"].to_pylist() == list(range(len(expected)))
    np.testing.assert_array_equal(np.array(table["y"].to_pylist(), np.float32), expected)


def test_example_scoring_arrow(work):
    folder, expected = work
    run("scoring_arrow", folder / "model.safetensors", folder / "in", folder / "out.parquet")
    check(folder / "out.parquet", expected)


def test_arrow_columns_are_not_copied(work, monkeypatch):
    """Of a mapped file, the sequences lie in the file's pages; the results are written from where they stand."""
    import pyarrow as pa

    folder, expected = work
    table = pa.parquet.read_table(folder / "in", columns=["id", "x"])
    with pa.OSFile(str(folder / "in.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    recipe = load("scoring_arrow")
    scorer, mapped = Scorer(folder / "model.safetensors", last=True), pa.memory_map(str(folder / "in.arrow"))
    monkeypatch.setattr(recipe.pa, "memory_map", lambda _: mapped)
    file = np.frombuffer(mapped.read_buffer(), np.uint8)
    seen = []

    def watched(sequences: list[Any]) -> list[Any]:
        seen.extend(np.shares_memory(file, sequence) for sequence in sequences)
        return scorer(sequences)

    recipe.score(watched, str(folder / "in.arrow"), str(folder / "out.parquet"))
    assert seen == [True] * len(expected)
    check(folder / "out.parquet", expected)


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_scoring_ray(work):
    need("ray")
    folder, expected = work
    run("scoring_ray", folder / "model.safetensors", folder / "in", folder / "out")
    check(folder / "out", expected)


def test_example_scoring_dask(work):
    need("dask")
    need("distributed")
    folder, expected = work
    run("scoring_dask", folder / "model.safetensors", folder / "in", folder / "out")
    check(folder / "out", expected)


def test_example_scoring_spark(work):
    need("pyspark")
    if shutil.which("java") is None:
        pytest.skip("there is no java; apt-get install openjdk-17-jre-headless")
    folder, expected = work
    run("scoring_spark", folder / "model.safetensors", folder / "in", folder / "out")
    check(folder / "out", expected)


def found(text: str) -> tuple[float, int, int]:
    """The least loss, the trials, and those ended early, as the last line tells them."""
    loss, trials, ended = re.findall(r"^loss (\S+) by .*; (\d+) trials, (\d+) of them", text, re.M)[0]
    return float(loss), int(trials), int(ended)


def test_example_search_optuna(tmp_path):
    need("optuna")
    small = ["--trials", "8", "--epochs", "4", "--storage", tmp_path / "search.log"]
    loss, trials, ended = found(run("search_optuna", *small))
    assert trials == 8
    assert 0 < ended < 8
    assert loss < 0.03  # guessing the mean: 0.0675
    assert found(run("search_optuna", *small))[1] == 16


def test_example_search_ray(tmp_path):
    need("ray")
    loss, trials, ended = found(run("search_ray", "--trials", "8", "--epochs", "4", "--folder", tmp_path))
    assert trials == 8
    assert 0 < ended < 8
    assert loss < 0.03


def test_the_benchmark_runs():
    """bench.scoring holds what it measures to the results of one process."""
    need("dask")
    need("distributed")
    command = [sys.executable, "-m", "bench.scoring", "--seconds", "0.01", "--engines", "dask", "--scorers", "fastrnn"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=LONGEST)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.findall(r"^\| fastrnn \| ([a-z ]+) \|", done.stdout, re.M) == ["one process", "two processes", "dask"]


def test_the_benchmark_has_pytorch_compute_the_same(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[torch]'")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed; nox -s clusters has it")
    from bench import scoring

    monkeypatch.setattr(scoring, "ROWS", 2)
    scoring.make(tmp_path, 0.0)
    lengths = np.random.default_rng(0).integers(1, 40, 90)
    sequences = [np.random.default_rng(n).standard_normal((n, scoring.INPUTS), dtype=np.float32) for n in lengths]
    threads = torch.get_num_threads()
    ours, theirs = (scoring.scorer(name, tmp_path)(sequences) for name in ("fastrnn", "torch"))
    torch.set_num_threads(threads)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=scoring.TOLERANCE)
