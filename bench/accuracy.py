"""Command line: measure on trained models what each weight dtype of fastrnn loses against float64.

python -m bench.accuracy
python -m bench.accuracy --models silero-vad g2p-en --out build/accuracy.md
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn

from . import models
from .precision import Disagreement, Result, measure
from .report import table

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
# What is measured: names in the tables, and arguments of fastrnn.pack_*.
ARITHMETICS: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"},
    "float32, fast": {"dtype": "float32", "fast_activations": True},
    "bfloat16_weights": {"dtype": "bfloat16_weights"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"dtype": "int8"},
}

INTRODUCTION = """# Accuracy of the weight dtypes

What `pack_lstm`, `pack_gru` and `pack_rnn` lose with each `dtype`, measured on trained models against `float64`.
Written by `python -m bench.accuracy`; how it was measured stands below the tables.

- **float32** rounds nothing below float32; **float32, fast** is `fast_activations=True`, approximate sigmoid and tanh.
- **bfloat16_weights** rounds the matrices to 8 significant bits; x and h stay float32.
- **bfloat16** rounds both operands of every matrix product to 8 significant bits.
- **int8** rounds the matrices to 127 steps either way of zero, with a scale for each output channel, and x and h
  likewise, with a scale for each row of the batch at each step.

Biases, gates and the cell state c are float32 in all of them, and so are the arrays that go in and come out; no sum has
fewer digits than float32.

## In short

`rms` is the root mean square error of y over the root mean square of y itself; `largest` is that of any one element of
y, which lies between -1 and 1. Decisions are words, tags and thresholds: see the last table."""

LAYERS = """## Layer by layer

Each layer alone, on the inputs and initial states that it has in float64: rms error, and in brackets the largest error
of an element. What int8 rounds is a part of a row's largest element: `peak of x` is how many times the row's root mean
square that is, the median over all steps. The error of fast activations is nearly all due to gates that hold: where the
update gate z of a GRU is close to 1, a small part of z is a large part of 1 - z, which lets new values in."""

OUTPUTS = """## What the model says in the end

Here all recurrent layers of a model are computed in one dtype, and the rest as the package does, so that errors pass
through layers, decoders and thresholds: the largest difference of a number, or how many decisions changed."""

METHOD = """## Method

The weights are those of the packages. Their input is words of Python's documentation, classical and everyday sentences
(`bench/texts.py`), and a voice made by a formula, with pauses and noise (`bench/models_audio.py`). Before anything is
measured a model must give in float32 what its package gives by itself, through onnxruntime or its own code: every
decision equal, every number to 1e-5 of the largest.

The packages, what they do here, and how far float32 is from their own results; then what computed:"""


def software() -> list[str]:
    """Names and versions of all that computed."""
    info = fastrnn.info()
    found = [f"fastrnn {info['version']} on {info['isa']}", f"Python {platform.python_version()}"]
    found.append(f"numpy {np.__version__}")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found.append(f"onnxruntime {importlib.metadata.version('onnxruntime')}")
    return found


def summary(results: Sequence[Result]) -> str:
    """One row for each arithmetic, over all layers and all decisions."""
    rows = []
    for name in ARITHMETICS:
        errors = [error for result in results for error in result.layers[name].values()]
        outcomes = [outcome for result in results for outcome in result.outputs[name].values()]
        rms = [error.rms for error in errors]
        rows.append(
            [
                f"`{name}`",
                f"{np.median(rms):.1e}",
                f"{max(rms):.1e}",
                f"{max(error.largest for error in errors):.1e}",
                f"{sum(o.changed for o in outcomes)} of {sum(o.of for o in outcomes)}",
            ]
        )
    return table(["", "rms, median layer", "rms, worst layer", "largest", "decisions changed"], rows)


def document(results: Sequence[Result], notes: Sequence[str]) -> str:
    """The whole of docs/accuracy.md."""
    layers = [
        [f"{r.package}, {layer.name}", layer.size, str(steps), f"{r.peaks[layer]:.1f}"]
        + [str(r.layers[name][layer]) for name in ARITHMETICS]
        for r in results
        for layer, steps in r.steps.items()
    ]
    outputs = [
        [f"{r.package}: {output}", *(str(r.outputs[name][output]) for name in ARITHMETICS)]
        for r in results
        for output in next(iter(r.outputs.values()))
    ]
    tested = [f"{r.package} {models.PACKAGES[r.package][0]}, {r.task}: {r.agreement}" for r in results]
    parts = [
        INTRODUCTION,
        summary(results),
        LAYERS,
        table(["layer", "size", "steps", "peak of x", *ARITHMETICS], layers),
        OUTPUTS,
        table(["output", *ARITHMETICS], outputs),
        METHOD,
        "\n".join(f"- {line}" for line in [*tested, *notes, ", ".join(software())]),
    ]
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 1 if a model in float32 is not what its package computes, or none is installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models",
        nargs="+",
        choices=list(models.PACKAGES),
        default=list(models.PACKAGES),
        metavar="PACKAGE",
        help=f"of {', '.join(models.PACKAGES)}; default: all that are installed",
    )
    parser.add_argument("--out", type=Path, default=DOCUMENT, help="Markdown file to write (default: docs/accuracy.md)")
    options = parser.parse_args(argv)
    results: list[Result] = []
    notes: list[str] = []
    failed = False
    for package in options.models:
        try:
            results.append(measure(package, models.load(package), ARITHMETICS))
            print(f"{package}: {results[-1].agreement}", flush=True)
            continue
        except ImportError as error:
            notes.append(f"{package}: skipped, {error}")
        except Disagreement as error:
            notes.append(f"{package}: NOT AGREED, left out: {error}")
            failed = True
        print(notes[-1], file=sys.stderr)
    if not results:
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(document(results, notes), encoding="utf-8")
    print(f"\n{summary(results)}\n\nwrote {options.out}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
