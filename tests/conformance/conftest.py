"""Options, the fixture `conformance`, and the table that a run writes; recorder.py says what is recorded and how."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

os.environ["KERAS_BACKEND"] = "torch"  # before the first import of Keras, which looks once

from tests.support.conformance.recorder import KEY, Conformance, Table

SEEDS = 20  # of every random suite, unless --conformance-seeds says otherwise: what CI has time for


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--conformance-report", metavar="FILE", help="write the table of all suites there, as Markdown")
    group.addoption(
        "--conformance-seeds", metavar="N", type=int, default=SEEDS, help="of each random suite (%(default)s)"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the argument `seed` is a random suite: it runs once for each."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(_seeds(metafunc.config)))


@pytest.fixture
def conformance(request: pytest.FixtureRequest) -> Conformance:
    """What compares with a peer and keeps count; see recorder.Conformance."""
    return Conformance(request.node.user_properties)


def _seeds(config: pytest.Config) -> int:
    # Where the whole of tests/ runs, pytest meets this file too late for its options, and the defaults hold.
    return config.getoption("conformance_seeds", SEEDS)


# -- the table. Records travel with the reports of the tests, so that it is complete with pytest-xdist too -------------


def pytest_configure(config: pytest.Config) -> None:
    report = config.getoption("conformance_report", None)
    if report and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(Path(report), _seeds(config)), "conformance-writer")


class _Writer:
    """Collects from the reports and writes at the end of the session."""

    def __init__(self, path: Path, seeds: int) -> None:
        self.path, self.seeds = path, seeds
        self.table = Table()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome == "skipped":
            self.table.not_run(report.nodeid, _reason(report))
        elif report.outcome == "failed":
            self.table.not_run(report.nodeid, "it could not be imported")

    def pytest_deselected(self, items: list[Any]) -> None:
        self.table.deselected += len(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        records = [value for name, value in report.user_properties if name == KEY]
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            self.table.add(report.nodeid, report.outcome, records)
        if report.outcome == "skipped":
            self.table.not_run(report.nodeid, _reason(report))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            command = " ".join(["pytest", *sys.argv[1:]])
            self.table.write(self.path, command=command, seeds=self.seeds)


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
