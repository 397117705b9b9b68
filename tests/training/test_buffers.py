"""What `fit` frees it uses again: after its first epoch it touches no fresh page."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fastrnn import LSTM, Bidirectional, Dense, Dropout, Sequential
from fastrnn._core import BufferPool
from fastrnn.callbacks import LambdaCallback

resource = pytest.importorskip("resource", reason="counts page faults, which this system does not tell")

X = np.random.default_rng(0).standard_normal((192, 60, 24)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 5, 192)


def made() -> Sequential:
    model = Sequential([
        LSTM(64, return_sequences=True), Dropout(0.2), Bidirectional(LSTM(32)), Dense(5, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def test_no_page_faults_after_the_first_epoch():
    """Of the some thousands of pages that an epoch goes through; without the pool hundreds of them are fresh."""
    faults = []

    def count(epoch, logs):
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

    made().fit(
        X, Y, batch_size=64, epochs=8, verbose=0, validation_data=(X[:64], Y[:64]),
        callbacks=LambdaCallback(on_epoch_end=count),
    )  # fmt: skip
    by_epoch = np.diff(faults)
    # The half that had least: garbage collection or another thread of the process may fault once in a while.
    assert sorted(by_epoch)[3] < 20, by_epoch


def test_what_is_freed_is_used_again_and_what_is_kept_stays():
    with BufferPool():
        first = np.arange(50_000.0)
        address = first.ctypes.data
        assert address % 64 == 0
        del first
        second = np.zeros(50_000)
        assert second.ctypes.data == address
        assert not second.any()
        third = np.ones(50_000)
        assert third.ctypes.data != address
        grown = np.arange(1000.0)
        grown.resize(60_000, refcheck=False)
        small = np.arange(7)
    gc.collect()
    assert second.sum() == 0
    assert third.sum() == 50_000
    assert grown[:1000].tolist() == list(range(1000))
    assert not grown[1000:].any()
    assert small.tolist() == list(range(7))
    outside = np.empty(50_000)
    assert outside.ctypes.data != third.ctypes.data


def test_a_pool_within_a_pool_is_the_outer_one():
    with BufferPool():
        with BufferPool():
            address = np.empty(50_000).ctypes.data
        assert np.empty(50_000).ctypes.data == address


def test_it_is_of_one_thread():
    kept = []
    with BufferPool():
        address = np.empty(50_000).ctypes.data
        other = threading.Thread(target=lambda: kept.append(np.ones(50_000)))
        other.start()
        other.join()
        assert np.empty(50_000).ctypes.data == address
        freed = np.empty(50_000)  # by a thread that has no pool
        other = threading.Thread(target=lambda held: held.clear(), args=([freed],))
        del freed
        other.start()
        other.join()
    assert kept[0].sum() == 50_000


def test_it_is_entered_once():
    pool = BufferPool()
    with pool, pytest.raises(RuntimeError, match="BufferPool: expected to be entered once"):
        pool.__enter__()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory of a process")
def test_sizes_that_differ_are_not_all_kept():
    # A process of its own: the system moves a large one's memory to huge pages when it likes.
    code = """
import resource
from pathlib import Path
import numpy as np
from fastrnn._core import BufferPool

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

before = resident()
with BufferPool():
    for megabytes in range(1, 48):
        np.ones(megabytes << 17)
    print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 200 << 20  # all of them are 1,100 MB


def test_an_error_ends_it():
    model = made()
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, verbose=0, callbacks=LambdaCallback(on_train_batch_end=lambda batch, logs: 1 // 0))
    first = np.empty(50_000)
    pool = BufferPool()
    with pool:
        assert np.empty(50_000).ctypes.data != first.ctypes.data
        np.testing.assert_array_equal(np.ones(3), 1)
