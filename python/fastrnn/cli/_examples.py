"""From a file to examples, for `train` and `predict`: CSV tables, .npz arrays, text."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Array
from ..data import Scaler, columns, fill_missing, group_sequences, pad_sequences, read_csv
from ..data.csv_files import encoding_error, python_encoding
from ..data.moments import in_order
from ._recipe import Recipe
from ._tables import check_columns, check_numbers

__all__ = ["PADDING", "Examples", "Source", "guess_task", "open_source", "read_examples", "read_series"]

PADDING = -1e4
"""What follows a short sequence; a step is masked if all of its scaled features are that."""


# -- files -------------------------------------------------------------------------------------------------------------


@dataclass
class Source:
    """What a file holds: a table of columns, named arrays, or a text; the others are None."""

    path: str
    table: dict[str, Array] | None = None
    arrays: dict[str, Array] | None = None
    text: str | None = None

    @property
    def columns(self) -> dict[str, Array]:
        """Those of a table. ValueError for a text or arrays."""
        if self.table is None:
            raise ValueError(f"{self.path}: expected a table or arrays, got a text")
        return self.table


def open_source(path: str, delimiter: str | None = None, decimal: str = ".", encoding: str = "utf-8") -> Source:
    """Read a .csv (.tsv), .npz or text file. ValueError for one that cannot be read, OSError."""
    suffix = os.path.splitext(path)[1].lower()
    if os.path.isdir(path):
        raise ValueError(f"{path}: expected a file, got a folder")
    if suffix in (".csv", ".tsv"):
        table = read_csv(path, "\t" if suffix == ".tsv" else delimiter, decimal=decimal, encoding=encoding)
        if not len(next(iter(table.values()))):
            raise ValueError(f"{path}: expected rows below the line of names, got none")
        return Source(path, table=table)
    if suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                if "fastrnn" in archive.files:
                    raise ValueError("expected arrays, got a model; fastrnn predict uses it")
                return Source(path, arrays={name: archive[name] for name in archive.files})
        except ValueError as error:
            what = "expected arrays of numbers or texts, got Python objects; ragged sequences are padded to (N, T, I), "
            known = "Object arrays" not in str(error)
            raise ValueError(f"{path}: {error if known else what + 'with their lengths (N,)'}") from None
    if suffix in (".txt", ".md", ".text"):
        with open(path, encoding=python_encoding(encoding)) as file:
            try:
                return Source(path, text=file.read())
            except UnicodeDecodeError as error:
                raise ValueError(encoding_error(path, encoding, error)) from None
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
    check_columns(source.path, source.table, [target], "target")
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
    table = source.columns
    check_numbers(source.path, table, recipe.features, recipe.decimal)
    target = recipe.target if labelled else None
    if recipe.sequence is not None:
        named = [(recipe.sequence, "sequence"), *([(recipe.order, "order")] if recipe.order else [])]
        for name, argument in named:
            check_columns(source.path, table, [name], argument)
        parts, y, names = group_sequences(table, recipe.sequence, recipe.features, target, recipe.order)
        return _check(Examples(parts, y, [_name(n) for n in names]), recipe)
    rows = columns(table, recipe.features)[..., np.newaxis]  # each row a sequence, its columns the steps
    y = columns(table, target, None) if target is not None else None
    return _check(Examples(list(rows), y, [str(k + 1) for k in range(len(rows))]), recipe)


def _name(name: Any) -> str:
    return f"{name:g}" if isinstance(name, float) else str(name)


def _check(examples: Examples, recipe: Recipe) -> Examples:
    steps = recipe.sequence is None  # the features are steps, and not what each step has
    for index, (name, part) in enumerate(zip(examples.names, examples.x, strict=True)):
        where = f"{recipe.sequence or 'row'} {name}"
        names = recipe.features if len(recipe.features) == part.shape[-1] else None
        examples.x[index] = _complete(part, where, None if steps else names, recipe)
    y = examples.y
    if y is not None and len(y.shape) == 1:
        empty = ~np.isfinite(y) if y.dtype.kind == "f" else np.array([not str(label).strip() for label in y])
        if empty.any():
            where = f"{recipe.sequence or 'row'} {examples.names[int(empty.argmax())]}"
            raise ValueError(
                f"{recipe.target}: expected a target for every sequence, got {int(empty.sum())} empty ones, the first "
                f"of {where}"
            )
    return examples


def _complete(steps: Array, where: str, names: list[str] | None, recipe: Recipe) -> Array:
    """Steps (T, F) without gaps. ValueError for one, unless `recipe.missing` says what to do, and for an infinity."""
    bad = ~np.isfinite(steps)
    if not bad.any():
        return steps
    gaps = np.isnan(steps)
    step, feature = (int(k) for k in np.argwhere(bad)[0])
    of = "" if names is None else f" of {names[feature]}"
    if recipe.missing == "previous" and (gaps == bad).all():
        empty = gaps.all(axis=0)
        if not empty.any():
            return np.asarray(fill_missing(steps))
        of = "" if names is None else f" in {names[int(empty.argmax())]}"
        raise ValueError(f"{where}: expected a number{of}, got none in all {len(steps)} steps")
    got = "a missing one" if gaps[step, feature] else f"{steps[step, feature]:g}"
    hint = "; --missing previous repeats the number before it" if gaps[step, feature] else ""
    raise ValueError(
        f"{where}: expected a number in every field{of}, got {got} in step {step + 1} ({int(bad.sum())} of "
        f"{bad.size}){hint}"
    )


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
        table = source.columns
        check_numbers(source.path, table, [*recipe.features, recipe.target], recipe.decimal)
        x, y = columns(table, recipe.features), columns(table, recipe.target)
        if recipe.order is not None:
            check_columns(source.path, table, [recipe.order], "order")
            rows = in_order(columns(table, recipe.order, None))
            x, y = x[rows], y[rows]
    if y.shape != x.shape[:1]:
        raise ValueError(f"{recipe.target}: expected {len(x)} steps, got shape {y.shape}")
    both = [*recipe.features, recipe.target] if source.table is not None else None
    whole = _complete(np.column_stack([x, y]), source.path, both, recipe)
    return whole[:, :-1], whole[:, -1]
