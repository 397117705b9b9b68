"""Which cell for which task and budget? Seven kinds with the same number of weights, on four tasks.

SimpleRNN, IndRNN (two layers, as its units meet in the next layer alone), MGU, GRU, LSTM, an LSTM whose gates begin
with memories of 1 to 100 steps ("chrono", Tallec & Ollivier 2018), and sLSTM get as many units as a budget of weights
allows, and the same training. Tasks:

- adding: the sum of two marked numbers among a hundred; right is within 0.04, as Hochreiter & Schmidhuber have it.
- copy: five symbols of eight, to be said again in their order after twenty steps of silence.
- vowels: which of nine men speaks (JapaneseVowels, 7 to 29 frames; examples/japanese_vowels.py says where it is from).
- characters: the next character of Python's help texts.

Of each cell the better of two learning rates is taken, by the loss in training with the first seed. What is printed and
written: the share of right answers on new data for each seed, CPU seconds of the training on one thread, what is kept
for its backward pass, and the latency of a step and the memory of a stream by budget. docs/choosing.md shows them.

    python examples/choosing.py --out docs/choosing [--quick] [--tasks adding copy]
    python examples/choosing.py --out docs/choosing --draw         the picture and the tables again, from the .json
"""

from __future__ import annotations

import argparse
import json
import runpy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import fastrnn
from fastrnn.data import CharVocabulary, pad_sequences, python_topics, windows
from fastrnn.layers import GRU, LSTM, MGU, SLSTM, Dense, Embedding, IndRNN, Input, Layer, Masking, SimpleRNN
from fastrnn.optimizers import Adam
from fastrnn.schedules import CosineDecay

BUDGETS = (10_000, 100_000, 1_000_000)  # of weights, for the latency of a step
RATES = (0.003, 0.01)


def _chrono_lstm(units: int, **keywords: Any) -> Layer:
    """An LSTM that begins with memories of 1 to 100 steps (Tallec & Ollivier 2018)."""

    def biases(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        forget = np.log(np.random.default_rng(0).uniform(1, 99, units))
        return np.concatenate([-forget, forget, np.zeros(2 * units)]).astype(dtype)

    return LSTM(units, bias_initializer=biases, unit_forget_bias=False, **keywords)


CELLS: dict[str, tuple[Callable[..., Layer], int]] = {  # and how many of them on top of each other
    "SimpleRNN": (SimpleRNN, 1),
    "IndRNN, 2 layers": (IndRNN, 2),
    "MGU": (MGU, 1),
    "GRU": (GRU, 1),
    "LSTM": (LSTM, 1),
    "LSTM, chrono": (_chrono_lstm, 1),
    "sLSTM": (SLSTM, 1),
}


@dataclass
class Task:
    """Data of a task, and what it needs of a network."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    weights: int  # of the whole network, at most
    epochs: int
    before: list[Callable[[], Layer]]  # layers below the cell
    outputs: int
    loss: str = "sparse_categorical_crossentropy"
    every_step: bool = False
    judged: int = 0  # steps from the end that count; 0: all
    batch_size: int = 32


def example(name: str) -> SimpleNamespace:
    """What another of the examples defines."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name(f"{name}.py"))))


def adding(quick: bool) -> Task:
    """Two numbers of a hundred steps."""
    rng, steps = np.random.default_rng(0), 20 if quick else 100
    make = example("adding_problem").adding
    return Task(
        make(100 if quick else 5000, steps, rng), make(1000, steps, rng), 4_500, 12, [lambda: Input((None, 2))], 1,
        "mse", batch_size=50,
    )  # fmt: skip


def copy(quick: bool) -> Task:
    """Five symbols, twenty steps of nothing, and the signal to say them; one of ten inputs is 1 at each step."""
    rng, symbols, silence = np.random.default_rng(0), 5, 3 if quick else 20

    def make(count: int) -> tuple[np.ndarray, np.ndarray]:
        said = rng.integers(0, 8, (count, symbols))
        seen = np.full((count, symbols + silence + symbols), 8)
        seen[:, :symbols] = said
        seen[:, -symbols:] = 9
        wanted = np.full_like(seen, 8)
        wanted[:, -symbols:] = said
        return np.eye(10, dtype=np.float32)[seen], wanted

    return Task(
        make(100 if quick else 6000), make(1000), 10_000, 25, [lambda: Input((None, 10))], 9,
        every_step=True, judged=symbols, batch_size=64,
    )  # fmt: skip


def vowels(quick: bool) -> Task:
    """Nine speakers; frames are scaled by those of the training part."""
    load = example("japanese_vowels").load
    (train, y_train), (test, y_test) = load("TRAIN"), load("TEST")
    frames, padding = np.concatenate(train), -99.0
    mean, std = frames.mean(axis=0), frames.std(axis=0)
    x, x_test = (
        pad_sequences([(u - mean) / std for u in part], 29, "float32", padding="post", value=padding)
        for part in (train, test)
    )
    before = [lambda: Input((29, 12)), lambda: Masking(padding)]
    return Task((x, y_train), (x_test, y_test), 10_000, 60, before, 9)


def characters(quick: bool) -> Task:
    """Windows of 64 characters, the last tenth of the text to judge on."""
    text = python_topics()[: 10_000 if quick else 250_000]
    vocabulary = CharVocabulary(text)
    parts = np.split(vocabulary.encode(text), [len(text) * 9 // 10])
    train, test = (windows(part, 65, 64) for part in parts)
    size = len(vocabulary)
    return Task(
        (train[:, :-1], train[:, 1:]), (test[:, :-1], test[:, 1:]), 50_000, 4,
        [lambda: Input((None,)), lambda: Embedding(size, 32)], size, every_step=True, batch_size=16,
    )  # fmt: skip


TASKS = {"adding": adding, "copy": copy, "vowels": vowels, "characters": characters}


# -- networks ----------------------------------------------------------------------------------------------------------


def network(name: str, units: int, task: Task, **keywords: Any) -> fastrnn.Sequential:
    """The cell with so many units between the layers of the task."""
    make, count = CELLS[name]
    cells = [make(units, return_sequences=k + 1 < count or task.every_step, **keywords) for k in range(count)]
    head = Dense(task.outputs, None if task.loss == "mse" else "softmax")
    return fastrnn.Sequential([*(layer() for layer in task.before), *cells, head])


def largest(name: str, task: Task, weights: int) -> int:
    """The most units with which the network has no more weights than that."""
    least, most = 1, weights
    while least < most:
        middle = (least + most + 1) // 2
        fits = middle * middle <= weights  # or no network is made: the matrices would be far too large
        if fits:  # zeros are drawn in no time
            fits = network(name, middle, task, recurrent_initializer="zeros").count_params() <= weights
        least, most = (middle, most) if fits else (least, middle - 1)
    return least


def right(prediction: np.ndarray, y: np.ndarray, task: Task) -> float:
    """The share of right answers."""
    if task.loss == "mse":
        return float((np.abs(prediction - y) < 0.04).mean())
    found = prediction.argmax(axis=-1) == y
    return float(found[..., -task.judged :].mean()) if task.judged else float(found.mean())


def train(name: str, units: int, task: Task, seed: int, rate: float) -> dict[str, float]:
    """Train once; return how right it is on new data, the last loss in training, and CPU seconds."""
    fastrnn.set_random_seed(seed)
    model = network(name, units, task)
    steps = task.epochs * -(-len(task.train[0]) // task.batch_size)
    model.compile(Adam(CosineDecay(rate, steps, alpha=0.02), global_clipnorm=1.0), task.loss)
    weight = None
    if task.judged:
        weight = np.full(task.train[1].shape, 0.1, np.float32)
        weight[:, -task.judged :] = 1
    begin = time.process_time()
    history = model.fit(
        *task.train, batch_size=task.batch_size, epochs=task.epochs, sample_weight=weight, verbose=0, threads=1
    )
    seconds = time.process_time() - begin
    prediction = model.predict(task.test[0], batch_size=500, threads=1)
    return {
        "right": right(prediction, task.test[1], task),
        "loss": model.evaluate(*task.test, batch_size=500, threads=1),
        "last": history.history["loss"][-1],
        "seconds": seconds,
    }


def kept(name: str, units: int, task: Task) -> int:
    """Bytes that the cells keep of a batch for the backward pass."""
    model = network(name, units, task)
    x, bytes_ = task.train[0][: task.batch_size], 0
    for layer in model.layers:
        if hasattr(layer, "cell"):
            weights = {p.name.rpartition("/")[2]: p.value for p in layer.parameters()}
            forward = getattr(fastrnn, f"{layer.cell}_forward")
            bytes_ += forward(np.asarray(x, np.float32), **weights, batch_first=True, training=True)[-1].nbytes
        x = layer.forward(layer.cast(x))
    return bytes_


def stream(name: str, weights: int, steps: int) -> dict[str, float]:
    """Latency of a step, in microseconds, and bytes, of a network with 64 inputs and 10 outputs."""
    task = Task((None, None), (None, None), weights, 0, [lambda: Input((None, 64))], 10, every_step=True)
    model = network(name, largest(name, task, weights), task).to_native()
    session = fastrnn.Session(model)
    x = np.random.default_rng(0).normal(size=(1, 64)).astype(np.float32)
    y = session.step(x)
    taken = np.empty(steps)
    for k in range(steps):
        begin = time.perf_counter_ns()
        session.step(x, out=y)
        taken[k] = time.perf_counter_ns() - begin
    return {"microseconds": float(np.median(taken)) / 1e3, "stream": session.nbytes, "model": model.nbytes}


# -- what is shown -----------------------------------------------------------------------------------------------------


def tables(results: dict[str, Any]) -> str:
    """The results as two tables in Markdown."""
    lines = ["| | " + " | ".join(results["tasks"]) + " |", "|---|" + "---|" * len(results["tasks"])]
    for name in CELLS:
        cells = []
        for task in results["tasks"].values():
            found = task["cells"][name]
            shares = [100 * run["right"] for run in found["runs"]]
            seconds = np.mean([run["seconds"] for run in found["runs"]])
            spread = f" ({min(shares):.0f}-{max(shares):.0f})" if len(shares) > 1 else ""
            cells.append(f"{np.mean(shares):.1f} %{spread}, {seconds:.1f} s, {found['kept'] / 1e6:.2f} MB")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| | " + " | ".join(f"{int(b):,} weights" for b in results["streams"]) + " |"]
    lines.append("|---|" + "---|" * len(results["streams"]))
    for name in CELLS:
        found = [by_cell[name] for by_cell in results["streams"].values()]
        cells = [f"{s['microseconds']:.1f} µs, {s['stream'] / 1e3:.1f} kB" for s in found]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(results: dict[str, Any], path: Path) -> None:
    """A panel per task: how right against how long it trained, a dot per seed; and one of the latencies."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    panels = np.ravel(figure.subplots(2, 3))
    for ax, (title, task) in zip(panels, results["tasks"].items(), strict=False):
        for k, name in enumerate(CELLS):
            runs = task["cells"][name]["runs"]
            ax.plot(
                [run["seconds"] for run in runs], [100 * run["right"] for run in runs], "o", color=f"C{k}", label=name,
                alpha=0.8,
            )  # fmt: skip
        ax.set(title=f"{title}, {task['weights']:,} weights", xlabel="CPU seconds of training", ylabel="right, %")
    ax = panels[len(results["tasks"])]
    for k, name in enumerate(CELLS):
        ax.plot(
            [int(b) for b in results["streams"]], [by[name]["microseconds"] for by in results["streams"].values()],
            "o-", color=f"C{k}",
        )  # fmt: skip
    ax.set(title="a step of one stream", xlabel="weights", ylabel="µs", xscale="log", yscale="log")
    for ax in panels[len(results["tasks"]) + 1 :]:
        ax.set_axis_off()
    panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center")
    figure.savefig(path, dpi=80)


def measure(args: argparse.Namespace, path: Path | None) -> dict[str, Any]:
    """Train and time; what is found so far is in the file after each task."""
    chosen = ("isa", "version", "compiler")
    about = {name: value for name, value in fastrnn.info().items() if name in chosen}
    results: dict[str, Any] = {"about": about, "tasks": {}, "streams": {}}
    if path is not None and path.exists():
        results["tasks"] = json.loads(path.read_text())["tasks"]  # those that are not measured now

    def note() -> None:
        if path is not None:
            path.write_text(json.dumps(results, indent=1) + "\n")

    budgets = BUDGETS[:1] if args.quick else BUDGETS
    for budget in budgets:
        results["streams"][str(budget)] = {name: stream(name, budget, 50 if args.quick else 3000) for name in CELLS}
    for title in args.tasks:
        task = TASKS[title](args.quick)
        task.epochs = 1 if args.quick else task.epochs
        found = {}
        for name in CELLS:
            units = largest(name, task, task.weights)
            first = {rate: train(name, units, task, 0, rate) for rate in RATES[: 1 if args.quick else None]}
            rate = min(first, key=lambda rate: first[rate]["last"])
            runs = [first[rate], *(train(name, units, task, seed, rate) for seed in range(1, args.seeds))]
            found[name] = {
                "units": units, "weights": network(name, units, task).count_params(), "rate": rate,
                "kept": kept(name, units, task), "runs": runs,
            }  # fmt: skip
            if args.verbose:
                shares = ", ".join(f"{run['right']:.3f}" for run in runs)
                print(f"{title}: {name}, {units} units, rate {rate}: {shares}; {runs[0]['seconds']:.1f} s", flush=True)
        results["tasks"][title] = {"weights": task.weights, "cells": found}
        note()
    return results


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the example; return what it found, as the file has it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder of choosing.json and choosing.png; default: neither")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="little data, one epoch, one rate: to see that it runs")
    parser.add_argument("--draw", action="store_true", help="train nothing: show what the file has")
    parser.add_argument("--verbose", type=int, default=1)
    args = parser.parse_args(argv)
    path = None if args.out is None else args.out / "choosing.json"
    if args.draw and path is None:
        parser.error("--draw needs --out")
    results = json.loads(path.read_text()) if args.draw and path is not None else measure(args, path)
    results["tasks"] = {title: results["tasks"][title] for title in TASKS if title in results["tasks"]}
    if path is not None:
        draw(results, path.with_suffix(".png"))
    print(tables(results))
    return results


if __name__ == "__main__":
    main()
