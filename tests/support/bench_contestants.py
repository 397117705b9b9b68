"""For the tests of the benchmark: the reference as a contestant, and results as a run has them."""

from __future__ import annotations

import numpy as np

from bench import measure, ours, peers, work
from bench.section import Section, Variant
from fastrnn import reference

SHAPES = ["LSTM T3 B2 I5 H8", "gru:T3:B2:H8", "RNN H8"]


RAGGED = "LSTM T5 B4 I3 H8 ragged"


def reference_contestant(problem: work.Problem, broken: str = "") -> measure.Contestant:
    """fastrnn.reference in float64; `broken` names a parameter that is perturbed by 1%, or "y" for one NaN in y."""
    cell = problem.work.cell
    states = {"h0": problem.h0, "c0": problem.c0} if cell == "lstm" else {"h0": problem.h0}
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    parameters = [p * np.float32(1.01 if n == broken else 1) for n, p in zip(names, problem.parameters, strict=True)]

    def forward():
        run = getattr(reference, f"{cell}_forward")
        lengths = problem.work.lengths
        return run(problem.x, *parameters, **states, lengths=lengths, training=problem.work.kind == "training")

    def backward(result):
        return result[0], getattr(reference, f"{cell}_backward")(problem.dy, result[-1])

    def arrays(result):
        out = {"y": np.array(result[0])}
        if problem.work.kind == "training":
            out |= {name: getattr(result[1], name[2:]) for name in problem.work.gradients}
        if broken == "y":
            out["y"][-1, -1, -1] = np.nan
        return out

    training = problem.work.kind == "training"
    return measure.Contestant("torch", problem.work, forward, arrays, backward if training else None)


class ReferencePeer(peers.Peer):
    """The reference under the name of a peer that every section knows."""

    name, version = "torch", "1"

    def __init__(self, broken: str = "") -> None:
        self.broken = broken

    def inference(self, problem):
        return reference_contestant(problem, self.broken)

    training = inference


def section(kind: work.Kind, *variants: Variant) -> Section:
    return Section("mine", "Mine", kind, variants or (Variant(),), ("torch", "numpy"), "")


def contestants(shape: str, kind: work.Kind, peer: peers.Peer, *variants: Variant) -> list[measure.Contestant]:
    made, unable = peers.contestants(work.parse(shape, kind), section(kind, *variants), ours.FastRNN(1), [peer])
    assert not unable
    return made


def fake_result(shape: str = "LSTM T1 B1 H8", bound_us: float | None = None, **medians: float) -> dict:
    """A result as cpu.py makes it; p99 is three times the median, GFLOP/s a thousandth of its inverse."""
    shape_of = work.parse(shape, "inference")
    return {
        "section": "step",
        "name": shape_of.name,
        "cell": shape_of.cell,
        "shape": {letter: getattr(shape_of, letter) for letter in "TBIH"},
        "bounds_us": {} if bound_us is None else {"float32": bound_us},
        "dtypes": {name: "float32" for name in medians},
        "unable": {"c": "has no such thing"},
        "timings": {
            name: {"total": {"median_us": us, "p99_us": 3 * us, "gflops": 1e-3 / us}} for name, us in medians.items()
        },
    }
