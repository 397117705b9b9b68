"""Scoring in bulk by the recipes in examples/, two cores against one process: ``python -m bench.scoring``.

The work is a folder of Parquet files with sequences of 50 to 350 steps, of which a stack of two LSTM and a Dense layer
gives the last output; so many that one process of fastrnn takes `--seconds`. PyTorch runs the same weights over the
same files by the same recipes, with the same batches of sequences of like lengths. Everybody's results are held to
those of the first.

Start-up is apart: each engine runs the recipe on one file first, in the same workers. Its overhead is told in two ways:
by how much it is behind two plain processes that share the files, and how long it takes where nothing is computed.

    pip install 'fastrnn[clusters,io]' torch
    python -m bench.scoring --seconds 60
    python -m bench.scoring --seconds 5 --engines dask --scorers fastrnn
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

import fastrnn
from fastrnn import LSTM, Dense, Input, Scorer, Sequential

from .machine import facts

ROOT = Path(__file__).resolve().parent.parent
INPUTS, UNITS, OUTPUTS, BATCH = 40, 256, 8, 64
ROWS = 256  # of a file
WORKERS = 2
GOALS = {"ray": 1.7, "dask": 1.7, "spark": 1.5}  # times the rows of one process
TOLERANCE = 1e-4  # of PyTorch's outputs, which are of the order of 0.1


# ---------------------------------------------------------------------------------------------------------- the scorers


class Torch:
    """As `fastrnn.Scorer` by torch.nn: pickled it is a path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.layers: list[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "layers": None}

    def __call__(self, sequences: Sequence[Any]) -> list[Any]:
        import torch

        if self.layers is None:
            torch.set_num_threads(1)
            self.layers = self._load()
        arrays = [np.asarray(sequence).reshape(-1, INPUTS) for sequence in sequences]
        order = sorted(range(len(arrays)), key=lambda index: len(arrays[index]))
        results: list[Any] = [None] * len(arrays)
        for start in range(0, len(order), BATCH):
            group = order[start : start + BATCH]
            lengths = [len(arrays[index]) for index in group]
            x = np.zeros((lengths[-1], len(group), INPUTS), np.float32)
            for row, index in enumerate(group):
                x[: lengths[row], row] = arrays[index]
            with torch.inference_mode():
                y = torch.from_numpy(x)
                for layer in self.layers[:-1]:
                    y = layer(y)[0]
                y = self.layers[-1](y[torch.tensor(lengths) - 1, torch.arange(len(group))]).numpy()
            for row, index in enumerate(group):
                results[index] = y[row]
        return results

    def _load(self) -> list[Any]:
        import torch
        from safetensors.torch import load_file

        # layers/NUMBER/NAME/PARAMETER, the names being those of the layers.
        arrays = {(k.split("/")[1], k.split("/")[-1]): array for k, array in load_file(self.path).items()}
        layers: list[Any] = []
        for index in ("0", "1"):
            w_ih, w_hh, bias = (arrays[index, name] for name in ("w_ih", "w_hh", "b_ih"))
            layer = torch.nn.LSTM(w_ih.shape[1], UNITS)
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            layer.load_state_dict(dict(zip(names, (w_ih, w_hh, bias, torch.zeros_like(bias)), strict=True)))
            layers.append(layer)
        head = torch.nn.Linear(UNITS, OUTPUTS)
        head.load_state_dict({"weight": arrays["2", "kernel"].T, "bias": arrays["2", "bias"]})
        return [*layers, head]


class Nothing:
    """Computes nothing: what is left is the engine's reading, handing on and writing."""

    def __call__(self, sequences: Sequence[Any]) -> list[Any]:
        return list(np.zeros((len(sequences), OUTPUTS), np.float32))


def scorer(name: str, folder: Path) -> Any:
    """The scorer of that name."""
    path = str(folder / "model.safetensors")
    return {"fastrnn": lambda: Scorer(path, last=True), "torch": lambda: Torch(path), "nothing": Nothing}[name]()


# ---------------------------------------------------------------------------------------------------------- the engines

Job = Callable[[Any, Path, Path], object]  # scorer, source, target


def one_process() -> Job:
    """The Arrow recipe here."""
    recipe = importlib.import_module("scoring_arrow")

    def job(scores: Any, source: Path, target: Path) -> None:
        target.mkdir()
        recipe.score(scores, str(source), str(target / "all.parquet"))

    return job


def processes() -> Job:
    """The Arrow recipe in plain processes, a file at a time."""
    pool = ProcessPoolExecutor(WORKERS, get_context("spawn"))

    def job(scores: Any, source: Path, target: Path) -> None:
        target.mkdir()
        # The one file of the warming up goes to every worker.
        files = sorted(source.glob("*.parquet")) * (WORKERS if source.name == "warm" else 1)
        done = [
            pool.submit(one_file, scores, str(file), str(target / f"{number}.parquet"))
            for number, file in enumerate(files)
        ]
        for future in done:
            future.result()

    return job


def one_file(scores: Any, source: str, target: str) -> None:
    """What a plain process does with a file."""
    importlib.import_module("scoring_arrow").score(scores, source, target)


def ray() -> Job:
    """Ray Data, its progress not printed."""
    import ray as engine
    import ray.data as data

    engine.init(num_cpus=WORKERS, log_to_driver=False, logging_level="error", include_dashboard=False)
    data.DataContext.get_current().enable_progress_bars = False
    recipe = importlib.import_module("scoring_ray")
    return lambda scores, source, target: recipe.score(scores, str(source), str(target), WORKERS)


def dask() -> Job:
    """Workers of Dask on this machine."""
    from dask.distributed import Client

    Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
    recipe = importlib.import_module("scoring_dask")
    return lambda scores, source, target: recipe.score(scores, str(source), str(target))


def spark() -> Job:
    """Spark in this process."""
    recipe = importlib.import_module("scoring_spark")
    session = recipe.session(WORKERS)
    session.sparkContext.setLogLevel("ERROR")
    return lambda scores, source, target: recipe.score(scores, str(source), str(target), session)


ENGINES: dict[str, Callable[[], Job]] = {
    "one process": one_process, "two processes": processes, "ray": ray, "dask": dask, "spark": spark,
}  # fmt: skip


def measured(engine: str, name: str, folder: Path) -> dict[str, float]:
    """Start the engine in this process, warm it up, and run it over the whole folder."""
    begin = time.perf_counter()
    job, scores = ENGINES[engine](), scorer(name, folder)
    job(scores, folder / "warm", folder / "out-warm")
    start = time.perf_counter() - begin
    begin = time.perf_counter()
    job(scores, folder / "in", folder / "out")
    return {"start": start, "seconds": time.perf_counter() - begin}


# ------------------------------------------------------------------------------------------------------------- the work


def make(folder: Path, seconds: float) -> int:
    """Write the model and so many sequences that one process takes that long; return how many."""
    fastrnn.set_random_seed(0)
    layers = [Input((None, INPUTS)), *(LSTM(UNITS, return_sequences=True) for _ in range(2)), Dense(OUTPUTS)]
    Sequential(layers).save(folder / "model.safetensors")
    random = np.random.default_rng(0)

    def sequences(count: int) -> list[Any]:
        lengths = random.integers(50, 351, count)
        return [random.standard_normal(INPUTS * steps, dtype=np.float32) for steps in lengths]

    def write(path: Path, first: int, rows: list[Any]) -> None:
        ids = pa.array(range(first, first + len(rows)), pa.int64())
        pa.parquet.write_table(pa.table({"id": ids, "x": pa.array(rows, pa.list_(pa.float32()))}), path)

    scores, sample = scorer("fastrnn", folder), sequences(2 * BATCH)
    scores(sample)
    begin = time.perf_counter()
    scores(sample)
    each = (time.perf_counter() - begin) / len(sample)
    count = max(2 * WORKERS, round(seconds / each / ROWS))
    for name, files in (("warm", 1), ("in", count)):
        (folder / name).mkdir()
        for number in range(files):
            write(folder / name / f"part-{number:03}.parquet", number * ROWS, sequences(ROWS))
    return count * ROWS


def results(folder: Path) -> Any:
    """What an engine has written, by id."""
    files = [str(path) for path in folder.rglob("*.parquet")]
    table = pa.dataset.dataset(files).to_table(columns=["id", "y"]).sort_by("id")
    assert table["id"].to_pylist() == list(range(len(table)))
    return np.array(table["y"].to_pylist(), np.float32)


def run(engine: str, name: str, folder: Path) -> tuple[dict[str, float], Any]:
    """`measured` in a process of its own, and the results."""
    for path in (folder / "out", folder / "out-warm"):
        shutil.rmtree(path, ignore_errors=True)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYSPARK_PYTHON": sys.executable, "PYTHONWARNINGS": "ignore"}
    environment["RAY_worker_niceness"] = "0"  # 15 unless told: on a machine that does other work they would starve
    command = [sys.executable, "-m", "bench.scoring", "--measure", engine, name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{engine} with {name} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1]), results(folder / "out")


def table(folder: Path, rows: int, engines: Sequence[str], scorers: Sequence[str]) -> None:
    """Print the table line by line."""
    print("| scorer | by | rows/s | x one process | goal | behind two processes | nothing computed | start-up |")
    print("|---|---|---:|---:|---|---:|---:|---:|")
    expected = None
    idle = {engine: run(engine, "nothing", folder)[0]["seconds"] for engine in engines}
    for name in scorers:
        rates: dict[str, float] = {}
        for engine in ("one process", "two processes", *engines):
            took, y = run(engine, name, folder)
            expected = y if expected is None else expected
            np.testing.assert_allclose(y, expected, rtol=0, atol=0 if name == "fastrnn" else TOLERANCE)
            rate = rates[engine] = rows / took["seconds"]
            ratio = rate / rates["one process"]
            cells = [name, engine, f"{rate:.0f}", f"{ratio:.2f}", "", "", "", f"{took['start']:.1f} s"]
            if engine in engines:
                cells[5] = f"{1 - rate / rates['two processes']:.0%}"
                cells[6] = f"{idle[engine]:.1f} s"
                if name == "fastrnn":
                    cells[4] = f"{GOALS[engine]}: {'reached' if ratio >= GOALS[engine] else 'missed'}"
            print("| " + " | ".join(cells) + " |", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scoring", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="that one process takes (%(default)s)")
    parser.add_argument("--engines", nargs="*", choices=list(GOALS), default=list(GOALS))
    parser.add_argument("--scorers", nargs="+", choices=["fastrnn", "torch"], default=["fastrnn", "torch"])
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.measure:
        engine, name, folder = given.measure
        print(json.dumps(measured(engine, name, Path(folder))))
        return 0
    known = facts([])
    with tempfile.TemporaryDirectory() as folder:
        rows = make(Path(folder), given.seconds)
        cores, load = known["cores_usable"], known["load_before"]
        print(f"{known['cpu']}, {known['isa']}, {cores} cores, load {load}; {rows} sequences\n")
        table(Path(folder), rows, given.engines, given.scorers)
    print(f"\nload at the end: {os.getloadavg()[0]:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
