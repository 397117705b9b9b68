"""What a goal is: whom it concerns, and how one run reaches or misses it. goals.py lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .metrics import Fault, Metric, NotMeasured

ANY = range(1, 1 << 30)
ALL = ("lstm", "gru", "rnn")


def only(size: int) -> range:
    """A range of one size."""
    return range(size, size + 1)


@dataclass(frozen=True)
class Goal:
    """One line of the goals table. `wanted` is the least value, or where the metric says so the highest.

    Figures that depend on the machine are goals on one instruction set alone, `isa`.
    """

    name: str
    section: str
    metric: Metric
    wanted: float
    cells: tuple[str, ...] = ALL
    T: range = ANY
    B: range = ANY
    H: range = ANY
    I: range = ANY  # noqa: E741  the field's own letter
    isa: str = ""

    def concerns(self, result: dict[str, Any]) -> bool:
        """Whether a result is one of the works of this goal."""
        shape = result["shape"]
        sizes = all(shape[letter] in getattr(self, letter) for letter in "TBHI")
        return result["section"] == self.section and result["cell"] in self.cells and sizes

    def judge(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Verdict, the worst value and where it was, and in how many of the works it was reached and measured."""
        values: dict[str, float] = {}
        faults: dict[str, float] = {}
        reasons: dict[str, None] = {}
        works = [result for result in results if self.concerns(result)]
        for result in works:
            try:
                values[result["name"]] = self.metric.value(result)
            except Fault as fault:
                faults[result["name"]] = fault.value
                reasons[f"{result['name']}: {fault}"] = None
            except NotMeasured as reason:
                reasons[str(reason)] = None
        if not works:
            reasons["no such work in this run"] = None
        at_most = self.metric.at_most
        reached = [
            name for name, value in values.items() if (value <= self.wanted if at_most else value >= self.wanted)
        ]
        worst = (max if at_most else min)(values, key=values.__getitem__, default=None)
        verdict = "not measured" if worst is None else "reached" if len(reached) == len(values) else "missed"
        if faults:
            verdict = "fault of the measurement"
        return {
            "goal": self.name,
            "wanted": f"{'<=' if at_most else '>='} {self.metric.text.format(self.wanted)}",
            "worst": None if worst is None else self.metric.text.format(values[worst]),
            "worst_at": worst,
            "values": values,
            "reached": len(reached),
            "works": len(works),
            "faults": faults,
            "verdict": verdict,
            "reasons": list(reasons),
        }
