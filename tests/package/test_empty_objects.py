"""Objects made by `__new__` alone hold nothing: using one is a TypeError. In a process, as this once crashed."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import numpy as np
import fastrnn
from fastrnn import _core

MESSAGE = "expected an initialised object, got one whose __init__ was not called"
OTHERS = ("__init__", "__new__", "__doc__", "__module__", "__reduce__", "__reduce_ex__", "__copy__", "__deepcopy__")
CLASSES = [value for value in vars(_core).values() if isinstance(value, type) and not issubclass(value, Exception)]
FUNCTIONS = [value for value in vars(_core).values() if callable(value) and not isinstance(value, type)]

def empty(kind):
    return kind.__new__(kind)

def refused(function, *arguments):
    try:
        function(*arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        return str(error)
    return ""

def check(what, messages):
    assert any(MESSAGE in message for message in messages), (what, messages)

# Every method with each number of arguments, and every property.
for kind in CLASSES:
    for name, value in vars(kind).items():
        if name in OTHERS or name.startswith("_pybind11"):
            continue
        if isinstance(value, (staticmethod, str)) or not hasattr(value, "__get__"):
            continue
        if isinstance(value, property):
            check((kind, name), [refused(getattr, empty(kind), name)])
            continue
        check((kind, name), [refused(getattr(empty(kind), name), *[None] * n) for n in range(12)])

    class Derived(kind):
        pass

    for name in vars(kind):
        if isinstance(vars(kind)[name], property):
            check((Derived, name), [refused(getattr, empty(Derived), name)])

# Every function of the module with one in each place; those that are said to take it tell why not.
for function in FUNCTIONS:
    for kind in CLASSES:
        for count in range(1, 20):
            for place in range(count):
                refused(function, *[None] * place, empty(kind), *[None] * (count - place - 1))

w, model, cache, stack_cache, matrix = map(
    empty, (fastrnn.PackedWeights, fastrnn.Model, _core.Cache, _core.StackCache, _core.PackedMatrix))
x, row = np.zeros((2, 1, 3), "f"), np.zeros((1, 3), "f")
for call in (
    lambda: fastrnn.lstm_forward(x, w),
    lambda: fastrnn.lstm_cell(row, w),
    lambda: fastrnn.lstm_backward(x, cache),
    lambda: fastrnn.stack_forward(x, [w]),
    lambda: fastrnn.stack_backward(x, stack_cache),
    lambda: fastrnn.Model([w]),
    lambda: fastrnn.Session(w),
    lambda: fastrnn.Session(model),
    lambda: fastrnn.StreamPool(w),
    lambda: fastrnn.StreamPool(model),
    lambda: _core.matmul(row, matrix),
    lambda: fastrnn.lstm_forward(x, empty(fastrnn.CudaWeights)),
):
    check(call.__code__.co_firstlineno, [refused(call)])
session = fastrnn.Session.__new__(fastrnn.Session)
assert MESSAGE in refused(session.step, row, np.zeros((1, 3), "f"))
print(len(CLASSES), "classes")
"""


def test_every_use_of_an_empty_object_is_refused():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr, done.stdout.endswith(" classes\n")) == (0, "", True), done
