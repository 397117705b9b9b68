"""``fastrnn verify A B``: whether two files compute the same, on random input."""

from __future__ import annotations

import argparse
import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from .._core import Model, Session
from .._typing import Array
from ..interop import load
from ..interop._layers import import_library
from ..interop.onnx._running import open_session, original
from ..layers import Embedding
from ..model import Sequential
from ._console import at_least_1, number_from_0, show_table
from ._models import Part, add_graph_options, graph_options, is_graph, load_file, parse_part

HELP = "compare what two models' files compute, on random input"
DESCRIPTION = (
    "Run two models' files on the same random input and show the worst error. A Keras or ONNX file is run by Keras or "
    "onnxruntime where these are installed, so that a conversion is held to the original and not to fastrnn's reading "
    "of it; all others are run by fastrnn."
)
EXAMPLES = """examples:
  fastrnn verify model.keras model.safetensors
  fastrnn verify silero_vad.onnx vad.safetensors --inputs sr=16000 input=1x576
  fastrnn verify tagger.pt tagger.onnx --parts-a embedding:kind=embedding lstm head --steps 200

exit status: 0 if they agree, 1 if they do not, 2 if a file cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--batch", type=at_least_1, default=4, help="sequences; default: %(default)s")
    parser.add_argument("--steps", type=at_least_1, default=50, help="of each, where it is free; default: %(default)s")
    parser.add_argument("--range", nargs=2, type=float, metavar=("LOW", "HIGH"),
                        help="of the input, where a model takes roots or logarithms; default: normal")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the input; default: %(default)s")
    parser.add_argument("--tolerance", type=number_from_0, default=1e-5,
                        help="of the worst error, in parts of A's largest output; 0: the same bits; default: "
                        "%(default)s")  # fmt: skip
    for name in ("a", "b"):
        parser.add_argument(f"--parts-{name}", nargs="+", type=parse_part, metavar="NAME",
                            help=f"of {name.upper()}, a PyTorch state dict: as in fastrnn inspect --parts")  # fmt: skip
    add_graph_options(parser)


_STEPWISE = "fastrnn, step by step"


class _Runner(NamedTuple):
    """A file that can be run: by whom, on inputs of which shape (batch axis included), and words below `vocabulary`."""

    by: str
    shape: tuple[int | None, ...]
    vocabulary: int | None
    integers: bool
    run: Callable[[Array], Array]


def command(options: dict[str, Any]) -> int:
    """Compare; return the exit status."""
    a, b = _runners(options)
    x = _input(a, b, options)
    outputs = [np.asarray(runner.run(x), dtype=np.float64) for runner in (a, b)]
    steps = [y.shape[1] if y.ndim == 3 else 0 for y in outputs]
    if 1 in steps and {a.by, b.by} & {_STEPWISE}:  # a graph of the last step, which a stream gives at every step
        outputs = [y[:, -1:] for y in outputs]
    rows = [
        (options[name], runner.by, str(y.shape), f"{np.abs(y).max(initial=0):.6g}")
        for name, runner, y in zip("ab", (a, b), outputs, strict=True)
    ]
    show_table(("file", "run by", "output", "largest "), rows)
    return _judge(outputs[0], outputs[1], options["tolerance"])


def _runners(options: dict[str, Any]) -> list[_Runner]:
    """Of both files. A graph is run as it is beside a model of layers, and on a native model's input beside that."""
    paths = {name: options[name] for name in ("a", "b")}
    given = {name: graph_options(options, path) for name, path in paths.items() if is_graph(path)}
    if not given:
        graph_options(options, paths["a"])  # refuses what is for graphs
    models: dict[str, Sequential | Model] = {}
    for name, path in paths.items():
        if not _is_foreign(path, options[f"parts_{name}"]):
            models[name] = load(path, **given[name]) if name in given else load_file(path, options[f"parts_{name}"])
    native = any(isinstance(model, Model) for model in models.values())
    runners = []
    for name, path in paths.items():
        if name in models:
            runners.append(_of_model(models[name]))
        elif name in given:
            runners.append(_open_graph(path, given[name]) if native else _onnxruntime(path))
        else:
            runners.append(_keras(path))
    return runners


def _judge(y_a: Array, y_b: Array, tolerance: float) -> int:
    if y_a.shape != y_b.shape:
        print(f"Not the same: shapes {y_a.shape} and {y_b.shape}")
        return 1
    error = np.abs(y_a - y_b)
    worst = float(error.max(initial=0))
    bound = tolerance * max(1.0, float(np.abs(y_a).max(initial=0)))
    place = tuple(int(k) for k in np.unravel_index(int(np.argmax(error)), error.shape)) if error.size else ()
    same = worst <= bound  # false where the error is NaN
    if np.isnan(worst):
        print("NaN: does the model take a root or a logarithm of its input? --range 0 1 keeps that above 0")
    print(f"{'The same' if same else 'Not the same'}: worst error {worst:.3g} at {place}, tolerance {bound:.3g}")
    return 0 if same else 1


def _input(a: _Runner, b: _Runner, options: dict[str, Any]) -> Array:
    ends = (a.shape[-1], b.shape[-1])
    if len(a.shape) != len(b.shape) or (ends[0] != ends[1] and None not in ends):
        raise ValueError(f"b: expected inputs {a.shape} as A, got {b.shape}")
    free = {0: options["batch"], 1: options["steps"]}
    shape = tuple(
        next((size for size in (p, q) if size is not None), free.get(axis, 8))
        for axis, (p, q) in enumerate(zip(a.shape, b.shape, strict=True))
    )
    rng = np.random.default_rng(options["seed"])
    if a.integers or b.integers:
        return rng.integers(0, min(n for n in (a.vocabulary, b.vocabulary, 2**31) if n is not None), shape)
    if options["range"] is not None:
        low, high = options["range"]
        return rng.uniform(low, high, shape).astype(np.float32)
    return rng.standard_normal(shape).astype(np.float32)


_FOREIGN = {".onnx": "onnxruntime", ".keras": "keras", ".h5": "keras"}  # by whom such files are run


def _is_foreign(path: str, parts: list[Part] | None) -> bool:
    library = _FOREIGN.get(os.path.splitext(path)[1].lower())
    return parts is None and library is not None and find_spec(library) is not None


def _open_graph(path: str, given: dict[str, Any]) -> _Runner:
    """A graph on what its native model takes: row by row, since a graph need not have an axis of them."""
    by, inputs, vocabulary, run = original(path, **given)
    shape = (None, None, inputs)
    return _Runner(by, shape, vocabulary, vocabulary is not None, lambda x: np.stack([run(row) for row in x]))


def _of_model(model: Sequential | Model) -> _Runner:
    if isinstance(model, Sequential):
        shape = model.input_shape
        assert shape is not None
        first = model.layers[0]
        words = first.input_dim if isinstance(first, Embedding) else None
        return _Runner("fastrnn", shape, words, words is not None, lambda x: np.asarray(model.predict(x, verbose=0)))

    def run(x: Array) -> Array:
        if not model.stepwise:
            y = model.forward(x.swapaxes(0, 1))
            return np.asarray(y.swapaxes(0, 1) if model.return_sequences else y[:, None])
        session = Session(model, batch=len(x))
        return np.stack([session.step(np.ascontiguousarray(x[:, t])) for t in range(x.shape[1])], axis=1)

    by = _STEPWISE if model.stepwise else "fastrnn, whole sequences"
    return _Runner(by, (None, None, model.input_size), None, False, run)


def _onnxruntime(path: str) -> _Runner:
    open(path, "rb").close()
    by, session = open_session(path)
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ValueError(f"{path}: expected a graph of one input, got {len(inputs)}")
    shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
    dtype = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(double)": np.float64}.get(inputs[0].type)

    def run(x: Array) -> Array:
        return np.asarray(session.run(None, {inputs[0].name: x.astype(dtype or np.float32)})[0])

    return _Runner(by, shape, None, dtype in (np.int64, np.int32), run)


def _keras(path: str) -> _Runner:
    open(path, "rb").close()
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with _quiet():
        keras = import_library("keras", "a Keras file")
        try:
            model = keras.models.load_model(path, compile=False)
        except Exception as error:
            raise ValueError(f"{path}: not readable by Keras: {' '.join(str(error).split())[:300]}") from error
    first = next((layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)), None)
    words = int(first.input_dim) if isinstance(first, keras.layers.Embedding) else None

    def run(x: Array) -> Array:
        with _quiet():
            return np.asarray(model.predict(x, verbose=0))

    return _Runner(f"Keras {keras.__version__}", tuple(model.input_shape), words, words is not None, run)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
