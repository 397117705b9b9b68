"""fastrnn.Scorer: the bits of a session, in this process and in others."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastrnn
import fastrnn.scoring
from fastrnn import GRU, LSTM, Bidirectional, Dense, Input, Scorer, Sequential

pytest.importorskip("safetensors")
RANDOM = np.random.default_rng(0)
SEQUENCES = [RANDOM.standard_normal((n, 3), dtype=np.float32) for n in (5, 1, 17, 9, 2, 30, 9)]


@pytest.fixture
def path(tmp_path) -> str:
    fastrnn.set_random_seed(1)
    model = Sequential([Input((None, 3)), LSTM(16, return_sequences=True), GRU(8, return_sequences=True), Dense(2)])
    model.save(tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16_weights", "int8"])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_bits_of_a_session(path, dtype, batch):
    model = fastrnn.Model.load(path, dtype)
    expected = [fastrnn.Session(model).run(x[:, np.newaxis])[:, 0] for x in SEQUENCES]
    for found, y in zip(Scorer(path, dtype, batch=batch)(SEQUENCES), expected, strict=True):
        np.testing.assert_array_equal(found, y)
    for found, y in zip(Scorer(path, dtype, batch=batch, last=True)(SEQUENCES), expected, strict=True):
        np.testing.assert_array_equal(found, y[-1])


def test_rows_of_a_table(path):
    """The numbers of a sequence in one row, step after step."""
    expected = Scorer(path)(SEQUENCES)
    for found, y in zip(Scorer(path)([x.ravel() for x in SEQUENCES]), expected, strict=True):
        np.testing.assert_array_equal(found, y)


def test_in_other_processes(path):
    scorer = Scorer(path, batch=2)
    assert len(pickle.dumps(scorer)) < 1000
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = [y for part in pool.map(scorer, [SEQUENCES[:4], SEQUENCES[4:]]) for y in part]
    for a, b in zip(found, scorer(SEQUENCES), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_is_read_once_until_it_changes(path, monkeypatch):
    read: list[Any] = []
    load = fastrnn.Model.load

    class Watched:
        @staticmethod
        def load(*args: Any) -> Any:
            read.append(args)
            return load(*args)

    monkeypatch.setattr(fastrnn.scoring, "Model", Watched)
    for scorer in (Scorer(path), Scorer(path, batch=2), Scorer(path)):
        scorer(SEQUENCES)
    assert len(read) == 1
    before = Scorer(path)(SEQUENCES)[0]
    Sequential([Input((None, 3)), LSTM(4, return_sequences=True)]).save(path)
    os.utime(path, ns=(1, 1))  # a clock of the file system may be too coarse to tell
    assert Scorer(path)(SEQUENCES)[0].shape != before.shape


def test_refusals(path):
    with pytest.raises(ValueError, match="batch: expected an integer of at least 1, got 0"):
        Scorer(path, batch=0)
    with pytest.raises(ValueError, match=r"sequences: expected \(T, 3\), got \(4, 2\) at index 1"):
        Scorer(path)([SEQUENCES[0], np.zeros((4, 2))])
    with pytest.raises(ValueError, match=r"sequences: expected \(T, 3\), got \(5,\) at index 0"):
        Scorer(path)([np.zeros(5)])
    with pytest.raises(OSError, match="missing"):
        Scorer(path + ".missing")(SEQUENCES)
    with pytest.raises(TypeError, match=r"sequences: expected numbers, got dtype <U3 at index 1"):
        Scorer(path)([SEQUENCES[0], "abc"])
    with pytest.raises(TypeError, match=r"sequences: expected numbers, got dtype complex128 at index 0"):
        Scorer(path)([np.zeros((4, 3), complex)])
    with pytest.raises(ValueError, match=r"dtype: expected one of .*, got 'float17'"):
        Scorer(path, "float17")(SEQUENCES)
    assert Scorer(path)([]) == []


def test_files_that_are_no_models_are_named(tmp_path, path):
    whole = (tmp_path / "model.safetensors").read_bytes()
    for name, data in (("empty", b""), ("half", whole[: len(whole) // 2]), ("other", b"no model" * 99)):
        (tmp_path / f"{name}.safetensors").write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name}\.safetensors: "):
            Scorer(tmp_path / f"{name}.safetensors")(SEQUENCES)
    Sequential([Input((None, 3)), Bidirectional(LSTM(4, return_sequences=True))]).save(tmp_path / "both.safetensors")
    with pytest.raises(ValueError, match="step by step, got layer 1"):
        Scorer(tmp_path / "both.safetensors")(SEQUENCES)


def test_a_sequence_of_no_steps(path):
    """It has no outputs, and spoils nobody else's; it was an error."""
    given = [SEQUENCES[0], SEQUENCES[1][:0], np.zeros(0, np.float32), SEQUENCES[2]]
    found = Scorer(path)(given)
    assert [y.shape for y in found] == [(5, 2), (0, 2), (0, 2), (17, 2)]
    np.testing.assert_array_equal(found[3], Scorer(path)([SEQUENCES[2]])[0])
    with pytest.raises(ValueError, match="expected at least one step where last=True, got none at index 1"):
        Scorer(path, last=True)(given)


def test_a_long_sequence_makes_no_large_array_of_many(path, monkeypatch):
    """All others in its bucket were padded to its length: 64 sequences beside one of 100,000 steps took a gigabyte."""
    shapes: list[Any] = []
    zeros = np.zeros

    def watched(shape: Any, *more: Any) -> Any:
        shapes.append(shape)
        return zeros(shape, *more)

    monkeypatch.setattr(fastrnn.scoring.np, "zeros", watched)
    long = RANDOM.standard_normal((100_000, 3), dtype=np.float32)
    found = Scorer(path, last=True)([long, *SEQUENCES * 9])
    assert [shape[:2] for shape in shapes] == [(30, 63)]
    np.testing.assert_array_equal(found[0], fastrnn.Session(fastrnn.Model.load(path)).run(long[:, np.newaxis])[-1, 0])
