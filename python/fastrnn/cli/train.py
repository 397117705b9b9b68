"""``fastrnn train FILE``: a model from a table, from arrays or from a text, with a report."""

from __future__ import annotations

import argparse
import math
import os
import sys
from typing import Any

import numpy as np

from .._typing import Array
from ..callbacks import EarlyStopping
from ..config import set_random_seed
from ..data import CharVocabulary, Scaler, forecast_windows, split_by_time, train_test_split
from ..layers import GRU, LSTM, Bidirectional, Dense, Dropout, Embedding, Input, Masking, SimpleRNN
from ..layers.base import Layer
from ..model import Sequential
from ..optimizers import Adam
from ..saving import check_path
from ._console import at_least_1, number_over_0, share
from ._examples import (
    KEY,
    PADDING,
    TASKS,
    Recipe,
    Source,
    check_columns,
    guess_task,
    numeric_columns,
    open_source,
    read_examples,
    read_series,
)
from ._report import Result, write_report
from ._unfinished import Unfinished
from .demo import TimeLimit, next_character_windows

HELP = "train a model on a CSV table, on arrays or on a text"
DESCRIPTION = (
    "Train a recurrent model. A CSV file (.csv, .tsv) has its columns' names in the first line. With --sequence ID its "
    "rows are steps, and column ID tells of which sequence; --target is then the label of the whole sequence. Without, "
    "a forecast (--window) reads rows as the steps of one series, and a classification or regression each row as a "
    "sequence whose columns are its steps. An .npz file has arrays x (N, T, I) and y, and lengths (N,) if they differ; "
    "for a forecast x (T, I). A text (.txt) is learned character by character. The model is saved with how it reads "
    "data, for fastrnn predict, and a folder with a report is written beside it. While it trains, a folder with "
    "checkpoints is there too: after a crash or Ctrl-C the same command with --resume goes on."
)
EXAMPLES = """examples:
  fastrnn train gestures.csv --sequence recording --target gesture
  fastrnn train weather.csv --target temperature --window 48 --horizon 24
  fastrnn train digits.npz --cell gru --units 128 --epochs 30
  fastrnn train poems.txt --seconds 120 --out poet.npz
  fastrnn train poems.txt --out poet.npz --resume      goes on with a run that was killed
  fastrnn predict model.npz new.csv                    afterwards

exit status: 0, 2 if the data cannot be used, 130 if interrupted (no model is saved, --resume goes on)."""
CELLS = {"lstm": LSTM, "gru": GRU, "rnn": SimpleRNN}
WINDOW_OF_TEXT = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("file", metavar="FILE", help=".csv, .tsv, .npz, or a text: .txt, .text, .md")
    data = parser.add_argument_group("data")
    data.add_argument("--task", choices=TASKS, help="default: guessed from the data, and told")
    data.add_argument("--target", metavar="COLUMN", help="what is to be predicted; of an .npz y")
    data.add_argument("--features", metavar="A,B,...", help="what is read; default: all other columns of numbers; x")
    data.add_argument("--sequence", metavar="COLUMN", help="which tells of which sequence a row is a step")
    data.add_argument("--window", type=at_least_1, metavar="STEPS", help="that a forecast reads; default: 48")
    data.add_argument("--horizon", type=at_least_1, metavar="STEPS", help="that it gives; default: 1")
    data.add_argument("--delimiter", default=",", help="between the fields of a CSV file; default: %(default)s")
    data.add_argument("--validation", type=share, default=0.2, metavar="SHARE",
                      help="of the examples (of a series its end) that is judged on; default: %(default)s")  # fmt: skip
    model = parser.add_argument_group("model")
    model.add_argument("--cell", choices=CELLS, default="lstm", help="default: %(default)s")
    model.add_argument("--units", type=at_least_1, default=64, help="of each layer; default: %(default)s")
    model.add_argument("--layers", type=at_least_1, default=1, help="default: %(default)s")
    model.add_argument("--bidirectional", action="store_true", help="read sequences from both ends")
    model.add_argument("--dropout", type=float, default=0.0, metavar="SHARE", help="default: %(default)s")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=at_least_1, default=100, help="at most; default: %(default)s")
    training.add_argument("--patience", type=at_least_1, default=10, metavar="EPOCHS",
                          help="without a better loss, after which it stops; default: %(default)s")  # fmt: skip
    training.add_argument("--seconds", type=number_over_0, help="stop after so long")
    training.add_argument("--batch-size", type=at_least_1, default=32, help="default: %(default)s")
    training.add_argument("--learning-rate", type=number_over_0, default=0.003, help="default: %(default)s")
    training.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same model; default: %(default)s"
    )
    training.add_argument("--out", default="model.npz", metavar="FILE", help="the model; default: %(default)s")
    training.add_argument("--report", metavar="FOLDER", help="default: the model's name and -report")
    training.add_argument("--force", action="store_true", help="replace the model, or a run not finished")
    training.add_argument(
        "--resume", action="store_true", help="go on with a run that was killed or interrupted, to the same model"
    )
    training.add_argument("--quiet", action="store_true", help="show no progress")


def command(options: dict[str, Any]) -> int:
    """Train, save, report; return the exit status."""
    out = options["out"]
    check_path(out)
    if os.path.exists(out) and not options["force"]:
        raise ValueError(f"{out}: it is there already; --force replaces it, --out chooses another name")
    source = open_source(options["file"], options["delimiter"])
    task = options["task"]
    if task is None:
        task, why = guess_task(source, options["target"], options["window"], options["sequence"])
        print(f"Task: {task}, as {why}; --task chooses another.")
    unfinished = Unfinished(options)
    newest = unfinished.check()
    if newest is not None:
        print(f"Resumed from {newest} in {unfinished.folder}.")
    set_random_seed(options["seed"])
    problem = {"forecasting": _forecasting, "text": _text}.get(task, _sequences)(source, task, options)
    model = problem.model
    model.metadata[KEY] = problem.recipe.as_config()
    print(problem.about)
    print(f"Model: {model.count_params():,} parameters, seed {options['seed']}.", flush=True)
    history, took = _fit(problem, options, unfinished)
    model.save(out, include_optimizer=False)
    prediction = np.asarray(model.predict(problem.x_test, batch_size=256, verbose=0))
    result = Result(
        options["file"], out, problem.recipe, model, history, took, problem.about, prediction, problem.y_test
    )
    folder = options["report"] or os.path.splitext(out)[0] + "-report"
    for line in write_report(result, folder):
        print(line)
    unfinished.remove()
    print(f"Saved {out}, and a report in {folder}")
    what = "--prompt TEXT" if task == "text" else "NEW-DATA"
    print(f"What to do next:\n  fastrnn predict {out} {what}\n  fastrnn inspect {out}")
    return 0


class _Problem:
    """Examples for `fit`, and the model for them."""

    def __init__(
        self, recipe: Recipe, model: Sequential, train: tuple[Array, Array], test: tuple[Array, Array], about: str
    ) -> None:
        self.recipe, self.model, self.about = recipe, model, about
        self.x, self.y = train
        self.x_test, self.y_test = test


def _fit(problem: _Problem, options: dict[str, Any], unfinished: Unfinished) -> tuple[dict[str, list[float]], float]:
    classes = problem.recipe.task in ("classification", "text")
    loss, metrics = ("sparse_categorical_crossentropy", ["accuracy"]) if classes else ("mse", ["mae"])
    problem.model.compile(Adam(options["learning_rate"], global_clipnorm=1.0), loss, metrics)
    stopping = EarlyStopping("val_loss", patience=options["patience"], restore_best_weights=True)
    clock = TimeLimit(math.inf if options["seconds"] is None else options["seconds"])
    unfinished.begin()
    try:
        history = problem.model.fit(
            problem.x, problem.y, batch_size=options["batch_size"], epochs=options["epochs"],
            validation_data=(problem.x_test, problem.y_test), verbose=0 if options["quiet"] else 1,
            callbacks=[stopping, clock], resume=unfinished.checkpoints,
        )  # fmt: skip
    except KeyboardInterrupt:
        if (hint := unfinished.interrupted()) is not None:
            print(hint, file=sys.stderr)
        raise
    return dict(history.history), clock.spent


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _recurrent(options: dict[str, Any], *, sequences: bool) -> list[Layer]:
    """The layers in the middle; `sequences`: whether the last one gives every step."""
    layers: list[Layer] = []
    for index in range(options["layers"]):
        last = index + 1 == options["layers"]
        layer = CELLS[options["cell"]](options["units"], return_sequences=sequences or not last)
        layers.append(Bidirectional(layer) if options["bidirectional"] else layer)
        if options["dropout"]:
            layers.append(Dropout(options["dropout"]))
    return layers


def _sequences(source: Source, task: str, options: dict[str, Any]) -> _Problem:
    """Classification and regression of whole sequences."""
    recipe = Recipe(task, sequence=options["sequence"])
    if source.table is not None:
        if options["target"] is None:
            raise ValueError(f"target: expected the name of a column of {', '.join(source.table)}, got none")
        check_columns(source, [options["target"]], "target")
        if recipe.sequence is not None:
            check_columns(source, [recipe.sequence], "sequence")
        recipe.target = options["target"]
        left = [recipe.target, recipe.sequence]
        recipe.features = _names(options["features"]) or numeric_columns(source, left)
        if not recipe.features:
            raise ValueError("features: expected at least one column of numbers beside the target, got none")
    else:
        recipe.target, recipe.features = options["target"] or "y", _names(options["features"]) or ["x"]
    examples = read_examples(source, recipe)
    assert examples.y is not None
    order = train_test_split(
        np.arange(len(examples.x)), test_size=options["validation"], seed=options["seed"]
    )  # indices of the examples for training and for validation
    scaler = Scaler().fit([examples.x[k] for k in order[0]])
    recipe.scaler = scaler.get_config()
    x, y = examples.padded(scaler), _targets(examples.y, recipe, order[0])
    head: list[Layer] = [Dense(len(recipe.classes), "softmax") if recipe.classes is not None else Dense(1)]
    ragged = [Masking(PADDING)] if len({len(part) for part in examples.x}) > 1 else []
    model = Sequential([Input((None, x.shape[2])), *ragged, *_recurrent(options, sequences=False), *head])
    lengths = sorted(len(part) for part in examples.x)
    steps = str(lengths[0]) if lengths[0] == lengths[-1] else f"{lengths[0]} to {lengths[-1]}"
    named = f" ({', '.join(recipe.features)})" if source.table is not None and recipe.sequence is not None else ""
    kinds = f"{len(recipe.classes)} classes" if recipe.classes is not None else "a number each"
    about = (
        f"Data: {len(order[0])} sequences to train on and {len(order[1])} to judge on, {steps} steps of "
        f"{x.shape[2]} features{named}, {kinds}."
    )
    return _Problem(recipe, model, (x[order[0]], y[order[0]]), (x[order[1]], y[order[1]]), about)


def _targets(labels: Array, recipe: Recipe, train: Array) -> Array:
    if recipe.task == "classification":
        if labels.ndim != 1:
            raise ValueError(f"{recipe.target}: expected one label for each sequence, got shape {labels.shape}")
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"{recipe.target}: expected at least two classes, got {classes.tolist()}")
        if len(classes) > max(20, len(labels) // 2):
            raise ValueError(
                f"{recipe.target}: expected classes with several examples each, got {len(classes)} of {len(labels)}; "
                "--task regression predicts numbers"
            )
        recipe.classes = classes.tolist()
        return np.asarray(numbers)
    if labels.dtype.kind not in "fiub" or labels.ndim != 1:
        raise ValueError(f"{recipe.target}: expected one number for each sequence, got {labels.dtype} {labels.shape}")
    scaler = Scaler().fit(labels[train, np.newaxis])
    recipe.target_scaler = scaler.get_config()
    return np.asarray(scaler.transform(labels[:, np.newaxis].astype(np.float32)))


def _forecasting(source: Source, task: str, options: dict[str, Any]) -> _Problem:
    """The next steps of a series."""
    recipe = Recipe(task, window=options["window"] or 48, horizon=options["horizon"] or 1)
    if source.table is not None:
        if options["target"] is None:
            raise ValueError(f"target: expected the name of a column of {', '.join(source.table)}, got none")
        check_columns(source, [options["target"]], "target")
        recipe.target = options["target"]
        recipe.features = _names(options["features"]) or numeric_columns(source, [])
    else:
        recipe.target, recipe.features = options["target"] or "y", _names(options["features"]) or ["x"]
    x, y = read_series(source, recipe)
    x_train, x_test, y_train, y_test = split_by_time(x, y, test_size=options["validation"])
    shorter = min(len(x_train), len(x_test))
    if shorter < recipe.window + recipe.horizon:
        raise ValueError(
            f"window: expected window and horizon of at most {shorter} steps together, which the shorter of the parts "
            f"for training and for judging has, got {recipe.window} and {recipe.horizon}"
        )
    scaler, target_scaler = Scaler().fit(x_train), Scaler().fit(y_train[:, np.newaxis])
    recipe.scaler, recipe.target_scaler = scaler.get_config(), target_scaler.get_config()

    def cut(features: Array, target: Array) -> tuple[Array, Array]:
        scaled = target_scaler.transform(target[:, np.newaxis])[:, 0]
        windows, nexts = forecast_windows(
            scaler.transform(features), recipe.window, recipe.horizon, target=scaled
        )  # views
        return np.ascontiguousarray(windows), np.ascontiguousarray(nexts)

    train, test = cut(x_train, y_train), cut(x_test, y_test)
    layers = [*_recurrent(options, sequences=False), Dense(recipe.horizon)]
    model = Sequential([Input((None, x.shape[1])), *layers])
    about = (
        f"Data: {len(x_train)} steps to train on and the last {len(x_test)} to judge on, {x.shape[1]} features "
        f"({', '.join(recipe.features)}); {recipe.window} steps are read, {recipe.horizon} forecast."
    )
    return _Problem(recipe, model, train, test, about)


def _text(source: Source, task: str, options: dict[str, Any]) -> _Problem:
    """The next character."""
    if source.text is None:
        raise ValueError(f"{source.path}: expected a text for this task, got a table or arrays")
    if options["bidirectional"]:
        raise ValueError("bidirectional: expected False for a text, which is written from its beginning")
    vocabulary = CharVocabulary(source.text)
    numbers = vocabulary.encode(source.text)
    least = int(np.ceil(2 * (WINDOW_OF_TEXT + 1) / options["validation"]))
    if len(numbers) < least:
        raise ValueError(f"{source.path}: expected at least {least} characters, got {len(numbers)}")
    train, test = split_by_time(numbers, test_size=options["validation"])
    recipe = Recipe(task, vocabulary=vocabulary.characters)
    head = Dense(len(vocabulary), "softmax")
    layers = [Embedding(len(vocabulary), 32), *_recurrent(options, sequences=True), head]
    about = f"Data: {len(numbers):,} characters, {len(vocabulary) - 1} distinct; the last {len(test):,} are judged on."
    parts = [next_character_windows(part, WINDOW_OF_TEXT) for part in (train, test)]
    return _Problem(recipe, Sequential([Input((None,)), *layers]), parts[0], parts[1], about)
