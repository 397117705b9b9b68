"""The emulated device, for the tests that want one."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from fastrnn.functional.gpu import arrays as _arrays
from fastrnn.functional.gpu import calls as _device
from tests.support.cuda import emulated as build


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Pretended GPUs in place of the real ones. Afterwards nothing may be left in their memory."""
    reason = build.missing()
    if reason is not None:
        pytest.skip(reason)
    core = build.module()
    monkeypatch.setattr(_device, "_core", core)
    monkeypatch.setattr(_arrays, "_core", core)
    core.events()
    yield core
    core.lose_blocks(0)
    core.disown_all()
    assert core.live() == 0
