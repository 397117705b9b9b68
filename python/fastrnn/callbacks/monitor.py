"""Watching one figure in the logs, for the callbacks that act on it."""

from __future__ import annotations

import math
import warnings
from typing import Any

from .._registry import choice_error

_MODES = ("auto", "min", "max")
# "auto" looks for these in the name; everything else is a loss or an error and better when smaller.
_LARGER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "top_k")


class Monitor:
    """A named figure and what counts as better.

    Args:
        name: key in the logs.
        mode: "min", "max" or "auto".
        min_delta: a change that is not larger does not count.
    """

    def __init__(self, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in _MODES:
            raise choice_error("mode", _MODES, mode)
        if mode == "auto":
            mode = "max" if any(part in name for part in _LARGER_IS_BETTER) else "min"
        self.name = name
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.worst = math.inf if mode == "min" else -math.inf

    def read(self, owner: object, logs: dict[str, Any] | None) -> float | None:
        """Return the figure, or None with a warning if `logs` does not have it."""
        value = (logs or {}).get(self.name)
        if value is None:
            warnings.warn(
                f"{type(owner).__name__}: {self.name!r} is not among the logged names: {', '.join(logs or {})}",
                stacklevel=3,
            )
            return None
        return float(value)

    def better(self, value: float, than: float) -> bool:
        """Return whether `value` improves on `than`; NaN never does."""
        return value < than - self.min_delta if self.mode == "min" else value > than + self.min_delta
