"""The compiled tiles keep their accumulators in registers: no inner loop moves a vector to or from the stack.

A spilled accumulator halves the speed and changes no result, so that nothing but the machine code shows it. It is read
from the static library that pip compiled beside what it installed, of the same objects, and needs no processor that
could run it.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from typing import NamedTuple

import pytest

from tests.support.tree import ROOT

INSTRUCTION_SETS = {
    "x86_64": ("portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16"),
    "aarch64": ("neon", "neon_dotprod", "neon_bf16"),
}
# Where pip leaves it, for this machine, and cmake or nox -s aarch64 for another one: no wheel holds it, and the shared
# library has no local symbols.
ARCHIVES = dict.fromkeys([platform.machine()], sorted(ROOT.glob("build/cp*/libfastrnn.a"), key=os.path.getmtime))
if crossed := list(ROOT.glob("build/aarch64/libfastrnn.a")):
    ARCHIVES["aarch64"] = crossed
FUNCTION = re.compile(r"[0-9a-f]+ <(?:.*? )?fastrnn::(\w+)::(tile|tile_pair|row_step)<(.*)>\(.*>:")
INSTRUCTION = re.compile(r" *([0-9a-f]+):\t(?:\w+ )*?(\w[\w.]*)\s*(.*)")
JUMP = re.compile(r"j\w+|b|b\.\w+|[ct]bn?z")
END = re.compile(r"jmp\w*|b|ret\w*")
VECTOR = re.compile(r"%[xyz]mm\d+|\b[qdsv]\d+\b")


class Instruction(NamedTuple):
    address: int
    name: str
    operands: str

    @property
    def target(self) -> int | None:
        """Where a jump goes, if it does."""
        found = re.search(r"\b([0-9a-f]+) <", self.operands) if JUMP.fullmatch(self.name) else None
        return int(found[1], 16) if found else None


def is_loop(code: list[Instruction]) -> bool:
    """Whether the code at the target of a backward jump can reach that jump, which is the last of `code`."""
    place = {i.address: n for n, i in enumerate(code)}
    seen, todo = set(), [0]
    while todo:
        n = todo.pop()
        if n in seen:
            continue
        seen.add(n)
        if n == len(code) - 1:
            return True
        if code[n].target in place:
            todo.append(place[code[n].target])
        if not END.fullmatch(code[n].name):
            todo.append(n + 1)
    return False


def inner_loops(code: list[Instruction]) -> list[list[Instruction]]:
    """The loops that hold no other one."""
    loops = []
    for last in code:
        if last.target is not None and last.target <= last.address:
            body = [i for i in code if last.target <= i.address <= last.address]
            if is_loop(body):
                loops.append(body)
    return [a for a in loops if not any(b is not a and a[0] <= b[0] and b[-1] <= a[-1] for b in loops)]


def spills(code: list[Instruction]) -> list[str]:
    """Instructions of inner loops that have a vector register and a place in the stack among their operands."""
    framed = any(i.name == "mov" and i.operands == "%rsp,%rbp" for i in code)  # else rbp is a register like the others
    stack = re.compile(r"\(%r(sp|bp)" if framed else r"\(%rsp|\[(sp|x29)")
    return [
        f"{i.address:x}: {i.name} {i.operands}"
        for loop in inner_loops(code)
        for i in loop
        if stack.search(i.operands) and VECTOR.search(i.operands)
    ]


@functools.cache
def tiles(machine: str) -> dict[tuple[str, str], list[Instruction]]:
    """The code of every tile, and of steps of a single row, by its instruction set and its symbol."""
    objdump = shutil.which(f"{machine}-linux-gnu-objdump")  # first: an emulated Python has this machine's objdump
    if objdump is None and machine == platform.machine():
        objdump = shutil.which("objdump")
    if not ARCHIVES.get(machine):
        pytest.skip(f"no libfastrnn.a of {machine} under build/: fastrnn was not built from this tree for it")
    if objdump is None:
        pytest.skip("objdump (binutils) was not found")
    command = [objdump, "--disassemble", "--demangle", "--no-show-raw-insn", str(ARCHIVES[machine][-1])]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found: dict[tuple[str, str], list[Instruction]] = {}
    code: list[Instruction] | None = None
    for line in lines:
        if function := FUNCTION.match(line):
            code = found.setdefault((function[1], line), [])
        elif not line:
            code = None
        elif code is not None and (instruction := INSTRUCTION.match(line)):
            code.append(Instruction(int(instruction[1], 16), instruction[2], instruction[3]))
    return found


@pytest.mark.parametrize(
    ("machine", "isa"), [(machine, isa) for machine in INSTRUCTION_SETS for isa in INSTRUCTION_SETS[machine]]
)
def test_no_vector_of_an_inner_loop_is_on_the_stack(machine: str, isa: str) -> None:
    of_isa = {name: code for (found, name), code in tiles(machine).items() if found == isa}
    if not of_isa and isa.startswith("avx512"):
        pytest.skip("built with FASTRNN_AVX512=OFF")
    assert len(of_isa) >= 10
    for name, code in of_isa.items():
        assert inner_loops(code), f"no loop found in {name}"
    assert {name: spilled for name, code in of_isa.items() if (spilled := spills(code))} == {}


def test_a_spilled_accumulator_is_noticed() -> None:
    """By a loop that holds one, and not where the same instruction stands behind the loop or in a cold block."""
    loop = [
        Instruction(0x10, "vfmadd231ps", "%ymm1,%ymm2,%ymm3"),
        Instruction(0x14, "vmovaps", "%ymm3,-0x20(%rsp)"),
        Instruction(0x18, "jne", "10 <tile>"),
    ]
    assert spills(loop) == ["14: vmovaps %ymm3,-0x20(%rsp)"]
    assert spills([loop[0], loop[2], Instruction(0x1A, *loop[1][1:])]) == []
    neon = [
        Instruction(0x10, "fmla", "v3.4s, v1.4s, v4.s[0]"),
        Instruction(0x14, "str", "q3, [sp, #64]"),
        Instruction(0x18, "b.ne", "10 <tile>"),
    ]
    assert spills(neon) == ["14: str q3, [sp, #64]"]
    assert spills([neon[0], neon[2], Instruction(0x1A, *neon[1][1:])]) == []
    back_from_cold = [loop[1], Instruction(0x1A, "ret", ""), Instruction(0x1C, "jmp", "14 <tile>")]
    assert spills(back_from_cold) == []
    frame = [Instruction(0x8, "mov", "%rsp,%rbp")]
    by_frame = [loop[0], Instruction(0x14, "vaddps", "-0x20(%rbp),%ymm3,%ymm3"), loop[2]]
    assert spills(by_frame) == []
    assert len(spills(frame + by_frame)) == 1
