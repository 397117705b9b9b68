"""The package's logger, ``logging.getLogger("fastrnn")``: silent until a program gives it, or the root, a handler.

INFO is what training decides and writes: an epoch's figures, a rate reduced, an early stop, a file. DEBUG is which way
was taken where there are several.
"""

from __future__ import annotations

import logging

log = logging.getLogger("fastrnn")
log.addHandler(logging.NullHandler())
