"""CSV files as they are found: other delimiters, decimal commas, missing numbers, encodings."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Sequence
from typing import IO

import numpy as np

from .._registry import choice_error
from .._typing import Array

__all__ = ["encoding_error", "has_decimal_comma", "no_number", "number_of", "python_encoding", "read_csv"]

DELIMITERS = (",", ";", "\t", "|")
_MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"}
"""What stands for a missing number, in lower case."""
_WITH_COMMA = re.compile(r"\s*[-+]?(\d+|\d{1,3}(\.\d{3})+)?(,\d*)?(e[-+]?\d+)?\s*", re.IGNORECASE)


def read_csv(
    path: str | os.PathLike[str], delimiter: str | None = None, *, decimal: str = ".", encoding: str = "utf-8"
) -> dict[str, Array]:
    """Return the columns of a CSV file whose first line has their names, by name.

    Args:
        path: of the file.
        delimiter: between the fields; None for that of ``, ; | tab`` which finds most names in the first line.
        decimal: "," reads 1.234,5 as 1234.5.
        encoding: of the file, as "latin-1" or "cp1252".

    Returns:
        Arrays (rows,): float64 where every field is a number or missing (empty, NA, null and the like: NaN), else str.

    Raises:
        ValueError: no line of names, a name twice, a row with another number of fields, or another encoding.

    Example:
        >>> import csv
        >>> with open("table.csv", "w", newline="") as file:
        ...     csv.writer(file).writerows([["a", "name"], [1, "x"], [2, "y"]])
        ...
        >>> table = fastrnn.data.read_csv("table.csv")
        >>> table["a"].tolist(), table["name"].tolist()
        ([1.0, 2.0], ['x', 'y'])
    """
    where = os.fspath(path)
    if decimal not in (".", ","):
        raise choice_error("decimal", (".", ","), decimal)
    if delimiter is not None and len(delimiter) != 1:
        raise ValueError(f"delimiter: expected one character, got {delimiter!r}")
    with open(path, newline="", encoding=python_encoding(encoding)) as file:
        try:
            fields = _fields(file, where, delimiter)
        except UnicodeDecodeError as error:
            raise ValueError(encoding_error(where, encoding, error)) from None
    return {name: _numbers(column, decimal) for name, column in fields.items()}


def python_encoding(encoding: str) -> str:
    """An encoding by Python's name; that of UTF-8 passes over a mark at the beginning. ValueError for none."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(f"encoding: expected one that Python knows, such as cp1252, got {encoding!r}") from None
    return "utf-8-sig" if name == "utf-8" else name


def encoding_error(where: str, encoding: str, error: UnicodeDecodeError) -> str:
    """What to tell of a file in another encoding."""
    byte = error.object[error.start]
    return f"{where}: expected {encoding.upper()}, got byte 0x{byte:02x}; encoding cp1252 is that of many such files"


def _fields(file: IO[str], where: str, delimiter: str | None) -> dict[str, list[str]]:
    if delimiter is None:
        first = file.readline()
        delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
        file.seek(0)
    rows = csv.reader(file, delimiter=delimiter)
    names = next(rows, [])
    if not names:
        raise ValueError(f"{where}: expected a first line with the names of the columns, got none")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{where}: expected different names of columns, got {name!r} twice")
    fields: list[list[str]] = [[] for _ in names]
    for row in rows:
        if len(row) != len(names):
            if not row:
                continue
            raise ValueError(
                f"{where}: expected {len(names)} fields in line {rows.line_num}, as the first line has between "
                f"{delimiter!r}, got {len(row)}"
            )
        for column, field in zip(fields, row, strict=True):
            column.append(field)
    return dict(zip(names, fields, strict=True))


def _numbers(fields: Sequence[str], decimal: str) -> Array:
    try:
        return np.array([number_of(field, decimal) for field in fields])
    except ValueError:
        return np.array(fields)


def number_of(field: str, decimal: str = ".") -> float:
    """The number in a field; NaN for what stands for a missing one. ValueError for anything else."""
    if decimal == ",":
        if _WITH_COMMA.fullmatch(field) is None and field.strip().lower() not in _MISSING:
            raise ValueError(f"no number with a decimal comma: {field}")
        field = field.replace(".", "").replace(",", ".")
    try:
        return float(field)
    except ValueError:
        if field.strip().lower() in _MISSING:
            return np.nan
        raise


def no_number(column: Array, decimal: str = ".") -> tuple[int, str, int] | None:
    """Of a column of texts the first field that is no number, its row, and how many there are; None if all are."""
    found: list[tuple[int, str]] = []
    for row, field in enumerate(column):
        try:
            number_of(str(field), decimal)
        except ValueError:
            found.append((row, str(field)))
    return (*found[0], len(found)) if found else None


def has_decimal_comma(field: str) -> bool:
    """Whether a field is a number with a decimal comma."""
    return re.search(r"\d", field) is not None and "," in field and _WITH_COMMA.fullmatch(field) is not None
