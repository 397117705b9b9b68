"""Fixtures of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Before NumPy is imported: the reference multiplies matrices far too small for threads, which makes it 8 times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import fastrnn
from tests.support.variants import use_isa


@pytest.fixture(params=fastrnn.isa_available())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine in turn."""
    with use_isa(request.param):
        yield request.param
