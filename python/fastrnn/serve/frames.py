"""WebSocket frames (RFC 6455) of the server's side, on bytes alone.

aiohttp has a reader of its own, which hands each message to a task through a queue; without both a chunk costs half as
much processor time.
"""

from __future__ import annotations

import base64
import hashlib

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_CONTROL = 8  # opcodes from here on
PARTS = 1000  # of one message; each costs time, and empty ones would come under no other limit


class FrameError(Exception):
    """What came breaks the protocol or a limit: `code` is what the connection is to be closed with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept of a handshake. ValueError if the key is none."""
    if len(base64.b64decode(key, validate=True)) != 16:
        raise ValueError("Sec-WebSocket-Key: expected 16 bytes in base64")
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


def frame(opcode: int, *parts: bytes) -> bytes:
    """A frame as servers send it, without a mask: its contents are the parts in their order."""
    size = sum(map(len, parts))
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126, size >> 8, size & 255))
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return b"".join((head, *parts))


def close_frame(code: int, reason: str) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big"), reason.encode()[:123])


def unmask(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class Frames:
    """Reads messages from a client's bytes. `limit`: the most bytes of one; a longer one is refused at its header."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # What came, and how much of it has been read; a bytearray while a frame comes in pieces.
        self._buffer: bytes | bytearray = b""
        self._at = 0
        # Of a message that has not ended yet: its opcode, its parts, and their bytes.
        self._opcode, self._parts, self._size = 0, list[bytes](), 0

    def feed(self, data: bytes) -> None:
        if self._at == len(self._buffer):
            self._buffer = bytes(data)
        else:
            if isinstance(self._buffer, bytes):
                self._buffer = bytearray(self._buffer)
            del self._buffer[: self._at]
            self._buffer += data
        self._at = 0

    def next(self) -> tuple[int, bytes] | None:
        """The next message, or None until more comes. FrameError ends it: nothing may be read after that."""
        while (frame := self._next_frame()) is not None:
            last, opcode, data = frame
            if opcode >= _CONTROL:
                return opcode, data
            if (opcode == CONTINUATION) != bool(self._opcode):
                raise FrameError(1002, "a message that goes on without a beginning, or begins within another")
            if last and opcode:  # a message in one part
                return opcode, data
            self._opcode = self._opcode or opcode
            self._parts.append(data)
            self._size += len(data)
            if last:
                opcode, data = self._opcode, b"".join(self._parts)
                self._opcode, self._parts, self._size = 0, [], 0
                return opcode, data
            if len(self._parts) >= PARTS:
                raise FrameError(1008, f"expected at most {PARTS} parts of a message")
        return None

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        buffer, at, end = self._buffer, self._at, len(self._buffer)
        if end - at < 2:
            return None
        first, size = buffer[at], buffer[at + 1]
        last, opcode = first >= 0x80, first & 15
        if first & 0x70 or not size & 0x80 or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise FrameError(1002, "expected masked frames of RFC 6455 without extensions")
        size, at = size & 0x7F, at + 2
        if opcode >= _CONTROL and (size > 125 or not last):
            raise FrameError(1002, "a control frame that is too long, or in parts")
        if size >= 126:
            width = 2 if size == 126 else 8
            if end - at < width:
                return None
            size, at = int.from_bytes(buffer[at : at + width], "big"), at + width
        if opcode < _CONTROL and size + self._size > self.limit:
            raise FrameError(1009, f"expected at most {self.limit} bytes, got {size + self._size}")
        if end - at < 4 + size:
            return None
        self._at = at + 4 + size
        mask = bytes(buffer[at : at + 4])
        data = bytes(buffer[at + 4 : self._at])
        return last, opcode, data if mask == b"\0\0\0\0" else unmask(data, mask)
