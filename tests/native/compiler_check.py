"""Forward and backward of every cell against the reference, and a digest of each result: what compilers.sh runs."""

from __future__ import annotations

import hashlib

import numpy as np

import fastrnn
from fastrnn import reference

T, B, INPUTS, H = 5, 7, 9, 37  # nothing is a multiple of a vector
GATES = {"lstm": 4, "gru": 3, "rnn": 1}

isa = fastrnn.info()["isa"]
for cell, gates in GATES.items():
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(7)
        x, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((T, B, INPUTS), (T, B, H)))
        shapes = ((gates * H, INPUTS), (gates * H, H), (gates * H,), (gates * H,))
        parameters = [(rng.standard_normal(shape) / 4).astype(dtype) for shape in shapes]
        result = getattr(fastrnn, f"{cell}_forward")(x, *parameters, training=True)
        grads = getattr(fastrnn, f"{cell}_backward")(dy, result[-1])
        ours = [*result[:-1], *grads]
        exact = [array.astype(np.float64) for array in (x, *parameters)]
        result = getattr(reference, f"{cell}_forward")(*exact, training=True)
        theirs = [*result[:-1], *getattr(reference, f"{cell}_backward")(dy.astype(np.float64), result[-1])]
        digest = hashlib.sha256()
        for ours_one, theirs_one in zip(ours, theirs, strict=True):
            if ours_one is not None:
                np.testing.assert_allclose(ours_one, theirs_one, rtol=0, atol=1e4 * np.finfo(dtype).eps)
                digest.update(ours_one.tobytes())
        print(isa, cell, np.dtype(dtype).name, digest.hexdigest()[:16])
