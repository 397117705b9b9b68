"""The client of docs/serving.md."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.support.tree import ROOT

pytest.importorskip("aiohttp", reason="the service's extra is not installed: pip install '.[serve]'")
from tests.support.served import alone, model_file, running


def test_the_client_of_the_page():
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "serving.md").read_text(), re.DOTALL)
    assert "http://127.0.0.1:8000" in code
    with running(models=(f"vad={model_file()}",)) as server:
        names: dict[str, Any] = {}
        exec(code.replace("http://127.0.0.1:8000", server.url), names)
    assert isinstance(names["y"], np.ndarray)
    assert names["y"].tobytes() == b"".join(alone(names["x"]))
