"""The formula of docs/guides/memory.md, held to what the native side reports and to what the process really takes."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastrnn
from tests.support.cells import BESIDE_H, GATES

SAVED = {"rnn": 1, "lstm": 5, "gru": 4}
GATE_GRADIENTS = {"rnn": 1, "lstm": 4, "gru": 4}


def parameters(cell, inputs, hidden):
    rng = np.random.default_rng(0)
    rows = GATES[cell] * hidden
    shapes = [(rows, inputs), (rows, hidden), (rows,), (rows,)]
    return [rng.standard_normal(shape, dtype=np.float32) * 0.1 for shape in shapes]


@pytest.mark.parametrize("cell", SAVED)
@pytest.mark.parametrize(("steps", "batch"), [(50, 8), (100, 8)])
def test_cache(cell, steps, batch, isa):
    hidden = 64
    x = np.zeros((steps, batch, 32), np.float32)
    cache = getattr(fastrnn, f"{cell}_forward")(x, *parameters(cell, 32, hidden), training=True)[-1]
    expected = 4 * steps * batch * hidden * SAVED[cell]
    # Rows are spaced by up to a cache line, and states, lengths and order are kept too.
    spacing = 64 * steps * batch + 4096 + batch * (8 * hidden + 64)
    assert expected <= cache.nbytes <= expected + spacing


@pytest.mark.parametrize("every", [1, 7, 20, 1000])
@pytest.mark.parametrize("cell", BESIDE_H)
def test_checkpoints(cell, every, isa):
    """c every so many steps and, whatever T, the states, lengths and order: h is in y."""
    hidden, batch = 64, 8

    def nbytes(steps, **options):
        x, rows = np.zeros((steps, batch, 32), np.float32), GATES[cell] * hidden
        w_hh = np.zeros((hidden,) if cell == "indrnn" else (rows, hidden), np.float32)
        forward = getattr(fastrnn, f"{cell}_forward")
        return forward(x, np.zeros((rows, 32), np.float32), w_hh, training=True, **options)[-1].nbytes

    for steps in (100, 200):
        kept = -(-steps // min(every, steps))
        assert (
            nbytes(steps, checkpoint_every=every) - nbytes(0) <= 4 * kept * batch * hidden * len(BESIDE_H[cell]) + 256
        )
    assert nbytes(200) - nbytes(0) >= 4 * 200 * batch * hidden


def test_weights_shrink():
    w = parameters("lstm", 256, 256)
    sizes = {d: fastrnn.pack_lstm(*w, dtype=d).nbytes for d in ("float32", "bfloat16", "bfloat16_weights", "int8")}
    full = 4 * 4 * 256 * 512
    biases = 64 * 1024
    for dtype, share in {"float32": 1, "bfloat16": 2, "bfloat16_weights": 2, "int8": 4}.items():
        assert full / share <= sizes[dtype] <= full / share + biases, dtype


PROGRAM = """
import sys
import numpy as np
import fastrnn

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

steps, batch, size = 400, 32, 128
rng = np.random.default_rng(0)
shapes = [(4 * size, size), (4 * size, size), (4 * size,), (4 * size,)]
w = [rng.standard_normal(s, dtype=np.float32) * 0.1 for s in shapes]
x = rng.standard_normal((steps, batch, size), dtype=np.float32)
dy = np.ones((steps, batch, size), np.float32)
small = fastrnn.lstm_forward(x[:2], *w, training=True)[-1]
fastrnn.lstm_backward(dy[:2], small)
before = peak()
every = int(sys.argv[1]) or None
cache = fastrnn.lstm_forward(x, *w, training=True, checkpoint_every=every)[-1]
fastrnn.lstm_backward(dy, cache)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("every", [0, 20])
def test_training_step(every):
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(every)], check=True, capture_output=True, text=True)
    grown = int(run.stdout)
    columns = 5 + 4 * 512 / (400 * 32) + 2  # cache, gate gradients of one segment, y and dx
    if every:
        columns = 2 + (1 + 9) / 20  # y and dx, c at every checkpoint and one segment of the rest
    expected = 4 * 400 * 32 * 128 * columns
    assert expected * 0.9 <= grown <= expected * 1.1 + 8 * 2**20  # weights, scratch, rounding to pages


def test_weights_of_a_middling_layer_lie_in_huge_pages():
    """A model's layers have 4 MB each, and a step reads them all: its time is that of the page tables, too."""
    # A process of its own: memory that was asked for in huge pages before would serve again.
    code = """
import numpy as np
import fastrnn

def advised():
    total = size = 0
    with open("/proc/self/smaps") as file:
        for line in file:
            words = line.split()
            if words[0] == "Size:":
                size = int(words[1]) << 10
            elif words[0] == "VmFlags:":
                total += size * ("hg" in words)
    return total

before = advised()
weights = fastrnn.pack_gru(np.ones((1200, 400), "f"), np.ones((1200, 400), "f"))
print(weights.nbytes, advised() - before)
"""
    if not os.access("/proc/self/smaps", os.R_OK):
        pytest.skip("the system does not say how memory is mapped")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    size, advised = map(int, done.stdout.split())
    assert size < 4 << 20
    assert advised >= 2 << 20  # bytes for which huge pages were asked
