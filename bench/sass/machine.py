"""One block of threads that executes machine code, as far as it decides which instructions come next.

Registers are arrays over the threads; of all threads that are not at a barrier those with the lowest address go on,
which is how diverged ones meet again. Shared memory is real, global memory is zeros, and a look at another block's flag
always finds what it waits for. Sums of products are zeros, too: they decide nothing. What each warp issued is kept in
order, which is what the count needs.
"""

from __future__ import annotations

import operator

import numpy as np

from .code import Instruction
from .registers import Array, Registers

WARP = 32
SHARED_BASE = 0x400  # where the system's own part of shared memory ends
_SEEN = 0x7FFFFFFF  # a flag of another block
_COMPARE = {
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
    "EQ": operator.eq,
    "NE": operator.ne,
}
# Orders and scheduling: nothing to execute.
_NOTHING = {
    *("NOP", "BSSY", "BSYNC", "WARPSYNC", "YIELD", "BREAK", "NANOSLEEP", "ENDCOLLECTIVE", "STG", "ST", "STAS", "BPT"),
    *("ERRBAR", "CGAERRBAR", "CCTL", "MEMBAR", "FENCE", "DEPBAR", "LDGDEPBAR", "UCGABAR_ARV", "UCGABAR_WAIT"),
}
# Their results are data, which decides nothing here; with how many registers they write.
_ZEROS = {"HMMA": 4, "LDSM": 4, "LDG": 1, "LD": 1, "SHFL": 1, "F2FP": 1, "HFMA2": 1, "HADD2": 1, "HMUL2": 1}


class Machine(Registers):
    """`constants` is the bank that a launch has: parameters from `c[0x0][0x210]` on."""

    def __init__(self, code: list[Instruction], labels: dict[str, int], constants: bytes, threads: int) -> None:
        super().__init__(constants, threads)
        self.code, self.labels = code, labels
        self.at = np.zeros(threads, np.int64)  # address of the next instruction
        self.live = np.ones(threads, bool)
        self.waiting = np.zeros(threads, bool)
        self.any = np.zeros(threads, bool)  # what a block's vote found
        self.traces: list[list[int]] = [[] for _ in range(threads // WARP)]
        self.threads = np.arange(threads, dtype=np.uint32)

    def run(self, most: int = 3_000_000) -> list[list[int]]:
        """The indices of the instructions that each warp issued, inverted where the guard let no lane execute it."""
        for _ in range(most):
            ready = self.live & ~self.waiting
            if not ready.any():
                if not self.live.any():
                    return self.traces
                self.waiting[:] = False
                continue
            address = int(self.at[ready].min())
            mask = ready & (self.at == address)
            index = address // 16
            i = self.code[index]
            issuing = mask
            if i.guard:
                mask = mask & (self.predicate(i.guard) ^ i.negated)
            done = mask.reshape(-1, WARP).any(1)
            for warp in np.flatnonzero(issuing.reshape(-1, WARP).any(1)):
                self.traces[warp].append(index if done[warp] else ~index)
            self.at[issuing] = address + 16
            with np.errstate(all="ignore"):
                self.execute(i, mask)
        raise RuntimeError(f"expected an end within {most} instructions; still at {self.code[index]}")

    # -- instructions

    def execute(self, i: Instruction, mask: Array) -> None:
        base, *mods = i.name.split(".")
        if base in _NOTHING:
            return
        if base in ("BRA", "CALL", "RET", "EXIT", "BAR", "B2R"):
            self._control(base, mods, i, mask)
            return
        if base in _ZEROS:
            target = next(o for o in i.operands if o.startswith("R"))
            seen = "STRONG" in mods and base == "LDG"
            count = _ZEROS[base] * (4 if "128" in mods else 2 if "64" in mods else 1)
            for offset in range(count):
                self.set(target, mask, np.full(self.n, _SEEN if seen else 0, np.uint32), offset)
            return
        method = getattr(self, f"do_{base}", None) or getattr(
            self, f"do_{base.removeprefix('U').replace('VOTEU', 'VOTE')}", None
        )
        if method is None:
            raise NotImplementedError(f"expected an instruction that this machine knows, got {i}")
        method(i, mask, mods)

    def _control(self, base: str, mods: list[str], i: Instruction, mask: Array) -> None:
        if base == "EXIT":
            self.live &= ~mask
        elif base == "BRA" and "DIV" in mods:
            return  # to the code of warps whose lanes are apart, which they are not here
        elif base in ("BRA", "CALL"):
            extra = [o for o in i.operands[:-1] if o.lstrip("!").startswith(("P", "UP"))]
            for name in extra:
                mask = mask & self.predicate(name)
            self.at[mask] = self.labels[i.operands[-1].strip("`()")]
        elif base == "RET":
            self.at[mask] = self.value(i.operands[0].split()[0])[mask]
        elif base == "BAR":
            self.waiting |= mask
            if "RED" in mods:
                self.any[:] = (self.predicate(i.operands[1]) & mask).any()
        else:
            self.set_predicate(i.operands[1], mask, self.any)

    def _three(self, i: Instruction, mask: Array, sources: list[Array], at: int) -> None:
        """Sum with carries: those out come behind the target, those in at the end."""
        outs = []
        while i.operands[at].startswith(("P", "UP")):
            outs.append(i.operands[at])
            at += 1
        ins = [o for o in i.operands[at + 2 :] if o.lstrip("!~").startswith(("P", "UP"))]
        total = sum((s.astype(np.uint64) for s in sources), np.zeros(self.n, np.uint64))
        if ".X" in i.name:
            for name in ins:
                total = total + self.predicate(name).astype(np.uint64)
        self.set(i.operands[0], mask, total & np.uint64(0xFFFFFFFF))
        for count, name in enumerate(outs, 1):
            self.set_predicate(name, mask, total >> np.uint64(32) >= count)

    def do_IADD3(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        sources = [o for o in i.operands[1:] if not o.lstrip("!").startswith(("P", "UP"))]
        self._three(i, mask, [self.value(s) for s in sources], 1)

    def do_IADD(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        self.set(i.operands[0], mask, self.value(i.operands[1]) + self.value(i.operands[2]))

    do_VIADD = do_IADD

    def do_IMAD(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        target, a, b, c = (o for o in i.operands if not o.lstrip("!").startswith(("P", "UP")))
        signed = "U32" not in mods
        kind = np.int32 if signed else np.uint32
        x, y = (self.value(o).view(kind).astype(np.int64 if signed else np.uint64) for o in (a, b))
        product = (x * y).astype(np.uint64)
        if "WIDE" in mods:
            self.set_wide(target, mask, product + self.wide(c))
        elif "HI" in mods:
            self.set(target, mask, product + self.wide(c) >> np.uint64(32))
        else:
            carry = self.predicate(i.operands[-1]) if "X" in mods else np.zeros(self.n, bool)
            self.set(
                target,
                mask,
                product + self.value(c).astype(np.uint64) + carry.astype(np.uint64) & np.uint64(0xFFFFFFFF),
            )

    def do_MOV(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        self.set(i.operands[0], mask, self.value(i.operands[1]))

    do_R2UR = do_MOV

    def do_CS2R(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        for offset in range(1 if "32" in mods else 2):
            self.set(i.operands[0], mask, np.zeros(self.n, np.uint32), offset)

    def do_S2R(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        special = {"SR_TID.X": self.threads, "SR_LANEID": self.threads % WARP, "SR_NTID.X": np.full(self.n, self.n)}
        self.set(i.operands[0], mask, special.get(i.operands[1], np.zeros(self.n, np.uint32)))  # the first block

    do_S2UR = do_S2R

    def do_LDC(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        value = self.bare(i.operands[1])
        narrow = {"U8": 0xFF, "U16": 0xFFFF}
        for mod in mods:
            value = value & np.uint32(narrow.get(mod, 0xFFFFFFFF))
        self.set(i.operands[0], mask, value)
        for offset in range(1, 4 if "128" in mods else 2 if "64" in mods else 1):
            self.set(i.operands[0], mask, self.bare(i.operands[1], offset), offset)

    def do_LDS(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        where = self.place(i.operands[1])
        width = 1 if "U8" in mods else 2 if "U16" in mods else 4
        for offset in range(4 if "128" in mods else 2 if "64" in mods else 1):
            self.set(i.operands[0], mask, self.load(self.shared, where + 4 * offset, width), offset)

    def do_STS(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        where = np.clip(self.place(i.operands[0]), 0, len(self.shared) - 16)[mask]
        width = 1 if "U8" in mods else 2 if "U16" in mods else 4
        for offset in range(4 if "128" in mods else 2 if "64" in mods else 1):
            value = self.register(i.operands[1].removesuffix(".reuse"), offset)[mask]
            for byte in range(width):
                self.shared[where + 4 * offset + byte] = value >> np.uint32(8 * byte) & np.uint32(255)

    def do_LDGSTS(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        where = np.clip(self.place(i.operands[0]), 0, len(self.shared) - 16)[mask]
        for byte in range(16 if "128" in mods else 4):
            self.shared[where + byte] = 0

    def do_ISETP(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        kind = np.uint32 if "U32" in mods else np.int32
        a, b = (self.value(o).view(kind) for o in i.operands[2:4])
        result = _COMPARE[mods[0]](a, b)
        if "EX" in mods:  # the high halves; the low ones are in the last operand
            low = self.predicate(i.operands[5])
            result = (a != b) | low if mods[0] == "NE" else np.where(a == b, low, result)
        self._combine(i, mask, mods, result)

    def do_FSETP(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        a, b = (self.real(o) for o in i.operands[2:4])
        result = _COMPARE[mods[0].removesuffix("U") if mods[0] != "NEU" else "NE"](a, b)
        self._combine(i, mask, mods, result | (np.isnan(a) | np.isnan(b) if mods[0].endswith("U") else False))

    def _combine(self, i: Instruction, mask: Array, mods: list[str], result: Array) -> None:
        other = self.predicate(i.operands[4])
        join = operator.or_ if "OR" in mods else operator.xor if "XOR" in mods else operator.and_
        first, second = join(result, other), join(~result, other)
        self.set_predicate(i.operands[0], mask, first)
        self.set_predicate(i.operands[1], mask, second)

    def do_VOTE(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        """Over all that are here: warps of a block agree, but for the bits of each."""
        votes = self.predicate(i.operands[-1]) & mask
        result = votes[mask].all() if "ALL" in mods else votes.any()
        self.set_predicate(next(o for o in i.operands if o.startswith(("P", "UP"))), mask, np.full(self.n, result))
        if i.operands[0].startswith(("R", "UR")):
            bits = (votes.reshape(-1, WARP).astype(np.uint64) << np.arange(WARP, dtype=np.uint64)).sum(1)
            self.set(i.operands[0], mask, np.repeat(bits, WARP))

    def do_POPC(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        bits = self.value(i.operands[1]).view(np.uint8).reshape(-1, 4)
        self.set(i.operands[0], mask, np.unpackbits(bits, axis=1).sum(1))

    def do_SYNCS(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        """A barrier in shared memory that counts arrivals: what is waited for has come."""
        if "PHASECHK" in mods:
            self.set_predicate(i.operands[0], mask, np.ones(self.n, bool))

    def do_FCHK(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        self.set_predicate(i.operands[0], mask, np.zeros(self.n, bool))

    def do_LOP3(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        at = 1 if i.operands[0].startswith(("P", "UP")) else 0
        a, b, c = (self.value(o) for o in i.operands[at + 1 : at + 4])
        table, result = int(i.operands[at + 4], 16), np.zeros(self.n, np.uint32)
        for bit in range(8):
            if table >> bit & 1:
                result |= (a if bit & 4 else ~a) & (b if bit & 2 else ~b) & (c if bit & 1 else ~c)
        self.set(i.operands[at], mask, result)
        if at:
            self.set_predicate(i.operands[0], mask, result != 0)

    def do_PLOP3(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        a, b, c = (self.predicate(o) for o in i.operands[2:5])
        for target, text in ((i.operands[0], i.operands[5]), (i.operands[1], i.operands[6])):
            result = np.zeros(self.n, bool)
            for bit in range(8):
                if int(text, 16) >> bit & 1:
                    result |= (a if bit & 4 else ~a) & (b if bit & 2 else ~b) & (c if bit & 1 else ~c)
            self.set_predicate(target, mask, result)

    def do_SHF(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        low, by, high = (self.value(o) for o in i.operands[1:4])
        by = np.minimum(by, 63).astype(np.uint64)
        both = low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)
        if "L" in mods:
            value = both << by
        elif {"S32", "S64"} & set(mods):
            value = (both.view(np.int64) >> by.astype(np.int64)).view(np.uint64)
        else:
            value = both >> by
        self.set(i.operands[0], mask, value >> np.uint64(32) if "HI" in mods else value & np.uint64(0xFFFFFFFF))

    def do_LEA(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        rest = [o for o in i.operands[1:] if not o.lstrip("!").startswith(("P", "UP"))]
        by = np.uint64(int(rest[-1], 16))
        low = self.value(rest[0])
        both = low.astype(np.uint64)
        if "SX32" in mods:
            both = low.view(np.int32).astype(np.int64).view(np.uint64)
        elif "HI" in mods:
            both = both | self.value(rest[2]).astype(np.uint64) << np.uint64(32)
        shifted = both << by
        part = shifted >> np.uint64(32) if "HI" in mods else shifted & np.uint64(0xFFFFFFFF)
        self._three(i, mask, [part.astype(np.uint32), self.value(rest[1])], 1)

    def do_SEL(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        a, b = (self.value(o) for o in i.operands[1:3])
        self.set(i.operands[0], mask, np.where(self.predicate(i.operands[3]), a, b))

    def do_VIMNMX(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        kind = np.uint32 if "U32" in mods else np.int32
        a, b = (self.value(o).view(kind) for o in i.operands[1:3])
        least = self.predicate(i.operands[-1])
        self.set(i.operands[0], mask, np.where(least, np.minimum(a, b), np.maximum(a, b)).view(np.uint32))

    do_IMNMX = do_VIMNMX

    def do_VIADDMNMX(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        kind = np.uint32 if "U32" in mods else np.int32
        a, b, c = (self.value(o) for o in i.operands[1:4])
        total, bound = (a + b).view(kind), c.view(kind)
        least = self.predicate(i.operands[-1])
        self.set(
            i.operands[0], mask, np.where(least, np.minimum(total, bound), np.maximum(total, bound)).view(np.uint32)
        )

    def do_IABS(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        self.set(i.operands[0], mask, np.abs(self.value(i.operands[1]).view(np.int32)).view(np.uint32))

    def do_PRMT(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        a, choice, b = (self.value(o) for o in i.operands[1:4])
        both = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
        result = np.zeros(self.n, np.uint64)
        for byte in range(4):
            which = (choice >> np.uint32(4 * byte) & np.uint32(7)).astype(np.uint64)
            result |= (both >> np.uint64(8) * which & np.uint64(255)) << np.uint64(8 * byte)
        self.set(i.operands[0], mask, result)

    def do_P2R(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        bits = sum(
            (self.predicate(f"P{k}").astype(np.uint32) << np.uint32(k) for k in range(7)), np.zeros(self.n, np.uint32)
        )
        wanted = self.value(i.operands[-1])
        self.set(i.operands[0], mask, bits & wanted | self.value(i.operands[-2]) & ~wanted)

    def do_R2P(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        bits, wanted = self.value(i.operands[1]), int(i.operands[2], 16)
        for k in range(7):
            if wanted >> k & 1:
                self.set_predicate(f"P{k}", mask, (bits >> np.uint32(k) & np.uint32(1)).astype(bool))

    # -- numbers: only what integer divisions and the ranges of activations need is exact

    def _number(self, i: Instruction, mask: Array, value: Array) -> None:
        self.set(i.operands[0], mask, np.asarray(value, np.float32).view(np.uint32))

    def do_FADD(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        self._number(i, mask, self.real(i.operands[1]) + self.real(i.operands[2]))

    def do_FMUL(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        self._number(i, mask, self.real(i.operands[1]) * self.real(i.operands[2]))

    def do_FFMA(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        a, b, c = (self.real(o).astype(np.float64) for o in i.operands[1:4])
        value = a * b + c
        self._number(i, mask, np.clip(value, 0, 1) if "SAT" in mods else value)

    def do_FMNMX(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        a, b = (self.real(o) for o in i.operands[1:3])
        self._number(i, mask, np.where(self.predicate(i.operands[3]), np.fmin(a, b), np.fmax(a, b)))

    def do_FSEL(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        a, b = (self.real(o) for o in i.operands[1:3])
        self._number(i, mask, np.where(self.predicate(i.operands[3]), a, b))

    def do_MUFU(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        x = self.real(i.operands[1]).astype(np.float64)
        value = {"RCP": lambda: 1 / x, "EX2": lambda: np.exp2(x), "RSQ": lambda: x**-0.5, "LG2": lambda: np.log2(x),
                 "SQRT": lambda: np.sqrt(x), "TANH": lambda: np.tanh(x)}[mods[0]]()  # fmt: skip
        self._number(i, mask, value)

    def do_I2F(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        x = self.value(i.operands[1])
        exact = x.astype(np.float64) if "U32" in mods else x.view(np.int32).astype(np.float64)
        value = exact.astype(np.float32)
        if "RP" in mods:
            value = np.where(value < exact, np.nextafter(value, np.float32(np.inf)), value)
        self._number(i, mask, value)

    do_I2FP = do_I2F

    def do_F2I(self, i: Instruction, mask: Array, mods: list[str]) -> None:
        value = np.trunc(np.nan_to_num(self.real(i.operands[1]).astype(np.float64)))
        self.set(i.operands[0], mask, np.clip(value, -(2.0**31), 2.0**32 - 1).astype(np.int64) & 0xFFFFFFFF)
