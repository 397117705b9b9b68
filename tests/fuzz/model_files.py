"""Damaged files for the importers of `fastrnn.interop`: an error with a sentence, no crash, memory within bounds.

    python -m tests.fuzz.model_files nam json npz safetensors --files 20000
    python -m tests.fuzz.model_files keras h5 pt onnx --files 2000 --subprocess

Other libraries read .keras, .h5 and .pt; where one of them ends the process, or never returns, it is a child's process,
and the parent tells which file it was. What fails is told with its seed: `--first SEED --files 1` repeats it,
`--keep FILE` writes it.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np

from tests.support.damage import damage_arrays, damage_bytes, damage_json
from tests.support.model_files import Reader, is_json, write

SLACK = 2**20  # of the interpreter's own: messages, caches
PATIENCE = 20  # seconds for one file


def mutated(kind: str, content: bytes, seed: int) -> bytes:
    """The damaged file of a seed."""
    rng = np.random.default_rng([seed, sum(kind.encode())])
    if is_json(kind) and rng.integers(4):
        return damage_json(content.decode(), rng).encode()
    if kind == "npz" and rng.integers(2):
        file = io.BytesIO()
        np.savez(file, **damage_arrays(dict(np.load(io.BytesIO(content))), rng))
        return file.getvalue()
    if kind == "safetensors" and rng.integers(2):
        import safetensors.numpy

        return bytes(safetensors.numpy.save(damage_arrays(safetensors.numpy.load(content), rng)))
    if kind == "onnx" and rng.integers(4):
        return damage_graph(content, rng)
    return damage_bytes(content, rng)


def damage_graph(content: bytes, rng: np.random.Generator) -> bytes:
    """A graph of ONNX that is still one, with a few of its nodes, names, numbers and shapes changed."""
    import onnx

    proto = onnx.load_model_from_string(content)
    graph = proto.graph
    kinds = (
        "Relu", "Conv", "Expand", "Tile", "Pad", "Reshape", "LSTM", "MatMul", "Concat", "Softmax", "MaxPool", "Nothing",
    )  # fmt: skip
    for _ in range(rng.integers(1, 4)):
        node = graph.node[rng.integers(len(graph.node))]
        tensor = graph.initializer[rng.integers(len(graph.initializer))]
        sizes = (0, -1, 1, 3, 2**31, 2**62)
        change = rng.integers(8)
        if change == 0:
            node.op_type = str(rng.choice(kinds))
        elif change == 1 and node.input:
            node.input[rng.integers(len(node.input))] = str(rng.choice(["", "x", tensor.name, "absent"]))
        elif change == 2 and node.attribute:
            node.attribute[rng.integers(len(node.attribute))].i = int(rng.choice(sizes))
        elif change == 3:
            node.attribute.append(onnx.helper.make_attribute("axis", int(rng.integers(-5, 5))))
        elif change == 4 and tensor.dims:
            tensor.dims[rng.integers(len(tensor.dims))] = int(rng.choice(sizes))
        elif change == 5:
            graph.node.remove(node)
            if not graph.node:
                break
        elif change == 6:
            graph.node.insert(int(rng.integers(len(graph.node) + 1)), node)
        else:
            graph.input[0].type.tensor_type.shape.dim[rng.integers(3)].dim_value = int(rng.choice((1, 5, 2**40)))
    return bytes(proto.SerializeToString())


def decoded_size(kind: str, content: bytes) -> int:
    """What a file's contents take in memory: numbers as they are, JSON as Python has it."""
    if not is_json(kind):
        # Half precision becomes float32. A graph's example has numbers of eight bytes, of 25 steps.
        return (400 if kind == "onnx" else 2) * len(content)
    tracemalloc.start()
    try:
        value = json.loads(content)
        del value
    except (ValueError, RecursionError):
        pass
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size


def check(kind: str, reader: Reader, path: Path, content: bytes) -> str:
    """Read one file. Returns "read" or "refused", or a text that says what is wrong with that."""
    path.write_bytes(content)
    bound = 3 * decoded_size(kind, content) + SLACK
    tracemalloc.start()
    try:
        reader(str(path))
        outcome = "read"
    except ValueError as error:
        outcome = "refused" if len(str(error)) > 15 and "\n" not in str(error) else f"no sentence: {error!r}"
    except Exception as error:
        outcome = f"{type(error).__name__}: {str(error)[:200]}"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return outcome if peak <= bound else f"memory: {peak} of {bound} bytes"


def run(kind: str, first: int, files: int, folder: Path, progress: Path | None = None) -> dict[str, list[int]]:
    """Check so many files. Returns the seeds by outcome; `progress` always has the seed that is being tried."""
    good, reader = write(kind, folder)
    content = good.read_bytes()
    reader(str(good))
    outcomes: dict[str, list[int]] = collections.defaultdict(list)
    path = folder / f"damaged.{kind}"
    for seed in range(first, first + files):
        if progress is not None:
            progress.write_text(str(seed))
        outcomes[check(kind, reader, path, mutated(kind, content, seed))].append(seed)
    return outcomes


def run_in_children(kind: str, first: int, files: int, folder: Path) -> dict[str, list[int]]:
    """As `run`, in processes of their own: one that is killed by a signal is an outcome, and the next one goes on."""
    outcomes: dict[str, list[int]] = collections.defaultdict(list)
    progress, end = folder / "progress", first + files
    while first < end:
        progress.write_text("")
        command = [sys.executable, "-m", "tests.fuzz.model_files", kind, "--first", str(first), "--files",
                   str(end - first), "--progress", str(progress), "--json"]  # fmt: skip
        output, ending = _watch(command, progress)
        for outcome, seeds in json.loads(output or "{}").items():
            outcomes[outcome] += seeds
        if not ending:
            break
        last = int(progress.read_text() or first)
        outcomes["read or refused before that"] += list(range(first, last))
        outcomes[ending].append(last)
        first = last + 1
    return outcomes


def _watch(command: list[str], progress: Path) -> tuple[str, str]:
    """Run a child. Returns what it printed, and how it ended before its end: "" if it did not."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(command, stdout=out, stderr=err, text=True)
        seen, since = "", time.monotonic()
        while True:
            try:
                child.wait(0.5)
                break
            except subprocess.TimeoutExpired:
                now = progress.read_text()
                if now != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > (PATIENCE if seen else 10 * PATIENCE):  # at first it imports
                    child.kill()
                    child.wait()
                    return "", "the library does not return"
        out.seek(0)
        err.seek(0)
        if child.returncode < 0:
            return "", f"the library crashed: signal {-child.returncode}"
        text = out.read()
        if not text:
            raise RuntimeError(err.read())
        return text, ""


def main() -> int:
    """The command; its status is 1 if any file did what it should not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", help="nam, json, npz, safetensors, keras, h5, pt, onnx")
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--subprocess", action="store_true")
    parser.add_argument("--keep", metavar="FILE", help="write the file of the first seed")
    parser.add_argument("--progress", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    bad = 0
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as folder:
            if options.keep:
                content = write(kind, Path(folder))[0].read_bytes()
                Path(options.keep).write_bytes(mutated(kind, content, options.first))
                continue
            if options.subprocess:
                outcomes = run_in_children(kind, options.first, options.files, Path(folder))
            else:
                outcomes = run(kind, options.first, options.files, Path(folder), options.progress)
        if options.json:
            print(json.dumps(outcomes))
            return 0
        print(f"{kind}: " + ", ".join(f"{len(seeds)} {what[:160]}" for what, seeds in sorted(outcomes.items())))
        for what, seeds in outcomes.items():
            if what not in ("read", "refused", "read or refused before that"):
                bad += not what.startswith("the library")  # nobody can help that from outside
                print(f"  seeds {seeds[:8]}: {what}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
