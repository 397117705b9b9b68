"""The load generator and the attackers of bench.serve, with few streams."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import fastrnn
from tests.support.tree import ROOT

pytest.importorskip("aiohttp", reason="the service's extra is not installed: pip install '.[serve]'")
from tests.support.served import model_file, options

pytestmark = pytest.mark.full  # seconds of load each


def test_the_load_generator_finds_nothing_lost_and_nothing_wrong():
    command = [sys.executable, "-m", "bench.serve.load", "--connections", "6", "--seconds", "2", "--warm-up", "0.5"]
    done = subprocess.run(
        [*command, "--steps", "2", "--sequences", "4"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["sent"], result["not_sent"], result["lost"], result["mismatched"]) == (6 * 62, 0, 0, 0)
    assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["max_ms"]


def test_it_serves_what_was_trained(tmp_path):
    pytest.importorskip("safetensors", reason="reading and writing models needs an extra: pip install '.[io]'")
    layers = fastrnn.layers
    trained = fastrnn.Sequential([layers.Input((None, 5)), fastrnn.GRU(17, return_sequences=True), layers.Dense(3)])
    trained.save(tmp_path / "model.safetensors")
    command = [sys.executable, "-m", "bench.serve.load", "--model", str(tmp_path / "model.safetensors")]
    more = ["--dtype", "bfloat16", "--connections", "3", "--seconds", "0.5", "--warm-up", "0.1", "--steps", "3"]
    more += ["--store", "memory"]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["sent"] == 3 * 16


@options(dtype="int8")
def test_the_load_generator_sees_what_is_wrong(server):
    """A server with other weights than the generator's."""
    command = [
        sys.executable,
        "-m",
        "bench.serve.load",
        "--url",
        f"{server.url}/stream",
        "--pid",
        str(server.process.pid),
    ]
    command += ["--model", model_file()]
    more = ["--connections", "2", "--seconds", "0.3", "--warm-up", "0.1"]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["mismatched"], result["lost"]) == (result["sent"], 0)
    assert result["memory_kib_after"] > 10_000


def test_a_small_attack():
    """As docs/serving.md says it, with fewer attackers, who want more places than there are."""
    command = [sys.executable, "-m", "bench.serve.attack", "--attackers", "48", "--connections", "4", "--seconds", "6"]
    command += ["--quiet-seconds", "0.2", "--again-seconds", "0.5", "--server"]
    command += ["--capacity", "24", "--connections", "50"]
    command += ["--stall-seconds", "0.5", "--header-seconds", "0.5", "--idle-seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    for name in ("alone", "beside_attackers", "newcomers_beside_attackers"):
        tally = result[name]
        assert tally["sent"] > 0, name
        assert (tally["not_sent"], tally["lost"], tally["mismatched"]) == (0, 0, 0), name
    assert len(result["attackers"]) == 8
    for name, attack in result["attackers"].items():
        assert attack["ended"] > attack["refused"], name
    assert result["memory_kib"]["peak"] - result["memory_kib"]["before"] < 100 << 10
    assert done.stderr == ""
