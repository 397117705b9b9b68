"""What is kept of a run for those after it: ratios, which a later run on another day can be compared with.

``python -m bench.cpu --quick --history NAME`` writes bench/history/NAME.json, and bench.compare reads two of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .native import step_results

FOLDER = Path(__file__).resolve().parent / "history"
_FACTS = ("date", "cpu", "isa", "compiler", "versions", "load_before")
_DIGITS = 4


def entries(report: dict[str, Any]) -> dict[str, list[float]]:
    """By "section | shape | who : beside whom" the ratio and its lowest and highest round; larger is faster.

    Who are fastrnn and its variants, beside each peer of the first and one peer of the others; where a section has no
    peers the variants stand beside fastrnn itself. Small steps from C++ stand beside the multiply-add peak.
    """
    found: dict[str, list[float]] = {}

    def add(section: str, shape: str, who: str, ratio: dict[str, float] | None) -> None:
        if ratio is not None:
            values = (ratio["ratio"], ratio["lowest_round"], ratio["highest_round"])
            found[f"{section} | {shape} | {who}"] = [float(f"{value:.{_DIGITS}g}") for value in values]

    for result in report["results"]:
        for peer, parts in result["ratios"].items():
            for part, ratio in parts.items():
                add(
                    result["section"], result["name"], f"fastrnn{'' if part == 'total' else f' {part}'} : {peer}", ratio
                )
        for variant, others in result["variants"].items():
            for other, ratio in others.items():
                add(result["section"], result["name"], f"{variant} : {other}", ratio)
    peak = report["roofline"].get("gflops", {}).get("float32")
    for step in step_results(report["native_step"]) if peak else ():
        for dtype, timing in step["timings"].items():
            shares = [step["flops"] / us * 1e-3 / peak for us in timing["total"]["rounds_us"]]
            ratio = {"ratio": max(shares), "lowest_round": min(shares), "highest_round": max(shares)}
            add(step["section"], step["name"], f"{dtype} : peak", ratio)
    return found


def write(report: dict[str, Any], name: str) -> Path:
    """Keep a run as `name`; returns the path.

    Raises:
        ValueError: `name` is no plain word.
    """
    check_name(name)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    machine = {fact: report["machine"][fact] for fact in _FACTS}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in entries(report).items())
    head = f'"machine": {json.dumps(machine)},\n "settings": {json.dumps(report["settings"])}'
    path.write_text(f'{{{head},\n "ratios": {{\n{lines}\n }}}}\n')
    return path


def check_name(name: str) -> None:
    """Refuse a name that would be no file of the folder.

    Raises:
        ValueError: `name` is no plain word.
    """
    if not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(f"history: expected a name of letters, digits and . + - _, got {name!r}")


def read(name: str) -> dict[str, Any]:
    """A run that was kept, by its name or by the path of its file.

    Raises:
        ValueError: there is none, or the file is none of these.
    """
    path = Path(name) if name.endswith(".json") else FOLDER / f"{name}.json"
    try:
        kept: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        there = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json"))) or "none yet"
        raise ValueError(f"history: expected one of those kept ({there}) or a file, got {name!r}") from None
    except ValueError:
        kept = {}
    if not {"machine", "ratios"} <= kept.keys():
        raise ValueError(f"history: expected a file that bench.cpu --history wrote, got {path}")
    return kept
