"""The machine code of a kernel, read from nvdisasm's text: instructions, control codes and where they come from."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PLACE = re.compile(r'//## File "(?P<file>[^"]+)", line (?P<line>\d+)(?P<inlined> inlined at)?')
_INSTRUCTION = re.compile(
    r"/\*([0-9a-f]{4,})\*/\s+(?:@(!?)(U?P\w+)\s+)?([A-Z][\w.]*)\s*([^;]*?)\s*;\s+/\* 0x(\w{16}) \*/"
)
_FUNCTION = re.compile(r"FASTRNN_(?:DEVICE|CELL)\b[^;=]*?\b(\w+)\(")
_NOT_FUNCTIONS = {"explicit", "operator"}


@dataclass
class Instruction:
    """Of 16 bytes. The control code is the scheduler's: how many clocks the warp waits behind it, which of six
    scoreboards it sets until its result is there (`sets`) or its operands are read (`reads`), and for which it waits.
    """

    address: int
    name: str  # with modifiers, as "IMAD.WIDE.U32"
    guard: str  # predicate; "" for none
    negated: bool
    operands: list[str]
    functions: tuple[str, ...]  # of the source, the innermost first
    stall: int = 0
    sets: int | None = None
    reads: int | None = None
    waits: tuple[int, ...] = ()

    def control(self, code: int) -> None:
        self.stall = max(code & 15, 1)
        self.sets, self.reads = (None if which == 7 else which for which in (code >> 5 & 7, code >> 8 & 7))
        self.waits = tuple(i for i in range(6) if code >> 11 + i & 1)


@cache
def _functions_of(path: str) -> list[tuple[int, str]]:
    """The lines on which functions begin, with their names."""
    found = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1) if Path(path).exists() else ():
        match = _FUNCTION.search(line)
        if match and match[1] not in _NOT_FUNCTIONS:
            found.append((number, match[1]))
    return found


def _function(path: str, line: int) -> str:
    names = [name for begin, name in _functions_of(path) if begin <= line]
    return names[-1] if names else Path(path).name


def read(text: str) -> tuple[list[Instruction], dict[str, int]]:
    """Instructions by address, and the addresses of labels."""
    code: list[Instruction] = []
    labels: dict[str, int] = {}
    pending: list[str] = []
    stack: list[str] = []
    ended = True  # the next place begins a new stack
    for line in text.splitlines():
        place = _PLACE.search(line)
        if place:
            if ended:
                stack = []
            stack.append(_function(place["file"], int(place["line"])))
            ended = place["inlined"] is None
            continue
        match = _INSTRUCTION.search(line)
        if match:
            address, negated, guard, name, rest, _ = match.groups()
            operands = [part.strip() for part in re.split(r",(?![^\[]*\])", rest) if part.strip()]
            code.append(Instruction(int(address, 16), name, guard or "", negated == "!", operands, tuple(stack)))
            labels |= {label: int(address, 16) for label in pending}
            pending = []
        elif code and (second := re.fullmatch(r"\s+/\* 0x(\w{16}) \*/", line)):
            code[-1].control(int(second[1], 16) >> 41)
        elif label := re.match(r"(\S+):$", line):
            pending.append(label[1])
    if [i.address for i in code] != list(range(0, 16 * len(code), 16)):
        raise ValueError("nvdisasm: expected one function with an instruction every 16 bytes")
    return code, labels


def disassemble(nvdisasm: str, cubin: Path) -> tuple[list[Instruction], dict[str, int]]:
    command = [nvdisasm, "-c", "-hex", "-gi", str(cubin)]
    return read(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
