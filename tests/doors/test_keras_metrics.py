"""Precision, recall and areas under curves are those of Keras."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import fastrnn
from fastrnn.metrics import Precision, Recall


def result(metric, *batch):
    metric.update_state(*batch)
    return metric.result()


@pytest.mark.parametrize("curve", ["ROC", "PR"])
@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("weighted", [False, True])
def test_as_keras(curve, method, weighted):
    rng = np.random.default_rng(3)
    for shape in ((50, 1), (40, 3)):
        y, p = rng.integers(0, 2, shape).astype(np.float32), rng.random(shape, np.float32)
        weight = (rng.random(len(y), np.float32),) if weighted else ()
        for thresholds in (3, 200):
            ours, theirs = (m.AUC(thresholds, curve, method) for m in (fastrnn.metrics, keras.metrics))
            assert result(ours, y, p, *weight) == pytest.approx(float(result(theirs, y, p, *weight)), abs=2e-6)
        for ours, theirs in ((Precision, keras.metrics.Precision), (Recall, keras.metrics.Recall)):
            for arguments in ({}, {"thresholds": 0.3}, {"class_id": 0}):
                expected = float(result(theirs(**arguments), y, p, *weight))
                assert result(ours(**arguments), y, p, *weight) == pytest.approx(expected, abs=1e-6)
