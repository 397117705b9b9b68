"""What the tests of files begin with."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import config
from tests.support.saved_models import SUFFIXES, B, C, I, T


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return request.param


@pytest.fixture
def data():
    config.set_random_seed(2)
    rng = np.random.default_rng(1)
    return rng.standard_normal((B, T, I)).astype(np.float32), np.eye(C, dtype=np.float32)[rng.integers(0, C, B)]
