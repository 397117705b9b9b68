"""Threads: none unless asked, asleep between calls, for many callers. That they change no bit: test_invariance.py."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.packed import forward_packed, pack
from tests.support.variants import VARIANTS, Problem, assert_same, make_problem

LSTM = next(v for v in VARIANTS if v.cell == "lstm")
linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for the threads of a process")


@pytest.fixture(autouse=True)
def one_thread_after() -> Iterator[None]:
    yield
    fastrnn.set_num_threads(1)


def large(**more: Any) -> Problem:
    """Enough work for two threads: rows are cut."""
    sizes = {"hidden": 61, "inputs": 19, "batch": 37, "steps": 17}
    return make_problem(LSTM, **{**sizes, **more}, dtype="float32")


# ---------------------------------------------------------------------------------------------------------- how many


def test_one_thread_unless_asked():
    assert fastrnn.get_num_threads() == fastrnn.info()["threads"] == 1


def test_the_number_is_kept_and_told():
    fastrnn.set_num_threads(3)
    assert fastrnn.get_num_threads() == fastrnn.info()["threads"] == 3


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, r"^n: expected 1\.\.4096, got 0$"),
        (-2, ValueError, r"^n: expected 1\.\.4096, got -2$"),
        (2**31, ValueError, rf"^n: expected 1\.\.4096, got {2**31}$"),
        (2.0, TypeError, "^n: expected an int, got float$"),
        ("2", TypeError, "^n: expected an int, got str$"),
        (True, TypeError, "^n: expected an int, got bool$"),
        (None, TypeError, "^n: expected an int, got NoneType$"),
    ],
    ids=repr,
)
def test_errors_of_the_number(n, error, message):
    fastrnn.set_num_threads(2)
    with pytest.raises(error, match=message):
        fastrnn.set_num_threads(n)
    assert fastrnn.get_num_threads() == 2


@pytest.mark.parametrize(
    ("threads", "error", "message"),
    [
        (0, ValueError, "threads: expected 1..4096, got 0"),
        (-2, ValueError, "threads: expected 1..4096, got -2"),
        (5000, ValueError, "threads: expected 1..4096, got 5000"),
        (2**70, ValueError, f"threads: expected 1..4096, got {2**70}"),
        (2.0, TypeError, "threads: expected an int, got float"),
        ("2", TypeError, "threads: expected an int, got str"),
        (True, TypeError, "threads: expected an int, got bool"),
    ],
    ids=repr,
)
def test_errors_of_the_keyword(threads, error, message):
    problem = make_problem(LSTM, hidden=3, inputs=2, batch=1, steps=2)
    *_, cache = problem.forward(fastrnn, training=True)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        problem.forward(fastrnn, threads=threads)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        fastrnn.lstm_backward(None, cache, threads=threads)


# ---------------------------------------------------------------------------------------------- in a process of its own

# Threads live until a process ends, so that each of these looks at a fresh one.
PROBE = """
import os, sys, time
import numpy as np, fastrnn

def workers():
    names = (open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task"))
    return sorted(name for name in names if name.startswith("fastrnn"))

def call(H=128, I=64, B=64, T=20, training=False, **more):
    rng = np.random.default_rng(0)
    w_ih, w_hh = (rng.standard_normal((4 * H, n), np.float32) * 0.1 for n in (I, H))
    x = rng.standard_normal((T, B, I), np.float32)
    return fastrnn.lstm_forward(x, w_ih, w_hh, training=training, **more)
"""


def lines_of(code: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROBE + code], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@linux
@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("call(); call(training=True)", []),
        ("fastrnn.set_num_threads(4); call(threads=1)", []),
        ("fastrnn.set_num_threads(4)", []),
        ("call(threads=4, H=16, B=2)", []),  # so little that one is faster
        ("call(threads=4, B=1, H=32, T=200)", []),
        ("call(threads=2)", ["fastrnn-1"]),
        ("call(threads=2); call(threads=2); call(threads=1)", ["fastrnn-1"]),
        ("fastrnn.set_num_threads(3); call()", ["fastrnn-1", "fastrnn-2"]),
        ("fastrnn.set_num_threads(3); call(threads=2)", ["fastrnn-1"]),
        ("call(threads=2, B=1, H=256, T=40)", ["fastrnn-1"]),  # cut by units
        ("call(threads=2, training=True)", ["fastrnn-1"]),
        ("y, *_, cache = call(training=True); fastrnn.lstm_backward(y, cache, threads=2)", ["fastrnn-1"]),
        ("call(threads=2, B=0); call(threads=2, T=0)", []),
        ("s = fastrnn.Session(fastrnn.pack_rnn(np.ones((900, 900), 'f'), np.ones((900, 900), 'f')))\n"
         "fastrnn.set_num_threads(2); s.run(np.ones((20, 1, 900), 'f'))", []),
    ],
)  # fmt: skip
def test_workers_are_started_when_asked(code, names):
    assert lines_of(code + "\nprint(workers())") == [str(names)]


@linux
def test_workers_sleep_between_calls():
    """After a call a worker spins for some microseconds; one that went on would use all the time that it is given."""
    used = lines_of("""
call(threads=3)
time.sleep(0.05)
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before)
""")
    assert float(used[0]) < 0.02


FORK = """
expected = call()[0]
np.testing.assert_array_equal(call(threads=3)[0], expected)
import multiprocessing, warnings
warnings.simplefilter("ignore")  # newer Pythons warn of a fork beside threads: that is what is tried here

def child(queue):
    had = workers()
    same = np.array_equal(call(threads=2)[0], expected)
    queue.put((had, same, workers()))

context = multiprocessing.get_context("fork")
queue = context.Queue()
children = [context.Process(target=child, args=(queue,)) for _ in range(2)]
for process in children: process.start()
for process in children: print(queue.get(timeout=60))
for process in children: process.join()
print([process.exitcode for process in children])
np.testing.assert_array_equal(call(threads=3)[0], expected)
print(workers())
"""


@linux
def test_a_forked_child_has_workers_of_its_own():
    child = "([], True, ['fastrnn-1'])"
    assert lines_of(FORK) == [child, child, "[0, 0]", "['fastrnn-1', 'fastrnn-2']"]


# ---------------------------------------------------------------------------------------------------- several callers


ROUNDS = 30


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_several_callers_at_once(training):
    """More callers than workers: each uses the workers that are idle, and none gets another's results."""
    problems = [large(steps=60 + k) for k in range(5)]
    weights = problems[0].parameters()
    for problem in problems:
        problem.arrays.update(weights)
    packed = pack(problems[0])

    def once(problem: Problem, threads: int) -> tuple[Any, ...]:
        if not training:
            return tuple(forward_packed(problem, packed, threads=threads))
        *outputs, cache = forward_packed(problem, packed, training=True, threads=threads)
        return (*outputs, *fastrnn.lstm_backward(cache=cache, **problem.cotangents, threads=threads))

    expected = [once(problem, 1) for problem in problems]
    results: list[list[Any]] = [[] for _ in problems]
    start = threading.Barrier(len(problems))

    def work(k: int) -> None:
        start.wait()
        for _ in range(ROUNDS):
            results[k].append(once(problems[k], 3))

    callers = [threading.Thread(target=work, args=(k,)) for k in range(len(problems))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for result, right in zip(results, expected, strict=True):
        assert len(result) == ROUNDS
        for one in result:
            assert_same(one, right)


# ----------------------------------------------------------------------------------------------------------- denormals


@pytest.mark.parametrize("cut", ["units", "rows"])
def test_workers_flush_denormals_and_the_callers_mode_is_kept(cut, isa):
    """y = W x with every product denormal, and the gradients: 0 from whichever thread."""
    tiny = np.float32(1e-40)
    hidden, batch, steps = (330, 1, 60) if cut == "units" else (97, 37, 33)
    w_ih, w_hh = np.ones((hidden, 9), np.float32), np.eye(hidden, dtype=np.float32)
    x = np.full((steps, batch, 9), tiny)
    for _ in range(3):
        y, _ = fastrnn.rnn_forward(x, w_ih, w_hh, activation="identity", threads=2)
        assert not y.any()
        *_, cache = fastrnn.rnn_forward(np.ones_like(x), w_ih, w_hh, activation="identity", training=True, threads=2)
        gradients = fastrnn.rnn_backward(np.full((steps, batch, hidden), tiny), cache, threads=2)
        assert not any(gradient.any() for gradient in gradients[:4])
    assert (np.array([tiny]) * np.float32(1)).view(np.uint32)  # compared as numbers, both might count as 0
