"""What an error adds when it can tell what was meant."""

from __future__ import annotations

from collections.abc import Iterable


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
