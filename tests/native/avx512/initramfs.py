#!/usr/bin/env python3
"""Writes the initramfs of the emulated machine: initramfs.py OUTPUT NAME=FILE...

Each FILE of this machine becomes /NAME there, executable if it is executable here. The format is cpio's "newc"
(Documentation/driver-api/early-userspace/buffer-format.rst of Linux); writing it here makes /dev/console without root.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO


class Archive:
    """A cpio archive that is being written."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._inode = 0

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        """Appends an entry; `mode` has the type and the permissions, `device` its numbers where it is one."""
        self._inode += 1
        path = name.encode() + b"\0"
        # inode, mode, uid, gid, links, time, size, the device it lies on (2), the device it is (2), name's length, 0
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._write_padded(header + path)
        self._write_padded(data)

    def close(self) -> None:
        self.add("TRAILER!!!", 0)

    def _write_padded(self, data: bytes) -> None:
        self._output.write(data + b"\0" * (-len(data) % 4))


def main(arguments: list[str]) -> None:
    output, *files = arguments
    with Path(output).open("wb") as stream:
        archive = Archive(stream)
        archive.add("dev", stat.S_IFDIR | 0o755)
        archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        archive.add("dev/null", stat.S_IFCHR | 0o666, device=(1, 3))
        for item in files:
            name, _, path = item.partition("=")
            permissions = 0o755 if os.access(path, os.X_OK) else 0o644
            archive.add(name, stat.S_IFREG | permissions, Path(path).read_bytes())
        archive.close()


if __name__ == "__main__":
    main(sys.argv[1:])
