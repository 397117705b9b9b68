"""The examples in the docstrings of the doors run, each where its library is installed."""

from __future__ import annotations

import os

import pytest

from tests.support import docstrings

os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.mark.filterwarnings("ignore")  # those of the libraries
@pytest.mark.parametrize("module", docstrings.DOORS)
def test_examples_run(module, tmp_path, monkeypatch):
    pytest.importorskip(docstrings.DOORS[module])
    if docstrings.DOORS[module] == "matplotlib":
        import matplotlib

        matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    for name, thing in docstrings.public((module,)).items():
        if docstrings.needs_example(name):
            docstrings.run_examples(thing, name)
