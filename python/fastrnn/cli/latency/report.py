"""Figures and pictures of the times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .timing import PERCENTILES, Measured

_ROWS, _WIDTH = 16, 50


def histogram(times: Any) -> tuple[Any, Any]:
    """Counts, and the edges in microseconds between them: evenly spaced on a logarithmic scale, as tails are long."""
    low, high = max(float(times.min()), 1e-3), float(times.max())
    edges = np.geomspace(low, max(high, low * 1.01) * 1.0001, _ROWS + 1)
    return np.histogram(times, edges)[0], edges


def picture(times: Any) -> list[str]:
    """The histogram as text. A bar's length is the logarithm of its count, so that a single slow call can be seen."""
    counts, edges = histogram(times)
    scale = _WIDTH / math.log10(1 + counts.max())
    rows = zip(counts, edges[:-1], edges[1:], strict=True)
    return [
        f"{low:10.2f} .. {high:9.2f} us |{'#' * round(math.log10(1 + count) * scale):<{_WIDTH}} {count}"
        for count, low, high in rows
    ]


def table(results: Sequence[Measured]) -> list[str]:
    """One line for each case."""
    width = max(len(result.case.name) for result in results)
    names = [name.removesuffix("_us").replace("p999", "p99.9") for name in ("cold_us", *PERCENTILES)]
    lines = [f"{'us':<{width}}  {'from':<6} " + "".join(f"{name:>10}" for name in names) + "  p99 of others"]
    for result in results:
        figures = "".join(f"{value:10.2f}" for value in result.summary().values())
        others = f"  {result.case.shape.published}" if result.case.shape.published else ""
        lines.append(f"{result.case.name:<{width}}  {result.runner:<6} {figures}{others}")
    return lines


def as_dict(result: Measured) -> dict[str, Any]:
    """For JSON."""
    case, (counts, edges) = result.case, histogram(result.times_us)
    return {
        "shape": case.shape.name,
        "layers": case.shape.layers,
        "hidden": case.shape.hidden,
        "inputs": case.shape.inputs,
        "dtype": case.dtype,
        "threads": case.threads,
        "load": case.load,
        "from": result.runner,
        "calls": len(result.times_us),
        **result.summary(),
        "histogram": {"edges_us": edges.tolist(), "counts": counts.tolist()},
    }


def draw(results: Sequence[Measured], path: str) -> None:
    """All histograms in one picture, a panel for each shape. ImportError without matplotlib."""
    from matplotlib.figure import Figure

    shapes = list(dict.fromkeys(result.case.shape.name for result in results))
    figure = Figure(figsize=(9, 3 * len(shapes)), layout="constrained")
    for axes, shape in zip(figure.subplots(len(shapes), squeeze=False)[:, 0], shapes, strict=True):
        for result in results:
            if result.case.shape.name == shape:
                counts, edges = histogram(result.times_us)
                axes.stairs(counts, edges, label=f"{result.case.name}, {result.runner}")
        axes.set(xscale="log", yscale="symlog", ylabel="calls")
        axes.legend(fontsize="x-small")
    axes.set_xlabel("us")
    figure.savefig(path)
