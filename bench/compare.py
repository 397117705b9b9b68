"""Command line: what became slower from one kept run to another, beyond the noise of their rounds.

python -m bench.compare before after
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from . import history


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[float, str]]:
    """How many times as fast each thing is as it was, and what it is, slowest first: those beyond the noise alone.

    Beyond the noise is what was slower, or faster, in the best round of the one than in the worst of the other.
    """
    found = []
    for key, (ratio, low, high) in new["ratios"].items():
        if key in old["ratios"]:
            before, lowest, highest = old["ratios"][key]
            if high < lowest or low > highest:
                found.append((ratio / before, key))
    return sorted(found)


def differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What makes the comparison a doubtful one: another processor, another version of a peer."""
    pairs = {name: (old["machine"].get(name), new["machine"].get(name)) for name in ("cpu", "isa", "compiler")}
    before, after = old["machine"].get("versions", {}), new["machine"].get("versions", {})
    pairs |= {name: (before[name], after[name]) for name in before if name in after and name != "fastrnn"}
    return [f"not alike: {name} was {a}, is {b}" for name, (a, b) in pairs.items() if a != b]


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 1 if something became slower."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", help="a name in bench/history, or a file")
    parser.add_argument("new")
    options = parser.parse_args(argv)
    try:
        old, new = history.read(options.old), history.read(options.new)
    except ValueError as error:
        parser.error(str(error))
    for line in differing(old, new):
        print(line)
    found = changes(old, new)
    slower = [(factor, key) for factor, key in found if factor < 1]
    both = old["ratios"].keys() & new["ratios"].keys()
    for factor, key in slower:
        print(f"slower: {factor:.2f}x  {key}  {old['ratios'][key][0]:g} -> {new['ratios'][key][0]:g}")
    print(
        f"{len(both)} in both: {len(slower)} slower, {len(found) - len(slower)} faster, "
        f"{len(both) - len(found)} within the noise; {len(old['ratios']) - len(both)} only in {options.old}, "
        f"{len(new['ratios']) - len(both)} only in {options.new}"
    )
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
