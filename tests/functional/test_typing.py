"""The types of the functions' results, as a user's mypy sees them."""

from __future__ import annotations

import pytest

from tests.support.tree import ROOT


def test_results_are_typed():
    api = pytest.importorskip("mypy.api", reason="mypy is in the lint extra")
    path = ROOT / "tests" / "support" / "typed_calls.py"
    found, errors, status = api.run(["--config-file", str(ROOT / "pyproject.toml"), str(path)])
    assert (status, errors) == (0, ""), found
