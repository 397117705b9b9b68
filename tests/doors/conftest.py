"""Tests of what needs a framework. Each file begins with pytest.importorskip, so that all are skipped without one."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # before the first import of Keras, which looks once
