"""What an instruction reads and writes: registers and predicates of a block's threads, constants, shared memory."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Registers:
    """Arrays over the threads; uniform registers ("U...") too. What was never written is zero."""

    def __init__(self, constants: bytes, threads: int) -> None:
        self.constants = np.frombuffer(constants.ljust(0x1000, b"\0"), np.uint8)
        self.n = threads
        self.registers: dict[str, Array] = {}
        self.predicates: dict[str, Array] = {}
        self.shared = np.zeros(1 << 18, np.uint8)

    def predicate(self, name: str) -> Array:
        name = name.replace(".reuse", "")
        if name.startswith("!"):
            return ~self.predicate(name[1:])
        if name in ("PT", "UPT"):
            return np.ones(self.n, bool)
        return self.predicates.get(name, np.zeros(self.n, bool))

    def set_predicate(self, name: str, mask: Array, value: Array) -> None:
        if name not in ("PT", "UPT"):
            self.predicates[name] = np.where(mask, value, self.predicate(name))

    def register(self, name: str, offset: int = 0) -> Array:
        number = re.sub(r"\D", "", name)
        if not number:
            return np.zeros(self.n, np.uint32)  # RZ, URZ
        key = f"{'U' if name.startswith('U') else ''}{int(number) + offset}"
        return self.registers.get(key, np.zeros(self.n, np.uint32))

    def set(self, name: str, mask: Array, value: Array, offset: int = 0) -> None:
        if "Z" in name:
            return
        key = f"{'U' if name.startswith('U') else ''}{int(re.sub(r'[^0-9]', '', name)) + offset}"
        old = self.registers.get(key, np.zeros(self.n, np.uint32))
        self.registers[key] = np.where(mask, np.asarray(value).astype(np.uint32), old)

    def set_wide(self, name: str, mask: Array, value: Array) -> None:
        self.set(name, mask, value & np.uint64(0xFFFFFFFF))
        self.set(name, mask, value >> np.uint64(32), 1)

    def bare(self, text: str, offset: int = 0) -> Array:
        text = text.removesuffix(".reuse")
        if re.match(r"U?R(\d|Z)", text):
            return self.register(text.partition(".")[0], offset)
        if text.startswith("c["):
            index = re.fullmatch(r"c\[0x0\]\[(?:(U?R\w+)\+?)?(?:(-?0x[0-9a-f]+))?\]", text)
            if index is None:
                raise ValueError(f"expected a place of constant bank 0, got {text}")
            at = int(index[2] or "0", 16) + 4 * offset
            where = (self.register(index[1]).astype(np.int64) if index[1] else np.zeros(self.n, np.int64)) + at
            return self.load(self.constants, where, 4)
        if re.fullmatch(r"-?0x[0-9a-f]+", text):
            return np.full(self.n, int(text, 16) >> 32 * offset & 0xFFFFFFFF, np.uint32)
        return np.full(self.n, np.float32({"+INF": "inf", "+QNAN": "nan"}.get(text, text)).view(np.uint32))

    def value(self, text: str) -> Array:
        """32 bits, as uint32."""
        sign, text = (text[0], text[1:]) if text[0] in "-~" and not text.startswith("-0x") else ("", text)
        bits = self.bare(text.strip("|"))
        return ~bits if sign == "~" else (0 - bits) if sign == "-" else bits

    def wide(self, text: str) -> Array:
        """64 bits, as uint64."""
        negative, text = (True, text[1:]) if text.startswith("-") and not text.startswith("-0x") else (False, text)
        bits = self.bare(text).astype(np.uint64) | self.bare(text, 1).astype(np.uint64) << np.uint64(32)
        return np.uint64(0) - bits if negative else bits

    def real(self, text: str) -> Array:
        negative = text.startswith("-") and not re.match(r"-[\d.]", text)
        text = text[1:] if negative else text
        bits = self.bare(text.strip("|").replace("|.reuse", ""))
        value = bits.view(np.float32)
        value = np.abs(value) if text.startswith("|") else value
        return -value if negative else value

    def place(self, text: str) -> Array:
        """The address in "[R4+UR5+0x10]"."""
        total = np.zeros(self.n, np.int64)
        for part in re.sub(r"\.\w+", "", text.strip("[]")).replace("+-", "+ -").split("+"):
            total = total + self.value(part.strip()).astype(np.int32).astype(np.int64)
        return total

    def load(self, memory: Array, where: Array, width: int) -> Array:
        where = np.clip(where, 0, len(memory) - 16)
        value = np.zeros(self.n, np.uint32)
        for byte in range(width):
            value |= memory[where + byte].astype(np.uint32) << np.uint32(8 * byte)
        return value
