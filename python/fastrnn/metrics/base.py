"""What all metrics share: a running, sample-weighted mean over everything seen since `reset_state`.

A metric gives one value per element of ``y_pred.shape[:-1]`` (see `losses` for the shapes and `sample_weight`); its
result is the weighted sum divided by the sum of the weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._registry import Configured
from .._typing import Array
from ..losses.base import expand_weight

__all__ = ["Metric"]


class Metric(Configured):
    """Base class: a weighted mean. A subclass implements `values`.

    Args:
        name: the key in logs and history; None takes the class's default.

    Example:
        >>> class Worst(fastrnn.metrics.Metric):
        ...     def values(self, y_true, y_pred):
        ...         return np.abs(y_true - y_pred).max(axis=-1)
        ...
        >>> metric = Worst()
        >>> metric.update_state(np.zeros((1, 2)), np.array([[1.0, -3.0]]))
        >>> float(metric.result())
        3.0
    """

    default_name = "metric"

    def __init__(self, name: str | None = None) -> None:
        self.name = self.default_name if name is None else name
        self.reset_state()

    def reset_state(self) -> None:
        """Forget everything seen."""
        self._total = 0.0
        self._weight = 0.0

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return one number per element, shape ``y_pred.shape[:-1]``."""
        raise NotImplementedError

    def update_state(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> None:
        """Add a batch: y_pred (B, C) or (B, T, C), y_true to match, sample_weight (B,), (B, T) or None.

        Raises:
            ValueError: shapes do not match.
        """
        self._add(self.values(np.asarray(y_true), np.asarray(y_pred)), sample_weight)

    def _add(self, values: Array, sample_weight: Array | None) -> None:
        if sample_weight is None:
            self._total += float(np.sum(values, dtype=np.float64))
            self._weight += values.size
            return
        weight = np.broadcast_to(expand_weight(sample_weight, values.shape), values.shape)
        self._total += float(np.sum(values * weight, dtype=np.float64))
        self._weight += float(np.sum(weight, dtype=np.float64))

    def result(self) -> float:
        """Return the mean; 0.0 when nothing (or only weight 0) was seen, as Keras."""
        return self._total / self._weight if self._weight else 0.0

    def get_state(self) -> dict[str, Any]:
        """Return what was seen, for a checkpoint within an epoch: the attributes that are numbers or arrays."""
        return {name: value for name, value in vars(self).items() if isinstance(value, (int, float, np.ndarray))}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        vars(self).update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, result={self.result():.6g})"
