"""What a cell has stands once, in csrc/cells: the types of the functions, the reference and the tests agree with it."""

from __future__ import annotations

import typing

import pytest

from fastrnn import _core, reference
from fastrnn.functional import _options
from fastrnn.functional._cells import CELLS
from fastrnn.reference.cells import CELLS as REFERENCE
from tests.support.variants import GATES

TABLE = _core.cell_table()
# Keywords of Python's that no cell has as an option: where a call runs, what is random, arrays by their own table.
_OF_A_CALL = {"device", "device_dtype", "device_tier", "stream", "seed"}
_REFUSED = {("rnn", "ln_ih")}  # named to be refused with a reason


def test_every_cell_is_everywhere():
    assert list(TABLE) == list(CELLS) == list(REFERENCE)
    assert set(TABLE) == set(GATES)


@pytest.mark.parametrize("cell", TABLE)
def test_keywords_are_those_of_the_table(cell):
    own, options = TABLE[cell], CELLS[cell]
    keywords = (options.weights | set(options.defaults)) - _OF_A_CALL
    keywords = {name for name in keywords if (cell, name) not in _REFUSED}
    named = {"activation", "recurrent_activation"} & set(own["options"])  # some are named arguments
    expected = (set(own["options"]) - {"candidate_dropout"}) | set(own["parameters"])
    assert keywords | named == expected
    assert ("candidate_dropout" in options.run) == ("candidate_dropout" in own["options"])


@pytest.mark.parametrize("cell", TABLE)
def test_the_reference_knows_the_same(cell):
    own = TABLE[cell]
    assert REFERENCE[cell].options == set(own["options"]) | set(own["parameters"])
    assert GATES[cell] == len(own["gates"])
    assert REFERENCE[cell].states == 1 + len(own["states"])


def test_activations_are_those_of_the_core():
    names = set(typing.get_args(_options.ActivationName))
    assert names - {"linear"} == set(_core.activations)  # Keras' name of identity
    assert names == set(reference.activations.ACTIVATIONS)
