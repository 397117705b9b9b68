"""Command line: measure fastrnn beside its peers on this machine's CPU.

python -m bench.cpu --quick
python -m bench.cpu --pin 0
python -m bench.cpu --shapes "LSTM T100 B32 H256" --sections training --peers torch
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import fit, history, machine, report, roofline
from .goals import judge
from .measure import Unable
from .native import SMALL_STEPS, native_step, step_results
from .run import Run, Settings
from .sections import SECTIONS
from .work import parse

ROOT = Path(__file__).resolve().parent
# The others are never the fastest here, and compile for seconds before each work.
_QUICK_PEERS = ["torch", "onnxruntime", "openvino", "ncnn"]
_QUICK_MINUTES = 8.5


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.cpu", description=(__doc__ or "").splitlines()[0])
    names = [*(section.name for section in SECTIONS), SMALL_STEPS]
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
    parser.add_argument(
        "--readme", action="store_true", help="also renew this instruction set's tables in bench/README.md"
    )
    parser.add_argument("--history", metavar="NAME", help="also write bench/history/NAME.json, for bench.compare")
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
    if options.sections is None:
        whole = [s.name for s in SECTIONS if not (s.kind == "fit" and options.quick)] + [SMALL_STEPS]
        options.sections = ["inference", "training"] if options.shapes else whole
    options.allowed = machine.usable_cores()
    # Those with threads of their own compare with one thread.
    sections = [s for s in SECTIONS if s.name in options.sections and 1 in (s.threads, options.threads)]
    options.sections = [s.name for s in sections] + [name for name in options.sections if name == SMALL_STEPS]
    try:
        if options.shapes:
            options.plan = [(s, parse(shape, s.kind)) for s in sections for shape in options.shapes]
        else:
            options.plan = [(s, work) for s in sections for work in s.works(options.quick)]
        if options.history is not None:
            history.check_name(options.history)
        if options.pin is not None:
            machine.pin(options.pin, options.threads)  # before any library starts its threads
    except ValueError as error:
        parser.error(str(error))
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 1 if someone did not agree with fastrnn, which one of them must explain."""
    from .ours import FastRNN
    from .peers import load_peers

    options = arguments(argv)
    settings = Settings(options.rounds, options.seconds, options.threads, options.minutes, options.allowed)
    try:
        peers, absent = load_peers(options.peers, options.threads)
    except ValueError as error:
        print(f"python -m bench.cpu: error: {error}", file=sys.stderr)
        return 2
    run = Run(settings, FastRNN(options.threads), peers, absent)
    facts = machine.facts((peer.name, peer.version) for peer in peers if " " not in peer.name)
    load = facts["load_before"]
    if load and load[0] > 0.5:
        run.note(f"the machine was not quiet when this began (load average {load[0]})")
    works = [work for _, work in options.plan]

    def measure_roofline() -> dict[str, Any]:
        if options.no_roofline:
            return {"skipped": "not asked for"}
        return roofline.measure(facts["isa"], facts["caches"], works)

    roof = measure_roofline()
    shared = [work for section, work in options.plan if section.threads == 2 and not section.busy]
    if shared and "skipped" not in roof:
        try:
            with machine.cores(2, options.allowed, busy=False):
                roof |= roofline.measure_two(facts["isa"], shared)
        except Unable as reason:
            run.note(f"the roofline of two threads: not measured, {reason}")
    run.all_works((section, work) for section, work in options.plan if section.kind != "fit")
    fit.in_processes_of_their_own(run, options.plan, options.peers)
    steps = SMALL_STEPS in options.sections
    step = native_step(options.library, options.seconds) if steps else {"skipped": "not asked for"}
    roof = roofline.highest(roof, measure_roofline())
    run.bound(roof)
    facts["load_after"] = machine.load_average()
    said = {name: getattr(options, name) for name in ("rounds", "seconds", "threads", "pin", "quick")}
    full: dict[str, Any] = {
        "machine": facts,
        "settings": said | {"minutes_used": round(run.minutes, 1)},
        "roofline": roof,
        "notes": run.notes,
        "results": run.results,
        "native_step": step,
        "goals": judge(run.results + step_results(step), options.sections, facts["isa"]),
    }
    paths = report.write(full, options.out)
    if options.readme:
        report.write_readme(full, ROOT / "README.md")
        if len(paths) == 3:
            shutil.copy(paths[2], ROOT.parent / "docs" / f"benchmark-{facts['isa']}.png")
    if options.history is not None:
        paths.append(history.write(full, options.history))
    print("wrote " + ", ".join(map(str, paths)))
    print("\n" + "\n".join(report.goals_text(full["goals"])))
    return 1 if any(note.startswith("NOT AGREED") for note in run.notes) else 0


if __name__ == "__main__":
    sys.exit(main())
