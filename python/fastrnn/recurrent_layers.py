"""The recurrent layers, by the name that their module had."""

from .layers.recurrent import GRU, LSTM, MGU, SLSTM, Bidirectional, IndRNN, SimpleRNN

__all__ = ["GRU", "LSTM", "MGU", "SLSTM", "Bidirectional", "IndRNN", "SimpleRNN"]
