"""Arguments for python_api.py that claim to be what they are not, and how values are shown in its messages."""

from __future__ import annotations

from typing import Any

import numpy as np


class StrangeError(Exception):
    """Raised by an argument itself; the library may let it through."""


class StrangeAttributeError(StrangeError, AttributeError):
    """An AttributeError raised by an argument: library code often catches those."""


class Strange:
    """Claims to be an array, an int and a path; each claim may be true, wrong or raise."""

    def __init__(self, fuzzer: Any) -> None:
        self.fuzzer = fuzzer

    def answer(self, *given: Any, **named: Any) -> Any:
        if self.fuzzer.chance(3):
            raise self.fuzzer.pick([StrangeError, StrangeAttributeError, ValueError])
        return self.fuzzer.pick([self.fuzzer.odd_array, self.fuzzer.odd_number])()

    __array__ = __index__ = __fspath__ = __float__ = answer


def short(value: Any) -> str:
    """A short description of a value, some of which have no repr."""
    if isinstance(value, np.ndarray):
        return f"{type(value).__name__}({value.shape}, {value.dtype}, strides={value.strides})"
    try:
        return repr(value)[:200]
    except (TypeError, ValueError):
        return f"<{type(value).__name__}>"
