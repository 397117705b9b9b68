"""The folder of a `fastrnn train` that is under way: checkpoints, and what the run was begun with."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

from .._file_writing import write_file
from ..training.checkpoints import Checkpoints

__all__ = ["Unfinished"]

SECONDS = 10.0
"""Between two checkpoints: a killed run loses no more than that."""

_FREE = ("file", "out", "report", "force", "quiet", "resume", "epochs", "seconds")
"""Options that a resumed run may have otherwise; of the file its contents must be the same."""


class Unfinished:
    """What is kept of a run until its model is saved.

    Args:
        options: those of the command.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.folder = os.path.splitext(options["out"])[0] + "-checkpoints"
        self.checkpoints = Checkpoints(self.folder, every=1, seconds=SECONDS)
        self._path = os.path.join(self.folder, "run.json")
        self._options = options

    def check(self) -> str | None:
        """With --resume, return the newest checkpoint, and where it goes on.

        Raises:
            ValueError: nothing to resume, or other inputs than the run was begun with; without --resume, a folder of a
                run that was not finished.
        """
        files = self.checkpoints.files()
        if self._options["resume"]:
            if not files:
                raise ValueError(
                    f"--resume: expected a run that was not finished in {self.folder}, got none; without it one is "
                    "begun"
                )
            self._compare()
            epoch, batch = (int(number) for number in re.findall(r"\d+", os.path.basename(files[-1])))
            return f"{files[-1]}, after {batch} batches of epoch {epoch + 1}"
        if files and not self._options["force"]:
            raise ValueError(
                f"{self.folder}: it has a run that was not finished; --resume goes on with it, --force begins anew"
            )
        return None

    def begin(self) -> None:
        """Make the folder, unless a run is resumed. OSError if it cannot be written to."""
        if not self._options["resume"]:
            self.remove()
            self.checkpoints.prepare()
            text = json.dumps(self._begun_with(), indent=1)
            write_file(self._path, lambda file: file.write(text.encode()))

    def interrupted(self) -> str | None:
        """What to do about an interrupted run; without a checkpoint nothing, and the folder goes."""
        if self.checkpoints.files():
            return "The same command with --resume goes on."
        self.remove()
        return None

    def remove(self) -> None:
        """Remove what `begin` and the checkpoints have made, and nothing else."""
        for path in [*self.checkpoints.files(), self._path]:
            if os.path.exists(path):
                os.unlink(path)
        if os.path.isdir(self.folder) and not os.listdir(self.folder):
            os.rmdir(self.folder)

    def _begun_with(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        with open(self._options["file"], "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return {**{k: v for k, v in self._options.items() if k not in _FREE}, "contents": digest.hexdigest()}

    def _compare(self) -> None:
        try:
            with open(self._path, encoding="utf-8") as file:
                begun = json.load(file)
            if not isinstance(begun, dict):
                raise ValueError("expected an object")
        except ValueError as error:
            raise ValueError(f"{self._path}: not readable: {error}") from None
        for name, now in self._begun_with().items():
            if begun.get(name) == now:
                continue
            if name == "contents":
                raise ValueError(
                    f"{self._options['file']}: expected the contents with which the run in {self.folder} was begun, "
                    "got others"
                )
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"{option}: expected {begun.get(name)} as the run in {self.folder} was begun with, got {now}"
            )
