"""Whether scikit-learn is there, and new enough, said in one sentence."""

from __future__ import annotations

try:
    import sklearn
except ImportError:
    raise ImportError("fastrnn.sklearn needs scikit-learn 1.6 or later: pip install 'fastrnn[sklearn]'") from None

if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 6):  # validate_data, __sklearn_tags__
    raise ImportError(f"fastrnn.sklearn needs scikit-learn 1.6 or later, got {sklearn.__version__}")
