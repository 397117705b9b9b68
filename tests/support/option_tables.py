"""The tables of docs/options.md that follow from code: which cell has which option, and what is refused.

`python -m tests.support.option_tables` writes them; test_refusals.py holds the page to them.
"""

from __future__ import annotations

from fastrnn.functional._cells import CELLS
from tests.support.refusals import REFUSALS, RULES
from tests.support.tree import ROOT

PAGE = ROOT / "docs" / "options.md"
TABLES = ("options", "refusals")
# An argument that a cell names only to refuse it.
_REFUSED = {("rnn", "ln_ih")}
# Rules of a cell's own; the others hold wherever their arguments are.
_OF_A_CELL = {"full", "coupled", "proj_clip", "projection", "ln_pair", "ln_rnn", "ln_c", "indrnn"}


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _options() -> str:
    """A row for each keyword beside the four parameters, a column for each cell."""
    rows = []
    for kind in ("weights", "run"):
        has = {
            cell: (getattr(table, kind) | (set(table.defaults) if kind == "weights" else set()))
            for cell, table in CELLS.items()
        }
        has = {cell: {name for name in names if (cell, name) not in _REFUSED} for cell, names in has.items()}
        for name in sorted(set().union(*has.values())):
            rows.append([f"`{name}`", kind, *("x" if name in has[cell] else "" for cell in CELLS)])
    return _table(["option", "of the", *(f"`{cell}`" for cell in CELLS)], rows)


def _refusals() -> str:
    """A row for each rule, with the cells that it is about."""
    rows = []
    for rule, (what, why) in RULES.items():
        cells = [cell for cell in CELLS if any((r.rule, r.cell) == (rule, cell) for r in REFUSALS)]
        rows.append([what, ", ".join(f"`{cell}`" for cell in cells) if rule in _OF_A_CELL else "", why])
    return _table(["refused", "of", "why"], rows)


def render(page: str) -> str:
    """The page with its tables as they must be."""
    for name, make in zip(TABLES, (_options, _refusals), strict=True):
        begin, end = f"<!-- {name}: written by tests.support.option_tables -->", f"<!-- end of {name} -->"
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{make()}\n{end}{rest.split(end)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
