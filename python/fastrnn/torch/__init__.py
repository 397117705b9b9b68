"""Recurrent layers for PyTorch: those of ``torch.nn``, computed by fastrnn.

    model = ...                      # with nn.LSTM, nn.GRU, nn.RNN or their cells somewhere
    fastrnn.torch.accelerate(model)  # the same model, the same parameters, computed here

or ``fastrnn.torch.LSTM`` in place of ``torch.nn.LSTM``, with the options of fastrnn by keyword. docs/torch.md tells
what works beside autograd, torch.compile, torch.export and autocast, and what does not.
"""

from __future__ import annotations

try:
    import torch
except ImportError:
    raise ImportError(
        "fastrnn.torch: expected PyTorch 2.4 or newer, found none; pip install 'fastrnn[torch]'"
    ) from None

if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 4):
    raise ImportError(f"fastrnn.torch: expected PyTorch 2.4 or newer, found {torch.__version__}")

from .._acceleration import Report
from .acceleration import accelerate, restore
from .cells import GRUCell, LSTMCell, RNNCell
from .modules import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "Report", "accelerate", "restore"]
