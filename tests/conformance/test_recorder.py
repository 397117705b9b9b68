"""The recorder itself: what passes, what fails, what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.conformance.recorder import KEY, Conformance, Table, error_in_eps

EPS = float(np.finfo("float32").eps)


def recorded(fail: bool, actual: object, expected: object, **options: int) -> dict:
    """The record of one check, which must fail or must not."""
    properties: list = []
    arguments = ("suite", "case", actual, expected, "float32")
    if fail:
        with pytest.raises(AssertionError, match="suite: case"):
            Conformance(properties).check(*arguments, terms=4, **options)
    else:
        Conformance(properties).check(*arguments, terms=4, **options)
    ((key, record),) = properties
    assert key == KEY
    assert record["passed"] is not fail
    return record


def test_the_error_is_in_units_of_eps_of_the_largest_element_or_1():
    one = np.ones(3, "float32")
    assert error_in_eps(one + np.float32(EPS), one, "float32") == 1.0
    assert error_in_eps([0.0, 1e-3 + 2 * EPS], [0.0, 1e-3], "float32") == pytest.approx(2)
    assert error_in_eps([100 + 400 * EPS, 0.0], [100.0, 0.0], "float32") == pytest.approx(4)
    assert error_in_eps([np.inf, 1.0], [np.inf, 1.0], "float32") == 0.0
    assert error_in_eps([np.inf, 1.0], [1.0, 1.0], "float32") == np.inf
    assert np.isnan(error_in_eps([np.nan], [np.nan], "float32"))
    assert error_in_eps(np.empty((0, 2)), np.empty((0, 2)), "float64") == 0.0


def test_a_check_passes_up_to_its_tolerance():
    y = np.zeros(2, "float32")
    assert recorded(False, {"y": y + 20 * EPS}, {"y": y})["error"] == pytest.approx(20)
    assert recorded(True, {"y": y + 21 * EPS}, {"y": y})["array"] == "y"
    recorded(False, {"y": y + 60 * EPS, "c": None}, {"y": y, "c": None}, steps=3)


@pytest.mark.parametrize(
    "actual",
    [
        {},
        {"y": None},
        {"y": np.zeros(3, "float32")},
        {"y": np.zeros(2, "float64")},
        {"y": np.array([0, np.nan], "float32")},
        {"y": np.zeros(2, "float32"), "z": None},
    ],
    ids=["missing", "None", "shape", "dtype", "nan", "more"],
)
def test_what_does_not_match_fails_and_is_counted(actual):
    recorded(True, actual, {"y": np.zeros(2, "float32")})


def test_the_table_counts_failures_skips_and_what_did_not_run(tmp_path):
    y = np.zeros(2, "float32")
    table = Table()
    table.add("a", "passed", [recorded(False, {"y": y + 2 * EPS}, {"y": y})])
    table.add("b", "failed", [recorded(True, {"y": y + 40 * EPS}, {"y": y})])
    table.add("c", "failed", [])
    table.add("d", "passed", [{"suite": "suite", "case": "case", "skipped": "the peer has no such option"}])
    table.not_run("e", "pip install")
    path = tmp_path / "table.md"
    table.write(path, command="pytest", seeds=3)
    text = path.read_text()
    assert "| suite | float32 | 2 | 1 | 40.0 | 2.000 | case: y |" in text
    assert "- suite, 1 cases: the peer has no such option" in text
    assert "## Not run\n\n- e: pip install" in text
    assert "## Failed outside of a comparison\n\n- c" in text
    assert "Left out" not in text
    assert [p.name for p in tmp_path.iterdir()] == ["table.md"]
