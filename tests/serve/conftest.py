"""A server for a test, with the options that `tests.support.served.options` gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    from tests.support.served import running  # which needs aiohttp

    with running(*request.param) as found:
        yield found
