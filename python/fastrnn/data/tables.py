"""Tables, which are frames of pandas or polars, dicts of columns and CSV files, as arrays and sequences."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._hints import did_you_mean
from .._typing import Array, DTypeLike

__all__ = ["columns", "group_sequences", "read_csv"]


def read_csv(path: str | os.PathLike[str], delimiter: str = ",") -> dict[str, Array]:
    """Return the columns of a CSV file whose first line has their names, by name.

    Args:
        path: of the file, in UTF-8.
        delimiter: between the fields.

    Returns:
        Arrays (rows,): float64 where every field is a number or empty (NaN), else str.

    Raises:
        ValueError: no line of names, a name twice, or a row with another number of fields.

    Example:
        >>> import csv
        >>> with open("table.csv", "w", newline="") as file:
        ...     csv.writer(file).writerows([["a", "name"], [1, "x"], [2, "y"]])
        ...
        >>> table = fastrnn.data.read_csv("table.csv")
        >>> table["a"].tolist(), table["name"].tolist()
        ([1.0, 2.0], ['x', 'y'])
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, delimiter=delimiter)
        names = next(rows, [])
        if not names:
            raise ValueError(f"{os.fspath(path)}: expected a first line with the names of the columns, got none")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{os.fspath(path)}: expected different names of columns, got {name!r} twice")
        fields: list[list[str]] = [[] for _ in names]
        for row in rows:
            if len(row) != len(names):
                if not row:
                    continue
                raise ValueError(
                    f"{os.fspath(path)}: expected {len(names)} fields in line {rows.line_num}, got {len(row)}"
                )
            for column, field in zip(fields, row, strict=True):
                column.append(field)
    return {name: _numbers(column) for name, column in zip(names, fields, strict=True)}


def _numbers(fields: Sequence[str]) -> Array:
    try:
        return np.array([float(field) if field.strip() else np.nan for field in fields])
    except ValueError:
        return np.array(fields)


def columns(table: Any, names: str | Sequence[str], dtype: DTypeLike | None = "float32") -> Array:
    """Return columns of a table as an array: (rows,) for one name, (rows, len(names)) for several.

    Args:
        table: a frame of pandas or polars, a dict of columns, or whatever gives its columns by ``table[name]``.
        names: one or several.
        dtype: of the result; None keeps that of the columns.

    Raises:
        ValueError: no such column, or one that holds no numbers.

    Example:
        >>> table = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])}
        >>> fastrnn.data.columns(table, ["a", "b"]).tolist()
        [[1.0, 3.0], [2.0, 4.0]]
    """
    if not isinstance(names, str):
        return np.stack([columns(table, name, dtype) for name in names], axis=-1)
    known: list[Any] = list(table) if isinstance(table, Mapping) else list(getattr(table, "columns", ()))
    if known and names not in known:
        raise ValueError(
            f"names: expected one of the columns {', '.join(map(str, known))}, got {names!r}"
            f"{did_you_mean(names, map(str, known))}"
        )
    column = table[names]
    array = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)
    if dtype is None:
        return array
    try:
        return array.astype(dtype)
    except (ValueError, TypeError):
        raise ValueError(f"names: expected a column of numbers, got {names!r} of dtype {array.dtype}") from None


def group_sequences(
    table: Any, group: str, features: Sequence[str], target: str | None = None, order: str | None = None
) -> tuple[list[Array], Array | None, Array]:
    """Return the sequences of a long table, whose rows are steps and whose column `group` tells to which one.

    Args:
        table: as for `columns`.
        group: name of the column with the sequences' identities.
        features: names of the columns that are read.
        target: name of the column with each sequence's label, the same in all of its rows; None for none.
        order: name of the column that orders the steps; None keeps the order of the rows.

    Returns:
        The sequences, float32 (T_n, features), their labels (N,) or None, and their identities (N,), sorted.

    Raises:
        ValueError: no such column, or labels that differ within a sequence.

    Example:
        >>> table = {"id": np.array([1, 1, 2]), "a": np.array([0.5, 1.5, 2.5]), "label": np.array([0, 0, 1])}
        >>> sequences, labels, names = fastrnn.data.group_sequences(table, "id", ["a"], "label")
        >>> [part.shape for part in sequences], labels.tolist(), names.tolist()
        ([(2, 1), (1, 1)], [0, 1], [1, 2])
    """
    keys = columns(table, group, None)
    rows = columns(table, list(features))
    by = np.arange(len(keys)) if order is None else columns(table, order, None)
    groups, inverse = np.unique(keys, return_inverse=True)
    sorted_rows = np.lexsort((np.argsort(np.argsort(by, kind="stable"), kind="stable"), inverse))
    parts = np.split(sorted_rows, np.cumsum(np.bincount(inverse))[:-1])
    labels = None
    if target is not None:
        given = columns(table, target, None)
        labels = given[[part[0] for part in parts]]
        for name, label, part in zip(groups, labels, parts, strict=True):
            if (given[part] != label).any():
                raise ValueError(f"target: expected one label in all rows of {group} {name!r}, got several")
    return [rows[part] for part in parts], labels, groups
