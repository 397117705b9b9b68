"""Sequences of more than 65,535 steps, where GPU kernels have broken (pytorch#133751), against PyTorch on the CPU."""

from __future__ import annotations

from dataclasses import replace

from tests.support.conformance.torch_cases import compare, draw

STEPS = 65_537
# PyTorch runs an LSTM in float32 by oneDNN, in a fraction of a second; all others step by step, in half a minute each.
QUICK = [("lstm", "float32")]
SLOW = [("lstm", "float64"), ("gru", "float32"), ("rnn_tanh", "float32")]


def pytest_generate_tests(metafunc):
    """The slow ones belong to a full run."""
    full = metafunc.config.getoption("conformance_seeds", 1) >= 100
    metafunc.parametrize(("module", "dtype"), QUICK + SLOW if full else QUICK)


def test_long_sequences(conformance, module, dtype):
    sizes = {"steps": STEPS, "batch": 2, "inputs": 2, "hidden": 3, "layers": 1, "directions": 1, "bias": True}
    case = replace(draw(module, dtype, 0), form="padded", batch_first=False, states=True, **sizes)
    # The weights are small and states forget: what is left of an error is a few steps old, and the sums over all steps
    # are what is long.
    compare(conformance, "PyTorch, 65,537 steps", case, steps=1)
