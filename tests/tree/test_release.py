"""What a release is made by: cibuildwheel's settings, the workflow, and the version that a tag has to have."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.support.tree import ROOT

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 brought it")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEELS = PROJECT["tool"]["cibuildwheel"]
WORKFLOW = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")


def test_wheels_are_built_from_the_oldest_python_on():
    versions = [re.fullmatch(r"cp3(\d+)(t?)-\*", entry).groups() for entry in WHEELS["build"]]
    plain = sorted(int(minor) for minor, free in versions if not free)
    assert PROJECT["project"]["requires-python"] == f">=3.{plain[0]}"
    assert plain == list(range(plain[0], plain[-1] + 1))  # none is left out


def test_the_tests_of_a_wheel_are_there():
    program, *words = WHEELS["test-command"].split()
    paths = [word.replace("{project}", str(ROOT)) for word in words if not word.startswith("-")]
    assert program == "pytest"
    assert paths
    assert [path for path in paths if not Path(path).exists()] == []
    assert all(
        any(line.startswith(f"{name}>=") for line in WHEELS["test-requires"]) for name in ("pytest", "hypothesis")
    )


def test_the_workflow_rehearses_and_has_no_password():
    assert 'nox -s release -- "$GITHUB_REF_NAME"' in WORKFLOW
    assert "id-token: write" in WORKFLOW
    assert "secrets." not in WORKFLOW
    assert "never run" in WORKFLOW  # until somebody has: then say when


def test_a_tag_that_is_not_the_version_is_refused(monkeypatch):
    pytest.importorskip("nox")
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert re.fullmatch(r"\d+\.\d+\.\d+", module._version(None))
    for tag in ("v99.9.9", "0.1.0"):
        with pytest.raises(ValueError, match=r"^tag: expected v\d+\.\d+\.\d+ and a changelog that says when, got "):
            module._version(tag)
