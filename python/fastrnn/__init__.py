"""fastrnn: recurrent neural networks at the speed of the hardware, forward and backward.

The functions (``lstm_forward``, ``lstm_backward``, ``pack_lstm``, ...) are imported at once and need NumPy alone. The
Keras-like layers and what belongs to them are imported when first used, by ``from fastrnn import Sequential, LSTM``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import CudaError, CudaWeights, DeviceArray, FullError, Model, PackedWeights, Session, StreamPool
from .functional import (
    GRUGrads,
    GRUOutput,
    IndRNNGrads,
    IndRNNOutput,
    LSTMGrads,
    LSTMOutput,
    LSTMState,
    MGUGrads,
    MGUOutput,
    RNNGrads,
    RNNOutput,
    SLSTMGrads,
    SLSTMOutput,
    SLSTMState,
    gru_backward,
    gru_cell,
    gru_forward,
    indrnn_backward,
    indrnn_cell,
    indrnn_forward,
    lstm_backward,
    lstm_cell,
    lstm_forward,
    mgu_backward,
    mgu_cell,
    mgu_forward,
    pack_cuda,
    pack_gru,
    pack_indrnn,
    pack_lstm,
    pack_mgu,
    pack_rnn,
    pack_slstm,
    rnn_backward,
    rnn_cell,
    rnn_forward,
    slstm_backward,
    slstm_cell,
    slstm_forward,
)
from .functional.plan import CpuPlan, CudaPlan, plan
from .functional.stack import StackGrads, StackOutput, stack_backward, stack_forward
from .system import get_num_threads, info, isa_available, set_num_threads

if TYPE_CHECKING:
    from .config import set_floatx, set_random_seed
    from .layers import (
        GRU,
        LSTM,
        MGU,
        SLSTM,
        Activation,
        AveragePooling1D,
        BatchNormalization,
        Bidirectional,
        Conv1D,
        Dense,
        Dropout,
        Embedding,
        Flatten,
        GlobalAveragePooling1D,
        GlobalMaxPooling1D,
        IndRNN,
        Input,
        Layer,
        LayerNormalization,
        Masking,
        MaxPooling1D,
        RepeatVector,
        SimpleRNN,
        TimeDistributed,
    )
    from .model import Sequential
    from .saving import load_model, save_model
    from .scoring import Scorer
    from .training.checkpoints import Checkpoints

__version__: str = _core.version

# What `__getattr__` below imports when it is first used, so that `import fastrnn` stays quick: names by their modules.
_NAMES = {
    "config": ("set_floatx", "set_random_seed"),
    "io": ("load_model", "save_model"),
    "layers": (
        "Activation", "AveragePooling1D", "BatchNormalization", "Bidirectional", "Conv1D", "Dense", "Dropout",
        "Embedding", "Flatten", "GRU", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "IndRNN", "Input",
        "LSTM", "Layer", "LayerNormalization", "MGU", "Masking", "MaxPooling1D", "RepeatVector", "SLSTM",
        "SimpleRNN", "TimeDistributed",
    ),
    "model": ("Sequential",),
    "scoring": ("Scorer",),
    "training.checkpoints": ("Checkpoints",),
}  # fmt: skip
_LAZY = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = {
    "activations", "callbacks", "config", "data", "distributed", "initializers", "interop", "io", "layers",
    "losses", "metrics", "model", "optimizers", "plot", "recurrent_layers", "reference", "regularizers",
    "schedules",
}  # fmt: skip
# What loads another library, and so is imported by name alone.
_DOORS = {"keras", "sklearn", "sktime", "torch"}

__all__ = [
    "GRU", "LSTM", "MGU", "SLSTM", "Activation", "AveragePooling1D", "BatchNormalization", "Bidirectional",
    "Checkpoints", "Conv1D", "CpuPlan", "CudaError", "CudaPlan", "CudaWeights", "Dense", "DeviceArray", "Dropout",
    "Embedding", "Flatten", "FullError", "GRUGrads", "GRUOutput", "GlobalAveragePooling1D", "GlobalMaxPooling1D",
    "IndRNN", "IndRNNGrads", "IndRNNOutput", "Input", "LSTMGrads", "LSTMOutput", "LSTMState", "Layer",
    "LayerNormalization", "MGUGrads", "MGUOutput", "Masking", "MaxPooling1D", "Model", "PackedWeights", "RNNGrads",
    "RNNOutput", "RepeatVector", "SLSTMGrads", "SLSTMOutput", "SLSTMState", "Scorer", "Sequential", "Session",
    "SimpleRNN", "StackGrads", "StackOutput", "StreamPool", "TimeDistributed", "__version__", "get_num_threads",
    "gru_backward", "gru_cell", "gru_forward", "indrnn_backward", "indrnn_cell", "indrnn_forward", "info",
    "isa_available", "load_model", "lstm_backward", "lstm_cell", "lstm_forward", "mgu_backward", "mgu_cell",
    "mgu_forward", "pack_cuda", "pack_gru", "pack_indrnn", "pack_lstm", "pack_mgu", "pack_rnn", "pack_slstm",
    "plan", "rnn_backward", "rnn_cell", "rnn_forward", "save_model", "set_floatx", "set_num_threads",
    "set_random_seed", "slstm_backward", "slstm_cell", "slstm_forward", "stack_backward", "stack_forward",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        hint = f"; import fastrnn.{name} first" if name in _DOORS else ""
        raise AttributeError(f"module 'fastrnn' has no attribute {name!r}{hint}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})
