"""From a file to examples, for `train` and `predict`: CSV tables, .npz arrays, text.

What was done to the data in training is a `Recipe`, which goes into the model's file, so that `predict` does the same.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .._hints import did_you_mean
from .._typing import Array, Config
from ..data import CharVocabulary, Scaler, columns, group_sequences, pad_sequences, read_csv

__all__ = [
    "KEY",
    "PADDING",
    "Examples",
    "Recipe",
    "Source",
    "guess_task",
    "open_source",
    "read_examples",
    "read_series",
]

KEY = "fastrnn.train"
"""The entry of a model's metadata that has its recipe."""

PADDING = -1e4
"""What follows a short sequence; a step is masked if all of its scaled features are that."""

TASKS = ("classification", "regression", "forecasting", "text")


@dataclass
class Recipe:
    """How a file became a model's inputs and targets.

    Attributes:
        task: one of TASKS.
        features, target, sequence: names of columns, or of arrays in an .npz; `sequence` tells whose step a row is.
        classes: what the numbers of a classification stand for.
        scaler, target_scaler: configs of `Scaler`s, fitted on the training part.
        window, horizon: steps that a forecast reads, and gives.
        vocabulary: the characters of a text.
    """

    task: str
    features: list[str] = field(default_factory=list)
    target: str = ""
    sequence: str | None = None
    classes: list[Any] | None = None
    scaler: Config | None = None
    target_scaler: Config | None = None
    window: int = 0
    horizon: int = 0
    vocabulary: str | None = None

    def as_config(self) -> Config:
        """What JSON has."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, metadata: Config, path: str) -> Recipe:
        """That of a model's file. ValueError for a model that `fastrnn train` has not made."""
        settings = metadata.get(KEY)
        if not isinstance(settings, dict) or set(settings) != set(cls.__dataclass_fields__):
            raise ValueError(f"{path}: expected a model that `fastrnn train` has saved, with how it reads data")
        return cls(**settings)

    def unscale(self, y: Array) -> Array:
        """Targets as they were in the file."""
        if self.target_scaler is None:
            return y
        scaler = Scaler.from_config(self.target_scaler)
        back: Array = scaler.inverse_transform(y[..., np.newaxis])[..., 0]
        return back


# -- files -------------------------------------------------------------------------------------------------------------


@dataclass
class Source:
    """What a file holds: a table of columns, named arrays, or a text; the others are None."""

    path: str
    table: dict[str, Array] | None = None
    arrays: dict[str, Array] | None = None
    text: str | None = None


def open_source(path: str, delimiter: str = ",") -> Source:
    """Read a .csv (.tsv), .npz or text file. ValueError for one that cannot be read, OSError."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".csv", ".tsv"):
        table = read_csv(path, "\t" if suffix == ".tsv" else delimiter)
        if not len(next(iter(table.values()))):
            raise ValueError(f"{path}: expected rows below the line of names, got none")
        return Source(path, table=table)
    if suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                return Source(path, arrays={name: archive[name] for name in archive.files})
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    if suffix in (".txt", ".md", ".text"):
        with open(path, encoding="utf-8") as file:
            try:
                return Source(path, text=file.read())
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: expected UTF-8: {error}") from None
    raise ValueError(f"{path}: expected a name ending in .csv, .tsv, .npz, .txt, .text or .md")


def guess_task(source: Source, target: str | None, window: int | None, sequence: str | None) -> tuple[str, str]:
    """The task that a file is for, and why."""
    if source.text is not None:
        return "text", "the file is a text"
    if window is not None:
        return "forecasting", "a window is given"
    labels = _label_array(source, target)
    if labels.dtype.kind not in "fiub":
        return "classification", "the target has words"
    if source.arrays is not None and labels.dtype.kind in "iu":
        return "classification", "the target has integers"
    if source.table is not None and sequence is None and len(source.table) <= 8:
        return "forecasting", "there is no column of sequences: each row is a step"
    return "regression", "the target has numbers"


def _label_array(source: Source, target: str | None) -> Array:
    if source.arrays is not None:
        return _array(source, target or "y")
    if target is None:
        raise ValueError(f"target: expected the name of a column of {', '.join(source.table or ())}, got none")
    assert source.table is not None
    check_columns(source, [target], "target")
    return columns(source.table, target, None)


def _array(source: Source, name: str) -> Array:
    assert source.arrays is not None
    if name not in source.arrays:
        raise ValueError(f"{source.path}: expected an array {name!r}, got {', '.join(source.arrays) or 'none'}")
    return source.arrays[name]


# -- sequences ---------------------------------------------------------------------------------------------------------


@dataclass
class Examples:
    """Sequences (T_n, features), their targets if any, and what they are called."""

    x: list[Array]
    y: Array | None
    names: list[str]

    def padded(self, scaler: Scaler) -> Array:
        """One array (N, T, features), scaled; short sequences are followed by PADDING."""
        scaled = [scaler.transform(part) for part in self.x]
        if len({len(part) for part in scaled}) == 1:
            return np.stack(scaled)
        return pad_sequences(scaled, dtype="float32", padding="post", value=PADDING)


def check_columns(source: Source, names: list[str], argument: str) -> None:
    """ValueError unless a table has all of the columns."""
    known = list(source.table or ())
    for name in names:
        if name not in known:
            raise ValueError(
                f"{argument}: expected a column of {source.path} ({', '.join(known)}), got {name!r}"
                f"{did_you_mean(name, known)}"
            )


def numeric_columns(source: Source, leave_out: list[str | None]) -> list[str]:
    """Names of the columns of numbers, in their order."""
    assert source.table is not None
    return [n for n, column in source.table.items() if column.dtype.kind == "f" and n not in leave_out]


def read_examples(source: Source, recipe: Recipe, *, labelled: bool = True) -> Examples:
    """The sequences of a classification or a regression.

    Raises:
        ValueError: a column or array that is not there, empty fields, labels that differ within a sequence.
    """
    if source.arrays is not None:
        x = _array(source, recipe.features[0])
        if x.ndim not in (2, 3) or x.dtype.kind not in "fiub" or not len(x):
            raise ValueError(f"{recipe.features[0]}: expected numbers (N, T, I) or (N, T), got {x.dtype} {x.shape}")
        parts = list(x.reshape(*x.shape[:2], -1).astype(np.float32))
        if "lengths" in source.arrays:
            lengths = source.arrays["lengths"]
            if lengths.shape != (len(x),) or lengths.min() < 1 or lengths.max() > x.shape[1]:
                raise ValueError(f"lengths: expected {len(x)} numbers in 1..{x.shape[1]}, got shape {lengths.shape}")
            parts = [part[: int(n)] for part, n in zip(parts, lengths, strict=True)]
        y = _array(source, recipe.target) if labelled else None
        if y is not None and len(y) != len(x):
            raise ValueError(f"{recipe.target}: expected {len(x)} targets, got {len(y)}")
        return _check(Examples(parts, y, [str(k) for k in range(len(x))]), recipe)
    if source.table is None:
        raise ValueError(f"{source.path}: expected a table or arrays, got a text")
    check_columns(source, [*recipe.features, *([recipe.sequence] if recipe.sequence else [])], "features")
    target = recipe.target if labelled else None
    if recipe.sequence is not None:
        parts, y, names = group_sequences(source.table, recipe.sequence, recipe.features, target)
        return _check(Examples(parts, y, [_name(n) for n in names]), recipe)
    rows = columns(source.table, recipe.features)[..., np.newaxis]  # each row a sequence, its columns the steps
    y = columns(source.table, target, None) if target is not None else None
    return _check(Examples(list(rows), y, [str(k + 1) for k in range(len(rows))]), recipe)


def _name(name: Any) -> str:
    return f"{name:g}" if isinstance(name, float) else str(name)


def _check(examples: Examples, recipe: Recipe) -> Examples:
    for name, part in zip(examples.names, examples.x, strict=True):
        if not np.isfinite(part).all():
            raise ValueError(f"{recipe.sequence or 'row'} {name}: expected a number in every field, got an empty one")
    if examples.y is not None and examples.y.dtype.kind == "f" and not np.isfinite(examples.y).all():
        raise ValueError(f"{recipe.target}: expected a target for every sequence, got empty ones")
    return examples


def read_series(source: Source, recipe: Recipe) -> tuple[Array, Array]:
    """The features (T, F) and the target (T,) of a forecast, float32. ValueError for empty fields."""
    if source.arrays is not None:
        x = _array(source, recipe.features[0])
        x = x[:, np.newaxis] if x.ndim == 1 else x
        if x.ndim != 2 or x.dtype.kind not in "fiub":
            raise ValueError(f"{recipe.features[0]}: expected numbers (T, I), got {x.dtype} {x.shape}")
        y = _array(source, recipe.target) if recipe.target in source.arrays else x[:, 0]
        x, y = x.astype(np.float32), y.astype(np.float32)
    else:
        if source.table is None:
            raise ValueError(f"{source.path}: expected a table or arrays, got a text")
        check_columns(source, [*recipe.features, recipe.target], "features")
        x, y = columns(source.table, recipe.features), columns(source.table, recipe.target)
    if y.shape != x.shape[:1]:
        raise ValueError(f"{recipe.target}: expected {len(x)} steps, got shape {y.shape}")
    bad = ~np.isfinite(x).all(axis=1) | ~np.isfinite(y)
    if bad.any():
        raise ValueError(f"{source.path}: expected a number in every field, got an empty one in row {bad.argmax() + 1}")
    return x, y


def vocabulary_of(recipe: Recipe) -> CharVocabulary:
    """That of a text's recipe."""
    return CharVocabulary(recipe.vocabulary or "")
