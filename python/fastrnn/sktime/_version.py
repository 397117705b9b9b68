"""Whether sktime is there, said in one sentence."""

from __future__ import annotations

try:
    import sktime as _sktime  # noqa: F401
except ImportError:
    raise ImportError("fastrnn.sktime needs sktime: pip install 'fastrnn[sktime]'") from None
