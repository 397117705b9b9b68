"""The end of the interpreter, and interpreters beside the main one: each in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.support.tree import ROOT

# A daemon thread is in native code, without the GIL, when the interpreter ends.
AT_EXIT = """
import sys, threading
import numpy as np
import fastrnn
from fastrnn import _core

rng = np.random.default_rng(0)
H = 256
w = fastrnn.pack_lstm(*(rng.standard_normal(s).astype("f") for s in ((4 * H, H), (4 * H, H))))
x = np.zeros((100, 8, H), "f")
session = fastrnn.Session(w, batch=8)
pool = fastrnn.StreamPool(w, capacity=64, queue=4)
streams = pool.open(64)
steps = np.zeros((64, H), "f")
square = np.zeros((600, 600), "f")
packed = _core.pack_matrix(square)
y = np.zeros((8, H), "f")
CALLS = {
    "forward": lambda: fastrnn.lstm_forward(x, w, training=True),
    "stack": lambda: fastrnn.stack_forward(x, [w, w]),
    "session.step": lambda: session.step(x[0], y),
    "pool.advance": lambda: (pool.push(streams, steps), pool.advance(), pool.pull(streams)),
    "matmul": lambda: _core.matmul(square, packed),
}
call = CALLS[sys.argv[1]]
began = threading.Event()

def compute():
    call()
    began.set()
    while True:
        call()

threading.Thread(target=compute, daemon=True).start()
assert began.wait(60)
"""
CALLS = [line.strip().split('"')[1] for line in AT_EXIT.splitlines() if ": lambda: " in line]


@pytest.mark.parametrize("call", CALLS)
def test_a_thread_may_compute_while_the_interpreter_ends(call):
    done = subprocess.run([sys.executable, "-c", AT_EXIT, call], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_release_of_the_gil_is_the_guarded_one():
    """The calls above are a few of many: no source releases the GIL other than by that class."""
    folder = ROOT / "csrc" / "python"
    others = ("gil_scoped_", "PyEval_SaveThread", "PyEval_RestoreThread", "PyGILState_", "Py_BEGIN_ALLOW_THREADS")
    found = {
        f"{path.name}: {name}"
        for path in folder.rglob("*.*")
        for name in others
        if name in path.read_text(encoding="utf-8")
    }
    assert {name.partition(":")[0] for name in found} == {"gil.h"}


SUB_INTERPRETER = """
try:
    import _interpreters as interpreters
    make = lambda: interpreters.create("legacy")  # the kind that takes modules which do not speak of sub-interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    make, run = interpreters.create, interpreters.run_string
CODE = 'try:\\n    import fastrnn\\nexcept ImportError as error:\\n    print(type(error).__name__, error)'
one = make()
run(one, CODE)
import fastrnn
run(one, CODE)
"""


def test_a_sub_interpreter_is_refused():
    """Before the main one has imported it, and after; it waited for ever in Python 3.11."""
    if importlib.util.find_spec("_interpreters") is None and importlib.util.find_spec("_xxsubinterpreters") is None:
        pytest.skip("this Python has no module that makes sub-interpreters")
    done = subprocess.run([sys.executable, "-c", SUB_INTERPRETER], capture_output=True, text=True, timeout=120)
    message = "ImportError fastrnn: expected the main interpreter, got a sub-interpreter\n"
    assert (done.returncode, done.stdout) == (0, message * 2), done.stderr
