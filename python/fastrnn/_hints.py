"""What an error adds when it can tell what was meant."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

_PACKAGE = os.path.dirname(__file__) + os.sep


# What other libraries, and papers, call our arguments.
_ELSEWHERE = {
    "batch_input_shape": "input_shape",
    "bias": "use_bias",
    "hidden_dim": "units",
    "hidden_size": "units",
    "proj_size": "projection_units",
    "tbptt": "truncate",
    "variational_dropout": "recurrent_dropout",
}


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """Return ``; did you mean 'units'?`` for the choice that `name` comes close to, else nothing."""
    import difflib  # only an error needs it

    folded = {choice.lower(): choice for choice in choices}
    if isinstance(name, str) and _ELSEWHERE.get(name) in folded:
        return f"; did you mean {_ELSEWHERE[name]!r}?"
    close = difflib.get_close_matches(name.lower(), folded, n=1) if isinstance(name, str) else []
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def unknown_keyword(function: str, name: str, known: Iterable[str]) -> TypeError:
    """Build the error for a keyword that `function` does not take."""
    known = list(known)
    hint = did_you_mean(name, known)
    return TypeError(f"{function}: unknown keyword {name!r}, expected one of {', '.join(known)}{hint}")


def kind_of(value: object) -> str:
    """Return the name of a value's type for an error: "Adam of keras" where it is another library's."""
    library = type(value).__module__.partition(".")[0]
    name = type(value).__name__
    return name if library in ("builtins", "fastrnn", "numpy", "__main__") else f"{name} of {library}"


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside the package that the call came from."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def explain_weights(error: Exception, arrays: Mapping[str, Any], x: Any) -> Exception:
    """Return the error of a call's parameters, told of the usual slips: transposed weights, an x in float64.

    Args:
        error: what the native module says.
        arrays: the parameters by name.
        x: the call's, or None.
    """
    text = str(error)
    given = [array for array in arrays.values() if array is not None]
    if isinstance(error, TypeError):
        dtypes = {str(getattr(array, "dtype", None)) for array in given}
        if "(the dtype of x)" in text and str(getattr(x, "dtype", "")) == "float64" and dtypes == {"float32"}:
            return TypeError(
                "x: expected float32 (the dtype of the weights), got float64; convert it, x.astype('float32')"
            )
        return error
    w_ih, w_hh = (tuple(getattr(arrays.get(name), "shape", ())) for name in ("w_ih", "w_hh"))
    for names, ih, hh in (
        ("", w_ih, w_hh),
        ("w_ih.T", w_ih[::-1], w_hh),
        ("w_hh.T", w_ih, w_hh[::-1]),
        ("w_ih.T and w_hh.T", w_ih[::-1], w_hh[::-1]),
    ):
        if _fit(ih, hh):
            return type(error)(f"{text}; did you mean {names}?") if names else error
    return error


def _fit(w_ih: tuple[int, ...], w_hh: tuple[int, ...]) -> bool:
    """Whether shapes go together: (G*H, I) and (G*H, H), with a projection (G*H, P), of an IndRNN (H,)."""
    if len(w_ih) != 2 or not w_hh or w_ih[0] != w_hh[0]:
        return False
    return len(w_hh) == 1 or (len(w_hh) == 2 and w_hh[1] > 0 and w_hh[0] % w_hh[1] == 0)
