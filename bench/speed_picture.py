"""The picture of README: times faster than each library, for a few works of a run that was kept (history.py).

Usage: python -m bench.speed_picture [NAME] [--out docs/speed.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from . import history

# What is shown, from a single step to training: section, shape, which of fastrnn's ways, and how the picture names it.
WORKS = (
    ("step", "LSTM T1 B1 H64", "fastrnn step", "LSTM, one step, H 64"),
    ("step", "LSTM T1 B1 H256", "fastrnn step", "LSTM, one step, H 256"),
    ("inference", "LSTM T100 B1 H256", "fastrnn", "LSTM, 100 steps, 1 row, H 256"),
    ("inference", "LSTM T100 B32 H256", "fastrnn", "LSTM, 100 steps, 32 rows, H 256"),
    ("inference", "GRU T100 B32 H256", "fastrnn", "GRU, 100 steps, 32 rows, H 256"),
    ("training", "LSTM T100 B32 H256", "fastrnn", "LSTM training, 32 rows, H 256"),
    ("training", "GRU T100 B1 H256", "fastrnn", "GRU training, 1 row, H 256"),
)
LATEST = "2026-11-30-zen4-to-and-fro"
PEERS = {"torch": "PyTorch", "onnxruntime": "onnxruntime", "openvino": "OpenVINO"}


def ratios(kept: dict[str, Any], section: str, shape: str, ours: str, peer: str) -> list[float]:
    """How many times faster, the lowest and the highest round; empty if that library had no part in it.

    A record has a variant beside one library alone. Beside another its ratio follows, but no rounds.
    """
    given = kept["ratios"]
    if found := given.get(f"{section} | {shape} | {ours} : {peer}"):
        return list(found)
    of_function = given.get(f"{section} | {shape} | fastrnn : {peer}")
    both = [given.get(f"{section} | {shape} | {who} : torch") for who in (ours, "fastrnn")]
    return [of_function[0] * both[0][0] / both[1][0]] if of_function and all(both) else []


def draw(kept: dict[str, Any], path: Path) -> None:
    """Write the picture of a kept run: a bar per library and work, and its range over the rounds as a thin line."""
    # Not through pyplot: no window, no global state.
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axis = figure.subplots()
    for p, (peer, name) in enumerate(PEERS.items()):
        axis.barh([0], [0], color=f"C{p}", label=name)
        for row, (section, shape, ours, _) in enumerate(WORKS):
            if found := ratios(kept, section, shape, ours, peer):
                place, ratio = row + (p - 1) * 0.26, found[0]
                axis.barh(place, ratio - 1, 0.24, left=1, color=f"C{p}")
                axis.plot(found[1:], [place] * len(found[1:]), color="black", linewidth=0.6)
                text = f"{ratio:.2f}" if ratio < 2 else f"{ratio:.2g}"
                axis.text(max(*found, 1), place, f" {text}x", va="center", fontsize="x-small")
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(yticks=range(len(WORKS)), yticklabels=[label for *_, label in WORKS])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlim(0.9, 100)
    machine = kept["machine"]
    axis.set_xlabel("times as fast as the library, float32, one thread")
    axis.set_title(f"fastrnn {machine['versions']['fastrnn']}, {machine['cpu']}, {machine['isa']}", fontsize="small")
    axis.legend(fontsize="small", loc="lower right")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(prog="python -m bench.speed_picture", description="The picture of README.")
    parser.add_argument("name", nargs="?", default=LATEST, help="a run in bench/history, or its file (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/speed.png"), help="the picture's file")
    options = parser.parse_args()
    draw(history.read(options.name), options.out)


if __name__ == "__main__":
    main()
