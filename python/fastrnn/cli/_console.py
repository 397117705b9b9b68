"""What the commands print: tables, and errors in one line."""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterable, Sequence
from typing import IO, NoReturn

from .._hints import did_you_mean

__all__ = ["Parser", "at_least_1", "number_from_0", "number_over_0", "one_line", "share", "show_table", "write_csv"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others of the commands."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        choice = re.fullmatch(r"argument .*: invalid choice: '(.*)' \(choose from (.*)\)", message)
        hint = did_you_mean(choice[1], re.findall(r"[\w.-]+", choice[2])) if choice is not None else ""
        self.exit(2, f"{self.prog}: error: {message}{hint}; {self.prog} --help tells more\n")

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Refuse words that are no options of the command."""
        options = [option for action in self._actions for option in action.option_strings]
        option = next((word for word in words if word.startswith("-")), None)
        if option is None:
            self.error(f"unexpected argument {words[0]!r}")
        self.error(f"unknown option {option}{did_you_mean(option.partition('=')[0], options)}")


def show_table(head: Sequence[str], rows: Sequence[Sequence[object]], file: IO[str] | None = None) -> None:
    """Print a table: by rich where it is installed and the output is a terminal, else as plain text.

    Args:
        head: of the columns. One that ends in a space is of numbers, set to the right.
        rows: what the cells show, by `str`.
        file: the standard output when None.
    """
    file = sys.stdout if file is None else file
    cells = [[str(cell) for cell in row] for row in rows]
    if file.isatty():
        try:
            return _show_rich(head, cells, file)
        except ImportError:
            pass
    widths = [max(len(row[k]) for row in [[h.strip() for h in head], *cells]) for k in range(len(head))]
    for row in [[name.strip() for name in head], ["-" * width for width in widths], *cells]:
        line = (
            f"{cell:>{width}}" if name.endswith(" ") else f"{cell:<{width}}"
            for cell, width, name in zip(row, widths, head, strict=True)
        )
        print("  ".join(line).rstrip(), file=file)
    return None


def _show_rich(head: Sequence[str], cells: Sequence[Sequence[str]], file: IO[str]) -> None:
    import rich.box
    import rich.console
    import rich.table
    import rich.text

    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        table.add_column(name.strip(), justify="right" if name.endswith(" ") else "left", overflow="fold")
    for row in cells:
        table.add_row(*(rich.text.Text(cell) for cell in row))  # as it is: a bracket is no markup
    rich.console.Console(file=file).print(table)


def write_csv(path: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table to a file. OSError if it cannot be written."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


def one_line(error: BaseException) -> str:
    """An error's message without line breaks; an OSError's with the file's name."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def at_least_1(text: str) -> int:
    """An argument's integer >= 1."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer, got {text!r}") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number >= 1, got {text}")
    return value


def number_over_0(text: str) -> float:
    """An argument's number > 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text}")
    return value


def number_from_0(text: str) -> float:
    """An argument's number >= 0."""
    return 0.0 if text.strip("0.") == "" and "0" in text else number_over_0(text)


def share(text: str) -> float:
    """An argument's number in (0, 1)."""
    try:
        value = number_over_0(text)
    except argparse.ArgumentTypeError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text}")
    return value
