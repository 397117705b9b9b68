"""Which tests run without `--full`: of every function one for each value of each of its parameters, sixty at most.

A test that its file or its name asks for on the command line always runs.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

SMALL = 12  # so many of one function are few
MOST = 60  # that are kept because of a value that no other had
SHARE = 0.03  # of those of one function are kept at least


def left_out(items: Iterable[Any], asked_for: Collection[Path] = (), whole: Collection[Path] = ()) -> list[Any]:
    """The items that a short run can do without: those marked `full`, and most of a large parametrisation.

    Nothing is left out of the files `asked_for`, nor of the folders `whole`. The choice is the same in every run: it
    follows from the names of the tests.
    """
    functions: dict[tuple[Path, str], list[Any]] = defaultdict(list)
    out = []
    for item in items:
        if item.path in asked_for or any(folder in item.path.parents for folder in whole):
            continue
        if item.get_closest_marker("full"):
            out.append(item)
        else:
            functions[item.path, getattr(item, "originalname", item.name)].append(item)
    for group in functions.values():
        out += _spare(group) if len(group) > SMALL else []
    return out


def _spare(group: list[Any]) -> list[Any]:
    """What remains of one function's tests when the values of all parameters have been met, and SHARE of them run."""
    met: set[tuple[str, int]] = set()
    spare: list[Any] = []
    kept = 0
    for item in sorted(group, key=lambda item: zlib.crc32(item.name.encode())):
        values = {(name, id(value)) for name, value in item.callspec.params.items()}
        needed = not values <= met and kept < MOST
        if needed or len(group) - len(spare) <= SHARE * len(group):
            kept += 1
            met |= values
        else:
            spare.append(item)
    return spare
