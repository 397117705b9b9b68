"""Every public object has an example in its docstring, and the examples run as they stand there."""

from __future__ import annotations

import re

import pytest

from tests.support import docstrings
from tests.support.tree import ROOT

OBJECTS = docstrings.public(docstrings.MODULES)
EXTRAS = {"fastrnn.callbacks.tensorboard.TensorBoard": "tensorboardX"}
EXTRAS |= {"fastrnn.saving.files.save_layers": "safetensors", "fastrnn.scoring.Scorer": "safetensors"}


@pytest.mark.parametrize("name", sorted(filter(docstrings.needs_example, OBJECTS)))
def test_example_runs(name, tmp_path, monkeypatch):
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    monkeypatch.chdir(tmp_path)
    docstrings.run_examples(OBJECTS[name], name)


@pytest.mark.parametrize("name", sorted(docstrings.NATIVE))
def test_what_is_written_in_cpp_is_shown_on_a_page(name):
    pages = [*(ROOT / "docs").rglob("*.md")]
    snippets = [re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S) for page in pages]
    made = {"PackedWeights": "pack_lstm", "CudaWeights": "pack_cuda", "DeviceArray": "cuda", "CudaError": "pack_cuda"}
    assert any(re.search(rf"\b{made.get(name, name)}\b", code) for codes in snippets for code in codes)
