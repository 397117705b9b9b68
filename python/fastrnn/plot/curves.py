"""Learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ._axes import axes

__all__ = ["learning_curves"]


def learning_curves(history: Any, names: str | Sequence[str] = "loss", ax: Any = None, *, log: bool = False) -> Any:
    """Draw figures of the epochs, those of the validation dashed in the same colour, its best epoch marked.

    Args:
        history: the `History` that `fit` returns, or its dict of lists.
        names: one or several of "loss" and the metrics, without ``val_``.
        ax: the Axes to draw into.
        log: whether the vertical axis is logarithmic.

    Returns:
        The Axes.

    Raises:
        ValueError: a name that the history has not.

    Example:
        >>> from fastrnn import plot
        >>> ax = plot.learning_curves({"loss": [0.9, 0.5], "val_loss": [1.0, 0.8]})
    """
    figures = getattr(history, "history", history)
    ax = axes(ax)
    for name in [names] if isinstance(names, str) else names:
        if name not in figures:
            raise ValueError(f"names: expected some of {', '.join(figures)}, got {name!r}")
        first = list(getattr(history, "epoch", range(len(figures[name]))))
        (line,) = ax.plot([e + 1 for e in first[-len(figures[name]) :]], figures[name], label=name)
        values = figures.get(f"val_{name}")
        if not values:
            continue
        epochs = [e + 1 for e in first[-len(values) :]]
        ax.plot(epochs, values, "--", color=line.get_color(), label=f"val_{name}")
        finite = [(v, e) for v, e in zip(values, epochs, strict=True) if math.isfinite(v)]
        if finite:
            best = (max if "acc" in name or name in ("auc", "precision", "recall") else min)(finite, key=lambda p: p[0])
            ax.plot(best[1], best[0], "o", color=line.get_color(), markersize=5, label=f"best, epoch {best[1]}")
    ax.set_xlabel("epoch")
    if log:
        ax.set_yscale("log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax
