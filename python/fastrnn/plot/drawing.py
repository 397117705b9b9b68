"""A model as boxes, with the shapes of what goes between them."""

from __future__ import annotations

from typing import Any

from ._axes import axes

__all__ = ["model"]


def model(model: Any, ax: Any = None) -> Any:
    """Draw the layers of a model from the top to the bottom, the shapes between them and their numbers of weights.

    Args:
        model: a `Sequential` whose input shape is known.
        ax: the Axes to draw into.

    Returns:
        The Axes.

    Raises:
        ValueError: a model without layers or not built.

    Example:
        >>> from fastrnn import plot
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 2)), fastrnn.LSTM(3, name="lstm"), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((4, 6, 2), np.float32), np.ones((4, 1), np.float32)
        >>> ax = plot.model(model)
    """
    if not model.layers or model.input_shape is None:
        raise ValueError("model: expected one that is built; call build(input_shape) or give the data first")
    ax = axes(ax, (4.2, 0.75 * len(model.layers) + 0.8))
    shape, y = model.input_shape, 0.0
    _shape(ax, shape, y)
    for layer in model.layers:
        shape = layer.compute_output_shape(shape)
        ax.annotate("", (0, y - 0.3), (0, y - 0.08), arrowprops={"arrowstyle": "-|>", "color": "tab:gray"})
        count = sum(p.size for p in layer.parameters())
        text = f"{type(layer).__name__}  {layer.name}" + (f"\n{count:,} weights" if count else "")
        box = {"boxstyle": "round,pad=0.35", "facecolor": _colour(layer, count), "edgecolor": "tab:gray"}
        ax.text(0, y - 0.5, text, ha="center", va="center", bbox=box, fontsize=9)
        ax.annotate("", (0, y - 0.92), (0, y - 0.72), arrowprops={"arrowstyle": "-", "color": "tab:gray"})
        y -= 1.0
        _shape(ax, shape, y)
    ax.set_xlim(-1, 1)
    ax.set_ylim(y - 0.3, 0.3)
    ax.axis("off")
    return ax


def _shape(ax: Any, shape: Any, y: float) -> None:
    names = ["B", *("T" if size is None else str(size) for size in shape[1:])]
    ax.text(0, y, f"({', '.join(names)})", ha="center", va="center", fontsize=8, color="tab:gray")


def _colour(layer: Any, count: int) -> str:
    if not count:
        return "#f0f0f0"
    return "#dbe9f6" if hasattr(layer, "return_sequences") else "#e5f2df"
