"""How long a block takes for what its warps issue: control codes, and the latencies that they wait for.

Four schedulers have two warps each, and issue an instruction a clock. Behind one its warp waits for the clocks of its
control code; before one, for the scoreboards that it names. What sets a scoreboard takes as long as LATENCY says, and a
unit is taken for as long as OCCUPIED says. Those are the only numbers that do not come from the machine code.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field

from .code import Instruction

SCHEDULERS = 4
# Clocks until a result is there. Shared memory, L2, memory and another block's shared memory: Luo et al. 2024,
# arXiv:2402.13499. A fence goes to L2 and back; the others are assumed, near what is published for earlier devices.
LATENCY = {"LDS": 29, "LDSM": 33, "LDG": 263, "LD": 263, "MUFU": 23, "I2F": 16, "F2I": 16, "F2F": 16, "SHFL": 24,
           "S2R": 20, "S2UR": 20, "LDC": 30, "R2UR": 12, "B2R": 20, "HMMA": 33}  # fmt: skip
# Clocks for which a warp stands: a fence until its stores are in L2, a cluster's barrier until a peer has arrived.
STANDS = {"MEMBAR": 263.0, "FENCE": 263.0, "UCGABAR_WAIT": 180.0}
TO_PEER = 180.0  # what is counted where it arrives: a peer's pieces come when this block's own are there
COPIED = {"BYPASS": 263.0, "": 479.0}  # asynchronous copies from L2, and from memory
OTHER_LATENCY = 12
READ_LATENCY = 10  # until a store has read its operands
BARRIER = 20  # from the last warp's arrival until all go on
# Clocks for which an instruction has its unit to itself: of a scheduler (tensor cores by mma.sync at 62% of the peak,
# special functions 4 lanes a clock), or of all four (shared memory, 128 bytes a clock).
OCCUPIED = {"HMMA": ("tensor", 6.5), "MUFU": ("special", 8.0), "LDS": ("shared", 1.0), "STS": ("shared", 1.0),
            "LDSM": ("shared", 4.0)}  # fmt: skip
OF_ALL = {"shared"}


@dataclass
class Count:
    """Clocks of the warp that arrived last at each barrier, by what they were spent on."""

    clocks: float = 0.0
    stalls: Counter[str] = field(default_factory=Counter)  # the control codes'
    waits: Counter[str] = field(default_factory=Counter)  # for results, units and the scheduler
    issued: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)  # instructions of all warps, by name

    def minus(self, other: Count) -> Count:
        parts = []
        for name in ("stalls", "waits", "issued", "names"):
            mine, theirs = getattr(self, name), getattr(other, name)
            parts.append(Counter({key: mine[key] - theirs[key] for key in mine | theirs}))
        return Count(self.clocks - other.clocks, *parts)


@dataclass
class _Warp:
    trace: list[int]
    at: int = 0
    ready: float = 0.0
    boards: list[float] = field(default_factory=lambda: [0.0] * 6)
    copied: float = 0.0  # when the copies in the background that are in no group yet are there
    groups: list[float] = field(default_factory=list)  # and those of each group
    part: Count = field(default_factory=Count)  # since the last barrier


def count(code: list[Instruction], traces: list[list[int]], purposes: list[str]) -> Count:
    """`purposes`: of each instruction, what it is for."""
    total = Count()
    warps = [_Warp(trace) for trace in traces]
    free: dict[tuple[str, int], float] = {}
    queue = [(0.0, w) for w in range(len(warps))]
    arrived: list[int] = []
    begin = sent = 0.0
    while queue:
        _, w = heapq.heappop(queue)
        warp = warps[w]
        if warp.at == len(warp.trace):
            continue
        index = warp.trace[warp.at]
        index, done = max(index, ~index), index >= 0
        i = code[index]
        base = i.name.partition(".")[0] if done else ""
        scheduler = w % SCHEDULERS
        unit, taken = OCCUPIED.get(base, ("issue", 1.0))
        if base in ("LDS", "STS"):
            taken *= 4 if ".128" in i.name else 2 if ".64" in i.name else 1
        keys = [("issue", scheduler)] + ([(unit, 0 if unit in OF_ALL else scheduler)] if unit != "issue" else [])
        issue = max([warp.ready, *(warp.boards[k] for k in i.waits), *(free.get(key, 0.0) for key in keys)])
        first = queue[0][0] if queue else issue
        if issue > warp.ready and first < issue:  # another warp may come first
            purpose = purposes[index]
            warp.part.waits[purpose] += issue - warp.ready
            warp.ready = issue
            heapq.heappush(queue, (issue, w))
            continue
        warp.part.waits[purposes[index]] += issue - warp.ready
        warp.part.stalls[purposes[index]] += i.stall
        warp.part.issued[purposes[index]] += 1
        total.names[i.name] += 1
        free["issue", scheduler] = issue + 1
        for key in keys[1:]:
            free[key] = issue + taken
        if i.sets is not None and done:
            warp.boards[i.sets] = max(warp.boards[i.sets], issue + LATENCY.get(base, OTHER_LATENCY))
        if i.reads is not None and done:
            warp.boards[i.reads] = max(warp.boards[i.reads], issue + READ_LATENCY)
        warp.ready = issue + i.stall
        if base == "LDGSTS":
            warp.copied = max(warp.copied, issue + COPIED["BYPASS" if ".BYPASS" in i.name else ""])
        if base == "STAS":
            sent = max(sent, issue + TO_PEER)
        stands = STANDS.get(base, 0.0)
        if base == "LDGDEPBAR":
            warp.groups.append(warp.copied)
            warp.copied = 0.0
        elif base == "DEPBAR":  # until no more groups are under way than its second operand says
            there = warp.groups[: len(warp.groups) - int(i.operands[1], 16)]
            stands = max([0.0, *(group - warp.ready for group in there)])
        if base == "SYNCS" and "PHASECHK" in i.name:
            stands = max(0.0, sent - warp.ready)
        warp.ready += stands
        warp.part.waits[purposes[index]] += stands
        warp.at += 1
        if base == "BAR":
            arrived.append(w)
            if len(arrived) == len(warps):
                last = max(arrived, key=lambda one: warps[one].ready)
                begin = warps[last].ready + BARRIER
                _add(total, warps[last].part)
                total.waits["barrier"] += BARRIER
                for one in arrived:
                    warps[one].ready, warps[one].part = begin, Count()
                    heapq.heappush(queue, (begin, one))
                arrived = []
        else:
            heapq.heappush(queue, (warp.ready, w))
    last = max(range(len(warps)), key=lambda w: warps[w].ready)
    _add(total, warps[last].part)
    total.clocks = warps[last].ready
    return total


def _add(total: Count, part: Count) -> None:
    total.stalls += part.stalls
    total.waits += part.waits
    total.issued += part.issued
