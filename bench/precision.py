"""Run trained models in an arithmetic of fastrnn, and measure how far they come from float64: for `accuracy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fastrnn

from .models import Layer, Model, Outputs
from .work import Array

# A model in float32 agrees with its package if no number differs by more than this part of the largest one.
TOLERANCE = 1e-5


class Arithmetic:
    """Runs layers by fastrnn with the arguments of pack_* that it is made with; packs each layer once."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self._type = np.float64 if options["dtype"] == "float64" else np.float32
        self._packed: dict[Layer, Any] = {}

    def _array(self, a: Array | None) -> Array | None:
        return None if a is None else np.ascontiguousarray(a, self._type)

    def __call__(
        self, layer: Layer, x: Array, h0: Array | None = None, c0: Array | None = None, /
    ) -> tuple[Array, Array, Array | None]:
        """See models.Recurrence."""
        if layer not in self._packed:
            parameters = map(self._array, (layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh))
            self._packed[layer] = getattr(fastrnn, f"pack_{layer.cell}")(*parameters, **self.options)
        states = (h0, c0) if layer.cell == "lstm" else (h0,)
        forward = getattr(fastrnn, f"{layer.cell}_forward")
        y, h_n, *c_n = forward(
            self._array(x),
            self._packed[layer],
            **dict(zip(("h0", "c0"), map(self._array, states), strict=False)),
            reverse=layer.reverse,
        )
        return y, h_n, c_n[0] if c_n else None


@dataclass
class Run:
    """One sequence through one layer: what came in, what came out, and the state h at its end."""

    x: Array
    h0: Array | None
    c0: Array | None
    y: Array
    h_n: Array


@dataclass
class Recorder:
    """Runs layers in float64 and keeps what went through each of them."""

    runs: dict[Layer, list[Run]] = field(default_factory=dict)
    exact: Arithmetic = field(default_factory=lambda: Arithmetic(dtype="float64"))

    def __call__(
        self, layer: Layer, x: Array, h0: Array | None = None, c0: Array | None = None, /
    ) -> tuple[Array, Array, Array | None]:
        """See models.Recurrence. A call that starts where the last one ended, as a decoder's steps do, prolongs it."""
        y, h_n, c_n = self.exact(layer, x, h0, c0)
        runs = self.runs.setdefault(layer, [])
        if h0 is not None and runs and np.array_equal(runs[-1].h_n, h0):
            last = runs.pop()
            x, h0, c0, whole = np.concatenate((last.x, x)), last.h0, last.c0, np.concatenate((last.y, y))
        else:
            whole = y
        runs.append(Run(x, h0, c0, whole, h_n))
        return y, h_n, c_n


@dataclass(frozen=True)
class Error:
    """Of y: the root of the mean square over that of y itself, and the largest of one element."""

    rms: float
    largest: float

    def __str__(self) -> str:
        return f"{self.rms:.1e} ({self.largest:.0e})"


def layer_error(arithmetic: Arithmetic, layer: Layer, runs: list[Run]) -> Error:
    """Over all sequences that went through the layer, each from the states that it had in float64."""
    differences = np.concatenate([(arithmetic(layer, r.x, r.h0, r.c0)[0] - r.y).ravel() for r in runs])
    size = np.sqrt(np.mean(np.concatenate([r.y.ravel() for r in runs]) ** 2))
    return Error(float(np.sqrt(np.mean(differences**2)) / size), float(np.abs(differences).max()))


@dataclass(frozen=True)
class Difference:
    """Between two results of a model: the largest of its numbers, or how many of its decisions."""

    largest: float | None = None
    changed: int = 0
    of: int = 0

    def __str__(self) -> str:
        return f"{self.changed} of {self.of}" if self.largest is None else f"{self.largest:.1e}"


def differences(actual: Outputs, expected: Outputs) -> dict[str, Difference]:
    """By name of the output."""
    found = {}
    for name, e in expected.items():
        a = actual[name]
        if isinstance(e, list):
            found[name] = Difference(changed=sum(p != q for p, q in zip(a, e, strict=True)), of=len(e))
        else:
            found[name] = Difference(float(np.abs(np.asarray(a, np.float64) - e).max()))
    return found


def peak(x: Array) -> float:
    """Largest magnitude over root mean square of the rows of x (T,B,I), the median of those that are not all zero."""
    root = np.sqrt(np.mean(np.square(x, dtype=np.float64), axis=-1))
    return float(np.median(np.abs(x).max(axis=-1)[root > 0] / root[root > 0]))


class Disagreement(Exception):
    """A model with fastrnn in it is not the model of the package, so its errors would mean nothing."""


@dataclass(frozen=True)
class Result:
    """The figures of one model; ``layers`` and ``outputs`` by arithmetic."""

    package: str
    task: str
    agreement: str
    steps: dict[Layer, int]
    peaks: dict[Layer, float]  # of a row of x its largest magnitude over its root mean square, median over the steps
    layers: dict[str, dict[Layer, Error]]
    outputs: dict[str, dict[str, Difference]]


def agreement(actual: Outputs, expected: Outputs) -> str:
    """How near a model in float32 is to its package, in words.

    Raises:
        Disagreement: not near enough.
    """
    words = []
    for name, difference in differences(actual, expected).items():
        if difference.largest is None:
            if difference.changed:
                raise Disagreement(f"{name}: {difference} differ from the package's own")
            words.append(f"{name}: all {difference.of} equal")
        else:
            part = difference.largest / float(np.abs(expected[name]).max())
            if not part <= TOLERANCE:  # NaN does not either
                raise Disagreement(f"{name}: differs from the package's own by {part:.1e} of the largest")
            words.append(f"{name}: {part:.0e} of the largest")
    return "; ".join(words)


def measure(package: str, model: Model, arithmetics: Mapping[str, Mapping[str, Any]]) -> Result:
    """Run a model in each arithmetic, whose value are the arguments of pack_*, and each of its layers alone.

    Raises:
        Disagreement: in float32 it is not what its package computes.
    """
    agreed = agreement(model.run(Arithmetic(dtype="float32")), model.expected())
    recorder = Recorder()
    exact = model.run(recorder)
    layers, outputs = {}, {}
    for name, options in arithmetics.items():
        arithmetic = Arithmetic(**options)
        layers[name] = {layer: layer_error(arithmetic, layer, runs) for layer, runs in recorder.runs.items()}
        outputs[name] = differences(model.run(arithmetic), exact)
    inputs = {layer: np.concatenate([run.x for run in runs]) for layer, runs in recorder.runs.items()}
    steps = {layer: len(x) for layer, x in inputs.items()}
    peaks = {layer: peak(x) for layer, x in inputs.items()}
    return Result(package, model.task, agreed, steps, peaks, layers, outputs)
