"""fastrnn.data: shapes and values by hand, and the errors."""

import numpy as np
import pytest

from fastrnn import data


def test_windows():
    assert data.windows(range(6), 3).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert data.windows(np.arange(6), 3, stride=2).tolist() == [[0, 1, 2], [2, 3, 4]]
    assert data.windows(np.arange(6), 6).shape == (1, 6)
    x = np.arange(20).reshape(10, 2)
    cut = data.windows(x, 4, 3)
    assert cut.shape == (3, 4, 2)
    assert np.array_equal(cut[1], x[3:7])
    assert np.shares_memory(cut, x)
    assert not cut.flags.writeable


def test_pad_sequences():
    ragged = [[1, 2, 3], [4], []]
    assert data.pad_sequences(ragged).tolist() == [[1, 2, 3], [0, 0, 4], [0, 0, 0]]
    assert data.pad_sequences(ragged, padding="post", value=-1).tolist() == [[1, 2, 3], [4, -1, -1], [-1, -1, -1]]
    assert data.pad_sequences(ragged, maxlen=2).tolist() == [[2, 3], [0, 4], [0, 0]]
    assert data.pad_sequences(ragged, maxlen=2, truncating="post").tolist() == [[1, 2], [0, 4], [0, 0]]
    assert data.pad_sequences(ragged).dtype == np.int32
    frames = [np.ones((2, 3)), np.full((4, 3), 2.0)]
    padded = data.pad_sequences(frames, dtype="float32", padding="post", value=9)
    assert padded.shape == (2, 4, 3)
    assert padded.dtype == np.float32
    assert (padded[0, 2:] == 9).all()
    assert data.pad_sequences([]).shape == (0, 0)


def test_to_categorical():
    assert data.to_categorical([0, 2]).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert data.to_categorical([[0], [1]], 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert data.to_categorical(np.zeros((2, 4), int), 3).shape == (2, 4, 3)
    assert data.to_categorical([], 3).shape == (0, 3)
    assert data.to_categorical([1]).dtype == np.float32


def test_train_test_split():
    x, y = np.arange(10), np.arange(10) * 2
    x_train, x_test, y_train, y_test = data.train_test_split(x, y, test_size=0.25, seed=3)
    assert (len(x_train), len(x_test)) == (7, 3)
    assert sorted([*x_train, *x_test]) == list(range(10))
    assert np.array_equal(y_train, x_train * 2)
    assert np.array_equal(y_test, x_test * 2)
    assert np.array_equal(data.train_test_split(x, seed=3)[0], x_train)
    assert not np.array_equal(data.train_test_split(x, seed=4)[0], x_train)
    assert data.train_test_split(x, test_size=0.2, shuffle=False)[1].tolist() == [8, 9]


def test_char_vocabulary():
    vocabulary = data.CharVocabulary("hello")
    assert vocabulary.characters == "ehlo"
    assert len(vocabulary) == 5
    assert vocabulary.encode("ohx").tolist() == [4, 2, 0]
    assert vocabulary.decode(vocabulary.encode("hole?")) == "hole\N{REPLACEMENT CHARACTER}"
    assert vocabulary.encode("").shape == (0,)


def test_python_topics():
    text = data.python_topics()
    assert len(text) > 300_000
    assert text == data.python_topics()
    assert "assert" in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.windows(np.arange(3), 4), r"length: expected a number in 1\.\.3 .* got 4"),
        (lambda: data.windows(np.arange(3), 0), r"length: expected a number in 1\.\.3 .* got 0"),
        (lambda: data.windows(np.arange(3), 1, 0), r"stride: expected a number >= 1, got 0"),
        (lambda: data.windows(3, 1), r"sequence: expected at least one axis, got a scalar"),
        (lambda: data.pad_sequences([[1]], padding="end"), r"padding: expected one of 'pre', 'post', got 'end'"),
        (lambda: data.pad_sequences([[1]], truncating="end"), r"truncating: expected one of"),
        (lambda: data.pad_sequences([np.ones((2, 3)), np.ones((2, 4))]), r"sequences: expected equal shapes"),
        (lambda: data.to_categorical([3], 3), r"x: expected class numbers in 0\.\.2, got 3"),
        (lambda: data.to_categorical([-1], 3), r"x: expected class numbers in 0\.\.2, got -1"),
        (lambda: data.train_test_split([1, 2], [1]), r"arrays: expected .* equal length, got lengths \[2, 1\]"),
        (lambda: data.train_test_split(), r"arrays: expected one or more of equal length, got lengths \[\]"),
        (lambda: data.train_test_split([1, 2], test_size=0.0), r"test_size: expected a share"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
