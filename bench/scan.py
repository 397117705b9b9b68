"""Command line: random shapes beside every peer, how far ahead fastrnn is on the whole, and where it is behind.

python -m bench.scan --seed 1 --shapes 110 --pin 1
python -m bench.scan --seed 2 --minutes 3 --peers torch --json scan.json
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import history, machine
from .report import table
from .run import Run, Settings
from .section import Section, Variant
from .sections import BFLOAT16_PEERS, INT8_PEERS, PEERS, TRAINED_PEERS
from .work import Work

# A call of more operations has fewer steps instead, so that nobody takes more than a few tenths of a second for it.
_MOST_FLOPS = 3_000_000_000
_INFERENCE = Section("inference", "Random shapes: inference", "inference", (Variant(),), PEERS, "")
_TRAINING = Section("training", "Random shapes: training", "training", (Variant(),), TRAINED_PEERS, "")
_BFLOAT16 = replace(_INFERENCE, name="bfloat16", ours=(Variant(), Variant("bfloat16")), peers=BFLOAT16_PEERS)
_INT8 = replace(_INFERENCE, name="int8", ours=(Variant(), Variant("int8")), peers=INT8_PEERS)


def random_works(seed: int, count: int) -> list[tuple[Section, Work]]:
    """`count` shapes, the same for the same seed; more of the same seed begin with these.

    Half are inference in float32, a quarter training, an eighth each bfloat16 and int8 (LSTMs, as the peers have no
    other). T is 1 to 300, B 1 to 128, I 1 to 300, H 8 to 512, small ones as likely as large ones (uniform logarithms);
    three in ten are stacks of two or three layers, one in five bidirectional.
    """
    rng = random.Random(seed)

    def size(low: int, high: int) -> int:
        return round(math.exp(rng.uniform(math.log(low), math.log(high))))

    found = []
    for _ in range(count):
        section = rng.choices((_INFERENCE, _TRAINING, _BFLOAT16, _INT8), (4, 2, 1, 1))[0]
        cell = rng.choice(("lstm", "gru", "rnn"))
        sizes = size(1, 300), size(1, 128), size(1, 300), size(8, 512)
        layers, bidirectional = rng.choices((1, 2, 3), (7, 2, 1))[0], rng.random() < 0.2
        work = Work("lstm" if section is _INT8 else cell, *sizes, section.kind, False, layers, bidirectional)
        steps = max(1, min(work.T, work.T * _MOST_FLOPS // work.flops()))
        found.append((section, replace(work, T=steps)))
    return found


def summary(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each section and peer: the geometric mean of the ratios, the lowest with its shape, and where it is below 1.

    A shape is behind ``beyond_noise`` if it is in every round.
    """
    by_peer: dict[tuple[str, str], list[tuple[dict[str, float], str]]] = {}
    for result in results:
        for peer, parts in result["ratios"].items():
            by_peer.setdefault((result["section"], peer), []).append((parts["total"], result["name"]))
    found = []
    for (section, peer), ratios in by_peer.items():
        ordered = sorted(ratios, key=lambda pair: pair[0]["ratio"])
        behind = [
            ratio | {"name": name, "beyond_noise": ratio["highest_round"] < 1}
            for ratio, name in ordered
            if ratio["ratio"] < 1
        ]
        found.append(
            {
                "section": section,
                "peer": peer,
                "shapes": len(ratios),
                "geometric_mean": math.exp(sum(math.log(ratio["ratio"]) for ratio, _ in ratios) / len(ratios)),
                "worst": ordered[0][0]["ratio"],
                "worst_at": ordered[0][1],
                "behind": behind,
            }
        )
    return found


def summary_text(rows: Sequence[dict[str, Any]]) -> str:
    """The summary as a table, and below it every shape where a peer is faster."""
    head = ["work", "beside", "times faster", "worst", "at", "behind in"]
    cells = [
        [
            row["section"],
            row["peer"],
            f"{row['geometric_mean']:.2f}x",
            f"{row['worst']:.2f}x",
            row["worst_at"],
            f"{len(row['behind'])} of {row['shapes']}",
        ]
        for row in rows
    ]
    lines = [table(head, cells, left=len(head)), ""]
    for row in rows:
        for one in row["behind"]:
            noise = "" if one["beyond_noise"] else ", within the noise"
            rounds = f"rounds {one['lowest_round']:.2f} to {one['highest_round']:.2f}"
            lines.append(f"behind {row['peer']}: {one['ratio']:.2f}x  {row['section']} {one['name']} ({rounds}{noise})")
    if rows and not any(row["behind"] for row in rows):
        lines.append("behind nobody")
    return "\n".join(lines)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.scan", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="which shapes (%(default)s)")
    parser.add_argument("--shapes", type=int, default=110, metavar="COUNT", help="how many (%(default)s)")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="default: all that are installed")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.25, help="for each contestant and shape (%(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no shape after so many")
    parser.add_argument("--threads", type=int, default=1, help="for every library (default 1)")
    parser.add_argument("--pin", type=int, metavar="CORE", help="stay on this core (with threads: from it on)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write everything here")
    parser.add_argument("--history", metavar="NAME", help="also write bench/history/NAME.json, for bench.compare")
    options = parser.parse_args(argv)
    if min(options.shapes, options.rounds, options.threads) < 1 or options.seconds <= 0:
        parser.error("--shapes, --rounds, --seconds and --threads must be positive")
    try:
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
    try:
        peers, absent = load_peers(options.peers, options.threads)
    except ValueError as error:
        print(f"python -m bench.scan: error: {error}", file=sys.stderr)
        return 2
    settings = Settings(options.rounds, options.seconds, options.threads, options.minutes)
    run = Run(settings, FastRNN(options.threads), peers, absent)
    facts = machine.facts((peer.name, peer.version) for peer in peers if " " not in peer.name)
    run.all_works(random_works(options.seed, options.shapes))
    rows = summary(run.results)
    said = {name: getattr(options, name) for name in ("seed", "shapes", "rounds", "seconds", "threads", "pin")}
    full = {
        "machine": facts | {"load_after": machine.load_average()},
        "settings": said | {"minutes_used": round(run.minutes, 1)},
        "notes": run.notes,
        "summary": rows,
        "results": run.results,
        "roofline": {"skipped": "not asked for"},
        "native_step": {"skipped": "not asked for"},
    }
    if options.json is not None:
        options.json.write_text(json.dumps(full, indent=1) + "\n")
    if options.history is not None:
        history.write(full, options.history)
    print(f"\n{facts['cpu']}, {facts['isa']}; load average {facts['load_before']} before; {len(run.results)} shapes\n")
    print(summary_text(rows))
    return 1 if any(note.startswith("NOT AGREED") for note in run.notes) else 0


if __name__ == "__main__":
    sys.exit(main())
