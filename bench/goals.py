"""Goals that a run can reach or miss. They are data: to add one, add a line to GOALS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .work import Kind, Work, parse

Part = Literal["total", "forward", "backward"]


@dataclass(frozen=True)
class Goal:
    """fastrnn must be at least `ratio` times as fast as a peer, by the ratio of medians within one run.

    `part` is that of a training step: forward (which keeps what backward needs) or backward; "total" is all of it, and
    the only part of inference. `peer` is a name, or "best" for whichever measured peer is fastest.
    """

    name: str
    shape: str
    kind: Kind
    part: Part
    peer: str
    ratio: float

    @property
    def work(self) -> Work:
        """The work that the goal is about."""
        return parse(self.shape, self.kind)


GOALS = [
    Goal("training forward at least as fast as PyTorch", "LSTM T100 B32 H256", "training", "forward", "torch", 1.0),
    Goal("training backward at least as fast as PyTorch", "LSTM T100 B32 H256", "training", "backward", "torch", 1.0),
]


def judge(results: list[dict[str, Any]], goals: list[Goal] | None = None) -> list[dict[str, Any]]:
    """Each goal with the ratio measured and "reached", "missed" or "not measured"."""
    judged = []
    for goal in GOALS if goals is None else goals:
        found = None
        for result in results:
            if result["name"] == goal.work.name and result["kind"] == goal.kind:
                by_peer = {peer: parts[goal.part] for peer, parts in result["ratios"].items() if goal.part in parts}
                chosen = (
                    list(by_peer.values()) if goal.peer == "best" else [by_peer[p] for p in by_peer if p == goal.peer]
                )
                found = min((ratio["ratio"] for ratio in chosen), default=None)
        verdict = "not measured" if found is None else "reached" if found >= goal.ratio else "missed"
        judged.append(
            {
                "goal": goal.name,
                "shape": goal.shape,
                "kind": goal.kind,
                "part": goal.part,
                "peer": goal.peer,
                "wanted": goal.ratio,
                "measured": found,
                "verdict": verdict,
            }
        )
    return judged
