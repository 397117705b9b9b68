"""Command line: measure fastrnn beside its peers on this machine's CPU.

python -m bench.cpu --quick
python -m bench.cpu --pin 0
python -m bench.cpu --shapes "LSTM T100 B32 H256" --sections training --peers torch
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import machine, report, roofline
from .goals import GOALS, judge
from .measure import PARTS, Unable, measure, ratios
from .native import native_step
from .sections import SECTIONS, Section
from .work import Work, parse

ROOT = Path(__file__).resolve().parent
# The others are never the fastest here, and compile for seconds before each work.
_QUICK_PEERS = ["torch", "onnxruntime", "openvino"]
_QUICK_MINUTES = 8.5


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.cpu", description=(__doc__ or "").splitlines()[0])
    names = [section.name for section in SECTIONS]
    parser.add_argument("--quick", action="store_true", help="fewer shapes, peers and seconds: less than 10 minutes")
    parser.add_argument("--sections", nargs="+", metavar="NAME", choices=names, help=f"of {', '.join(names)}")
    parser.add_argument("--shapes", nargs="+", metavar="SHAPE", help="e.g. 'LSTM T100 B32 H256' 'gru:T1:B1:I32:H64'")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="default: all that are installed")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 7; quick 5)")
    parser.add_argument("--seconds", type=float, help="for each contestant and shape (default 2; quick 0.6)")
    parser.add_argument("--minutes", type=float, help=f"begin no work after so many (quick {_QUICK_MINUTES})")
    parser.add_argument("--threads", type=int, default=1, help="for every library (default 1)")
    parser.add_argument("--pin", type=int, metavar="CORE", help="stay on this core (with threads: from it on)")
    parser.add_argument("--library", type=Path, help="libfastrnn.a for step.cc (default: the newest under build/)")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of the results (%(default)s)")
    parser.add_argument("--no-roofline", action="store_true", help="do not measure the peak of the machine")
    parser.add_argument("--readme", action="store_true", help="also renew bench/README.md and docs/benchmark.png")
    options = parser.parse_args(argv)
    if options.rounds is None:
        options.rounds = 5 if options.quick else 7
    if options.seconds is None:
        options.seconds = 0.6 if options.quick else 2.0
    if options.peers is None and options.quick:
        options.peers = _QUICK_PEERS
    if options.minutes is None:
        options.minutes = _QUICK_MINUTES if options.quick else float("inf")
    if options.rounds < 1 or options.seconds <= 0 or options.threads < 1:
        parser.error("--rounds, --seconds and --threads must be positive")
    options.sections = options.sections or (["inference", "training"] if options.shapes else names)
    options.allowed = machine.usable_cores()
    # Those with threads of their own compare with one thread.
    sections = [s for s in SECTIONS if s.name in options.sections and 1 in (s.threads, options.threads)]
    options.sections = [section.name for section in sections]
    try:
        if options.shapes:
            options.plan = [(s, parse(shape, s.kind)) for s in sections for shape in options.shapes]
        else:
            options.plan = [(s, work) for s in sections for work in s.works(options.quick)]
        if options.pin is not None:
            machine.pin(options.pin, options.threads)  # before any library starts its threads
    except ValueError as error:
        parser.error(str(error))
    return options


class Run:
    """One run: who takes part, what was found, and what is to be said beside it."""

    def __init__(self, options: argparse.Namespace) -> None:
        from .ours import FastRNN
        from .peers import load_peers

        self.start = time.monotonic()
        self.options = options
        self.notes: list[str] = []
        self.peers, self.absent = load_peers(options.peers, options.threads)
        for name, reason in self.absent.items():
            self.note(f"{name}: left out, {reason}")
        self.ours = FastRNN(options.threads)
        self.works: list[Work] = []
        self.results: list[dict[str, Any]] = []

    @property
    def minutes(self) -> float:
        """Since it began."""
        return (time.monotonic() - self.start) / 60

    def note(self, line: str) -> None:
        """Say it now and in the report, once."""
        if line not in self.notes:
            self.notes.append(line)
            print(line, file=sys.stderr, flush=True)

    def work(self, section: Section, work: Work) -> None:
        """Measure one work; who does not agree with fastrnn is named and left out."""
        from .peers import contestants

        made, unable = contestants(work, section, self.ours, self.peers)
        for name, reason in unable.items():
            self.note(f"{name}: not measured: {reason}")
        timings, refused = measure(made, self.options.rounds, self.options.seconds)
        for name, reason in refused.items():
            self.note(f"NOT AGREED, not timed: {work.name} {section.name}: {name}: {reason}")
        result: dict[str, Any] = {
            "section": section.name,
            "name": work.name,
            "kind": work.kind,
            "cell": work.cell,
            "shape": {"T": work.T, "B": work.B, "I": work.I, "H": work.H},
            "flops": work.flops(),
            "timings": {timing.name: timing.summary() for timing in timings},
            "unable": {name: self.absent[name] for name in section.peers if name in self.absent} | unable | refused,
            "ratios": {},
        }
        by_name = {timing.name: timing for timing in timings}
        ours = {variant.dtype: by_name[variant.name] for variant in section.ours[::-1] if variant.name in by_name}
        for peer in self.peers:
            if peer.name in by_name:
                own = ours.get(peer.dtype, timings[0])
                parts = {part: ratios(own, by_name[peer.name], part) for part in PARTS}
                result["ratios"][peer.name] = {part: ratio for part, ratio in parts.items() if ratio is not None}
        allowed = max(self.options.threads, section.threads)
        for name, summary in result["timings"].items():
            used = summary["cores_used"] or 0
            if used > allowed + 0.1:
                self.note(f"{name} used {used} cores in {work.name} {section.name}, not {allowed}")
        self.works.append(work)
        self.results.append(result)
        print(progress(result), flush=True)

    def all_works(self) -> None:
        """Measure the plan, as far as the time goes."""
        for section, work in self.options.plan:
            if self.minutes > self.options.minutes:
                self.note(f"{work.name} {section.name}: not measured, time was up")
                continue
            try:
                with machine.cores(section.threads, self.options.allowed, section.busy):
                    self.work(section, work)
            except Unable as reason:
                self.note(f"{section.name}: not measured, {reason}")


def progress(result: dict[str, Any]) -> str:
    """One line about one work."""
    ours = result["timings"]["fastrnn"]["total"]
    line = f"{result['section']:16} {result['name']:20} {report.microseconds(ours['median_us'])} us"
    for name, timing in result["timings"].items():
        if report.is_ours(name) and name != "fastrnn":
            line += f"  {name.partition(' ')[2]} {report.microseconds(timing['total']['median_us'])}"
    return line + "".join(f"  {name} {parts['total']['ratio']:.2f}x" for name, parts in result["ratios"].items())


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 1 if someone did not agree with fastrnn, which one of them must explain."""
    options = arguments(argv)
    try:
        run = Run(options)
    except ValueError as error:
        print(f"python -m bench.cpu: error: {error}", file=sys.stderr)
        return 2
    facts = machine.facts((peer.name, peer.version) for peer in run.peers if " " not in peer.name)
    load = facts["load_before"]
    if load and load[0] > 0.5:
        run.note(f"the machine was not quiet when this began (load average {load[0]})")
    works = [work for _, work in options.plan]

    def measure_roofline() -> dict[str, Any]:
        if options.no_roofline:
            return {"skipped": "not asked for"}
        return roofline.measure(facts["isa"], facts["caches"], works)

    roof = measure_roofline()
    run.all_works()
    step = native_step(options.library, options.seconds) if "step" in options.sections else {"skipped": "not asked for"}
    roof = roofline.highest(roof, measure_roofline())
    for result, work in zip(run.results, run.works, strict=True):
        bound = roofline.bound_seconds(work, roof, options.threads)
        result["bound_us"] = None if bound is None else bound * 1e6
    facts["load_after"] = machine.load_average()
    settings = {name: getattr(options, name) for name in ("rounds", "seconds", "threads", "pin", "quick")}
    full: dict[str, Any] = {
        "machine": facts,
        "settings": settings | {"minutes_used": round(run.minutes, 1)},
        "roofline": roof,
        "notes": run.notes,
        "results": run.results,
        "native_step": step,
        "goals": judge(run.results, [goal for goal in GOALS if goal.section in options.sections]),
    }
    paths = report.write(full, options.out)
    if options.readme:
        report.write_readme(full, ROOT / "README.md")
        if len(paths) == 3:
            shutil.copy(paths[2], ROOT.parent / "docs" / "benchmark.png")
    print("wrote " + ", ".join(map(str, paths)))
    print("\n" + "\n".join(report.goals_text(full["goals"])))
    return 1 if any(note.startswith("NOT AGREED") for note in run.notes) else 0


if __name__ == "__main__":
    sys.exit(main())
