"""One run: measures works one after the other, and keeps what was found and what is to be said beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import machine, report, roofline
from .measure import PARTS, Unable, measure, ratios
from .peers import Peer, contestants
from .section import Section
from .work import Work


@dataclass(frozen=True)
class Settings:
    """How a run measures; `allowed` are the cores that sections with threads of their own may take."""

    rounds: int
    seconds: float
    threads: int = 1
    minutes: float = float("inf")
    allowed: set[int] = field(default_factory=set)


class Run:
    """One run: who takes part, what was found, and what is to be said beside it."""

    def __init__(self, settings: Settings, ours: Any, peers: Sequence[Peer], absent: dict[str, str]) -> None:
        self.start = time.monotonic()
        self.settings = settings
        self.notes: list[str] = []
        self.ours, self.peers, self.absent = ours, peers, absent
        for name, reason in absent.items():
            self.note(f"{name}: left out, {reason}")
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
        made, unable = contestants(work, section, self.ours, self.peers)
        for name, reason in unable.items():
            self.note(f"{name}: not measured: {reason}")
        timings, refused = measure(made, self.settings.rounds, self.settings.seconds)
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
            "dtypes": {variant.name: variant.roofline for variant in section.ours if variant.same_work}
            | {peer.name: peer.dtype for peer in self.peers},
            "unable": {name: self.absent[name] for name in section.peers if name in self.absent} | unable | refused,
            "ratios": {},
            "variants": {},
        }
        by_name = {timing.name: timing for timing in timings}
        ours = {variant.dtype: by_name[variant.name] for variant in section.ours[::-1] if variant.name in by_name}
        for peer in self.peers:
            if peer.name in by_name:
                own = ours.get(peer.dtype, timings[0])
                parts = {part: ratios(own, by_name[peer.name], part) for part in PARTS}
                result["ratios"][peer.name] = {part: ratio for part, ratio in parts.items() if ratio is not None}
        # What a variant gained or lost shows beside somebody whose own speed does not change with this library's.
        others = [by_name[name] for name in result["ratios"]] or timings[:1]
        for variant in section.ours[1:]:
            if variant.name in by_name:
                result["variants"][variant.name] = {others[0].name: ratios(by_name[variant.name], others[0])}
        allowed = max(self.settings.threads, section.threads)
        for name, summary in result["timings"].items():
            used = summary["cores_used"] or 0
            if used > allowed + 0.1 and not section.by_defaults:
                self.note(f"{name} used {used} cores in {work.name} {section.name}, not {allowed}")
        self.works.append(work)
        self.results.append(result)
        print(progress(result), flush=True)

    def all_works(self, plan: Iterable[tuple[Section, Work]]) -> None:
        """Measure a plan, as far as the time goes."""
        for section, work in plan:
            if self.minutes > self.settings.minutes:
                self.note(f"{work.name} {section.name}: not measured, time was up")
                continue
            try:
                with machine.cores(section.threads, self.settings.allowed, section.busy):
                    self.work(section, work)
            except Unable as reason:
                self.note(f"{section.name}: not measured, {reason}")

    def bound(self, roof: dict[str, Any]) -> None:
        """Put beside each result the least time that the roofline allows, and say which figures cannot be true."""
        for result, work in zip(self.results, self.works, strict=True):
            result["bounds_us"] = roofline.bounds_us(work, roof, self.settings.threads)
            for name, dtype in result["dtypes"].items():
                if name in result["timings"] and dtype in result["bounds_us"]:
                    part = result["bounds_us"][dtype] / result["timings"][name]["total"]["median_us"]
                    if part > roofline.FAULT:
                        where = f"{work.name} {result['section']}: {name}"
                        self.note(f"FAULT OF THE MEASUREMENT: {where} at {part:.0%} of the roofline")


def progress(result: dict[str, Any]) -> str:
    """One line about one work."""
    ours = result["timings"]["fastrnn"]["total"]
    line = f"{result['section']:16} {result['name']:20} {report.microseconds(ours['median_us'])} us"
    for name, timing in result["timings"].items():
        if report.is_ours(name) and name != "fastrnn":
            line += f"  {name.partition(' ')[2]} {report.microseconds(timing['total']['median_us'])}"
    return line + "".join(f"  {name} {parts['total']['ratio']:.2f}x" for name, parts in result["ratios"].items())
