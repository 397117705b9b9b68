"""nn.RNNCell, nn.LSTMCell and nn.GRUCell of PyTorch: one step, and a loop of a few, with every gradient."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from fastrnn.interop import torch_layers
from tests.support.conformance.torch_cases import DTYPES, NAMES, SIZES, torch

CELLS = {"rnn_tanh": "RNNCell", "rnn_relu": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_cells(conformance, cell, dtype, seed):
    """Our side is the loop too: each step's function, its cache, and backward through them in turn."""
    rng = np.random.default_rng([6, list(CELLS).index(cell), DTYPES.index(dtype), seed])
    inputs, hidden = (int(n) for n in rng.choice(SIZES, 2))
    batch = int(rng.choice(SIZES)) if rng.random() < 0.7 else 0  # 0: PyTorch's unbatched vectors
    steps, bias, given = int(rng.integers(1, 5)), bool(rng.random() < 0.7), bool(rng.random() < 0.6)
    kind, _, activation = cell.partition("_")
    options = {"nonlinearity": activation} if activation else {}
    torch.manual_seed(seed)
    module = getattr(torch.nn, CELLS[cell])(inputs, hidden, bias=bias, dtype=getattr(torch, dtype), **options)
    names = ("h", "c") if kind == "lstm" else ("h",)
    rows = (batch,) if batch else ()
    x = rng.standard_normal((steps, *rows, inputs)).astype(dtype)
    first = [rng.standard_normal((*rows, hidden)).astype(dtype) for _ in names]
    dlast = [rng.standard_normal((*rows, hidden)).astype(dtype) for _ in names]

    # PyTorch
    leaves = {"x": torch.tensor(x, requires_grad=True)}
    if given:
        leaves |= {f"{n}0": torch.tensor(s, requires_grad=True) for n, s in zip(names, first, strict=True)}
    states = [leaves[f"{n}0"] for n in names] if given else None
    for t in range(steps):
        arguments = [] if states is None else [tuple(states) if kind == "lstm" else states[0]]
        result = module(leaves["x"][t], *arguments)
        states = list(result) if kind == "lstm" else [result]
    leaves |= dict(module.named_parameters())
    loss = sum((s * torch.from_numpy(d)).sum() for s, d in zip(states, dlast, strict=True))
    grads = torch.autograd.grad(loss, list(leaves.values()))
    expected = {n: s.detach().numpy().reshape(-1, hidden) for n, s in zip(names, states, strict=True)}
    for name, grad in zip(leaves, grads, strict=True):
        shape = {"x": (steps, -1, inputs), "h0": (-1, hidden), "c0": (-1, hidden)}.get(name, grad.shape)
        expected[f"d{name}"] = grad.numpy().reshape(shape)

    # ours
    ((weights,),) = torch_layers(module.state_dict(), **({"activation": activation} if activation else {}))
    x, current = x.reshape(steps, -1, inputs), [s.reshape(-1, hidden) for s in first] if given else None
    caches = []
    for t in range(steps):
        *result, cache = getattr(fastrnn, f"{kind}_cell")(
            x[t], weights, **dict(zip(("h0", "c0"), current or (), strict=False)), training=True
        )
        current = result
        caches.append(cache)
    actual = dict(zip(names, current, strict=True))
    dstates = [d.reshape(1, -1, hidden) for d in dlast]
    dx, totals = [], {}
    for cache in reversed(caches):
        g = getattr(fastrnn, f"{kind}_backward")(None, cache, *dstates)._asdict()
        dstates = [g[f"{n}0"] for n in names]
        dx.append(g["x"][0])
        for name, torch_name in NAMES.items():
            if g.get(name) is not None:
                key = f"d{torch_name}"
                totals[key] = g[name] if key not in totals else totals[key] + g[name]
    actual |= {"dx": np.stack(dx[::-1]), **totals}
    if given:
        actual |= {f"d{n}0": d[0] for n, d in zip(names, dstates, strict=True)}

    words = f"{cell}-{dtype}-{'' if bias else 'no_bias-'}T{steps}B{batch or 'none'}I{inputs}H{hidden}-{seed}"
    terms = inputs + hidden + steps * max(batch, 1)
    conformance.check(f"PyTorch nn.{CELLS[cell]}", words, actual, expected, dtype, terms=terms, steps=steps)
