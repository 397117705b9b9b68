"""What a table's columns are good for, and what to say of those that cannot be read as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._hints import did_you_mean
from .._typing import Array
from ..data.csv_files import has_decimal_comma, no_number
from ..data.moments import in_order

__all__ = ["about_rows", "check_columns", "check_numbers", "looks_like_steps", "numeric_columns"]

Table = dict[str, Array]


def check_columns(path: str, table: Table, names: Sequence[str], argument: str) -> None:
    """ValueError unless a table has all of the columns."""
    for name in names:
        if name not in table:
            raise ValueError(
                f"{argument}: expected a column of {path} ({', '.join(table)}), got {name!r}{did_you_mean(name, table)}"
            )


def check_numbers(path: str, table: Table, names: Sequence[str], decimal: str) -> None:
    """ValueError unless a table has all of the columns, and numbers in them."""
    check_columns(path, table, names, "features")
    for name in names:
        if (why := _no_numbers(table[name], decimal)) is not None:
            raise ValueError(f"features: expected a column of numbers, got {name!r} {why[0]}")


def _no_numbers(column: Array, decimal: str) -> tuple[str, int] | None:
    """Of a column of words what it holds, and how many of the fields are no numbers; None for numbers."""
    if column.dtype.kind not in "USO":
        return None
    row, field, count = no_number(column, decimal) or (0, str(column[0]), len(column))
    hint = "; --decimal , reads such numbers" if decimal == "." and has_decimal_comma(field) else ""
    return f"with {field!r} in row {row + 1}, and {count} such fields of {len(column)}{hint}", count


def numeric_columns(table: Table, leave_out: Sequence[str | None], decimal: str) -> list[str]:
    """Names of the columns of numbers, in their order.

    Raises:
        ValueError: there are none, or a column of numbers has a few words in it, or decimal commas: it is not to be
            left out in silence.
    """
    found = []
    for name, column in table.items():
        if name in leave_out:
            continue
        why = _no_numbers(column, decimal)
        if why is None:
            found.append(name)
        elif why[1] * 2 < len(column) or "--decimal" in why[0]:
            raise ValueError(
                f"{name}: expected numbers in all rows, or in few, got a column {why[0]}"
                + ("" if "--decimal" in why[0] else "; mend it, or name the columns to read: --features")
            )
    if not found:
        raise ValueError("features: expected at least one column of numbers beside the target, got none")
    return found


def about_rows(
    table: Table, target: str, features: Sequence[str], sequence: str | None, order: str | None
) -> list[str]:
    """Lines about what is not read, and about rows that look as if they were steps, or in disorder.

    Args:
        table: all columns.
        target, features, sequence, order: those that are read.
    """
    rest = [name for name in table if name not in (target, sequence, order, *features)]
    lines = [f"Not read: {', '.join(rest)}."] if rest else []
    for name in rest if order is None else ():
        if table[name].dtype.kind in "USO" and _in_disorder(table[name], None if sequence is None else table[sequence]):
            lines.append(f"The rows are not in the order of {name!r}; --order {name!r} sorts them.")
    return lines


def looks_like_steps(table: Table, target: str, features: Sequence[str]) -> list[str]:
    """A line for a table whose rows are taken for sequences, though a column tells which of them belong together."""
    for name, column in table.items():
        if name == target or name in features or column.dtype.kind not in "USO":
            continue
        values, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        if not 2 <= len(values) <= len(column) // 2 or counts.min() < 2:
            continue
        first = np.zeros(len(values), dtype=np.intp)
        first[inverse] = np.arange(len(column))
        if (table[target][first][inverse] == table[target]).all():
            return [
                f"Each row is taken for a sequence; rows of one {name!r} have the same {target!r}: "
                f"--sequence {name!r} would read them as its steps."
            ]
    return []


def _in_disorder(column: Array, groups: Array | None) -> bool:
    """Whether a column holds dates, and later rows (of the same group) have earlier ones."""
    try:
        order = in_order(column)
    except ValueError:
        return False
    rank = np.argsort(order, kind="stable")
    if groups is not None:
        by_group = np.argsort(groups, kind="stable")
        same = groups[by_group][1:] == groups[by_group][:-1]
        return bool((np.diff(rank[by_group]) < 0)[same].any())
    return bool((np.diff(rank) < 0).any())
