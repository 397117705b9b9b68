"""fastrnn's doors beside the frameworks that they stand in: ``python -m bench.frameworks``.

Each work is a model of the framework and the same model with its recurrent layers computed here, with the same weights.
Their results are compared, then they take turns. A goal is a ratio of the medians of one run, or microseconds.

    python -m bench.frameworks                     # one thread
    python -m bench.frameworks --threads 2 --only tagger
    python -m bench.frameworks --seconds 1 --only GRU
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")  # before the first import of Keras, which looks once

import numpy as np
import torch

import fastrnn
import fastrnn.torch

from .machine import facts, pin
from .measure import Contestant, Disagreement, measure, ratios
from .work import parse

Step = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """One work. `ours` and `theirs` run it once and return what to compare, by name; `goal` is the least ratio.

    Where `overhead` is set, `theirs` is our own function, and the goal the most microseconds on top of it; None has no
    goal and is there to compare with.
    """

    name: str
    ours: Step
    theirs: Step
    goal: float | None
    overhead: bool = False


def training(model: Any, inputs: Sequence[Any], loss: Callable[[Any], Any]) -> Step:
    """A step without the optimizer: forward, loss, every gradient of the parameters."""
    parameters = [*model.parameters()]

    def step() -> dict[str, Any]:
        y = model(*inputs)
        grads = torch.autograd.grad(loss(y), parameters)
        return {"y": loss(y.detach()) if torch.is_tensor(y) else None, **{f"d_{k}": g for k, g in enumerate(grads)}}

    return step


def inference(model: Any, inputs: Sequence[Any]) -> Step:
    """The forward pass alone."""

    def step() -> dict[str, Any]:
        with torch.inference_mode():
            return {"y": model(*inputs)}

    return step


def pair(model: Any, wrap: Callable[[Any], Step]) -> tuple[Step, Step]:
    """Ours and theirs."""
    ours = copy.deepcopy(model)
    report = fastrnn.torch.accelerate(ours)
    assert report.replaced, report
    return wrap(ours), wrap(model)


# ----------------------------------------------------------------------------------------------------------- the works


def overheads() -> Iterator[Row]:
    module = fastrnn.torch.LSTM(8, 8)
    x, dy = torch.randn(4, 1, 8), torch.randn(4, 1, 8)
    weights = fastrnn.pack_lstm(*(p.detach().numpy() for p in module.parameters()))
    parameters, x_there, dy_there = [*module.parameters()], x.numpy(), dy.numpy()

    def ours() -> dict[str, Any]:
        with torch.no_grad():
            return {"y": module(x)[0]}

    def ours_grad() -> dict[str, Any]:
        y = module(x)[0]
        return {"y": y, "d_w": torch.autograd.grad(y, parameters, dy)[0]}

    def function() -> dict[str, Any]:
        return {"y": fastrnn.lstm_forward(x_there, weights)[0]}

    def function_grad() -> dict[str, Any]:
        y, _, _, cache = fastrnn.lstm_forward(x_there, weights, training=True)
        return {"y": y, "d_w": fastrnn.lstm_backward(dy_there, cache, need_dx=False).w_ih}

    results = [torch.from_numpy(function_grad()["y"]), *(torch.zeros_like(p) for p in parameters)]

    class Nothing(torch.autograd.Function):
        """Takes and returns what the module does, and computes nothing."""

        @staticmethod
        def forward(ctx: Any, x: Any, *weights: Any) -> Any:
            return results[0].detach()

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return None, *results[1:]

    def nothing() -> dict[str, Any]:
        y = Nothing.apply(x, *parameters)
        return {"y": y, "d_w": torch.autograd.grad(y, parameters, dy)[0]}

    yield Row("LSTM T4 B1 H8 over lstm_forward, no gradient", ours, function, 6, overhead=True)
    yield Row("LSTM T4 B1 H8 over forward and backward", ours_grad, function_grad, 20, overhead=True)
    yield Row("PyTorch's own for a function with a gradient that computes nothing", nothing,
              lambda: {"y": results[0], "d_w": results[1]}, None, overhead=True)  # fmt: skip


class Tagger(torch.nn.Module):
    """Words, two layers in both directions, a label for each word."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(5000, 256)
        self.rnn = torch.nn.LSTM(256, 256, num_layers=2, bidirectional=True, batch_first=True)
        self.head = torch.nn.Linear(512, 20)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(self.embedding(x))[0])


def taggers() -> Iterator[Row]:
    model = Tagger()
    for batch, wanted_inference, wanted_training in ((1, 1.3, 1.35), (32, 1.05, 1.1)):
        x = torch.randint(5000, (batch, 50))
        yield Row(f"tagger, inference, T50 B{batch}", *pair(model, lambda m, x=x: inference(m, [x])), wanted_inference)
        yield Row(
            f"tagger, training, T50 B{batch}",
            *pair(model, lambda m, x=x: training(m, [x], lambda y: y.square().mean())),
            wanted_training,
        )


def packed() -> Iterator[Row]:
    lengths = torch.from_numpy(np.random.default_rng(0).integers(1, 201, 32))
    x = torch.nn.utils.rnn.pack_padded_sequence(torch.randn(200, 32, 256), lengths, enforce_sorted=False)
    wrap = lambda m: training(m, [x], lambda y: y[0].data.square().mean())  # noqa: E731
    yield Row("packed batch, training, LSTM T<=200 B32 H256", *pair(torch.nn.LSTM(256, 256), wrap), 3.5)


def grus() -> Iterator[Row]:
    for batch, goal in ((32, 1.3), (1, 5.0)):
        x = torch.randn(100, batch, 256)
        wrap = lambda m, x=x: training(m, [x], lambda y: y[0].square().mean())  # noqa: E731
        yield Row(f"GRU, training, T100 B{batch} H256", *pair(torch.nn.GRU(256, 256), wrap), goal)


def ppo() -> Iterator[Row]:
    steps, environments = 128, 8
    x, reset = torch.randn(steps, environments, 64), torch.rand(steps, environments) < 0.05
    theirs = torch.nn.LSTM(64, 128)
    ours = copy.deepcopy(theirs)
    fastrnn.torch.accelerate(ours)

    def rollout(x: Any) -> Any:
        return ours(x, reset_mask=reset)[0]

    def loop(x: Any) -> Any:
        h = c = torch.zeros(1, environments, 128)
        keep = (~reset).float()[:, None, :, None]
        found = []
        for t in range(steps):
            y, (h, c) = theirs(x[t : t + 1], (h * keep[t], c * keep[t]))
            found.append(y)
        return torch.cat(found)

    def step(run: Callable[[Any], Any], module: Any) -> Step:
        def once() -> dict[str, Any]:
            y = run(x)
            grads = torch.autograd.grad(y.square().mean(), [*module.parameters()])
            return {"y": y, **{f"d_{k}": g for k, g in enumerate(grads)}}

        return once

    yield Row("PPO update, LSTM 128, 8 x 128 with resets", step(rollout, ours), step(loop, theirs), 8)


def keras_layers() -> Iterator[Row]:
    import keras

    import fastrnn.keras

    x = torch.randn(32, 100, 128)
    theirs, ours = keras.layers.LSTM(128), fastrnn.keras.LSTM(128)
    for layer in (theirs, ours):
        layer.build(x.shape)
    ours.set_weights(theirs.get_weights())

    def step(layer: Any) -> Step:
        def once() -> dict[str, Any]:
            y = layer(x, training=True)
            grads = torch.autograd.grad(y.square().mean(), [v.value for v in layer.trainable_weights])
            return {"y": y, **{f"d_{k}": g for k, g in enumerate(grads)}}

        return once

    yield Row("Keras layer on torch, training, LSTM T100 B32 H128", step(ours), step(theirs), 2.5)


WORKS: list[Callable[[], Iterator[Row]]] = [overheads, taggers, packed, grus, ppo, keras_layers]


# ---------------------------------------------------------------------------------------------------------- the table


def compile_seconds() -> tuple[float, float]:
    """How long torch.compile takes for a model with our LSTM, and with torch.nn's unrolled, T 32."""
    seconds = []
    # What the first compilation of a process waits for is neither's.
    torch.compile(torch.nn.Linear(2, 2))(torch.zeros(1, 2)).sum().backward()
    for accelerate in (True, False):
        model = torch.nn.Sequential()
        model.add_module("rnn", torch.nn.LSTM(32, 32))
        if accelerate:
            fastrnn.torch.accelerate(model)
        torch._dynamo.reset()
        torch._dynamo.config.allow_rnn = not accelerate
        x = torch.randn(32, 4, 32)
        # Without oneDNN: with it, what inductor of 2.13 makes of nn.LSTM fails when it is run. A folder of its own, as
        # what was compiled before is found again there.
        with torch.backends.mkldnn.flags(enabled=False), tempfile.TemporaryDirectory() as folder:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
            start = time.perf_counter()
            torch.compile(model, fullgraph=True)(x)[0].sum().backward()
            seconds.append(time.perf_counter() - start)
    torch._dynamo.config.allow_rnn = False
    return seconds[0], seconds[1]


def array(value: Any) -> Any:
    return value.detach().numpy() if torch.is_tensor(value) else np.asarray(value)


def line(row: Row, rounds: int, seconds: float) -> list[str]:
    """The row's cells: name, both times, ratio, goal, verdict."""
    work = parse("LSTM T1 B1 I1 H1", "training")  # its sizes are in the name; GFLOP/s are not asked for
    both = [
        Contestant(name, work, step, lambda r: {k: array(v) for k, v in r.items() if v is not None})
        for name, step in (("fastrnn", row.ours), ("theirs", row.theirs))
    ]
    timings, refused = measure(both, rounds, seconds)
    if refused:
        raise Disagreement(f"{row.name}: {refused}")
    ours, theirs = (float(np.median(t.total)) * 1e6 for t in timings)
    if row.overhead:
        above = ours - theirs
        cells = [row.name, f"{ours:.1f} us", f"{theirs:.1f} us", f"+{above:.1f} us"]
        if row.goal is None:
            return [*cells, "", ""]
        return [*cells, f"<= {row.goal} us", "reached" if above <= row.goal else "missed"]
    found = ratios(*timings)
    assert found is not None
    assert row.goal is not None
    text = f"{found['ratio']:.2f} ({found['lowest_round']:.2f}-{found['highest_round']:.2f})"
    verdict = "reached" if found["ratio"] >= row.goal else "missed"
    return [row.name, f"{ours / 1e3:.2f} ms", f"{theirs / 1e3:.2f} ms", text, f">= {row.goal}", verdict]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.frameworks", description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of both sides (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each side of each work (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="in which they take turns (%(default)s)")
    parser.add_argument("--only", default="", help="the works whose name has this text")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    if hasattr(os, "sched_getaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        pin(allowed[-given.threads :][0], min(given.threads, len(allowed)))
    known = facts([("torch", torch.__version__)])
    print(f"{known['cpu']}, {known['isa']}, torch {torch.__version__}, {given.threads} thread(s), "
          f"load {known['load_before']}\n")  # fmt: skip
    print("| work | fastrnn | framework | ratio (rounds) | goal | |")
    print("|---|---|---|---|---|---|")
    for work in WORKS:
        for row in work():
            if given.only in row.name:
                print("| " + " | ".join(line(row, given.rounds, given.seconds)) + " |", flush=True)
    name = "torch.compile, LSTM T32 B4 H32, no graph break"
    if given.only in name:
        ours, theirs = compile_seconds()
        ratio, verdict = theirs / ours, "reached" if theirs / ours >= 5 else "missed"
        print(f"| {name} | {ours:.2f} s | {theirs:.2f} s | {ratio:.1f} | >= 5 | {verdict} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
