"""Whole epochs of training as people write them: Sequential.fit beside a plain PyTorch loop and Keras on PyTorch.

Each section runs in a process of its own, ``python -m bench.fit``, as PyTorch and Keras take their threads, and Keras
its backend, when they are imported. The model is an LSTM, whose last output a Dense layer with softmax makes ten
classes of, trained by Adam with batches in order. Everybody starts from the same weights, and the first epoch has to
change everybody's predictions alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn

from .measure import Contestant, Unable
from .peers import Peer
from .run import Run, Settings
from .section import Section, Variant
from .sections import SECTIONS
from .work import FIT_ROWS, Array, Problem, Work, parse

CLASSES = 10
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")


def data(work: Work) -> tuple[Array, Array]:
    """x (512, T, I) and a class for each row."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((FIT_ROWS, work.T, work.I), dtype=np.float32)
    return x, rng.integers(0, CLASSES, FIT_ROWS).astype(np.int64)


def model(work: Work) -> fastrnn.Sequential:
    """Ours, built; its weights are those that all begin with."""
    made = fastrnn.Sequential([fastrnn.LSTM(work.H), fastrnn.Dense(CLASSES, activation="softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    made.build((work.B, work.T, work.I))
    rng = np.random.default_rng(2)
    made.set_weights([rng.uniform(-(work.H**-0.5), work.H**-0.5, w.shape).astype(w.dtype) for w in made.get_weights()])
    return made


def _contestant(name: str, problem: Problem, epoch: Callable[[], Any], predict: Callable[[], Array]) -> Contestant:
    """Compared is by how much the predictions have changed: they are nearly alike at the beginning."""
    before = predict()
    return Contestant(name, problem.work, epoch, lambda _: {"y": predict() - before}, precision="fit")


class FitFastRNN:
    """This library; `threads` None leaves it what it takes by default."""

    def __init__(self, threads: int | None) -> None:
        if threads is not None:
            fastrnn.set_num_threads(threads)

    def contestant(self, problem: Problem, variant: Variant) -> Contestant:
        """Sequential.fit."""
        x, y = data(problem.work)
        made, batch = model(problem.work), problem.work.B
        epoch = partial(made.fit, x, y, batch_size=batch, epochs=1, verbose=0, shuffle=False)
        return _contestant(variant.name, problem, epoch, lambda: made.predict(x[:batch], batch_size=batch, verbose=0))


class FitTorch(Peer):
    """A plain loop over nn.LSTM and nn.Linear. One of the LSTM's two biases is zero and stays it, as Keras has one."""

    name, dtype = "torch", "fit"

    def __init__(self) -> None:
        import torch

        self.torch, self.version = torch, torch.__version__

    def fit(self, problem: Problem) -> Contestant:
        torch, work = self.torch, problem.work
        x, y = map(torch.from_numpy, data(work))
        lstm, linear = torch.nn.LSTM(work.I, work.H, batch_first=True), torch.nn.Linear(work.H, CLASSES)
        w_ih, w_hh, bias, *dense = map(torch.from_numpy, model(work).get_weights())
        with torch.no_grad():
            for parameter, value in zip(lstm.parameters(), (w_ih.T, w_hh.T, bias, 0 * bias), strict=True):
                parameter.copy_(value)
            for parameter, value in zip(linear.parameters(), (dense[0].T, dense[1]), strict=True):
                parameter.copy_(value)
        lstm.bias_hh_l0.requires_grad_(False)
        optimizer = torch.optim.Adam([*lstm.parameters(), *linear.parameters()], eps=1e-7)
        cross_entropy = torch.nn.functional.cross_entropy

        def epoch() -> None:
            for start in range(0, FIT_ROWS, work.B):
                optimizer.zero_grad()
                logits = linear(lstm(x[start : start + work.B])[0][:, -1])
                cross_entropy(logits, y[start : start + work.B]).backward()
                optimizer.step()

        def predict() -> Array:
            with torch.inference_mode():
                return np.asarray(torch.softmax(linear(lstm(x[: work.B])[0][:, -1]), -1))

        return _contestant(self.name, problem, epoch, predict)


class FitKeras(Peer):
    """keras.Sequential.fit on PyTorch, the backend that every user of PyTorch has."""

    name, dtype = "keras", "fit"

    def __init__(self) -> None:
        os.environ["KERAS_BACKEND"] = "torch"
        import keras

        self.keras = keras
        self.version = f"{keras.__version__} ({keras.backend.backend()})"

    def fit(self, problem: Problem) -> Contestant:
        work, layers = problem.work, self.keras.layers
        x, y = data(work)
        made = self.keras.Sequential([layers.LSTM(work.H), layers.Dense(CLASSES, activation="softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        made.build((work.B, work.T, work.I))
        made.set_weights(model(work).get_weights())
        epoch = partial(made.fit, x, y, batch_size=work.B, epochs=1, verbose=0, shuffle=False)
        return _contestant(self.name, problem, epoch, lambda: np.asarray(made.predict(x[: work.B], verbose=0)))


def _peers(names: Sequence[str] | None) -> tuple[list[Peer], dict[str, str]]:
    """Those asked for (None: all) that are installed, and by name why the others are not here."""
    found: list[Peer] = []
    absent = {}
    for peer in (FitTorch, FitKeras):
        try:
            if names is not None and peer.name not in names:
                raise Unable("not asked for")
            found.append(peer())
        except ImportError as error:
            absent[peer.name] = f"not installed ({error})"
        except Unable as error:
            absent[peer.name] = str(error)
    return found, absent


def in_processes_of_their_own(run: Run, plan: Iterable[tuple[Section, Work]], peers: Sequence[str] | None) -> None:
    """Measure the works of `plan` that are fits, and put their results and notes into `run`."""
    planned = list(plan)
    for section in dict.fromkeys(section for section, _ in planned if section.kind == "fit"):
        works = [work for one, work in planned if one is section]
        settings = run.settings
        command = [sys.executable, "-m", "bench.fit", section.name, *(work.name for work in works)]
        command += ["--rounds", str(settings.rounds), "--seconds", str(settings.seconds)]
        command += ["--minutes", str(settings.minutes - run.minutes)]
        command += ["--peers", *peers] if peers is not None else []
        environment = {name: value for name, value in os.environ.items() if name not in _THREADS}
        if section.by_defaults:
            command += ["--cores", *map(str, sorted(settings.allowed))]
        else:
            environment |= dict.fromkeys(_THREADS, "1")
        done = subprocess.run(
            command, cwd=Path(__file__).parent.parent, env=environment, stdout=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            run.note(f"{section.name}: not measured, its process ended with {done.returncode}")
            continue
        *lines, answer = done.stdout.splitlines()
        print("\n".join(lines), flush=True)
        found = json.loads(answer)
        run.works += works[: len(found["results"])]
        run.results += found["results"]
        for note in found["notes"]:
            run.note(f"{section.name}: {note}" if "left out" in note else note)


def main(argv: Sequence[str] | None = None) -> int:
    """What such a process does: the last line that it prints has its results."""
    parser = argparse.ArgumentParser(prog="python -m bench.fit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("section", choices=[section.name for section in SECTIONS if section.kind == "fit"])
    parser.add_argument("shapes", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--peers", nargs="*")
    parser.add_argument("--cores", nargs="*", type=int, default=[])
    options = parser.parse_args(argv)
    if options.cores:
        os.sched_setaffinity(0, options.cores)  # before any library starts its threads
    section = next(section for section in SECTIONS if section.name == options.section)
    works = [parse(shape, "fit") for shape in options.shapes]
    settings = Settings(options.rounds, options.seconds, minutes=options.minutes)
    run = Run(settings, FitFastRNN(None if section.by_defaults else 1), *_peers(options.peers))
    run.all_works((section, work) for work in works)
    print(json.dumps({"results": run.results, "notes": run.notes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
