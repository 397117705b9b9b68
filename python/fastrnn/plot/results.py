"""How well a model does: confusion matrices, and forecasts beside what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._axes import axes

__all__ = ["confusion_matrix", "forecast"]


def confusion_matrix(
    y_true: Any, y_pred: Any, labels: Sequence[Any] | None = None, ax: Any = None, *, normalize: bool = False
) -> Any:
    """Draw how often each class was taken for which: a row per true class, a column per predicted one.

    Args:
        y_true: class numbers (N,), or one-hot rows (N, C).
        y_pred: the same, or the model's probabilities (N, C), of which the largest counts.
        labels: names of the classes, in the order of their numbers.
        ax: the Axes to draw into.
        normalize: show shares of the true class instead of counts.

    Returns:
        The Axes; the matrix is the array of its image.

    Raises:
        ValueError: arrays of different lengths, or fewer labels than classes.

    Example:
        >>> from fastrnn import plot
        >>> plot.confusion_matrix([0, 0, 1], [0, 1, 1], ["no", "yes"]).images[0].get_array().tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    true, pred = (_classes(y) for y in (y_true, y_pred))
    if true.shape != pred.shape:
        raise ValueError(f"y_pred: expected {len(true)} examples as y_true has, got {len(pred)}")
    largest = int(max(true.max(initial=-1), pred.max(initial=-1))) + 1
    count = largest if labels is None else len(labels)
    if count < largest:
        raise ValueError(f"labels: expected at least {largest} names, one a class, got {count}")
    matrix = np.zeros((count, count))
    np.add.at(matrix, (true, pred), 1)
    if normalize:
        matrix /= np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax = axes(ax, (4.8, 4.4))
    ax.imshow(matrix, cmap="Blues", vmin=0)
    names = [str(label) for label in (range(count) if labels is None else labels)]
    ax.set_xticks(range(count), names)
    ax.set_yticks(range(count), names)
    if count <= 20:
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value > matrix.max() / 2 else "black"
            text = f"{value:.2f}" if normalize else f"{int(value)}"
            ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return ax


def _classes(y: Any) -> Any:
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] > 1:
        return array.argmax(axis=1)
    return array.reshape(len(array), -1)[:, 0].astype(np.intp)


def forecast(past: Any, predicted: Any, truth: Any = None, ax: Any = None, *, start: int = 0) -> Any:
    """Draw a series up to now, its forecast, and what came.

    Args:
        past: steps (T,) that were read.
        predicted: steps (horizon,) that were forecast; or (N, horizon), several forecasts of the same steps, drawn as
            their median and the range that holds nine tenths of them.
        truth: steps (horizon,) that came, or None.
        ax: the Axes to draw into.
        start: number of the first step of `past`.

    Returns:
        The Axes.

    Raises:
        ValueError: arrays of other shapes.

    Example:
        >>> from fastrnn import plot
        >>> ax = plot.forecast(past=[1.0, 2.0], predicted=[3.0, 4.0], truth=[3.0, 5.0])
    """
    past, predicted = np.asarray(past), np.asarray(predicted)
    if past.ndim != 1 or predicted.ndim not in (1, 2):
        raise ValueError(f"past: expected (T,) and predicted (horizon,), got shapes {past.shape} and {predicted.shape}")
    ax = axes(ax)
    steps = start + len(past) + np.arange(predicted.shape[-1])
    ax.plot(start + np.arange(len(past)), past, color="tab:gray", label="past")
    if truth is not None:
        truth = np.asarray(truth)
        if truth.shape != steps.shape:
            raise ValueError(f"truth: expected {len(steps)} steps as the forecast has, got shape {truth.shape}")
        ax.plot(steps, truth, color="black", label="what came")
    middle = predicted
    if predicted.ndim == 2:
        low, middle, high = np.quantile(predicted, [0.05, 0.5, 0.95], axis=0)
        ax.fill_between(steps, low, high, color="tab:blue", alpha=0.25, linewidth=0, label="nine tenths")
    ax.plot(steps, middle, "--", color="tab:blue", label="forecast")
    ax.axvline(start + len(past) - 0.5, color="tab:gray", linewidth=0.8, linestyle=":")
    ax.set_xlabel("step")
    ax.legend()
    return ax
