"""The amplifier model of `bench.real`: it learns, and both formats give back what was trained, states and all."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")

from bench import amp


@pytest.mark.full
def test_amp_there_and_back(tmp_path):
    trained = amp.train(seconds=3.0, epochs=15)
    assert trained.error < 0.7  # silence has 1
    assert any(np.abs(p.value).max() > 1e-3 for p in trained.model.parameters() if p.name.endswith("/h0"))
    made = amp.read_back(trained, tmp_path)
    assert set(made) == {"NAM", "RTNeural"}
    for name, (_, worst) in made.items():
        assert worst < 1e-5, name
    assert (tmp_path / "amp.nam").stat().st_size > 0
