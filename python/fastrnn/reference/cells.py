"""The list of cells."""

from .gru import GRU
from .indrnn import INDRNN
from .lstm import LSTM
from .mgu import MGU
from .rnn import RNN
from .slstm import SLSTM

CELLS = {cell.name: cell for cell in (RNN, LSTM, GRU, INDRNN, MGU, SLSTM)}
