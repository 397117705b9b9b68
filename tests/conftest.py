"""Fixtures of all tests, and which tests a run without `--full` leaves out."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before NumPy is imported: the reference multiplies matrices far too small for threads, which makes it 8 times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import fastrnn
from tests.support.selection import left_out
from tests.support.variants import use_isa

CUDA = fastrnn._core.cuda_status()
LEFT_OUT = pytest.StashKey[list[str]]()
# Their size is chosen by an option of their own, and most runs have no peer installed.
WHOLE = {Path(__file__).parent / "conformance"}


@pytest.fixture(params=fastrnn.isa_available())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine in turn."""
    with use_isa(request.param):
        yield request.param


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="all tests; without it, a part that is chosen by their names")
    parser.addoption("--short", action="store_true", help="that part of the files named, too, which else run whole")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    said = config.stash.setdefault(LEFT_OUT, [])

    def leave_out(out: list[pytest.Item], why: str) -> None:
        if out:
            said.append(f"{len(out)} of {len(items)} tests left out, {why}")
            config.hook.pytest_deselected(items=out)
            gone = set(out)
            items[:] = [item for item in items if item not in gone]

    if not CUDA["devices"]:
        needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
        leave_out(needs_gpu, f"which need an NVIDIA GPU ({CUDA['reason']})")
    if not config.getoption("full"):
        named = [] if config.getoption("short") else config.args
        asked_for = {Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in named}
        leave_out(left_out(items, asked_for, WHOLE), "most of the large parametrisations: `pytest --full` runs all")


def pytest_collection_finish() -> None:
    # Tens of thousands of tests: every collection of garbage would look through them again.
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(LEFT_OUT, []):
        terminalreporter.line(line)
