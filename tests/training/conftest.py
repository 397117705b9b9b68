"""What the tests of models begin with."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import config


@pytest.fixture
def rng():
    config.set_random_seed(3)
    return np.random.default_rng(5)


@pytest.fixture
def float64():
    config.set_floatx("float64")
    yield
    config.set_floatx("float32")
