"""A short run of tests/fuzz/python_api.py, which has the long one."""

from __future__ import annotations

import subprocess
import sys

from tests.support.tree import ROOT


def test_odd_arguments_are_answered_with_documented_errors():
    fuzzer = ROOT / "tests" / "fuzz" / "python_api.py"
    command = [sys.executable, fuzzer, "--calls", "500", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
