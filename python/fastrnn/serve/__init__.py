"""``fastrnn serve``: recurrent models as a service, a WebSocket for each stream; ``pip install 'fastrnn[serve]'``.

docs/serving.md is its description. `Client` is a stream's other end, which survives the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client, StreamLost

__all__ = ["Client", "StreamLost"]


def __getattr__(name: str) -> Any:
    """`Client` and `StreamLost`: aiohttp is imported with them, so that the command line's parser can do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client

    return getattr(client, name)
