"""The picture of a run: how fast fastrnn is beside each peer, and how near to the roofline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from .sections import SECTIONS


def _bars(axis: Any, results: list[dict[str, Any]], colours: dict[str, str]) -> None:
    """A bar per peer and shape: its ratio on a logarithmic axis, and the range over the rounds as a thin line."""
    peers = [peer for peer in colours if any(peer in result["ratios"] for result in results)]
    for p, peer in enumerate(peers):
        found = [(row, r["ratios"][peer]["total"]) for row, r in enumerate(results) if peer in r["ratios"]]
        ratios = [ratio["ratio"] for _, ratio in found]
        low = [max(ratio["ratio"] - ratio["lowest_round"], 0) for _, ratio in found]
        high = [max(ratio["highest_round"] - ratio["ratio"], 0) for _, ratio in found]
        axis.barh(
            [row + (p - (len(peers) - 1) / 2) * 0.8 / len(peers) for row, _ in found],
            [ratio - 1 for ratio in ratios],
            0.75 / len(peers),
            left=1,
            xerr=[low, high],
            color=colours[peer],
            label=peer,
            error_kw={"elinewidth": 0.6},
        )
    axis.axvline(1, color="black", linewidth=0.8)
    if peers:
        axis.legend(fontsize="small")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def _roofline(axis: Any, results: list[dict[str, Any]]) -> None:
    """How much of the time the roofline accounts for, per shape."""
    for row, result in enumerate(results):
        if "float32" in result["bounds_us"]:
            part = result["bounds_us"]["float32"] / result["timings"]["fastrnn"]["total"]["median_us"]
            end = min(part, 1)  # more is a fault of the measurement, which the text says
            axis.barh(row, end, 0.6, color="0.5")
            axis.text(end, row, f" {part:.0%}", va="center", fontsize="x-small")
    axis.set_xlim(0, 1.25)


def draw(report: dict[str, Any], path: Path) -> None:
    """Write the picture: a row of panels for each section in which peers took part."""
    shown = [(s, [r for r in report["results"] if r["section"] == s.name]) for s in SECTIONS if s.peers]
    shown = [(section, results) for section, results in shown if results]
    if not shown:
        return
    peers = [dict.fromkeys(name for r in results for name in r["ratios"]) for _, results in shown]
    colours = {peer: f"C{n}" for n, peer in enumerate(dict.fromkeys(peer for some in peers for peer in some))}
    heights = [0.6 + 0.12 * len(results) * (len(some) + 1) for (_, results), some in zip(shown, peers, strict=True)]
    # Not through pyplot: no window, no global state.
    figure = Figure(figsize=(11, 1 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False, sharex="col", height_ratios=heights, width_ratios=[3, 1])
    for (left, right), (section, results) in zip(axes, shown, strict=True):
        _bars(left, results, colours)
        _roofline(right, results)
        left.set(yticks=range(len(results)), yticklabels=[r["name"] for r in results])
        left.set_title(section.title, fontsize="small")
        right.set(yticks=[], ylim=left.get_ylim())
        left.invert_yaxis()
        right.invert_yaxis()
    axes[-1][0].set_xlabel(
        "times faster than (right of the line: fastrnn is faster); thin lines: range over the rounds"
    )
    axes[-1][1].set_xlabel("part of the roofline")
    machine = report["machine"]
    figure.suptitle(f"fastrnn {machine['versions']['fastrnn']}, {machine['cpu']}, {machine['isa']}", fontsize="medium")
    figure.savefig(path, dpi=100)
