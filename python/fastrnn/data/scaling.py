"""Scaling of features, by figures of the training part alone, that are saved beside the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._registry import choice_error
from .._typing import Array, Config
from .arrays import is_ragged

__all__ = ["Scaler"]

_KINDS = ("standard", "minmax")


class Scaler:
    """Shift and scale every feature, the last axis of the data, by figures that `fit` has taken from the training part.

        scaler = Scaler().fit(train)
        x = scaler.transform(train)
        model.metadata["scaler"] = scaler.get_config()      # goes into the model's file
        scaler = Scaler.from_config(model.metadata["scaler"])

    In a pipeline of scikit-learn, `fastrnn.sklearn.SequenceScaler` does the same.

    Args:
        kind: "standard": mean 0 and standard deviation 1; "minmax": from 0 to 1. A feature that is constant in the
            training part is shifted alone.

    Attributes:
        shift, scale: float64 (features,): transformed data are (x - shift) / scale. Set by `fit`.

    Example:
        >>> scaler = fastrnn.data.Scaler().fit(np.array([[1.0], [3.0]]))
        >>> scaler.transform(np.array([[2.0], [3.0]])).tolist()
        [[0.0], [1.0]]
        >>> scaler.inverse_transform(np.array([[1.0]])).tolist()
        [[3.0]]
    """

    def __init__(self, kind: str = "standard") -> None:
        if kind not in _KINDS:
            raise choice_error("kind", _KINDS, kind)
        self.kind = kind
        self.shift: Array
        self.scale: Array
        self._count = 0
        self._first: Array  # mean, or smallest
        self._second: Array  # sum of the squared distances from the mean, or largest

    def fit(self, x: Any) -> Scaler:
        """Take the figures of x, an array (..., features) or a list of arrays (T_n, features); return self."""
        self._count = 0
        return self.partial_fit(x)

    def partial_fit(self, x: Any) -> Scaler:
        """Take the figures of x and of all that was given before: for data that come in parts. Return self.

        Raises:
            ValueError: nothing was given, another number of features, or NaN or infinity.
        """
        parts = x if is_ragged(x) else [x]
        for part in parts:
            self._add(np.asarray(part, dtype=np.float64))
        if not self._count:
            raise ValueError("x: expected at least one row, got none")
        if self.kind == "standard":
            self.shift, self.scale = self._first.copy(), np.sqrt(self._second / self._count)
            tiny = self.scale <= np.abs(self.shift) * 1e-14  # a constant feature: the deviation is rounding error
        else:
            self.shift, self.scale = self._first.copy(), self._second - self._first
            tiny = self.scale == 0
        self.scale[tiny] = 1.0
        return self

    def _add(self, x: Array) -> None:
        if not x.size:
            return
        if x.ndim < 2:
            raise ValueError(
                f"x: expected (steps, features) or more axes, got shape {x.shape}; x[:, None] has one feature"
            )
        rows = x.reshape(-1, x.shape[-1])
        if not np.isfinite(rows).all():
            bad = ~np.isfinite(rows)
            feature = int(bad.any(axis=0).argmax())
            raise ValueError(
                f"x: expected finite numbers, got NaN or infinity in {int(bad[:, feature].sum())} of {len(rows)} rows "
                f"of feature {feature}; fastrnn.data.fill_missing fills gaps"
            )
        if self._count and len(self._first) != rows.shape[1]:
            raise ValueError(f"x: expected {len(self._first)} features, got {rows.shape[1]}")
        if self.kind == "standard":
            first, second = rows.mean(axis=0), rows.var(axis=0) * len(rows)
            if self._count:  # Chan et al. 1979: figures of two parts are those of the whole
                total, apart = self._count + len(rows), first - self._first
                second = self._second + second + apart**2 * (self._count * len(rows) / total)
                first = self._first + apart * (len(rows) / total)
        else:
            first, second = rows.min(axis=0), rows.max(axis=0)
            if self._count:
                first, second = np.minimum(self._first, first), np.maximum(self._second, second)
        self._first, self._second = first, second
        self._count += len(rows)

    def transform(self, x: Any, features: Any = None) -> Any:
        """Return (x - shift) / scale in float32, or float64 where x has that; a list for a list of ragged arrays.

        Args:
            x: as for `fit`.
            features: what x has, when it has not all features: the numbers of those on its last axis; or one number,
                when all of x is of one feature, whatever its shape, such as a forecast (N, horizon).

        Raises:
            ValueError: before `fit`, or for another number of features.
        """
        return self._each(x, features, lambda a, shift, scale: (a - shift) / scale)

    def inverse_transform(self, x: Any, features: Any = None) -> Any:
        """Return x * scale + shift, what `transform` was given; `features` as there, for forecasts of one of them."""
        return self._each(x, features, lambda a, shift, scale: a * scale + shift)

    def _each(self, x: Any, features: Any, formula: Any) -> Any:
        if not hasattr(self, "shift"):
            raise ValueError("Scaler: expected fit to have been called before transform")
        chosen = np.arange(len(self.shift)) if features is None else np.asarray(features)
        shift, scale = self.shift[chosen], self.scale[chosen]

        def one(part: Any) -> Array:
            array = np.asarray(part)
            if chosen.ndim and (array.ndim == 0 or array.shape[-1] != len(shift)):
                raise ValueError(f"x: expected {len(shift)} features on the last axis, got shape {array.shape}")
            dtype = np.float64 if array.dtype == np.float64 else np.float32
            return np.asarray(formula(array, shift, scale), dtype=dtype)

        return [one(part) for part in x] if is_ragged(x) else one(x)

    def get_config(self) -> Config:
        """Everything `from_config` needs, of what JSON has."""
        fitted = hasattr(self, "shift")
        return {
            "kind": self.kind,
            "shift": self.shift.tolist() if fitted else None,
            "scale": self.scale.tolist() if fitted else None,
        }

    @classmethod
    def from_config(cls, settings: Config) -> Scaler:
        """Return the scaler of `get_config()`; it transforms, but takes no further parts."""
        scaler = cls(settings["kind"])
        if settings["shift"] is not None:
            scaler.shift, scaler.scale = np.array(settings["shift"]), np.array(settings["scale"])
        return scaler

    def __repr__(self) -> str:
        fitted = f", {len(self.shift)} features" if hasattr(self, "shift") else ""
        return f"Scaler({self.kind!r}{fitted})"
