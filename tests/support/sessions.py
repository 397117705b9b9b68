"""Sessions of small weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.packed import pack
from tests.support.variants import VARIANTS, Problem, make_problem

B, I, H = 4, 3, 8  # noqa: E741  # the names of the documentation
LSTM = next(v for v in VARIANTS if v.cell == "lstm")
RNN = VARIANTS[0]
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def problem_of(variant: Any = LSTM, *, batch: int = B, steps: int = 5, dtype: str = "float32") -> Problem:
    return make_problem(variant, hidden=H, inputs=I, batch=batch, steps=steps, dtype=dtype)


def new_session(variant: Any = LSTM, *, batch: int = B, dtype: str = "float32") -> Any:
    """``dtype``: that of the weights; the problem's is float64 for "float64", else float32."""
    problem = problem_of(variant, dtype="float64" if dtype == "float64" else "float32")
    return fastrnn.Session(pack(problem, dtype=dtype), batch)


def states_of(session: Any) -> tuple[Any, ...]:
    return session.state if session.weights.cell == "lstm" else (session.state,)


def zeros(*shape: int, dtype: Any = "float32") -> Any:
    return np.zeros(shape, dtype)
