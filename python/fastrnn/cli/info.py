"""``fastrnn info``: the version, the instruction set, the build."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "show version, instruction set and build"
DESCRIPTION = "Show fastrnn.info(): the version, the instruction sets of this machine, threads, GPUs, the build."
EXAMPLES = "exit status: 0."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def command(options: dict[str, Any]) -> int:
    """Print; return the exit status."""
    from ..system import info

    for name, value in info().items():
        print(f"{name}: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}")
    return 0
