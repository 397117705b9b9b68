"""Options of the command lines: a bad one is answered with one line, and exit status 2."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    def __init__(self, **more: Any) -> None:
        super().__init__(formatter_class=argparse.ArgumentDefaultsHelpFormatter, **more)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")  # without argparse's lines of usage


def within(kind: type, low: float, high: float) -> Callable[[str], Any]:
    """An argument's type: a number from low to high."""

    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:  # NaN is not, either
            raise argparse.ArgumentTypeError(f"expected {low:g} to {high:g}, got {text}")
        return value

    read.__name__ = kind.__name__  # argparse names it where the text is no number
    return read


COUNT, SECONDS = within(int, 1, 1e6), within(float, 0.001, 1e6)
