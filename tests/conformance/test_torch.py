"""nn.RNN, nn.LSTM and nn.GRU of PyTorch: outputs and every gradient against autograd, over random settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.conformance.torch_cases import DTYPES, MODULES, SUITES, compare, draw

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("module", MODULES)
def test_modules(conformance, module, dtype, seed):
    compare(conformance, SUITES[module], draw(module, dtype, seed))


# The tail shapes of oneDNN's own tests, benchdnn's inputs/rnn, as far as a module of PyTorch has them: a state narrower
# than the hidden size is there a projection.
TAILS = {
    "l4 t3 mb20 sic36": {"layers": 4, "steps": 3, "batch": 20, "inputs": 36, "hidden": 36},
    "l1 t1 mb7 sic17 dhc34": {"layers": 1, "steps": 1, "batch": 7, "inputs": 17, "hidden": 34, "projection": 17},
    "l1 t1 mb4 sic17 slc34 dhc68": {"layers": 1, "steps": 1, "batch": 4, "inputs": 34, "hidden": 68, "projection": 17},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", TAILS)
@pytest.mark.parametrize("module", MODULES)
def test_tail_shapes(conformance, module, shape, dtype):
    sizes = {"projection": 0, **TAILS[shape]}
    if module != "lstm_proj":
        sizes["projection"] = 0
    elif not sizes["projection"]:
        sizes["projection"] = sizes["hidden"] // 2
    for directions in (1, 2):
        case = replace(draw(module, dtype, 0), form="padded", batch_first=False, directions=directions, **sizes)
        compare(conformance, "PyTorch, tail shapes of oneDNN", case)
