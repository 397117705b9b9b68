"""What an error adds when it can tell what was meant."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable

_PACKAGE = os.path.dirname(__file__) + os.sep


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """Return ``; did you mean 'units'?`` for the choice that `name` comes close to, else nothing."""
    import difflib  # only an error needs it

    folded = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), folded, n=1) if isinstance(name, str) else []
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def unknown_keyword(function: str, name: str, known: Iterable[str]) -> TypeError:
    """Build the error for a keyword that `function` does not take."""
    known = list(known)
    hint = did_you_mean(name, known)
    return TypeError(f"{function}: unknown keyword {name!r}, expected one of {', '.join(known)}{hint}")


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside the package that the call came from."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
