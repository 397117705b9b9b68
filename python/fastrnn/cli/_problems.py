"""What `fastrnn train` trains on: inputs, targets and a model for each kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._typing import Array
from ..data import CharVocabulary, Scaler, WordVocabulary, forecast_windows, split_by_time, train_test_split
from ..layers import GRU, LSTM, Bidirectional, Dense, Dropout, Embedding, Input, Masking, SimpleRNN
from ..layers.base import Layer
from ..model import Sequential
from ._examples import PADDING, Source, read_examples, read_series
from ._recipe import Recipe
from ._tables import about_rows, check_columns, looks_like_steps, numeric_columns
from .demo import next_character_windows

__all__ = ["CELLS", "Problem", "make_problem"]

CELLS = {"lstm": LSTM, "gru": GRU, "rnn": SimpleRNN}
WINDOW_OF_TEXT = 64
MOST_WORDS = 20_000


class Problem:
    """Examples for `fit`, and the model for them.

    Args:
        recipe: how the file became examples.
        model: not yet compiled.
        train, test: inputs and targets.
        about: lines that tell of the data.
        names_test: what the examples of the test are called; () for none.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: Sequential,
        train: tuple[Array, Array],
        test: tuple[Array, Array],
        about: list[str],
        names_test: Sequence[str] = (),
    ) -> None:
        self.recipe, self.model, self.about, self.names_test = recipe, model, about, names_test
        self.x, self.y = train
        self.x_test, self.y_test = test


def make_problem(source: Source, task: str, options: dict[str, Any]) -> Problem:
    """Read the data and make the model, as the options of `fastrnn train` say.

    Raises:
        ValueError: data that cannot be used for the task.
    """
    return {"forecasting": _forecasting, "text": _text}.get(task, _sequences)(source, task, options)


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


def _sequences(source: Source, task: str, options: dict[str, Any]) -> Problem:
    """Classification and regression of whole sequences."""
    recipe = Recipe(task, sequence=options["sequence"], **_reading(options))
    lines = _choose(source, recipe, options, [recipe.sequence, recipe.order])
    if source.table is not None and recipe.sequence is None:
        lines += looks_like_steps(source.table, recipe.target, recipe.features)
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
    names = [examples.names[k] for k in order[1]]
    train, test = ((x[rows], y[rows]) for rows in order)
    return Problem(recipe, model, train, test, [*lines, about], names)


def _kind(labels: Array) -> str:
    return f"words, as {str(labels.flat[0])!r}" if labels.dtype.kind in "USO" else f"{labels.dtype} {labels.shape}"


def _choose(source: Source, recipe: Recipe, options: dict[str, Any], taken: list[str | None]) -> list[str]:
    """Set the recipe's target and features; return lines about columns that are not read. `taken` are no features."""
    if source.arrays is not None:
        recipe.target, recipe.features = options["target"] or "y", _names(options["features"]) or ["x"]
        return []
    table = source.columns
    if options["target"] is None:
        raise ValueError(f"target: expected the name of a column of {', '.join(table)}, got none")
    named = [("target", options["target"]), ("sequence", recipe.sequence), ("order", recipe.order)]
    for argument, name in named:
        if name is not None:
            check_columns(source.path, table, [name], argument)
    recipe.target = options["target"]
    if recipe.task != "forecasting":
        taken = [*taken, recipe.target]
    recipe.features = _names(options["features"]) or numeric_columns(table, taken, recipe.decimal)
    return about_rows(table, recipe.target, recipe.features, recipe.sequence, recipe.order)


def _reading(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in ("order", "missing", "decimal", "encoding")}


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
        raise ValueError(f"{recipe.target}: expected one number for each sequence, got {_kind(labels)}")
    scaler = Scaler().fit(labels[train, np.newaxis])
    recipe.target_scaler = scaler.get_config()
    return np.asarray(scaler.transform(labels[:, np.newaxis].astype(np.float32)))


def _forecasting(source: Source, task: str, options: dict[str, Any]) -> Problem:
    """The next steps of a series."""
    recipe = Recipe(task, window=options["window"] or 48, horizon=options["horizon"] or 1, **_reading(options))
    lines = _choose(source, recipe, options, [recipe.order])
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
    first = len(x_train) + recipe.window + 1  # row of the file, from 1, whose target is forecast first
    names = [str(first + k) for k in range(len(test[0]))]
    return Problem(recipe, model, train, test, [*lines, about], names)


def _text(source: Source, task: str, options: dict[str, Any]) -> Problem:
    """The next character."""
    if source.text is None:
        raise ValueError(f"{source.path}: expected a text for this task, got a table or arrays")
    if options["bidirectional"]:
        raise ValueError("bidirectional: expected False for a text, which is written from its beginning")
    words = options["words"]
    vocabulary = WordVocabulary(source.text, MOST_WORDS, lower=False) if words else CharVocabulary(source.text)
    numbers, unit = vocabulary.encode(source.text), "words" if words else "characters"
    least = int(np.ceil(2 * (WINDOW_OF_TEXT + 1) / options["validation"]))
    if len(numbers) < least:
        raise ValueError(f"{source.path}: expected at least {least} {unit}, got {len(numbers)}")
    train, test = split_by_time(numbers, test_size=options["validation"])
    recipe = Recipe(task, encoding=options["encoding"])
    if isinstance(vocabulary, WordVocabulary):
        recipe.words, distinct = vocabulary.words, len(vocabulary.words)
    else:
        recipe.vocabulary, distinct = vocabulary.characters, len(vocabulary.characters)
    head = Dense(len(vocabulary), "softmax")
    layers = [Embedding(len(vocabulary), 32), *_recurrent(options, sequences=True), head]
    about = f"Data: {len(numbers):,} {unit}, {distinct:,} distinct; the last {len(test):,} are judged on."
    parts = [next_character_windows(part, WINDOW_OF_TEXT) for part in (train, test)]
    return Problem(recipe, Sequential([Input((None,)), *layers]), parts[0], parts[1], [about])
