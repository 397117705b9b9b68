"""Goals that a run can reach or miss. They are data: to add one, add a line to GOALS.

A goal concerns every work of one section with the cell and the sizes that it names, and is reached if it is reached in
each of them. It is judged from one run alone: what that run did not measure is "not measured", with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .sections import BFLOAT16_PEERS, PEERS, PRODUCT_PEERS, TRAINED_PEERS


class NotMeasured(Exception):
    """A run has no figure for a goal; the message says why."""


def _figure(result: dict[str, Any], name: str, figure: str = "median_us") -> float:
    """One figure of one contestant, of the whole call."""
    if name in result["timings"]:
        return float(result["timings"][name]["total"][figure])
    raise NotMeasured(result["unable"].get(name, f"{name} is not in this run"))


@dataclass(frozen=True)
class Microseconds:
    """The median time of one call."""

    of: str
    at_most = True
    text = "{:.2f} us"

    def value(self, result: dict[str, Any]) -> float:
        return _figure(result, self.of)


@dataclass(frozen=True)
class Faster:
    """How many times faster `ours` is than the fastest of `than` that was measured, by medians."""

    ours: str
    than: tuple[str, ...]
    at_most = False
    text = "{:.2f}x"

    def value(self, result: dict[str, Any]) -> float:
        theirs = [_figure(result, name) for name in self.than if name in result["timings"]]
        if not theirs:
            _figure(result, self.than[0])  # raises
        return min(theirs) / _figure(result, self.ours)


@dataclass(frozen=True)
class OfRoofline:
    """The least time that the roofline allows by the median time; for large batches, the part of the peak."""

    of: str = "fastrnn"
    at_most = False
    text = "{:.1%} of the roofline"

    def value(self, result: dict[str, Any]) -> float:
        if result["bound_us"] is None:
            raise NotMeasured("the roofline was not measured")
        return float(result["bound_us"]) / _figure(result, self.of)


@dataclass(frozen=True)
class OverRoofline(OfRoofline):
    """The inverse: the median time by the least time that the roofline allows."""

    at_most = True
    text = "{:.2f}x the roofline's time"

    def value(self, result: dict[str, Any]) -> float:
        return 1 / super().value(result)


@dataclass(frozen=True)
class Cost:
    """How many times the median time of `than` a figure of `of` is."""

    of: str
    than: str = "fastrnn"
    figure: str = "median_us"
    at_most = True
    text = "{:.2f}x the time"

    def value(self, result: dict[str, Any]) -> float:
        return _figure(result, self.of, self.figure) / _figure(result, self.than)


@dataclass(frozen=True)
class PerFlop:
    """Operations per second relative to those of `than`, which may have another shape."""

    of: str
    than: str
    at_most = False
    text = "{:.2f}x per FLOP"

    def value(self, result: dict[str, Any]) -> float:
        return _figure(result, self.of, "gflops") / _figure(result, self.than, "gflops")


@dataclass(frozen=True)
class TimePerFlop(PerFlop):
    """The inverse: of a ragged batch, its time by that of the padded one times the share of its real steps."""

    at_most = True
    text = "{:.2f}x the time per FLOP"

    def value(self, result: dict[str, Any]) -> float:
        return 1 / super().value(result)


Metric = Microseconds | Faster | OfRoofline | OverRoofline | Cost | PerFlop | TimePerFlop
ANY = range(1, 1 << 30)
BATCHES = range(8, 1 << 30)
SHORT, LONG = range(1, 11), range(100, 101)
SMALL, LARGE = range(1, 257), range(256, 1 << 30)
LSTM, GRU, RNN = ("lstm",), ("gru",), ("rnn",)
ALL = LSTM + GRU + RNN
OURS, ORT, TORCH, BF16 = ("fastrnn",), ("onnxruntime",), ("torch",), BFLOAT16_PEERS


def only(size: int) -> range:
    """A range of one size."""
    return range(size, size + 1)


@dataclass(frozen=True)
class Goal:
    """One line of the goals table. `wanted` is the least value, or where the metric says so the highest."""

    name: str
    section: str
    metric: Metric
    wanted: float
    cells: tuple[str, ...] = ALL
    T: range = ANY
    B: range = ANY
    H: range = ANY

    def concerns(self, result: dict[str, Any]) -> bool:
        """Whether a result is one of the works of this goal."""
        shape = result["shape"]
        sizes = all(shape[letter] in getattr(self, letter) for letter in "TBH")
        return result["section"] == self.section and result["cell"] in self.cells and sizes

    def judge(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Verdict, the worst value and where it was, and in how many of the works it was reached and measured."""
        values: dict[str, float] = {}
        reasons: dict[str, None] = {}
        works = [result for result in results if self.concerns(result)]
        for result in works:
            try:
                values[result["name"]] = self.metric.value(result)
            except NotMeasured as reason:
                reasons[str(reason)] = None
        if not works:
            reasons["no such work in this run"] = None
        at_most = self.metric.at_most
        reached = [
            name for name, value in values.items() if (value <= self.wanted if at_most else value >= self.wanted)
        ]
        worst = (max if at_most else min)(values, key=values.__getitem__, default=None)
        return {
            "goal": self.name,
            "wanted": f"{'<=' if at_most else '>='} {self.metric.text.format(self.wanted)}",
            "worst": None if worst is None else self.metric.text.format(values[worst]),
            "worst_at": worst,
            "values": values,
            "reached": len(reached),
            "works": len(works),
            "verdict": "not measured" if worst is None else "reached" if len(reached) == len(values) else "missed",
            "reasons": list(reasons),
        }


GOALS = [
    # One step
    Goal("one step, H 64: Session.step", "step", Microseconds("fastrnn step"), 3.0, LSTM, H=only(64)),
    Goal("one step, H 64: lstm_forward", "step", Microseconds("fastrnn"), 3.0, LSTM, H=only(64)),
    Goal("one step, H 64: Session.step, onnxruntime", "step", Faster("fastrnn step", ORT), 3.0, LSTM, H=only(64)),
    Goal("one step, H 64: lstm_forward, onnxruntime", "step", Faster("fastrnn", ORT), 3.0, LSTM, H=only(64)),
    Goal("one step, H 256: onnxruntime", "step", Faster("fastrnn step", ORT), 1.4, LSTM, H=only(256)),
    Goal(
        "one step, H 256: bfloat16, onnxruntime", "step", Faster("fastrnn step bfloat16", ORT), 2.9, LSTM, H=only(256)
    ),
    Goal("one step, H 256: int8, onnxruntime", "step", Faster("fastrnn step int8", ORT), 5.5, LSTM, H=only(256)),
    # Inference of sequences
    Goal("LSTM, T 100, B 1", "inference", OverRoofline(), 1.1, LSTM, B=only(1)),
    Goal("GRU and RNN, T 100, B 1", "inference", OverRoofline(), 1.1, GRU + RNN, B=only(1)),
    Goal("LSTM, B >= 8, H >= 256", "inference", OfRoofline(), 0.93, LSTM, B=BATCHES, H=LARGE),
    Goal("LSTM, B >= 8, H 128", "inference", OfRoofline(), 0.88, LSTM, B=BATCHES, H=only(128)),
    Goal("LSTM, B >= 8: best peer", "inference", Faster("fastrnn", PEERS), 1.0, LSTM, B=BATCHES),
    Goal("LSTM, B >= 8: bfloat16, our float32", "inference", Faster("fastrnn bfloat16", OURS), 1.7, LSTM, B=BATCHES),
    Goal("LSTM, B >= 8: bfloat16, best peer's", "inference", Faster("fastrnn bfloat16", BF16), 1.0, LSTM, B=BATCHES),
    Goal("LSTM, B >= 8: int8, our float32", "inference", Faster("fastrnn int8", OURS), 2.0, LSTM, B=BATCHES),
    Goal("GRU, B >= 8, H >= 256", "inference", OfRoofline(), 0.88, GRU, B=BATCHES, H=LARGE),
    Goal("RNN, B >= 8, H >= 256", "inference", OfRoofline(), 0.83, RNN, B=BATCHES, H=LARGE),
    Goal("GRU and RNN, B >= 8: best peer", "inference", Faster("fastrnn", PEERS), 1.2, GRU + RNN, B=BATCHES),
    # Training
    Goal("LSTM training, B >= 8, H >= 256", "training", OfRoofline(), 0.90, LSTM, B=BATCHES, H=LARGE),
    Goal("LSTM training, B >= 8, H 128", "training", OfRoofline(), 0.84, LSTM, B=BATCHES, H=only(128)),
    Goal("LSTM training, B >= 8: best peer", "training", Faster("fastrnn", TRAINED_PEERS), 1.08, LSTM, B=BATCHES),
    Goal("GRU training, B >= 8, H >= 256", "training", OfRoofline(), 0.83, GRU, B=BATCHES, H=LARGE),
    Goal("RNN training, B >= 8, H >= 256", "training", OfRoofline(), 0.78, RNN, B=BATCHES, H=LARGE),
    Goal(
        "GRU, RNN training, B >= 8: best peer", "training", Faster("fastrnn", TRAINED_PEERS), 1.2, GRU + RNN, B=BATCHES
    ),
    Goal("GRU, RNN training, T 100, B 1: PyTorch", "training", Faster("fastrnn", TORCH), 4.0, GRU + RNN, LONG, only(1)),
    Goal(
        "training, T <= 10, B 1, H <= 256: PyTorch",
        "training",
        Faster("fastrnn", TORCH),
        10.0,
        ALL,
        SHORT,
        only(1),
        SMALL,
    ),
    # Ragged batches
    Goal("ragged: padded times the share of real steps", "ragged", TimePerFlop("fastrnn", "fastrnn padded"), 1.1),
    Goal(
        "ragged training: padded times the share of real steps",
        "ragged training",
        TimePerFlop("fastrnn", "fastrnn padded"),
        1.1,
    ),
    # Threads
    Goal("2 threads: one", "threads", Faster("fastrnn 2 threads", OURS), 1.8),
    Goal("2 threads, training: one", "threads training", Faster("fastrnn 2 threads", OURS), 1.8),
    Goal("2 threads, second core busy, p99: one's median", "busy", Cost("fastrnn 2 threads", figure="p99_us"), 2.0),
    # Streams
    Goal("1,000 streams: the batched kernel", "pool", PerFlop("fastrnn", "fastrnn 20 steps"), 0.8, LSTM, B=only(1000)),
    Goal("1,000 streams: as many onnxruntime calls", "pool", Faster("fastrnn", ORT), 8.0, LSTM, B=only(1000)),
    # What must not cost
    Goal("odd H and B: the nearest round ones", "sizes", PerFlop("fastrnn", "fastrnn neighbour"), 0.85),
    Goal("denormal input and states: normal ones", "denormals", Cost("fastrnn denormal"), 1.1),
    Goal("W x as a product: OpenBLAS, MKL", "product", Faster("fastrnn packed", PRODUCT_PEERS), 0.95),
]


def judge(results: Sequence[dict[str, Any]], goals: Sequence[Goal]) -> list[dict[str, Any]]:
    """Every goal against the results of one run."""
    return [goal.judge(results) for goal in goals]
