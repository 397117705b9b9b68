"""The example with Keras, run very small."""

from __future__ import annotations

import importlib.util

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[keras]'")
pytest.importorskip("keras", reason="Keras is not installed; pip install '.[keras]'")

from tests.support.tree import ROOT


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras' predict
def test_example_keras_text(capsys):
    spec = importlib.util.spec_from_file_location("example_keras_text", ROOT / "examples" / "keras_text.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = module.main(["--epochs", "4", "--units", "16", "--rows", "640", "--steps", "20"])
    finally:
        torch.set_num_threads(threads)
    assert "replaced forward_lstm" in capsys.readouterr().out
    assert figures["accuracy"] > 0.7
    assert module.encoded(["ab\u00e9", "abcd"], 3).tolist() == [[97, 98, 1], [97, 98, 99]]
