"""WebSocket frames, on bytes: what aiohttp's writer makes of messages is read, and what breaks RFC 6455 is refused."""

from __future__ import annotations

import random

import pytest

from fastrnn.serve.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PARTS,
    PING,
    TEXT,
    FrameError,
    Frames,
    accept_key,
    close_frame,
    frame,
    unmask,
)  # fmt: skip


def client_frame(opcode: int, data: bytes, last: bool = True, mask: bytes = b"\x01\x80\xff\x7e") -> bytes:
    """As a client sends it, by the bytes of the RFC."""
    head = bytes([(0x80 if last else 0) | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65536:
        head += b"\xfe" + len(data).to_bytes(2, "big")
    else:
        head += b"\xff" + len(data).to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[k % 4] for k, byte in enumerate(data))


def read(data: bytes, cuts: list[int], limit: int = 1 << 20) -> list[tuple[int, bytes]]:
    """The messages of bytes that come in pieces."""
    frames, messages, at = Frames(limit), [], 0
    for cut in [*cuts, len(data)]:
        frames.feed(data[at:cut])
        at = cut
        while (message := frames.next()) is not None:
            messages.append(message)
    return messages


def test_messages_in_any_pieces():
    rng = random.Random(0)
    sent = [(BINARY, rng.randbytes(size)) for size in (0, 1, 125, 126, 65535, 65536, 7)] + [(TEXT, b"a"), (PING, b"")]
    data = b"".join(client_frame(*message) for message in sent)
    assert read(data, []) == sent
    assert read(data, list(range(1, 400))) == sent
    for _ in range(20):
        assert read(data, sorted(rng.sample(range(len(data)), 9))) == sent
    assert read(client_frame(BINARY, b"abc", mask=bytes(4)), []) == [(BINARY, b"abc")]


def test_a_message_in_parts_with_a_ping_between():
    parts = [(BINARY, b"ab", False), (PING, b"p", True), (CONTINUATION, b"", False), (CONTINUATION, b"cd", True)]
    data = b"".join(client_frame(*part) for part in parts) + client_frame(BINARY, b"e")
    assert read(data, [3, 9]) == [(PING, b"p"), (BINARY, b"abcd"), (BINARY, b"e")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x82\x01a", 1002),  # without a mask
        (b"\xc2\x80", 1002),  # compressed
        (client_frame(3, b""), 1002),
        (client_frame(CONTINUATION, b"a"), 1002),
        (client_frame(BINARY, b"a", last=False) + client_frame(BINARY, b"b"), 1002),
        (client_frame(PING, b"a", last=False), 1002),
        (client_frame(PING, bytes(126)), 1002),
        (client_frame(BINARY, bytes(101)), 1009),
        (b"\x82\xff" + (1 << 62).to_bytes(8, "big"), 1009),  # known by its head
        (client_frame(BINARY, bytes(60), last=False) + client_frame(CONTINUATION, bytes(41)), 1009),
        (client_frame(BINARY, b"", last=False) + client_frame(CONTINUATION, b"", last=False) * PARTS, 1008),
    ],
)
def test_what_is_wrong_has_a_code(data, code):
    with pytest.raises(FrameError) as error:
        read(data, [], limit=100)
    assert error.value.code == code


def test_what_the_server_sends():
    assert frame(BINARY, b"ab", b"c") == b"\x82\x03abc"
    assert frame(BINARY, bytes(126))[:4] == b"\x82\x7e\x00\x7e"
    assert frame(BINARY, bytes(65536))[:10] == b"\x82\x7f" + (65536).to_bytes(8, "big")
    assert close_frame(1012, "x" * 200)[:4] == bytes([0x80 | CLOSE, 125]) + (1012).to_bytes(2, "big")
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of the RFC, 1.3
    for key in ("", "AAAA", "*"):
        with pytest.raises(ValueError, match=r"16 bytes|base64|padding"):
            accept_key(key)
    assert unmask(b"abcde", b"\0\0\0\x01") == b"abcee"
