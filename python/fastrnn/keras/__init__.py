"""Recurrent layers for Keras 3: those of ``keras.layers``, computed by fastrnn.

    model = ...                      # with LSTM, GRU or SimpleRNN layers, in Bidirectional too
    fastrnn.keras.accelerate(model)  # the same model, the same weights, computed here
    fastrnn.keras.restore(model)     # and back, before `model.save`: the file needs no fastrnn then

or ``fastrnn.keras.LSTM`` in place of ``keras.layers.LSTM``. docs/keras.md tells what the backends can do.
"""

from __future__ import annotations

try:
    import keras
except ImportError as error:
    raise ImportError(
        f"fastrnn.keras: expected Keras 3 and its backend, found none; pip install 'fastrnn[keras]' ({error})"
    ) from None

if int(keras.__version__.split(".")[0]) < 3:
    raise ImportError(f"fastrnn.keras: expected Keras 3 or newer, found {keras.__version__}")
if keras.backend.backend() not in ("torch", "tensorflow"):
    raise ImportError(
        f"fastrnn.keras: expected the backend 'torch' or 'tensorflow', found {keras.backend.backend()!r}; "
        "set KERAS_BACKEND"
    )

from keras.layers import Bidirectional

from .._acceleration import Report
from .acceleration import accelerate, restore
from .layers import GRU, LSTM, SimpleRNN

__all__ = ["GRU", "LSTM", "Bidirectional", "Report", "SimpleRNN", "accelerate", "restore"]
