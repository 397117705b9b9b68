"""The order of steps by a column of dates and times, also where these are texts."""

from __future__ import annotations

import datetime
import re

import numpy as np

from .._typing import Array
from .csv_files import number_of

__all__ = ["in_order"]

_DATE = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(.*)")
_DATE_WITH_DOTS = re.compile(r"(\d\d?)\.(\d\d?)\.(\d{4})(.*)")
_TIME = re.compile(r"[T ]*(\d\d?):(\d\d)(:(\d\d([.,]\d+)?))?(Z|[-+]00:?00)?")


def in_order(column: Array) -> Array:
    """Return the numbers of the rows in the order of a column of numbers, dates, or texts of either.

    Raises:
        ValueError: texts that are neither: as texts, the 10th would come before the 2nd.
    """
    if column.dtype.kind not in "OUST":
        return np.argsort(column, kind="stable")
    keys = [field if isinstance(field, (int, float)) else _moment(str(field)) for field in column]
    return np.argsort(np.array(keys, np.float64), kind="stable")


def _moment(text: str) -> float:
    """Seconds of a date, a time or both; or the number that a text is."""
    days, rest = 0, text.strip()
    try:
        if (date := _DATE.fullmatch(rest)) is not None:
            days, rest = datetime.date(int(date[1]), int(date[2]), int(date[3])).toordinal(), date[4]
        elif (date := _DATE_WITH_DOTS.fullmatch(rest)) is not None:
            days, rest = datetime.date(int(date[3]), int(date[2]), int(date[1])).toordinal(), date[4]
        if (time := _TIME.fullmatch(rest)) is not None:
            return days * 86400.0 + int(time[1]) * 3600 + int(time[2]) * 60 + float((time[4] or "0").replace(",", "."))
        if days and not rest:
            return days * 86400.0
        return number_of(text)
    except ValueError:
        raise ValueError(
            f"order: expected numbers, or dates such as 2024-03-01 12:30 or 01.03.2024, got {text!r}"
        ) from None
