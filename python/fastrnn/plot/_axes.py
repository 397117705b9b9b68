"""matplotlib, imported when the first picture is drawn, and the Axes to draw into."""

from __future__ import annotations

from typing import Any

__all__ = ["axes", "pyplot"]


def pyplot() -> Any:
    """Return matplotlib.pyplot. ImportError, with what to install, without it."""
    try:
        import matplotlib.pyplot
    except ImportError:
        raise ImportError("fastrnn.plot needs matplotlib: pip install 'fastrnn[plot]'") from None
    return matplotlib.pyplot


def axes(ax: Any, size: tuple[float, float] = (6.4, 4.0)) -> Any:
    """Return the Axes that were given, or those of a new figure."""
    if ax is not None:
        return ax
    return pyplot().subplots(figsize=size, layout="constrained")[1]
