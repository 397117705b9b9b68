"""What each cell has, read from the native core, which says it once."""

from __future__ import annotations

from fastrnn import _core

_TABLE = _core.cell_table()
GATES = {cell: len(row["gates"]) for cell, row in _TABLE.items()}
BESIDE_H = {cell: tuple(row["states"]) for cell, row in _TABLE.items()}  # in the order in which c0 and c_n have them
STATES = {cell: ("h0", *(f"{state}0" for state in states)) for cell, states in BESIDE_H.items()}
