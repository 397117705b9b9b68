"""Heat maps of gates and states over time, and the flow of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array
from ._axes import axes, pyplot
from .inside import activations, gradient_norms, state_gradient_norms

__all__ = ["activation_map", "activation_maps", "gradient_flow"]

_STATES = ("h", "c", "g", "n", "m")  # around zero; the others are gates, from 0 to 1


def activation_map(values: Any, name: str = "h", ax: Any = None, *, sort: bool = True) -> Any:
    """Draw a gate or a state of one example over time: a row per unit, a column per step.

    Args:
        values: (T, H), as ``activations(model, x)["lstm"]["f"][0]``. NaN is left white.
        name: letter of the gate or state, for the title and the colours: gates from 0 to 1, states around 0.
        ax: the Axes to draw into.
        sort: put units that have their largest values early above those that have them late.

    Returns:
        The Axes; the array of its image is (H, T).

    Example:
        >>> from fastrnn import plot
        >>> plot.activation_map(np.zeros((6, 3)), "h").images[0].get_array().shape
        (3, 6)
    """
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"values: expected (T, H) of one example, got shape {array.shape}")
    ax = axes(ax)
    rows = array.T[_by_time(array)] if sort else array.T
    if name in _STATES:
        limit = float(np.nanmax(np.abs(rows), initial=1e-9))
        colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    else:
        colours = {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0}
    image = ax.imshow(rows, aspect="auto", interpolation="nearest", **colours)
    ax.figure.colorbar(image, ax=ax, pad=0.01)
    ax.set_title(name)
    ax.set_xlabel("step")
    ax.set_ylabel("unit")
    return ax


def _by_time(values: Array) -> Array:
    """The order of units by when they are farthest from their mean."""
    apart = np.nan_to_num(np.abs(values - np.nanmean(values, axis=0)), nan=-1.0)
    return np.argsort(apart.argmax(axis=0), kind="stable")


def activation_maps(model: Any, x: Any, layer: str | None = None, example: int = 0) -> Any:
    """Draw all gates and states of a layer for one example, one below the other.

    Args:
        model: a `Sequential`.
        x: a batch (B, T, ...).
        layer: name of the layer; the first recurrent one when None.
        example: number of the example in the batch.

    Returns:
        An array of Axes, in the order of `activations`.

    Raises:
        ValueError: no such layer.

    Example:
        >>> from fastrnn import plot
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 2)), fastrnn.LSTM(3, name="lstm"), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((4, 6, 2), np.float32), np.ones((4, 1), np.float32)
        >>> [ax.get_title() for ax in plot.activation_maps(model, x)]
        ['i', 'f', 'g', 'o', 'c', 'h']
    """
    found = activations(model, x)
    chosen = next(iter(found), None) if layer is None else layer
    if chosen is None or chosen not in found:
        known = ", ".join(found) or "the recurrent layers, of which there are none"
        raise ValueError(f"layer: expected one of {known}, got {layer!r}")
    values = found[chosen]
    figure, all_axes = pyplot().subplots(
        len(values), figsize=(7.0, 1.7 * len(values) + 0.6), layout="constrained", sharex=True, squeeze=False
    )
    for (name, array), ax in zip(values.items(), all_axes[:, 0], strict=True):
        activation_map(array[example], name, ax, sort=False)
        ax.set_xlabel("")
    all_axes[-1, 0].set_xlabel("step")
    figure.suptitle(chosen)
    return all_axes[:, 0]


def gradient_flow(model: Any, x: Any, y: Any, ax: Any = None, *, of: str = "input") -> Any:
    """Draw how gradients flow back in time: a line per recurrent layer over the steps, on a logarithmic scale.

    Args:
        model: a compiled `Sequential`.
        x, y: a batch.
        ax: the Axes to draw into, beside the lines that it has: those of another model, say.
        of: "input" draws `gradient_norms`, the letter of a state, as "h" or "c", `state_gradient_norms` of it.

    Returns:
        The Axes.

    Raises:
        ValueError: no layer has such a state.

    Example:
        >>> from fastrnn import plot
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 2)), fastrnn.LSTM(3, name="lstm"), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((4, 6, 2), np.float32), np.ones((4, 1), np.float32)
        >>> plot.gradient_flow(model, x, y, of="h").get_ylabel()
        'norm of d loss / d h'
    """
    ax = axes(ax)
    if of == "input":
        found = gradient_norms(model, x, y)
    else:
        states = state_gradient_norms(model, x, y)
        found = {name: norms[of] for name, norms in states.items() if of in norms}
        if not found:
            known = ", ".join(dict.fromkeys(letter for norms in states.values() for letter in norms))
            raise ValueError(f"of: expected one of {known or 'no state'} or 'input', got {of!r}")
    for name, norms in found.items():
        ax.plot(np.arange(len(norms)), np.where(norms > 0, norms, np.nan), label=name)
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel(f"norm of d loss / d {of}")
    ax.legend()
    return ax
