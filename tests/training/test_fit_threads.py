"""fit, evaluate and predict use the processors that the process may have; nothing else does; bits stay."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, Bidirectional, Dense, Sequential, _threads
from fastrnn.callbacks import LambdaCallback
from fastrnn.functional._cells import CELLS

X = np.random.default_rng(0).standard_normal((48, 20, 16)).astype(np.float32)
Y = X[:, 0, :2]


@pytest.fixture(autouse=True)
def as_at_first(monkeypatch):
    """Undoes what a test does by set_num_threads."""
    monkeypatch.setattr(_threads, "_chosen", False)
    monkeypatch.setattr(_threads, "available", lambda: 3)
    yield
    fastrnn.set_num_threads(1)


@pytest.fixture
def asked(monkeypatch):
    """The `threads=` of all native calls, in their order."""
    numbers = []

    def note(function, *args, **kwargs):
        numbers.append(kwargs.get("threads"))
        return function(*args, **kwargs)

    lstm = CELLS["lstm"]
    noted = {name: functools.partial(note, getattr(lstm, name)) for name in ("forward", "backward")}
    monkeypatch.setitem(CELLS, "lstm", lstm._replace(**noted))
    module = sys.modules["fastrnn.layers.recurrent.bidirectional"]
    for name in ("stack_forward", "stack_backward"):
        monkeypatch.setattr(module, name, functools.partial(note, getattr(module, name)))
    return numbers


def made(first=None) -> Sequential:
    fastrnn.set_random_seed(1)
    model = Sequential([first or LSTM(32), Dense(2)])
    model.compile("adam", "mse")
    model.build((None, 20, 16))
    return model


@pytest.mark.parametrize("first", [lambda: LSTM(32), lambda: Bidirectional(GRU(32))], ids=["LSTM", "Bidirectional"])
@pytest.mark.parametrize(
    ("act", "calls"),
    [
        (lambda m, **k: m.fit(X, Y, verbose=0, **k), 4),
        (lambda m, **k: m.evaluate(X, Y, **k), 2),
        (lambda m, **k: m.predict(X, **k), 2),
    ],
    ids=["fit", "evaluate", "predict"],
)
def test_the_loops_take_all(first, act, calls, asked):
    model = made(first())
    act(model)
    assert asked == [3] * calls
    asked.clear()
    act(model, threads=2)
    assert asked == [2] * calls
    asked.clear()
    fastrnn.set_num_threads(1)  # the user's word, though it is the number that functions begin with
    act(model)
    assert asked == [None] * calls
    assert _threads.wanted() is None


def test_single_batches_and_layers_take_one(asked):
    model = made()
    model.train_on_batch(X, Y)
    model.predict_on_batch(X)
    model(X)
    model.layers[0](X)
    assert set(asked) == {None}


def test_an_evaluation_within_fit_takes_what_fit_takes(asked):
    model = made()
    evaluate = LambdaCallback(on_epoch_end=lambda epoch, logs: model.evaluate(X, Y))
    model.fit(X, Y, verbose=0, threads=2, validation_data=(X, Y), callbacks=evaluate)
    assert asked == [2] * 8


def test_an_error_puts_the_number_back():
    model = made()
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, verbose=0, callbacks=LambdaCallback(on_train_batch_end=lambda batch, logs: 1 // 0))
    assert _threads.wanted() is None


@pytest.mark.parametrize(
    ("threads", "error", "message"),
    [
        (0, ValueError, r"^threads: expected 1\.\.4096, got 0$"),
        (4097, ValueError, r"^threads: expected 1\.\.4096, got 4097$"),
        (2.0, TypeError, "^threads: expected an int, got float$"),
        (True, TypeError, "^threads: expected an int, got bool$"),
    ],
)
def test_errors(threads, error, message):
    model = made()
    for act in (model.fit, model.evaluate):
        with pytest.raises(error, match=message):
            act(X, Y, threads=threads, verbose=0)
    with pytest.raises(error, match=message):
        model.predict(X, threads=threads)


def test_bits_do_not_depend_on_it():
    results = []
    for threads in (1, 2, 3):
        model = made(Bidirectional(LSTM(40)))
        model.fit(X, Y, epochs=2, verbose=0, threads=threads)
        results.append([*model.get_weights(), model.predict(X, threads=threads)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


# -- how many there are ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity to set")
def test_the_affinity_counts():
    code = """
import os, fastrnn
from fastrnn import _threads
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(_threads.available(), fastrnn.get_num_threads())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout.split() == ["1", "1"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [("1", 1), (" 2 ,1", 2), ("64", 5), ("0", 5), ("", 5), ("two", 5), ("-1", 5)],
)
def test_a_worker_keeps_to_its_share(said, expected, monkeypatch):
    monkeypatch.undo()  # of `available`
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(5)), raising=False)
    monkeypatch.setattr(_threads, "_quota", lambda: 4096.0)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert _threads.available() == expected


V1 = {"cpu,cpuacct/x/cpu.cfs_quota_us": "200000", "cpu,cpuacct/x/cpu.cfs_period_us": "50000"}


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "250000 100000"}, 2.5),
        ("0::/\n", {"cpu.max": "max 100000"}, 4096),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1.0),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3.0),
        ("0::/a/b\n", {"cpu.max": "200000 100000"}, 2.0),  # a path of the host's, seen from a container
        ("4:cpu,cpuacct:/x\n", V1, 4.0),
        ("4:cpu:/\n1:name=systemd:/y\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4096),
        ("0::/\n", {"cpu.max": "nonsense"}, 4096),
        ("", {}, 4096),
    ],
)  # fmt: skip
def test_the_quota_of_control_groups(membership, files, quota, tmp_path: Path, monkeypatch):
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "membership").write_text(membership)
    monkeypatch.setattr(_threads, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(_threads, "_CGROUPS", tmp_path / "cgroup")
    assert _threads._quota.__wrapped__() == quota
