"""The folder that `fastrnn train` writes: a page with the figures, tables as CSV, pictures where matplotlib is."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import plot
from .._file_writing import write_file
from .._typing import Array
from ..model import Sequential
from ._console import write_csv
from ._recipe import Recipe

__all__ = ["Result", "write_report"]


NO_BETTER = " The model is no better than that guess."


class Result(NamedTuple):
    """A training that has ended. `prediction` and `target` are of the part that is judged on, as the model has them;
    `names` are what its examples are called."""

    data: str
    out: str
    recipe: Recipe
    model: Sequential
    history: dict[str, list[float]]
    seconds: float
    about: Sequence[str]
    prediction: Array
    target: Array
    names: Sequence[str]


def write_report(result: Result, folder: str) -> list[str]:
    """Write the report; return lines that tell the figures. OSError if it cannot be written."""
    os.makedirs(folder, exist_ok=True)
    losses = result.history["val_loss"]
    best = int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0
    lines = [
        f"Trained {len(losses)} epochs in {result.seconds:.1f} s; the weights are those of epoch {best + 1}.",
        *_figures(result),
    ]
    epochs = zip(*result.history.values(), strict=True)
    rows = ((k + 1, *row) for k, row in enumerate(epochs))
    write_csv(os.path.join(folder, "history.csv"), ("epoch", *result.history), rows)
    if result.recipe.task != "text":
        write_csv(os.path.join(folder, "predictions.csv"), *_predictions(result))
    pictures = _draw(result, folder)
    if not pictures:
        lines.append("No pictures: they need matplotlib (pip install 'fastrnn[plot]').")
    page = [
        f"# {os.path.basename(result.out)}",
        "",
        f"{result.recipe.task.capitalize()} on {result.data}.",
        "",
        *(f"- {line}" for line in (*result.about, *lines)),
        "",
        *_confusion(result),
        *(f"![{name.partition('.')[0]}]({name})" for name in pictures),
        "",
        "```",
        *_summary(result.model),
        "```",
        "",
        f"`history.csv` has the figures of each epoch. `fastrnn predict {result.out} DATA` uses the model.",
        "",
    ]
    text = "\n".join(page)
    write_file(os.path.join(folder, "report.md"), lambda file: file.write(text.encode()))
    return lines


def _summary(model: Sequential) -> list[str]:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return lines


# -- figures -----------------------------------------------------------------------------------------------------------


def _figures(result: Result) -> list[str]:
    task, y, p = result.recipe.task, result.target, result.prediction
    if task == "text":
        bits = -np.log2(np.maximum(np.take_along_axis(p, y[..., np.newaxis], axis=-1), 1e-30)).mean()
        size = p.shape[-1]
        unit = "word" if result.recipe.words is not None else "character"
        return [f"Judged: {bits:.3f} bits per {unit} (guessing evenly: {math.log2(size):.2f})."]
    if task == "classification":
        common = np.bincount(y).max() / len(y)
        right = (p.argmax(axis=-1) == y).mean()
        text = f"Judged: {right:.1%} right (always saying the most frequent class: {common:.1%})."
        return [text + (NO_BETTER if right <= common else "")]
    truth, guess = result.recipe.unscale(y), result.recipe.unscale(p)
    error = np.abs(truth - guess).mean()
    if task == "regression":
        assert result.recipe.target_scaler is not None
        mean = result.recipe.target_scaler["shift"][0]
        base = np.abs(truth - mean).mean()
        text = f"Judged: mean absolute error {error:.4g} (always saying the mean: {base:.4g})."
        return [text + (NO_BETTER if error >= base else "")]
    steps = np.abs(truth - guess).mean(axis=0)
    last = np.abs(truth[1:] - truth[:-1, :1]).mean() if len(truth) > 1 else float("nan")
    text = f"Judged: mean absolute error {error:.4g} (saying that nothing changes: {last:.4g})."
    text += NO_BETTER if error >= last else ""
    if len(steps) > 1:
        text += f" First step {steps[0]:.4g}, last step {steps[-1]:.4g}."
    return [text]


def _predictions(result: Result) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    recipe, y, p = result.recipe, result.target, result.prediction
    name = recipe.sequence or "row"
    if recipe.classes is not None:
        classes = recipe.classes
        head = (name, "target", "predicted", "probability")
        rows = zip(result.names, y, p, strict=True)
        return head, ((n, classes[t], classes[k.argmax()], f"{k.max():.6g}") for n, t, k in rows)
    truth, guess = recipe.unscale(y), recipe.unscale(p)
    steps = truth.shape[1]
    names = [""] if steps == 1 else [f"_{k + 1}" for k in range(steps)]
    heads = (name, *(f"target{n}" for n in names), *(f"predicted{n}" for n in names))
    rows = zip(result.names, truth, guess, strict=True)
    return heads, ([n, *(f"{v:.7g}" for v in (*t, *g))] for n, t, g in rows)


def _confusion(result: Result) -> list[str]:
    """A table of which class was taken for which, of at most twenty."""
    classes = result.recipe.classes
    if classes is None or len(classes) > 20:
        return []
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (result.target, result.prediction.argmax(axis=-1)), 1)
    head = "| is, and was taken for | " + " | ".join(map(str, classes)) + " |"
    rows = [f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in zip(classes, counts, strict=True)]
    return [head, "|" + "---|" * (len(classes) + 1), *rows, ""]


# -- files -------------------------------------------------------------------------------------------------------------


def _draw(result: Result, folder: str) -> list[str]:
    """Draw what is to be seen; return the files' names, none without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    drawn: list[str] = []

    def save(name: str, draw: Callable[..., Any], count: int = 1) -> None:
        figure = Figure(figsize=(5.2 * count, 3.8), layout="constrained")
        draw(np.atleast_1d(figure.subplots(1, count)))
        figure.savefig(os.path.join(folder, name), dpi=120)
        drawn.append(name)

    names = [name for name in result.history if f"val_{name}" in result.history]

    def curves(axes: Any) -> None:
        for ax, name in zip(axes, names, strict=True):
            plot.learning_curves(result.history, name, ax)

    save("curves.png", curves, len(names))
    recipe, truth, guess = result.recipe, result.target, result.prediction
    if recipe.classes is not None and len(recipe.classes) <= 20:
        save("confusion.png", lambda axes: plot.confusion_matrix(truth, guess, recipe.classes, axes[0]))
    if recipe.task == "forecasting" and len(truth) > recipe.window:
        truth, guess = recipe.unscale(truth), recipe.unscale(guess)
        past = truth[-1 - recipe.window : -1, 0]  # what the last window read
        save("forecast.png", lambda axes: plot.forecast(past, guess[-1], truth[-1], axes[0]))
    return drawn
