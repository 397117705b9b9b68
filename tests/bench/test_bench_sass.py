"""The count of the machine code: control codes, latencies, barriers, branches; and what the planner takes from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.sass import __main__ as sass
from bench.sass.code import Instruction, read
from bench.sass.machine import Machine
from bench.sass.timing import BARRIER, COPIED, LATENCY, STANDS, count
from tests.support.tree import ROOT


def line(address: int, text: str, stall: int = 1, sets: int = 7, waits: int = 0) -> str:
    """An instruction as nvdisasm prints it; scoreboard 7 is none."""
    control = stall | 1 << 4 | sets << 5 | 7 << 8 | waits << 11
    return f"        /*{address:04x}*/    {text} ;   /* 0x{0:016x} */\n     /* 0x{control << 41:016x} */\n"


def program(*lines: tuple, labels: dict[int, str] | None = None) -> tuple[list[Instruction], dict[str, int]]:
    text = ""
    for i, (words, *rest) in enumerate(lines):
        text += f"{labels[i]}:\n" if labels and i in labels else ""
        text += line(16 * i, words, *rest)
    return read(text)


def clocks(*lines: tuple, threads: int = 32, labels: dict[int, str] | None = None) -> float:
    code, places = program(*lines, labels=labels)
    traces = Machine(code, places, b"", threads).run()
    return count(code, traces, ["all"] * len(code)).clocks


def test_a_control_code_is_read():
    (first, second), _ = program(("@!P0 LDS.64 R4, [R2+0x10]", 5, 3), ("EXIT", 1, 7, 0b001000))
    assert (first.name, first.guard, first.negated, first.operands) == ("LDS.64", "P0", True, ["R4", "[R2+0x10]"])
    assert (first.stall, first.sets, first.reads, first.waits) == (5, 3, None, ())
    assert (second.sets, second.waits) == (None, (3,))


def test_lines_tell_their_functions(tmp_path):
    source = tmp_path / "a.h"
    source.write_text("FASTRNN_DEVICE void inner(int a) {\n  a;\n}\nFASTRNN_DEVICE bool outer() {\n  inner(1);\n}\n")
    places = f'\t//## File "{source}", line 2 inlined at "{source}", line 5\n\t//## File "{source}", line 5\n'
    code, _ = read(places + line(0, "NOP") + line(16, "EXIT"))
    assert code[0].functions == code[1].functions == ("inner", "outer")


def test_stalls_and_latencies_add_up():
    assert clocks(("MOV R1, 0x1", 4), ("MOV R2, 0x2", 6), ("EXIT", 1)) == 11
    assert clocks(("LDS R1, [RZ]", 2, 0), ("IADD3 R1, R1, R1, RZ", 5, 7, 1), ("EXIT", 1)) == LATENCY["LDS"] + 6
    # What no lane executes sets nothing and stands for nothing.
    assert clocks(("@P0 LDS R1, [RZ]", 2, 0), ("IADD3 R1, R1, R1, RZ", 5, 7, 1), ("EXIT", 1)) == 8
    assert clocks(("MEMBAR.ALL.GPU", 6), ("EXIT", 1)) == STANDS["MEMBAR"] + 7
    assert clocks(("@P0 MEMBAR.ALL.GPU", 6), ("EXIT", 1)) == 7
    copy = ("LDGSTS.E.BYPASS.128 [RZ], desc[UR2][R4.64]", 3)
    group, wait = ("LDGDEPBAR", 1), ("DEPBAR.LE SB0, 0x0", 1)
    assert clocks(copy, group, wait, ("EXIT", 1)) == COPIED["BYPASS"] + 1
    later = ("LDGSTS.E [RZ], desc[UR2][R4.64]", 3)  # from memory, in a group that is not waited for
    assert clocks(copy, group, later, group, ("DEPBAR.LE SB0, 0x1", 1), ("EXIT", 1)) == COPIED["BYPASS"] + 1
    assert clocks(copy, group, later, group, wait, ("EXIT", 1)) > COPIED[""]


def test_warps_share_a_scheduler_and_meet_at_a_barrier():
    one = [("MOV R1, 0x1", 1)] * 20
    assert clocks(*one, ("EXIT", 1), threads=128) == 21  # one for each of the four
    assert clocks(*one, ("EXIT", 1), threads=256) > 40
    slow_first = [("S2R R0, SR_TID.X", 1, 0), ("ISETP.GE.AND P0, PT, R0, 0x20, PT", 12, 7, 1), ("@P0 BRA `(.L)", 5)]
    waits = [("MOV R1, 0x1", 15)] * 10
    labels = {len(slow_first) + len(waits): ".L"}
    total = clocks(*slow_first, *waits, ("BAR.SYNC 0x0", 1), ("EXIT", 1), threads=64, labels=labels)
    assert 150 + BARRIER < total < 150 + BARRIER + LATENCY["S2R"] + 30


def test_a_loop_goes_round_as_often_as_it_says():
    code, places = program(
        ("LDC R2, c[0x0][0x10]", 1),
        ("MOV R1, RZ", 1),
        ("VIADD R1, R1, 0x1", 4),
        ("ISETP.GE.AND P0, PT, R1, R2, PT", 12),
        ("@!P0 BRA `(.L)", 5),
        ("EXIT", 1),
        labels={2: ".L"},
    )
    (trace,) = Machine(code, places, bytes(16) + (7).to_bytes(4, "little"), 32).run()
    assert trace.count(2) == 7
    assert len(trace) == 2 + 3 * 7 + 1


def test_integer_division_as_the_compiler_writes_it():
    """I2F.RP, MUFU.RCP, F2I and a correction, from a kernel: 1000 / 12."""
    division = (
        "MOV R5, 0xc|MOV R4, 0x3e8|IABS R6, R5|I2F.RP R0, R6|IABS R8, R4|MUFU.RCP R0, R0|VIADD R2, R0, 0xffffffe|"
        "F2I.FTZ.U32.TRUNC.NTZ R3, R2|IMAD.MOV.U32 R2, RZ, RZ, RZ|IMAD.MOV R7, RZ, RZ, -R3|IMAD R7, R7, R6, RZ|"
        "IMAD.HI.U32 R3, R3, R7, R2|LOP3.LUT R2, R4, R5, RZ, 0x3c, !PT|IMAD.MOV.U32 R7, RZ, RZ, R8|"
        "ISETP.GE.AND P2, PT, R2, RZ, PT|IMAD.HI.U32 R0, R3, R7, RZ|IMAD.MOV R3, RZ, RZ, -R0|IMAD R3, R6, R3, R7|"
        "ISETP.GT.U32.AND P1, PT, R6, R3, PT|@!P1 IADD3 R3, R3, -R6.reuse, RZ|@!P1 VIADD R0, R0, 0x1|"
        "ISETP.NE.AND P1, PT, R5, RZ, PT|ISETP.GE.U32.AND P0, PT, R3, R6, PT|@P0 VIADD R0, R0, 0x1|"
        "@!P2 IMAD.MOV R0, RZ, RZ, -R0|@!P1 LOP3.LUT R0, RZ, R5, RZ, 0x33, !PT|EXIT"
    )
    code, places = program(*((text, 1) for text in division.split("|")))
    machine = Machine(code, places, b"", 32)
    machine.run()
    assert set(machine.register("R0")) == {83}


def test_an_instruction_that_is_not_known_is_named():
    code, places = program(("TMA.LOAD R1", 1), ("EXIT", 1))
    with pytest.raises(NotImplementedError, match=r"TMA\.LOAD"):
        Machine(code, places, b"", 32).run()


@pytest.mark.full
def test_the_model_is_what_the_machine_code_says(tmp_path):
    """For the two cases of docs/cuda-plan.md, of this tree's kernels: within a fifth, so that it cannot flatter."""
    try:
        for name in ("nvcc", "nvdisasm"):
            sass.tool(name)
    except SystemExit as missing:
        pytest.skip(str(missing))
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    for case in sass.NAMED:
        step, launch = sass.step_of(case, ROOT, Path(tmp_path))
        counted, model = step.clocks / sass.GHZ / 1e3, sum(launch["us"].values())
        assert 0.8 * counted <= model <= 1.25 * counted, (case, counted, model)
