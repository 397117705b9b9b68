"""``fastrnn predict MODEL [DATA]``: what a model of `fastrnn train` says of new data."""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._file_writing import check_suffix
from .._typing import Array
from ..data import Scaler
from ..model import Sequential
from ..saving import load_model
from ._console import at_least_1, number_over_0, write_csv
from ._examples import open_source, read_examples, read_series
from ._recipe import Recipe, add_reading, vocabulary_of
from .demo import generate

HELP = "use a model that `fastrnn train` has saved"
DESCRIPTION = (
    "Predict with a model of fastrnn train, from data with the same columns (the target may be missing), or write "
    "text. A forecast is made from the last steps of the file. The result is CSV, on the standard output or in --out."
)
EXAMPLES = """examples:
  fastrnn predict model.npz new.csv
  fastrnn predict weather.npz weather.csv --out next-day.csv
  fastrnn predict poet.npz --prompt "Shall I " --length 400

exit status: 0, or 2 if the model or the data cannot be used."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("file", metavar="DATA", nargs="?", help="as in training; of a model of text none")
    parser.add_argument("--out", metavar="FILE.csv", help="default: the standard output")
    add_reading(parser)
    parser.add_argument("--prompt", default="The ", help="what a text goes on from; default: %(default)r")
    parser.add_argument("--length", type=at_least_1, default=240, help="of the text, in characters or words; default: "
                        "%(default)s")  # fmt: skip
    parser.add_argument("--temperature", type=number_over_0, default=0.5,
                        help="below 1: the likely characters; above: all kinds; default: %(default)s")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the text; default: %(default)s")


def command(options: dict[str, Any]) -> int:
    """Predict; return the exit status."""
    check_suffix(options["model"], "MODEL")
    model = load_model(options["model"], compile=False)
    recipe = Recipe.from_metadata(model.metadata, options["model"])
    for name in ("decimal", "encoding", "missing"):
        if options[name] is not None:
            setattr(recipe, name, options[name])
    if recipe.task == "text":
        return _write_text(model, recipe, options)
    if options["file"] is None:
        raise ValueError("DATA: expected a file, got none")
    source = open_source(options["file"], options["delimiter"], recipe.decimal, recipe.encoding)
    if recipe.task == "forecasting":
        x, _ = read_series(source, recipe) if _has(source, recipe.target) else (_features(source, recipe), None)
        head, rows = _forecast(model, recipe, x)
    else:
        examples = read_examples(source, recipe, labelled=False)
        assert recipe.scaler is not None
        prediction = model.predict(examples.padded(Scaler.from_config(recipe.scaler)), batch_size=256, verbose=0)
        head, rows = _of_sequences(recipe, examples.names, np.asarray(prediction))
    if options["out"] is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows([head, *rows])
    else:
        write_csv(options["out"], head, rows)
    return 0


def _has(source: Any, name: str) -> bool:
    return name in (source.table or source.arrays or {})


def _features(source: Any, recipe: Recipe) -> Array:
    """Of a file without the target: a forecast reads only the features."""
    twin = replace(recipe, target=recipe.features[0])
    return read_series(source, twin)[0]


def _forecast(model: Sequential, recipe: Recipe, x: Array) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    if len(x) < recipe.window:
        raise ValueError(f"DATA: expected at least {recipe.window} steps, which the model reads, got {len(x)}")
    assert recipe.scaler is not None
    last = Scaler.from_config(recipe.scaler).transform(x[-recipe.window :])
    values = recipe.unscale(np.asarray(model.predict(last[np.newaxis], verbose=0)))[0]
    return ("step", recipe.target), ((k + 1, f"{value:.7g}") for k, value in enumerate(values))


def _of_sequences(recipe: Recipe, names: list[str], p: Array) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    name = recipe.sequence or "row"
    if recipe.classes is None:
        values = recipe.unscale(p)[:, 0]
        return (name, recipe.target), ((n, f"{value:.7g}") for n, value in zip(names, values, strict=True))
    classes = recipe.classes
    head = (name, recipe.target, "probability")
    return head, ((n, classes[row.argmax()], f"{row.max():.6g}") for n, row in zip(names, p, strict=True))


def _write_text(model: Sequential, recipe: Recipe, options: dict[str, Any]) -> int:
    if options["file"] is not None:
        raise ValueError(f"DATA: expected none with a model of text: it goes on from --prompt, got {options['file']}")
    if not options["prompt"]:
        raise ValueError("prompt: expected at least one character, got none")
    vocabulary, prompt = vocabulary_of(recipe), options["prompt"]
    unknown = vocabulary.unknown(prompt)
    if unknown:
        print(f"The model has not met {', '.join(map(repr, unknown))}, and goes on as from anything.", file=sys.stderr)
    if not len(vocabulary.encode(prompt)):
        raise ValueError(f"prompt: expected at least one word, got {prompt!r}")
    drawn = generate(model, vocabulary, prompt, options["length"], options["temperature"], options["seed"])
    text = joined(prompt, drawn) if recipe.words is not None else prompt + drawn
    if options["out"] is None:
        print(text)
    else:
        with open(options["out"], "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0


def joined(prompt: str, drawn: str) -> str:
    """A prompt and the words after it, with no space before what ends a part of a sentence."""
    tidy = re.sub(r" ([.,;:!?%)])", r"\1", f"{prompt.rstrip()} {drawn}")
    return tidy.replace("( ", "(")
