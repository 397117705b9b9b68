"""fit(distributed=fastrnn.distributed.MPI()) in jobs of one to four ranks, which run tests/support/mpi_training.py."""

from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.tree import ROOT

pytest.importorskip("mpi4py")
MPIRUN = shutil.which("mpirun", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
if MPIRUN is None:
    pytest.skip("there is no mpirun", allow_module_level=True)
OPTIONS = ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
LONGEST = 120  # seconds; a job takes three


def run(ranks: int, script: Path, *words: str, patience: float = LONGEST) -> subprocess.CompletedProcess[str]:
    command = [str(MPIRUN), *OPTIONS, "-n", str(ranks), sys.executable, str(script), *words]
    environment = {**os.environ, "PATIENCE": str(patience)}
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=LONGEST, env=environment, check=False
    )


def job(ranks: int, *words: str, patience: float = LONGEST) -> subprocess.CompletedProcess[str]:
    return run(ranks, ROOT / "tests" / "support" / "mpi_training.py", *words, patience=patience)


@functools.cache
def results(ranks: int, *words: str) -> list[tuple[str, str]]:
    done = job(ranks, *words)
    assert done.returncode == 0, done.stderr
    return [(name, value) for name, value in re.findall(r"^([\w ]+): (.*)$", done.stdout, re.M)]


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_bits_of_one_rank(ranks):
    alone, several = results(1, "bits"), results(ranks, "bits")
    assert dict(several)["random"] == dict(alone)["random"]
    assert {value for name, value in several if name.startswith("rank")} == {dict(alone)["rank 0"]}
    assert len({name for name, _ in several}) == ranks + 1


@pytest.mark.parametrize(("ranks", "task"), [(1, "against_alone"), (2, "against_alone"), (2, "plain_sum")])
def test_same_as_without(ranks, task):
    """Masks, weights, penalties and ragged batches: the loss and the gradients of a whole batch, but for rounding."""
    for name, value in results(ranks, task):
        assert float(value) < 1e-5, name


def test_callback_of_rank_0_stops_all():
    found = dict(results(3, "stopped"))
    assert set(found) == {"rank 0", "rank 1", "rank 2"}
    assert len(set(found.values())) == 1
    assert found["rank 0"].startswith("2 ")


def test_resume_with_another_number_of_ranks(tmp_path):
    folder = str(tmp_path / "run")
    results(3, "resumed", folder, "2")
    assert dict(results(2, "resumed", folder, "4")) == dict(results(1, "resumed", str(tmp_path / "other"), "4"))


def test_a_group_is_not_used_again_after_an_error():
    """Messages of the step that was broken off would be taken for those of the next one."""
    found = results(2, "again")
    assert len({value for name, value in found if name == "weights"}) == 1
    for rank in ("rank 0", "rank 1"):
        first, second = ast.literal_eval(dict(found)[rank])
        assert first == "no space left"
        assert "expected another MPI() after it" in second


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("error", r"LookupError: a file is gone(.|\n)*rank 1 of 2 on "),
        ("exit", "rank 1 of 2 on "),
        ("raise", r"OSError: no space left(.|\n)*rank 0 of 2 on "),
        ("kill", r"(process rank 1|,1\])(.|\n)*(signal 9|Killed)"),
    ],
)
def test_a_rank_that_dies_ends_the_job_and_is_named(how, named):
    done = job(2, "ends", how)
    took = time.time() - max(map(float, re.findall(r"ends at ([\d.]+)", done.stderr)))
    assert took < 60, done.stderr  # a second or two, on a machine that does nothing else
    assert done.returncode != 0
    assert "went on" not in done.stdout
    assert re.search(named, done.stderr), done.stderr


def check_end(done: subprocess.CompletedProcess[str], named: str) -> None:
    """The job ended in time, by itself, and said which rank it was."""
    took = time.time() - max(map(float, re.findall(r"ends at ([\d.]+)", done.stderr)))
    assert took < 60, done.stderr
    assert done.returncode != 0
    assert "went on" not in done.stdout
    assert re.search(named, done.stderr), done.stderr


def test_a_rank_that_hangs_ends_the_job_and_is_named():
    """Stopped, it is not dead: the others waited for ever."""
    check_end(job(3, "ends", "stop", patience=2), r"rank [01] has waited 2 s for rank 2")


@pytest.mark.full  # eight jobs for each of seven cases
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    ("place", "how"),
    [
        *[(place, how) for place in ("sum", "validation", "checkpoint") for how in ("KILL", "STOP")],
        ("half a checkpoint", "KILL"),
    ],
)
def test_a_run_goes_on_wherever_a_rank_was_lost(tmp_path, place, how, ranks):
    """By other numbers of ranks, to the bits of a run that nothing broke."""
    folder = tmp_path / "run"
    lost = 0 if "checkpoint" in place else ranks - 1
    named = rf"for rank {lost}\b" if how == "STOP" else rf"(process rank {lost}|,{lost}\])(.|\n)*(signal 9|Killed)"
    check_end(job(ranks, "killed_at", place, str(folder), how, patience=3), named)
    for others in (1, 4, 2):
        copy = shutil.copytree(folder, tmp_path / f"by {others}") if folder.exists() else tmp_path / f"by {others}"
        assert dict(results(others, "killed_at", "nowhere", str(copy))) == dict(
            results(1, "killed_at", "nowhere", str(tmp_path / "whole"))
        )


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("targets", "expected all ranks to have the data of rank 0, .* on rank 1"),
        pytest.param("rows", "expected all ranks to have the data of rank 0, .* on rank 1", marks=pytest.mark.full),
        pytest.param("model", "weights", marks=pytest.mark.full),
        pytest.param(
            "batches",
            "expected all ranks to be at a batch of 6 rows as rank 0 is, got rank 1 at a batch of 5 rows",
            marks=pytest.mark.full,
        ),
        ("ends early", "at a batch of 6 rows as rank 0 is, got rank 1 at the end of an epoch"),
    ],
)
def test_a_rank_with_something_else_is_an_error(what, text):
    """Other targets were trained on in silence, and fewer batches were an error of unpacking."""
    done = job(2, "unlike", what)
    assert done.returncode != 0
    assert "went on" not in done.stdout
    assert re.search(text, done.stderr), done.stderr


def test_program_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "distributed.md").read_text(encoding="utf-8")
    (tmp_path / "train.py").write_text(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[0])
    done = run(2, tmp_path / "train.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Epoch 3/3") == 1
    assert (tmp_path / "model.npz").exists()
