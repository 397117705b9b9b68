"""Layers with Keras' names, arguments and defaults."""

from .base import Layer, register_layer
from .convolution import Conv1D
from .core import Activation, Dense, Dropout, Flatten, Input
from .merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract  # noqa: F401 - see there
from .normalization import BatchNormalization, LayerNormalization
from .pooling import AveragePooling1D, GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D
from .recurrent import GRU, LSTM, MGU, SLSTM, Bidirectional, IndRNN, SimpleRNN
from .sequence import Embedding, Masking, RepeatVector, TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "SLSTM",
    "Activation",
    "AveragePooling1D",
    "BatchNormalization",
    "Bidirectional",
    "Conv1D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "IndRNN",
    "Input",
    "Layer",
    "LayerNormalization",
    "Masking",
    "MaxPooling1D",
    "RepeatVector",
    "SimpleRNN",
    "TimeDistributed",
    "register_layer",
]
