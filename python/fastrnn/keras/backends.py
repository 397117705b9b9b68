"""Where a layer's loop over time runs: by Keras' backend, PyTorch or TensorFlow."""

from __future__ import annotations

from typing import Any

import keras

recurrence: Any
if keras.backend.backend() == "torch":
    from .torch_backend import Recurrence as _Recurrence
else:
    from .tensorflow_backend import Recurrence as _Recurrence  # type: ignore[assignment]

recurrence = _Recurrence()
