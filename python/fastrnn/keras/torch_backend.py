"""Keras on PyTorch: the operators of fastrnn.torch."""

from __future__ import annotations

from typing import Any

from ..torch.operators import call
from ..torch.settings import Settings

_FORM = 1, 1, True, False, False, 0.0  # one layer, one direction, batch first, neither packed nor drawing


class Recurrence:
    """Runs one layer; see `layers._Recurrent.inner_loop`."""

    def takes(self, x: Any) -> bool:
        """Whether x is where this can compute; Keras' own loop runs elsewhere."""
        return x.device.type in ("cpu", "meta")

    def __call__(
        self,
        layer: Any,
        cell: str,
        options: dict[str, Any],
        run: dict[str, Any],
        x: Any,
        states: list[Any],
        weights: dict[str, Any],
        mask: Any,
        training: bool,
    ) -> tuple[Any, ...]:
        """Return y (B, T, H) and the last states (B, H)."""
        key = str((options, run, [*weights]))
        known, settings = layer.__dict__.get("_fastrnn", ("", None))
        if known != key:
            settings = Settings(type(layer).__name__, cell, [*weights], {**options, **run})
            layer.__dict__["_fastrnn"] = key, settings  # past __setattr__, so that Keras does not track it
        h0, *c0 = (state.unsqueeze(0) for state in states)
        y, h_n, c_n = call(settings, _FORM, x, h0, c0[0] if c0 else None, [*weights.values()], None, mask, None)
        return (y, h_n[0]) if c_n is None else (y, h_n[0], c_n[0])
