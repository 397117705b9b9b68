"""Putting a model's file in its place, whole or not at all, and finding out beforehand whether that can be done."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["check_path", "check_suffix", "import_safetensors", "suffix_of", "write_file"]


_OF_OTHERS = (".keras", ".h5", ".hdf5", ".onnx", ".pt", ".pth", ".bin", ".ckpt", ".json", ".nam")


def check_suffix(path: str, argument: str = "path") -> str:
    """Return the suffix of a model's file. ValueError for another one, ImportError if its package is missing."""
    other = os.path.splitext(path)[1].lower() in _OF_OTHERS
    hint = "; fastrnn.interop.load reads files of other libraries, fastrnn.interop.save writes them" if other else ""
    suffix = suffix_of(path, (".npz", ".safetensors"), argument, hint)
    if suffix == ".safetensors":
        import_safetensors()
    return suffix


def suffix_of(path: str, known: Sequence[str], argument: str = "path", hint: str = "") -> str:
    """Return the ending of a file's name, in lower case. ValueError that names `argument` for none of those known, and
    ends in `hint`."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in known:
        endings = " or ".join([", ".join(known[:-1]), known[-1]]) if len(known) > 1 else known[0]
        raise ValueError(f"{argument}: expected a name ending in {endings}, got {path!r}{hint}")
    return suffix


def import_safetensors() -> Any:
    """Return the package safetensors with its module numpy. ImportError, with what to install, without it."""
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "a .safetensors file needs an extra: pip install fastrnn[io]; a name ending in .npz needs none"
        ) from None
    return safetensors


def check_path(path: str, argument: str = "path") -> None:
    """As `fastrnn.io.check_path`; the ValueError names `argument`."""
    check_suffix(path, argument)
    target = os.path.realpath(path)
    _mode_of(target)
    file, temporary = _create(target)
    file.close()
    os.unlink(temporary)


def write_file(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write(file)` for a new file beside `path`, then put it in its place.

    An interruption leaves what was there before. A link stays one, and what it points to is replaced; the new file has
    the mode of the old one. Files of this naming that killed processes have left behind are removed.
    """
    target = os.path.realpath(path)
    mode = _mode_of(target)
    _remove_orphans(target)
    file, temporary = _create(target)
    try:
        with file:
            write(file)
            file.flush()
            if mode is not None:
                os.chmod(temporary, mode)
            os.fsync(file.fileno())  # else a power cut could leave the new name on empty contents
            if fcntl is not None:  # while the lock is held, so that nobody takes it for an orphan
                os.replace(temporary, target)
        if fcntl is None:
            os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(target))


def _mode_of(target: str) -> int | None:
    """The permissions of a file, None if there is none. OSError for a folder or a device."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "expected a regular file", target)
    return stat.S_IMODE(mode)


def _create(target: str) -> tuple[IO[bytes], str]:
    """A new file beside `target`, locked as long as it is open, and its name."""
    folder, name = os.path.split(target)
    while True:
        temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
        try:
            file = open(temporary, "xb")  # noqa: SIM115 - the caller closes it
        except OSError as error:  # the message names the file that the user gave
            raise OSError(error.errno, error.strerror, target) from None
        _lock(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:  # else another save took it for an orphan before it was locked
            return file, temporary
        file.close()


def _lock(file: IO[bytes], wait: bool) -> bool:
    """Whether the file is now locked; it is not where the file system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove_orphans(target: str) -> None:
    """Remove what killed processes left of saves to `target`: whoever still writes holds a lock."""
    folder, name = os.path.split(target)
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        for orphan in [entry.path for entry in os.scandir(folder) if pattern.fullmatch(entry.name)]:
            with contextlib.suppress(OSError), open(orphan, "rb") as file:
                if _lock(file, wait=False):
                    os.unlink(orphan)


def _sync_folder(folder: str) -> None:
    """Put the new name itself on the disk, where folders can be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # the folder may not be read, or this is Windows
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: this file system cannot sync folders
            raise
    finally:
        os.close(descriptor)
