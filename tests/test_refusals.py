"""What the functions refuse, by a message that names the argument; tests/refusals.py has the list."""

from __future__ import annotations

import re

import pytest

import fastrnn
from refusals import REFUSALS, arguments


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda r: r.id)
def test_refusals(refusal):
    valid, spoiled = arguments(refusal)
    name = f"pack_{refusal.cell}" if refusal.what == "pack" else f"{refusal.cell}_forward"
    call = getattr(fastrnn, name)
    call(**valid)
    with pytest.raises(refusal.error) as caught:
        call(**spoiled)
    message = str(caught.value)
    if refusal.error is TypeError and refusal.named in spoiled and "unknown keyword" in message:
        assert re.match(rf"{name}: unknown keyword '{refusal.named}', expected one of ", message), message
    elif "unexpected keyword" in message:
        assert f"'{refusal.named}'" in message
    else:
        assert re.match(rf"({'|'.join(refusal.named.split())}): expected .+", message), message
