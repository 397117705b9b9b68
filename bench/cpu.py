"""Command line: measure fastrnn beside its peers on this machine's CPU.

python -m bench.cpu --quick
python -m bench.cpu --pin 0 --goals
python -m bench.cpu --shapes "LSTM T100 B32 H256" --kind training --peers torch
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import machine, report
from .goals import judge
from .measure import Disagreement, measure, ratios
from .work import Kind, Work, default_works, make_problem, parse

ROOT = Path(__file__).resolve().parent


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.cpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer shapes and less time: some minutes")
    parser.add_argument("--shapes", nargs="+", metavar="SHAPE", help="e.g. 'LSTM T100 B32 H256' 'gru:T1:B1:I32:H64'")
    parser.add_argument("--kind", choices=["inference", "training", "both"], default="both")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="default: all that are installed")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 7; quick 3)")
    parser.add_argument("--seconds", type=float, help="for each library and shape (default 2; quick 0.5)")
    parser.add_argument("--threads", type=int, default=1, help="for every library (default 1)")
    parser.add_argument("--pin", type=int, metavar="CORE", help="stay on this core (with threads: from it on)")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of the results (%(default)s)")
    parser.add_argument("--no-roofline", action="store_true", help="do not measure the peak of the machine")
    parser.add_argument("--goals", action="store_true", help="print which goals this run reached")
    parser.add_argument("--readme", action="store_true", help="also put the tables into bench/README.md")
    options = parser.parse_args(argv)
    if options.rounds is None:
        options.rounds = 3 if options.quick else 7
    if options.seconds is None:
        options.seconds = 0.5 if options.quick else 2.0
    if options.rounds < 1 or options.seconds <= 0 or options.threads < 1:
        parser.error("--rounds, --seconds and --threads must be positive")
    try:
        kinds: list[Kind] = ["inference", "training"] if options.kind == "both" else [options.kind]
        if options.shapes:
            options.works = [parse(shape, kind) for kind in kinds for shape in options.shapes]
        else:
            options.works = [work for work in default_works(options.quick) if work.kind in kinds]
        if options.pin is not None:
            machine.pin(options.pin, options.threads)  # before any library starts its threads
    except ValueError as error:
        parser.error(str(error))
    return options


def run_work(work: Work, ours: Any, peers: list[Any], options: argparse.Namespace, notes: list[str]) -> dict[str, Any]:
    """Measure one work; a peer that does not agree with fastrnn is named in `notes` and left out."""
    from .peers import contestants

    made = contestants(make_problem(work), ours, peers)
    while True:
        try:
            timings = measure(made, options.rounds, options.seconds)
            break
        except Disagreement as error:
            name = str(error).partition(":")[0]
            if name == "fastrnn":  # its result has a NaN: there is nothing to compare with
                raise
            notes.append(f"NOT AGREED, not timed: {work.name} {work.kind}: {error}")
            print(notes[-1], file=sys.stderr)
            made = [contestant for contestant in made if contestant.name != name]
    first, training = timings[0], work.kind == "training"
    result: dict[str, Any] = {
        "name": work.name,
        "kind": work.kind,
        "cell": work.cell,
        "shape": {"T": work.T, "B": work.B, "I": work.I, "H": work.H},
        "flops_forward": work.flops,
        "timings": {timing.name: timing.summary(work.flops, training) for timing in timings},
        "ratios": {},
    }
    for timing in timings[1:]:
        parts = {part: ratios(first, timing, part) for part in ("total", "forward", "backward")}
        result["ratios"][timing.name] = {part: ratio for part, ratio in parts.items() if ratio is not None}
    for timing in timings:
        used = result["timings"][timing.name]["cores_used"] or 0
        if used > options.threads + 0.1:
            notes.append(f"{timing.name} used {used} cores in {work.name} {work.kind}, not {options.threads}")
    return result


def progress(result: dict[str, Any]) -> str:
    """One line about one work."""
    ours = result["timings"]["fastrnn"]["total"]
    line = f"{result['kind']:9} {result['name']:20} {report.microseconds(ours['median_us'])} us"
    return line + "".join(f"  {peer} {parts['total']['ratio']:.2f}x" for peer, parts in result["ratios"].items())


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 1 if a peer did not agree with fastrnn, which one of them must explain."""
    options = arguments(argv)
    from .peers import FastRNN, load_peers

    try:
        peers, notes = load_peers(options.peers, options.threads)
    except ValueError as error:
        print(f"python -m bench.cpu: error: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(note, file=sys.stderr)
    facts = machine.facts((peer.name, peer.version) for peer in peers)
    load = facts["load_before"]
    if load and load[0] > 0.5:
        notes.append(f"the machine was not quiet when this began (load average {load[0]})")
        print(notes[-1], file=sys.stderr)
    ours = FastRNN(options.threads)
    if ours.threads != options.threads:
        notes.append(f"fastrnn {ours.version} has one thread alone; its peers were given {options.threads}")
        print(notes[-1], file=sys.stderr)
    if options.no_roofline:
        roof: dict[str, Any] = {"skipped": "not asked for"}
    else:
        roof = machine.roofline(facts["isa"], facts["caches"])
    results = []
    for work in options.works:
        results.append(run_work(work, ours, peers, options, notes))
        print(progress(results[-1]), flush=True)
    facts["load_after"] = machine.load_average()
    full: dict[str, Any] = {
        "machine": facts,
        "settings": {"rounds": options.rounds, "seconds": options.seconds, "threads": options.threads}
        | {"pin": options.pin, "quick": options.quick, "dtype": "float32"},
        "roofline": roof,
        "notes": notes,
        "results": results,
        "goals": judge(results),
    }
    paths = report.write(full, options.out)
    if options.readme:
        report.write_readme(full, ROOT / "README.md")
    print("wrote " + ", ".join(map(str, paths)))
    if options.goals:
        print("\n" + report.goals_table(full["goals"]))
    return 1 if any(note.startswith("NOT AGREED") for note in notes) else 0


if __name__ == "__main__":
    sys.exit(main())
