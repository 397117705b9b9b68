"""What comes out of a run: a JSON file, a Markdown table and a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

BEGIN = "<!-- bench: latest run, written by `python -m bench.cpu --readme` -->"
END = "<!-- bench: end of the latest run -->"


def microseconds(value: float) -> str:
    """A time in as many digits as it is worth: ``5.02``, ``98.4``, ``34806``."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ours(figures: dict[str, Any]) -> str:
    return f"{microseconds(figures['median_us'])} ({figures['gflops']:.0f})"


def _peer(figures: dict[str, Any] | None, ratio: dict[str, float] | None) -> str:
    if figures is None or ratio is None:
        return ""
    return f"{microseconds(figures['median_us'])} ({ratio['ratio']:.2f}x)"


def _section(report: dict[str, Any], kind: str, part: str, title: str) -> list[str]:
    """One table: a row per shape, a column per peer; empty where the run has nothing of it."""
    results = [r for r in report["results"] if r["kind"] == kind and part in r["timings"]["fastrnn"]]
    peers = [n for n in report["machine"]["versions"] if any(part in r["ratios"].get(n, {}) for r in results)]
    if not results or (part != "total" and not peers):
        return []
    peak = report["roofline"].get("gflops", 0) * report["settings"]["threads"]
    rows = []
    for result in results:
        ours = result["timings"]["fastrnn"]
        p99 = [microseconds(ours[part]["p99_us"])] if part == "total" else []
        columns = [_peer(result["timings"].get(p, {}).get(part), result["ratios"].get(p, {}).get(part)) for p in peers]
        of_peak = [f"{100 * ours[part]['gflops'] / peak:.0f}%"] if peak else []
        rows.append([result["name"], _ours(ours[part]), *of_peak, *p99, *columns])
    head = ["I=H unless named", "fastrnn us (GFLOP/s)", *(["of peak"] if peak else [])]
    head += ["p99 us"] if part == "total" else []
    return [f"**{title}**", "", table([*head, *[f"{p} us (ratio)" for p in peers]], rows), ""]


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
        f"- float32, {settings['threads']} thread(s), {pinned}; {settings['rounds']} rounds, "
        f"{settings['seconds']} s for each library and shape",
        f"- fastrnn uses {machine['isa']}, built by {machine['compiler']} with `{machine['flags']}`",
        f"- {versions}",
    ]
    if "gflops" in roof:
        reads = ", ".join(f"{name} {rate:.0f}" for name, rate in roof["read_gbytes_per_second"].items())
        lines.append(f"- one core at most: {roof['gflops']:.0f} GFLOP/s; reads in GB/s: {reads}")
    else:
        lines.append(f"- roofline: {roof['skipped']}")
    worst: dict[str, float] = {}
    for result in report["results"]:
        for name in result["ratios"]:
            worst[name] = max(worst.get(name, 0), result["timings"][name]["difference"])
    if worst:
        differences = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
        lines.append(f"- largest difference from fastrnn, relative to an array's largest value: {differences}")
    return [*lines, *[f"- {line}" for line in report["notes"]], ""]


def goals_table(goals: list[dict[str, Any]]) -> str:
    """The goals with their verdicts."""
    rows = []
    for goal in goals:
        measured = "" if goal["measured"] is None else f"{goal['measured']:.2f}x"
        where = f"{goal['shape']} {goal['kind']}" + ("" if goal["part"] == "total" else f", {goal['part']}")
        rows.append([goal["goal"], where, f"{goal['wanted']:.2f}x {goal['peer']}", measured, goal["verdict"]])
    return table(["goal", "work", "wanted", "measured", "verdict"], rows)


def markdown(report: dict[str, Any]) -> str:
    """The whole report; a ratio above 1 means that fastrnn is that many times faster."""
    lines = _facts(report)
    lines += _section(report, "inference", "total", "Inference: forward, weights packed once")
    lines += _section(
        report, "training", "total", "Training: forward and backward, fastrnn packing the weights in every call"
    )
    lines += _section(report, "training", "forward", "Training, the forward part (keeps what backward needs)")
    lines += _section(report, "training", "backward", "Training, the backward part")
    lines += ["**Goals**", "", goals_table(report["goals"]), ""]
    return "\n".join(lines)


def picture(report: dict[str, Any], path: Path) -> None:
    """Ratios to every peer, a bar each, on a logarithmic axis; one panel for inference and one for training.

    Raises:
        ImportError: no matplotlib (extra `bench`).
    """
    from matplotlib.figure import Figure

    kinds = [k for k in ("inference", "training") if any(r["kind"] == k for r in report["results"])]
    counts = [sum(r["kind"] == k for r in report["results"]) for k in kinds]
    peers = [n for n in report["machine"]["versions"] if any(n in r["ratios"] for r in report["results"])]
    # Not through pyplot: no window, no global state.
    figure = Figure(figsize=(9, 1.6 + 0.16 * sum(counts) * (len(peers) + 1)), layout="constrained")
    axes = figure.subplots(len(kinds), 1, squeeze=False, sharex=True, height_ratios=counts)[:, 0]
    for axis, kind in zip(axes, kinds, strict=True):
        results = [r for r in report["results"] if r["kind"] == kind]
        for p, peer in enumerate(peers):
            bars = [(n, r["ratios"][peer]["total"]) for n, r in enumerate(results) if peer in r["ratios"]]
            if not bars:
                continue
            middle = [ratio["ratio"] for _, ratio in bars]
            low = [max(m - ratio["lowest_round"], 0) for m, (_, ratio) in zip(middle, bars, strict=True)]
            high = [max(ratio["highest_round"] - m, 0) for m, (_, ratio) in zip(middle, bars, strict=True)]
            place = [n + (p - (len(peers) - 1) / 2) * 0.8 / len(peers) for n, _ in bars]
            axis.barh(
                place,
                [m - 1 for m in middle],
                0.75 / len(peers),
                left=1,
                xerr=[low, high],
                color=f"C{p}",
                label=peer,
                error_kw={"elinewidth": 0.6},
            )
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set(xscale="log", yticks=range(len(results)), yticklabels=[r["name"] for r in results], title=kind)
        axis.invert_yaxis()
        if peers:
            axis.legend(fontsize="small")
    axes[-1].set_xlabel("times faster than (right of the line: fastrnn is faster); thin lines: range over the rounds")
    machine = report["machine"]
    figure.suptitle(f"fastrnn {machine['versions']['fastrnn']}, {machine['cpu']}, {machine['isa']}", fontsize="medium")
    figure.savefig(path, dpi=120)


def write(report: dict[str, Any], folder: Path) -> list[Path]:
    """Write results.json, results.md and, where matplotlib is installed, results.png; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "results.json", folder / "results.md"]
    paths[0].write_text(json.dumps(report, indent=1) + "\n")
    paths[1].write_text(markdown(report))
    try:
        picture(report, folder / "results.png")
        paths.append(folder / "results.png")
    except ImportError as error:
        print(f"picture: skipped, not installed ({error})", file=sys.stderr)
    return paths


def write_readme(report: dict[str, Any], readme: Path) -> None:
    """Replace what stands between the two markers of `readme`.

    Raises:
        ValueError: the markers are not there, once each and in order.
    """
    text = readme.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{readme.name}: expected one line {BEGIN!r} and after it one line {END!r}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n{markdown(report)}{END}{after}")
