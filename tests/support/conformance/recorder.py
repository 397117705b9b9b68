"""What a conformance suite records about each case, and the table made of it.

The error of an array is ``max|actual - expected| / (eps * max(1, max|expected|))``, the maxima over the whole array and
eps that of the dtype of the case (2**-23 or 2**-52): how many roundings of the largest element, or of 1, the worst
element is away. Elements that are equal, infinities too, are 0 away; a NaN on either side fails.

The tolerance is ``(terms + 16) * steps`` of these, from the lengths alone and as in ``variants.tolerance``, which has
its derivation: a sum of n products is off by n/2 roundings in any order, activations add a few, both sides err, and
every step hands on what the steps before it left.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import os
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn

KEY = "conformance"
PEERS = ("numpy", "onnx", "onnxruntime", "torch", "keras")
Record = dict[str, Any]


def error_in_eps(actual: Any, expected: Any, dtype: str) -> float:
    """See the module. NaN where either side has one."""
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    if expected.size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        distance = np.where(actual == expected, 0.0, np.abs(actual - expected)).max()
        finite = np.abs(expected[np.isfinite(expected)])
    return float(distance / (np.finfo(dtype).eps * max(1.0, finite.max(initial=0.0))))


class Conformance:
    """The fixture `conformance`: compares, asserts and records. Every case counts, whether it passes or not."""

    def __init__(self, properties: list[tuple[str, Any]]) -> None:
        self._properties = properties

    def check(
        self,
        suite: str,
        case: str,
        actual: Mapping[str, Any],
        expected: Mapping[str, Any],
        dtype: str,
        *,
        terms: int,
        steps: int = 1,
    ) -> None:
        """Assert that each named array is there, in `dtype`, and as expected.

        Args:
            suite: the row of the table, together with `dtype`.
            case: its name in messages and in the table's column of the worst; with what reproduces it (a seed).
            actual, expected: arrays by name; None for one that must be missing. `expected` may be of any dtype.
            dtype: "float32" or "float64": that of `actual`, and what eps is of.
            terms: the longest sum of products behind an element: I + H for outputs, I + H + B*T with weight gradients.
            steps: T times the layers: how often an error is handed on.
        """
        tolerance = float((terms + 16) * max(steps, 1))
        record: Record = {"suite": suite, "case": case, "dtype": dtype, "tolerance": tolerance}
        record |= {"passed": False, "error": 0.0, "array": ""}
        self._properties.append((KEY, record))  # at once: a case that fails below, in any way, has been counted
        where = f"{suite}: {case}"
        assert set(actual) == set(expected), f"{where}: expected {sorted(expected)}, got {sorted(actual)}"
        problems = []
        for name, e in expected.items():
            a = actual[name]
            if a is None or e is None:
                if a is not e:
                    problems.append(f"{name}: expected {_short(e)}, got {_short(a)}")
                continue
            if a.dtype != dtype or a.shape != e.shape:
                problems.append(f"{name}: expected {dtype} {tuple(e.shape)}, got {a.dtype} {tuple(a.shape)}")
                continue
            error = error_in_eps(a, e, dtype)
            if not error <= record["error"]:  # also true of a NaN
                record["error"], record["array"] = error, name
            if not error <= tolerance:
                problems.append(f"{name}: expected at most {tolerance:.0f} eps away, got {error:.4g}")
        assert not problems, f"{where}: {'; '.join(problems)}"
        record["passed"] = True

    def skip(self, suite: str, case: str, reason: str) -> None:
        """Record that the peer itself cannot run this case, and why. The test goes on: it may check another way."""
        self._properties.append((KEY, {"suite": suite, "case": case, "skipped": reason}))


def _short(a: Any) -> str:
    return "None" if a is None else f"an array of shape {tuple(a.shape)}"


@dataclass
class _Row:
    cases: int = 0
    passed: int = 0
    worst: Record | None = None
    share: float = 0.0  # of its tolerance that any case used up

    def add(self, record: Record) -> None:
        self.cases += 1
        self.passed += record["passed"]
        self.share = _larger(record["error"] / record["tolerance"], self.share)
        if self.worst is None or not record["error"] <= self.worst["error"]:
            self.worst = record


def _larger(a: float, b: float) -> float:
    """The maximum, and NaN if either is."""
    return a if not a <= b else b


@dataclass
class Table:
    """All records of a session, by suite and dtype."""

    rows: dict[tuple[str, str], _Row] = field(default_factory=dict)
    skips: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    deselected: int = 0

    def add(self, test: str, outcome: str, records: list[Record]) -> None:
        """Take what one test has recorded."""
        for record in records:
            if "skipped" in record:
                self.skips[record["suite"], record["skipped"]] += 1
            else:
                self.rows.setdefault((record["suite"], record["dtype"]), _Row()).add(record)
        if outcome == "failed" and all(record.get("passed", True) for record in records):
            self.broken.append(test)  # it failed outside of any comparison

    def not_run(self, what: str, reason: str) -> None:
        """Keep a module or a test that did not run at all."""
        self.missing[what] = reason

    def markdown(self, *, command: str, seeds: int) -> str:
        """The whole document."""
        info = fastrnn.info()
        peers = ", ".join(f"{name} {version}" for name in PEERS if (version := _version(name)))
        lines = [
            "# Conformance with other libraries",
            "",
            "Written by the suites of `tests/conformance` themselves; not edited. A case is one comparison of all",
            "outputs (and gradients, where a suite has them) of one problem with a peer. The error is",
            "`max|actual - expected| / (eps * max(1, max|expected|))` of the worst array of all cases, eps being that",
            "of the dtype (2^-23, 2^-52); the tolerance is `(terms + 16) * steps`, from the length of the longest sum",
            "of products and the number of steps that hand an error on, and the next column is the largest share of",
            "its tolerance that any case used.",
            "",
            f"- `{command}`: {seeds} seeds of each random suite, {_today()}",
            f"- fastrnn {info['version']}, instruction set {info['isa']}, {info['compiler']}, {info['machine']}",
            f"- {peers}, python {platform.python_version()}",
            "",
            "| suite | dtype | cases | passed | worst error in eps | share of tolerance | worst case: array |",
            "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        ]
        for (suite, dtype), row in sorted(self.rows.items()):
            worst = row.worst or {"error": math.nan, "case": "", "array": ""}
            where = f"{worst['case']}: {worst['array']}" if worst["array"] else worst["case"]
            lines.append(
                f"| {suite} | {dtype} | {row.cases} | {row.passed} | {worst['error']:.1f} | {row.share:.3f} | {where} |"
            )
        cases, passed = (sum(getattr(row, name) for row in self.rows.values()) for name in ("cases", "passed"))
        lines += [f"| all | | {cases} | {passed} | | | |", "", "## What peers could not run", ""]
        skips = [f"- {suite}, {n} cases: {reason}" for (suite, reason), n in sorted(self.skips.items())]
        lines += [
            *(skips or ["Nothing."]),
            *_section("Not run", [f"{what}: {reason}" for what, reason in self.missing.items()]),
            *_section("Failed outside of a comparison", self.broken),
            *_section("Left out by the command", [f"{self.deselected} tests"] if self.deselected else []),
        ]
        return "\n".join([*lines, ""])

    def write(self, path: Path, *, command: str, seeds: int) -> None:
        """Put the document at `path`, whole or not at all."""
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(self.markdown(command=command, seeds=seeds), encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _section(title: str, items: list[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {item}" for item in items)] if items else []


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
