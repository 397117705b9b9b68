"""The dropout between the layers of a stack: its masks are those of the contract, and its Philox that of Random123."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.functional.stack import stack_forward
from tests.support.stacks import assert_equal, between_mask, make, philox


def identity_layers(count: int, width: int) -> list[Any]:
    """Layers whose y is their x: what comes out of the stack is x times the masks between them."""
    eye, none = np.eye(width, dtype="float64"), np.zeros((width, width))
    return [fastrnn.pack_rnn(eye, none, activation="identity") for _ in range(count)]


def test_reference_philox_gives_the_known_answers():
    """Those of Random123, kat_vectors."""
    ones = 0xFFFFFFFF
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    for counter, key, expected in (
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ones,) * 4, (ones, ones), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (pi, (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ):
        assert " ".join(f"{int(w):08x}" for w in philox(counter, key)) == expected


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
@pytest.mark.parametrize("rate", [1e-9, 0.25, 0.5, 0.999])
def test_masks_are_those_of_the_contract(rate, seed):
    """Two pairs of layers tell the streams apart; the width is two of the masks' blocks of 256 and a part of one that
    begins with a whole Philox word and ends within another.
    """
    width = 2 * 256 + 7
    shape = (3, 4, width)
    x = np.random.default_rng(0).standard_normal(shape)
    options = {"dropout": rate, "seed": seed, "training": True}
    first = between_mask(shape, 0, rate, seed, "float64")
    np.testing.assert_array_equal(stack_forward(x, identity_layers(2, width), **options)[0], x * first)
    second = between_mask(shape, 1, rate, seed, "float64")
    np.testing.assert_array_equal(stack_forward(x, identity_layers(3, width), **options)[0], x * first * second)


def test_statistics_of_the_masks():
    """The share of what is kept, within 5 standard deviations, over all and over each unit, row and step."""
    shape, rate = (50, 40, 61), 0.3
    y = stack_forward(np.ones(shape), identity_layers(2, 61), dropout=rate, seed=9, training=True)[0]
    kept = y != 0
    assert set(np.unique(y)) == {0.0, 1 / (1 - rate)}
    for axes in ((), (0,), (1,), (2,)):
        share = kept.mean(axis=tuple(k for k in range(3) if k not in axes))
        n = kept.size / share.size
        assert np.abs(share - (1 - rate)).max() < 5 * np.sqrt(rate * (1 - rate) / n)
    for other in (kept[1:] == kept[:-1], kept[:, 1:] == kept[:, :-1], kept[..., 1:] == kept[..., :-1]):
        agree = (1 - rate) ** 2 + rate**2
        assert abs(other.mean() - agree) < 5 * np.sqrt(agree * (1 - agree) / other.size)


def test_dropout_is_for_training_alone():
    problem = make("gru", 3, 2)
    assert_equal(problem.forward(dropout=0.9, seed=1), problem.forward())
    assert_equal(problem.train(), replace(problem, run={"dropout": 0.0, "seed": 4}).train())


def test_without_a_seed_masks_are_fresh():
    x = np.ones((20, 3, 40))
    first, second = (stack_forward(x, identity_layers(2, 40), dropout=0.5, training=True)[0] for _ in range(2))
    assert (first != second).any()
