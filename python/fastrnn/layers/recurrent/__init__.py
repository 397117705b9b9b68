"""The recurrent layers."""

from .bidirectional import Bidirectional
from .layers import GRU, LSTM, SimpleRNN
from .variants import MGU, SLSTM, IndRNN

__all__ = ["GRU", "LSTM", "MGU", "SLSTM", "Bidirectional", "IndRNN", "SimpleRNN"]
