"""The list of cells."""

from __future__ import annotations

from ._gru import _GRU
from ._indrnn import _INDRNN
from ._lstm import _LSTM
from ._mgu import _MGU
from ._options import Cell
from ._rnn import _RNN
from ._slstm import _SLSTM

CELLS: dict[str, Cell] = {cell.name: cell for cell in (_RNN, _LSTM, _GRU, _INDRNN, _MGU, _SLSTM)}
"""Each cell by its name, in the order of csrc/include/fastrnn/types.h."""
