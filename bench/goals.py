"""Goals that a run can reach or miss. They are data: to add one, add a line to GOALS.

A goal concerns every work of one section with the cell and the sizes that it names, and is reached if it is reached in
each of them. It is judged from one run alone: what that run did not measure is "not measured", with the reason, and a
figure that cannot be true is a "fault of the measurement".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .goal import ALL, Goal, only
from .metrics import Cost, Faster, Metric, Microseconds, OfRoofline, OverRoofline, PerFlop, Rate, TimePerFlop
from .native import SMALL_STEPS
from .sections import BFLOAT16_PEERS, INT8_PEERS, PEERS, PRODUCT_PEERS, TRAINED_PEERS
from .work import parse

BATCHES = range(8, 1 << 30)
SHORT, LONG = range(1, 11), range(100, 101)
SMALL, LARGE = range(1, 257), range(256, 1 << 30)
LSTM, GRU, RNN = ("lstm",), ("gru",), ("rnn",)
OURS, ORT, TORCH, BF16 = ("fastrnn",), ("onnxruntime",), ("torch",), BFLOAT16_PEERS


# Measured on one core of a Zen 4: 118 GFLOP/s in float32, 236 in bfloat16, 473 in int8.
ZEN4 = "avx512_bf16"

# Shapes with I smaller than H: GFLOP/s forward and backward.
NARROW = {
    "LSTM T80 B32 I40 H160": (95, 98),
    "LSTM T100 B32 I32 H128": (92, 95),
    "LSTM T80 B32 I64 H128": (92, 95),
    "LSTM T50 B32 I64 H64": (85, 90),
}
# Whole epochs, one thread each and by defaults: PyTorch's time by ours.
FIT = {
    "LSTM T20 B32 I16 H128": (1.35, 1.25),
    "LSTM T100 B32 I32 H128": (1.2, 1.25),
    "LSTM T50 B32 I64 H64": (1.6, 1.6),
    "LSTM T8 B32 I8 H32": (3.0, 2.5),
    "LSTM T100 B64 I64 H256": (1.35, 1.4),
}


def _of_shapes(name: str, section: str, metric: Metric, wanted: dict[str, float], isa: str = ZEN4) -> list[Goal]:
    """A goal for each of some shapes, whose name the goal takes."""
    goals = []
    for shape, value in wanted.items():
        work = parse(shape, "inference")
        sizes = {letter: only(getattr(work, letter)) for letter in "TBHI"}
        goals.append(Goal(f"{work.name}: {name}", section, metric, value, (work.cell,), **sizes, isa=isa))
    return goals


GOALS = [
    # One step
    Goal("one step, H 64: Session.step", "step", Microseconds("fastrnn step"), 3.0, LSTM, H=only(64)),
    Goal("one step, H 64: lstm_forward", "step", Microseconds("fastrnn"), 2.4, LSTM, H=only(64)),
    Goal("one step, H 64: Session.step, best peer", "step", Faster("fastrnn step", PEERS), 3.0, LSTM, H=only(64)),
    Goal("one step, H 64: lstm_forward, best peer", "step", Faster("fastrnn", PEERS), 2.8, LSTM, H=only(64)),
    Goal("one step, H 256: best peer", "step", Faster("fastrnn step", PEERS), 1.4, LSTM, H=only(256)),
    Goal("one step, H 256: bf16, best peer", "step", Faster("fastrnn step bfloat16", PEERS), 2.9, LSTM, H=only(256)),
    Goal("one step, H 256: int8, best peer", "step", Faster("fastrnn step int8", PEERS), 5.5, LSTM, H=only(256)),
    *_of_shapes(
        "C++ step, best of rounds",
        SMALL_STEPS,
        Microseconds("float32", "best_us"),
        {"LSTM I1 H8": 0.06, "LSTM I1 H16": 0.072, "LSTM I1 H32": 0.135, "LSTM H32": 0.245, "LSTM H64": 1.29},
    ),
    *_of_shapes(
        "C++ step, int8, best of rounds",
        SMALL_STEPS,
        Microseconds("int8", "best_us"),
        {"LSTM H32": 0.13, "LSTM H64": 0.33},
    ),
    # Inference of sequences
    Goal("LSTM, T 100, B 1", "inference", OverRoofline(), 1.1, LSTM, LONG, only(1)),
    *_of_shapes(
        "time",
        "inference",
        Microseconds("fastrnn"),
        {"LSTM T100 H64": 101, "LSTM T100 H128": 378, "LSTM T100 H256": 1600},
    ),
    Goal("GRU and RNN, T 100, B 1", "inference", OverRoofline(), 1.1, GRU + RNN, B=only(1)),
    Goal("LSTM, B >= 8, H >= 256", "inference", OfRoofline(), 0.93, LSTM, B=BATCHES, H=LARGE),
    Goal("LSTM, B >= 8, H 128", "inference", OfRoofline(), 0.88, LSTM, B=BATCHES, H=only(128)),
    Goal("LSTM, B >= 8: best peer", "inference", Faster("fastrnn", PEERS), 1.0, LSTM, B=BATCHES),
    Goal("LSTM, B >= 8: bf16, our float32", "inference", Faster("fastrnn bfloat16", OURS), 1.7, LSTM, LONG, BATCHES),
    Goal("LSTM, B >= 8: bf16, best peer's", "inference", Faster("fastrnn bfloat16", BF16), 1.0, LSTM, LONG, BATCHES),
    *_of_shapes(
        "bfloat16",
        "inference",
        Rate("fastrnn bfloat16"),
        {"LSTM T100 B8 H128": 195, "LSTM T100 B8 H256": 210, "LSTM T100 B32 H256": 212},
    ),
    Goal("LSTM, B >= 8: int8, our float32", "inference", Faster("fastrnn int8", OURS), 2.0, LSTM, LONG, BATCHES),
    *_of_shapes(
        "int8",
        "inference",
        Rate("fastrnn int8"),
        {"LSTM T100 B8 H128": 285, "LSTM T100 B8 H256": 345, "LSTM T100 B32 H256": 350},
    ),
    *_of_shapes(
        "int8, peer's",
        "inference",
        Faster("fastrnn int8", INT8_PEERS),
        {"LSTM T100 H256": 1.2, "LSTM T100 H512": 1.1},
        isa="",
    ),
    *_of_shapes(
        "onnxruntime",
        "inference",
        Faster("fastrnn", ORT),
        {"LSTM T37 B17 I200 H200": 1.05, "LSTM T250 I80 H200": 1.1},
        isa="",
    ),
    Goal("GRU, B >= 8, H >= 256", "inference", OfRoofline(), 0.88, GRU, B=BATCHES, H=LARGE),
    Goal("RNN, B >= 8, H >= 256", "inference", OfRoofline(), 0.83, RNN, B=BATCHES, H=LARGE),
    Goal("GRU and RNN, B >= 8: best peer", "inference", Faster("fastrnn", PEERS), 1.2, GRU + RNN, B=BATCHES),
    # Training
    Goal("LSTM training, B >= 8, H >= 256", "training", OfRoofline(), 0.90, LSTM, B=BATCHES, H=LARGE),
    Goal("LSTM training, B >= 8, H 128", "training", OfRoofline(), 0.84, LSTM, B=BATCHES, H=only(128), I=only(128)),
    Goal("LSTM training, B >= 8: best peer", "training", Faster("fastrnn", TRAINED_PEERS), 1.08, LSTM, LONG, BATCHES),
    *_of_shapes(
        "training",
        "training",
        Rate("fastrnn"),
        {"LSTM T100 B8 H128": 102, "LSTM T100 B8 H256": 102, "LSTM T100 B32 H256": 104},
    ),
    *_of_shapes("forward", "training", Rate("fastrnn", "forward"), {s: f for s, (f, _) in NARROW.items()}),
    *_of_shapes("backward", "training", Rate("fastrnn", "backward"), {s: b for s, (_, b) in NARROW.items()}),
    Goal("GRU training, B >= 8, H >= 256", "training", OfRoofline(), 0.83, GRU, B=BATCHES, H=LARGE),
    Goal("RNN training, B >= 8, H >= 256", "training", OfRoofline(), 0.78, RNN, B=BATCHES, H=LARGE),
    Goal(
        "GRU, RNN training, B >= 8: best peer", "training", Faster("fastrnn", TRAINED_PEERS), 1.2, GRU + RNN, B=BATCHES
    ),
    Goal("training, T <= 10, B 1: PyTorch", "training", Faster("fastrnn", TORCH), 4.0, ALL, SHORT, only(1), SMALL),
    *_of_shapes(
        "training",
        "training",
        Microseconds("fastrnn"),
        {"LSTM T1 H64": 25, "LSTM T1 H256": 220, "LSTM T10 H128": 110, "GRU T10 H128": 100},
    ),
    *_of_shapes(
        "two layers in both directions, PyTorch",
        "stack training",
        Faster("fastrnn", TORCH),
        {"LSTM T120 I80 H200": 1.4, "LSTM T100 H256": 1.4, "LSTM T120 B32 I80 H200": 1.15, "LSTM T100 B32 H256": 1.2},
        isa="",
    ),
    *_of_shapes("fit, PyTorch", "fit", Faster("fastrnn", TORCH), {s: one for s, (one, _) in FIT.items()}, isa=""),
    *_of_shapes(
        "fit by defaults, PyTorch",
        "fit defaults",
        Faster("fastrnn", TORCH),
        {s: d for s, (_, d) in FIT.items()},
        isa="",
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
    Goal("2 threads, one step, H 1024", "threads", OfRoofline("fastrnn 2 threads"), 0.9, LSTM, only(1), H=only(1024)),
    Goal("2 threads: one", "threads", Faster("fastrnn 2 threads", OURS), 1.8),
    Goal("2 threads, training: one", "threads training", Faster("fastrnn 2 threads", OURS), 1.8),
    Goal("2 threads, second core busy, p99: one's median", "busy", Cost("fastrnn 2 threads", figure="p99_us"), 2.0),
    # Streams
    Goal("1,000 streams: the batched kernel", "pool", PerFlop("fastrnn", "fastrnn 20 steps"), 0.8, LSTM, B=only(1000)),
    Goal("1,000 streams: as many onnxruntime calls", "pool", Faster("fastrnn", ORT), 8.0, LSTM, B=only(1000)),
    # What must not cost
    Goal("odd H and B: the nearest round ones", "sizes", PerFlop("fastrnn", "fastrnn neighbour"), 0.85),
    Goal("H 50, B 8: H 64", "sizes", PerFlop("fastrnn", "fastrnn neighbour"), 0.88, LSTM, B=only(8), H=only(50)),
    Goal("denormal input and states: normal ones", "denormals", Cost("fastrnn denormal"), 1.1),
    Goal("W x as a product: OpenBLAS, MKL", "product", Faster("fastrnn packed", PRODUCT_PEERS), 0.95),
]


def judge(results: Sequence[dict[str, Any]], sections: Sequence[str], isa: str) -> list[dict[str, Any]]:
    """Every goal of these sections and this instruction set against the results of one run."""
    return [goal.judge(results) for goal in GOALS if goal.section in sections and goal.isa in ("", isa)]
