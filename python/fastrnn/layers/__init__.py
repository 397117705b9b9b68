"""Layers with Keras' names, arguments and defaults."""

from .base import Layer, register_layer
from .core import Activation, Dense, Dropout, Flatten, Input
from .recurrent import GRU, LSTM, MGU, SLSTM, Bidirectional, IndRNN, SimpleRNN
from .sequence import Embedding, Masking, RepeatVector, TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "SLSTM",
    "Activation",
    "Bidirectional",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "IndRNN",
    "Input",
    "Layer",
    "Masking",
    "RepeatVector",
    "SimpleRNN",
    "TimeDistributed",
    "register_layer",
]
