"""What comes out of a run: a JSON file, a Markdown table and a picture (picture.py)."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from .roofline import FAULT
from .section import Section
from .sections import SECTIONS
from .work import Part

BEGIN = "<!-- bench: latest run on {isa}, written by `python -m bench.cpu --readme` -->"
END = "<!-- bench: end of the latest run on {isa} -->"
_ANY_END = re.compile(re.escape(END).replace(re.escape("{isa}"), r"\w+"))


def microseconds(value: float) -> str:
    """A time in as many digits as it is worth: ``5.02``, ``98.4``, ``34806``."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns to the left, the others to the right."""
    lines = [head, ["---"] * left + ["---:"] * (len(head) - left), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def is_ours(name: str) -> bool:
    """Whether a contestant of that name is fastrnn."""
    return name.split()[0] == "fastrnn"


def share(result: dict[str, Any], name: str = "fastrnn") -> str:
    """The part of the roofline that a contestant reaches, in words; empty where the run does not say."""
    bound = result["bounds_us"].get(result["dtypes"].get(name))
    if bound is None or name not in result["timings"]:
        return ""
    part = bound / result["timings"][name]["total"]["median_us"]
    return f"{part:.0%}" + (" (fault of the measurement)" if part > FAULT else "")


def _ours(timing: dict[str, Any] | None, part: Part) -> str:
    if timing is None or part not in timing:
        return ""
    figures = timing[part]
    return f"{microseconds(figures['median_us'])} / {microseconds(figures['p99_us'])} ({figures['gflops']:.0f})"


def _peer(result: dict[str, Any], name: str, part: Part) -> str:
    if part not in result["ratios"].get(name, {}):
        return ""
    return f"{microseconds(result['timings'][name][part]['median_us'])} ({result['ratios'][name][part]['ratio']:.2f}x)"


def _names(results: list[dict[str, Any]]) -> list[str]:
    """Everyone who was timed in these results, in order of appearance."""
    return list(dict.fromkeys(name for result in results for name in result["timings"]))


def section_table(report: dict[str, Any], section: Section, part: Part = "total") -> list[str]:
    """One table: a row per shape, a column per contestant; no lines where the run has nothing of it."""
    results = [r for r in report["results"] if r["section"] == section.name and part in r["timings"]["fastrnn"]]
    if not results:
        return []
    names = _names(results)
    bounded = [n for n in names if is_ours(n) and part == "total" and any(share(r, n) for r in results)]
    rows = []
    for result in results:
        row = [result["name"]]
        for name in filter(is_ours, names):
            row += [_ours(result["timings"].get(name), part)] + [share(result, name)] * (name in bounded)
        rows.append(row + [_peer(result, name, part) for name in names if not is_ours(name)])
    head = ["I=H unless named"]
    for name in filter(is_ours, names):
        head += [f"{name} us / p99 (GFLOP/s)"] + ["of roofline"] * (name in bounded)
    head += [f"{n} us (ratio)" for n in names if not is_ours(n)]
    title = section.title + {"total": "", "forward": "; the forward part", "backward": "; the backward part"}[part]
    return [f"**{title}**", "", table(head, rows), ""]


def native_table(step: dict[str, Any]) -> list[str]:
    """Single steps from C++."""
    title = "**Single steps from C++ (step.cc): LSTM, B = 1, median / p99, and best of rounds, in us**"
    if "skipped" in step:
        return [title, "", f"skipped: {step['skipped']}", ""]
    dtypes = list(dict.fromkeys(row["dtype"] for row in step["steps"]))
    by_size: dict[str, dict[str, str]] = {}
    for row in step["steps"]:
        text = f"{microseconds(row['median_us'])} / {microseconds(row['p99_us'])}, {min(row['rounds_us']):.3g}"
        by_size.setdefault(f"I{row['I']} H{row['H']}", {})[row["dtype"]] = text
    rows = [[size, *(cells.get(dtype, "") for dtype in dtypes)] for size, cells in by_size.items()]
    return [
        title,
        "",
        table(["sizes", *dtypes], rows),
        "",
        f"Reading the clock, {step['clock_us']} us, is part of median and p99, not of the best of rounds.",
        "",
    ]


def _size(value: int) -> str:
    return f"{value >> 20} MiB" if value >= 1 << 20 and value % (1 << 20) == 0 else f"{value >> 10} KiB"


def _facts(report: dict[str, Any]) -> list[str]:
    machine, settings, roof = report["machine"], report["settings"], report["roofline"]
    caches = ", ".join(f"{name} {_size(size)}" for name, size in machine["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    pinned = f"pinned from core {settings['pin']} on" if settings["pin"] is not None else "not pinned"
    lines = [
        f"- {machine['date']}, {machine['cpu']}, {machine['cores']} cores, caches {caches or 'unknown'}; "
        f"load average {machine['load_before']} before, {machine['load_after']} after",
        f"- {settings['threads']} thread(s) unless said otherwise, {pinned}; {settings['rounds']} rounds, "
        f"{settings['seconds']} s for each contestant and shape; {settings['minutes_used']} minutes",
        f"- fastrnn uses {machine['isa']}, built by {machine['compiler']} with `{machine['flags']}`",
        f"- {versions}",
    ]
    if "gflops" in roof:
        reads = ", ".join(f"{name} {rate:.0f}" for name, rate in roof["read_gbytes_per_second"].items())
        weights = ", ".join(
            f"{_size(int(size))} {rate:.0f}" for size, rate in roof["weights_gbytes_per_second"].items()
        )
        peaks = ", ".join(f"{dtype} {rate:.0f}" for dtype, rate in roof["gflops"].items())
        lines.append(f"- one core at most, in GFLOP/s: {peaks}; reads in GB/s: {reads}; of weights: {weights}")
    else:
        lines.append(f"- roofline: {roof['skipped']}")
    worst: dict[str, float] = {}
    for result in report["results"]:
        for name, timing in result["timings"].items():
            if name != "fastrnn" and timing["difference"] is not None:
                worst[name] = max(worst.get(name, 0), timing["difference"])
    if worst:
        differences = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
        lines.append(f"- largest difference from fastrnn, relative to an array's largest value: {differences}")
    return [*lines, *[f"- {line}" for line in report["notes"]], ""]


def goals_table(goals: list[dict[str, Any]]) -> str:
    """The goals with their verdicts; the figure is that of the work farthest from the goal."""
    rows = []
    for goal in goals:
        measured = len(goal["values"])
        verdict = goal["verdict"]
        if verdict == "missed" and measured > 1:
            verdict += f" ({goal['reached']} of {measured} reached)"
        worst = f"{goal['worst']}, {goal['worst_at']}" if goal["worst"] else ""
        lacking = "; ".join(goal["reasons"])
        lacking = f": {lacking}" if not measured or goal["faults"] else ""
        of = f"{measured} of {goal['works']}" if goal["works"] else ""
        rows.append([goal["goal"], goal["wanted"], worst, of, verdict + lacking])
    return table(["goal", "wanted", "measured, at worst", "works", "verdict"], rows, left=5)


def goals_text(goals: list[dict[str, Any]]) -> list[str]:
    """The table, and below it every work that missed a goal."""
    missed = [
        f"- {goal['goal']}: " + ", ".join(f"{name} {value:.3g}" for name, value in goal["values"].items())
        for goal in goals
        if goal["verdict"] == "missed" and len(goal["values"]) > 1
    ]
    return ["**Goals**", "", goals_table(goals), "", *(["Missed, work by work:", "", *missed, ""] if missed else [])]


def markdown(report: dict[str, Any]) -> str:
    """The whole report; a peer's ratio above 1 means that fastrnn is that many times faster."""
    lines = [*_facts(report), *goals_text(report["goals"])]
    for section in SECTIONS:
        lines += section_table(report, section)
        if section.name == "training":
            lines += [*section_table(report, section, "forward"), *section_table(report, section, "backward")]
        if section.name == "step" and report["native_step"] != {"skipped": "not asked for"}:
            lines += native_table(report["native_step"])
    return "\n".join(lines)


def write(report: dict[str, Any], folder: Path) -> list[Path]:
    """Write results.json, results.md and, where matplotlib is installed, results.png; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "results.json", folder / "results.md"]
    paths[0].write_text(json.dumps(report, indent=1) + "\n")
    paths[1].write_text(markdown(report))
    try:
        from .picture import draw

        draw(report, folder / "results.png")
        paths.append(folder / "results.png")
    except ImportError as error:
        print(f"picture: skipped, not installed ({error})", file=sys.stderr)
    return paths


def write_readme(report: dict[str, Any], readme: Path) -> None:
    """Replace the block of this run's instruction set in `readme`, or put a new one after the last block of another.

    Raises:
        ValueError: there is no block at all, or the markers of this one are not there once each and in order.
    """
    text, isa = readme.read_text(), report["machine"]["isa"]
    begin, end = BEGIN.format(isa=isa), END.format(isa=isa)
    if begin not in text and end not in text:
        others = list(_ANY_END.finditer(text))
        if not others:
            raise ValueError(f"{readme.name}: expected a line {end!r}, or one of another instruction set")
        place = others[-1].end()
        text = f"{text[:place]}\n\n### {isa}\n\n{begin}\n{end}{text[place:]}"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{readme.name}: expected one line {begin!r} and after it one line {end!r}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    readme.write_text(f"{before}{begin}\n{markdown(report)}{end}{after}")
