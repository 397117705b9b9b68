"""Tables, which are frames of pandas or polars and dicts of columns, as arrays and sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._hints import did_you_mean
from .._typing import Array, DTypeLike
from .csv_files import has_decimal_comma, no_number
from .moments import in_order

__all__ = ["columns", "group_sequences"]


def columns(table: Any, names: str | Sequence[str], dtype: DTypeLike | None = "float32") -> Array:
    """Return columns of a table as an array: (rows,) for one name, (rows, len(names)) for several.

    Args:
        table: a frame of pandas or polars, a dict of columns, or whatever gives its columns by ``table[name]``.
        names: one or several.
        dtype: of the result; None keeps that of the columns.

    Raises:
        ValueError: no such column, or one that holds no numbers: words, or dates.

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
    if array.dtype.kind in "mM":
        raise ValueError(
            f"names: expected a column of numbers, got {names!r} of dtype {array.dtype}; leave it out, or make numbers "
            "of it, such as the hour of the day"
        )
    try:
        return array.astype(dtype)
    except (ValueError, TypeError):
        raise ValueError(f"names: expected a column of numbers, got {names!r}{_why(array)}") from None


def _why(array: Array) -> str:
    """What is wrong with a column that holds no numbers."""
    found = no_number(array)
    if found is None:
        return f" of dtype {array.dtype}"
    row, field, count = found
    hint = "; decimal=',' of read_csv reads such numbers" if has_decimal_comma(field) else ""
    return f" with {field!r} in row {row}, and {count} such fields of {len(array)}{hint}"


def group_sequences(
    table: Any, group: str, features: Sequence[str], target: str | None = None, order: str | None = None
) -> tuple[list[Array], Array | None, Array]:
    """Return the sequences of a long table, whose rows are steps and whose column `group` tells to which one.

    Args:
        table: as for `columns`.
        group: name of the column with the sequences' identities.
        features: names of the columns that are read.
        target: name of the column with each sequence's label, the same in all of its rows; None for none.
        order: name of the column that orders the steps: numbers, dates, or texts such as 2024-03-01 12:30, 01.03.2024
            or 12:30; None keeps the order of the rows.

    Returns:
        The sequences, float32 (T_n, features), their labels (N,) or None, and their identities (N,), sorted.

    Raises:
        ValueError: no such column, labels that differ within a sequence, or an order of other texts.

    Example:
        >>> table = {"id": np.array([1, 1, 2]), "a": np.array([0.5, 1.5, 2.5]), "label": np.array([0, 0, 1])}
        >>> sequences, labels, names = fastrnn.data.group_sequences(table, "id", ["a"], "label")
        >>> [part.shape for part in sequences], labels.tolist(), names.tolist()
        ([(2, 1), (1, 1)], [0, 1], [1, 2])
    """
    keys = columns(table, group, None)
    rows = columns(table, list(features))
    by = np.arange(len(keys)) if order is None else in_order(columns(table, order, None))
    groups, inverse = np.unique(keys, return_inverse=True)
    sorted_rows = np.lexsort((np.argsort(by, kind="stable"), inverse))
    parts = np.split(sorted_rows, np.cumsum(np.bincount(inverse))[:-1])
    labels = None
    if target is not None:
        given = columns(table, target, None)
        labels = given[[part[0] for part in parts]]
        for name, label, part in zip(groups, labels, parts, strict=True):
            other = given[part] != label
            if given.dtype.kind == "f":
                other &= ~(np.isnan(given[part]) & np.isnan(label))  # a label that is missing in all rows is one, too
            if other.any():
                several = ", ".join(map(str, np.unique(given[part])[:3]))
                raise ValueError(f"target: expected one label in all rows of {group} {str(name)!r}, got {several}")
    return [rows[part] for part in parts], labels, groups
