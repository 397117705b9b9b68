"""What the functions refuse, by a message that names the argument; tests/support/refusals.py has the list."""

from __future__ import annotations

import re

import pytest

import fastrnn
from fastrnn.functional._cells import CELLS
from tests.support.option_tables import PAGE, render
from tests.support.refusals import REFUSALS, RULES, arguments


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


def test_every_rule_is_tested_and_the_page_has_it():
    assert {r.rule for r in REFUSALS} == set(RULES)
    page = PAGE.read_text()
    assert page == render(page), "run: python -m tests.support.option_tables"
    assert all(f"`{name}`" in page for table in CELLS.values() for name in table.weights | table.run)
