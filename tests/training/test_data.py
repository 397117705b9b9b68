"""fastrnn.data: shapes and values by hand, and the errors."""

import json

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, Dense, Masking, Sequential, data


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


def test_forecast_windows():
    x, y = data.forecast_windows(np.arange(10), 3, horizon=2)
    assert x[0].tolist() == [0, 1, 2]
    assert y[0].tolist() == [3, 4]
    assert (x[-1].tolist(), y[-1].tolist()) == ([5, 6, 7], [8, 9])
    assert len(x) == len(y) == 6
    x, y = data.forecast_windows(np.arange(10), 3, horizon=2, stride=2, gap=1, target=np.arange(10) * 10)
    assert x.tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert y.tolist() == [[40, 50], [60, 70], [80, 90]]
    series = np.arange(20).reshape(10, 2)
    x, y = data.forecast_windows(series, 4, 1, target=series[:, 1])
    assert (x.shape, y.shape) == ((6, 4, 2), (6, 1))
    assert np.shares_memory(x, series)


def test_split_by_time():
    first, last, a, b = data.split_by_time(np.arange(10), np.arange(10) * 2, test_size=0.25, gap=2)
    assert (first.tolist(), last.tolist()) == ([0, 1, 2, 3, 4], [7, 8, 9])
    assert np.array_equal(a, first * 2)
    assert np.array_equal(b, last * 2)


def ragged(count=100, seed=0):
    rng = np.random.default_rng(seed)
    return [np.full((n, 2), i, np.float32) for i, n in enumerate(rng.integers(1, 40, count))]


def test_batches_by_length_hold_every_example_once_with_its_own_target():
    sequences = ragged()
    batches = data.BatchesByLength(sequences, np.arange(100), 8, np.arange(100) + 0.5, seed=1, value=-1.0, pool=4)
    assert len(batches) == 13
    orders = []
    for _ in range(2):
        seen = []
        for i in range(len(batches)):
            x, y, weight = batches[i]
            lengths = [len(sequences[n]) for n in y]
            assert x.shape == (len(y), max(lengths), 2)
            assert np.array_equal(weight, y + 0.5)
            for row, n, length in zip(x, y, lengths, strict=True):
                assert (row[:length] == n).all()
                assert (row[length:] == -1).all()
            seen += y.tolist()
        assert sorted(seen) == list(range(100))
        assert seen == batches.order.tolist()
        orders.append(seen)
        batches.on_epoch_end()
    assert orders[0] != orders[1]
    assert data.BatchesByLength(sequences, seed=1, batch_size=8, pool=4).order.tolist() == orders[0]


def test_batches_by_length_pad_little():
    alike = data.BatchesByLength(ragged(400), batch_size=8, seed=1)
    mixed = data.BatchesByLength(ragged(400), batch_size=8, seed=1, pool=1)
    assert alike.padded_share < 0.1 < 0.3 < mixed.padded_share


def test_batches_by_length_give_rows_back_in_order():
    batches = data.BatchesByLength(ragged(), batch_size=7, shuffle=False)
    rows = np.concatenate([batch[0][:, 0] for batch in (batches[i] for i in range(len(batches)))])
    assert np.array_equal(batches.restore(rows)[:, 0], np.arange(100))
    assert len(batches[0]) == 1


def test_batches_by_length_with_a_target_a_step():
    sequences = ragged(10)
    batches = data.BatchesByLength(sequences, [s[:, 0].astype(int) for s in sequences], 4, shuffle=False)
    x, y = batches[2]
    assert x.shape[:2] == y.shape
    assert np.array_equal(y, x[:, :, 0])
    whole = data.BatchesByLength(np.ones((5, 3, 2)), np.arange(5), 2, shuffle=False)
    assert [b[1].tolist() for b in (whole[0], whole[1], whole[2])] == [[0, 1], [2, 3], [4]]


def test_a_model_learns_from_batches_by_length():
    fastrnn.set_random_seed(0)
    sequences = ragged(60)
    labels = np.array([len(s) > 20 for s in sequences], np.float32)
    batches = data.BatchesByLength([np.ones((len(s), 1)) for s in sequences], labels, 10, seed=0, value=-1.0)
    model = fastrnn.Sequential([fastrnn.Masking(-1.0), fastrnn.GRU(8), fastrnn.Dense(1, activation="sigmoid")])
    model.compile(fastrnn.optimizers.Adam(0.03), "binary_crossentropy", ["accuracy"])
    history = model.fit(batches, epochs=15, verbose=0).history
    assert history["accuracy"][-1] > 0.85
    inputs = data.BatchesByLength([np.ones((len(s), 1)) for s in sequences], shuffle=False, value=-1.0)
    said = inputs.restore(model.predict(inputs))[:, 0]
    alone = [model.predict(np.ones((1, len(s), 1)))[0, 0] for s in sequences[:5]]
    np.testing.assert_allclose(said[:5], alone, rtol=1e-6)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_a_scaler_takes_figures_of_parts_as_of_the_whole(kind):
    x = np.random.default_rng(0).normal(3, [1, 5, 1e-3], (40, 7, 3))
    whole = data.Scaler(kind).fit(x)
    parts = data.Scaler(kind)
    for start in range(0, 40, 9):
        parts.partial_fit(x[start : start + 9])
    np.testing.assert_allclose(parts.shift, whole.shift, rtol=1e-12)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-12)
    y = whole.transform(x)
    rows = y.reshape(-1, 3)
    if kind == "standard":
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(rows.std(axis=0), 1)
    else:
        np.testing.assert_allclose((rows.min(axis=0), rows.max(axis=0)), ([0] * 3, [1] * 3), atol=1e-12)
    np.testing.assert_allclose(whole.inverse_transform(y), x)
    np.testing.assert_allclose(whole.inverse_transform(y[:, :, 1:2], 1), x[:, :, 1:2])
    again = data.Scaler.from_config(json.loads(json.dumps(whole.get_config())))
    assert np.array_equal(again.transform(x), y)


def test_a_scaler_of_ragged_and_constant_data():
    sequences = [np.full((n, 2), [5.0, n], np.float32) for n in (1, 2, 3)]
    scaler = data.Scaler().fit(sequences)
    np.testing.assert_allclose(scaler.shift, [5, 14 / 6])
    assert scaler.scale[0] == 1
    scaled = scaler.transform(sequences)
    assert [a.shape for a in scaled] == [(1, 2), (2, 2), (3, 2)]
    assert scaled[0].dtype == np.float32
    assert scaled[2][0, 0] == 0


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


def test_ragged_lists_are_split_as_lists():
    x, y = [np.full((n, 2), n) for n in range(1, 9)], np.arange(1, 9)
    x_train, x_test, y_train, y_test = data.train_test_split(x, y, test_size=0.25, seed=0)
    assert [len(part) for part in x_train] == y_train.tolist()
    assert [len(part) for part in x_test] == y_test.tolist()
    assert sorted([*y_train, *y_test]) == y.tolist()
    assert [len(part) for part in data.split_by_time(x, test_size=0.25)[1]] == [7, 8]
    with pytest.raises(TypeError, match=r"test_size: expected a share in \(0, 1\), got '2024-03-01'"):
        data.split_by_time(y, test_size="2024-03-01")


def test_what_is_missing_is_filled():
    nan = np.nan
    assert data.fill_missing([nan, 1.0, nan, nan, 4.0]).tolist() == [1, 1, 1, 1, 4]
    table = np.array([[1, nan], [nan, 5], [3, nan]], np.float32)
    filled = data.fill_missing(table)
    assert (filled.tolist(), filled.dtype) == ([[1, 5], [1, 5], [3, 5]], np.float32)
    assert np.isnan(table).sum() == 3
    assert [part.tolist() for part in data.fill_missing([table[:2], table[1:, 1]])] == [[[1, 5], [1, 5]], [5, 5]]
    assert data.fill_missing(np.zeros((0, 2))).shape == (0, 2)


def test_a_feature_is_forecast_by_its_number_and_unscaled_in_any_shape():
    series = np.arange(24.0).reshape(12, 2)
    x, y = data.forecast_windows(series, 4, 3, target=1)
    expected = data.forecast_windows(series, 4, 3, target=series[:, 1])
    np.testing.assert_array_equal(x, expected[0])
    np.testing.assert_array_equal(y, expected[1])
    scaler = data.Scaler().fit(series)
    whole = scaler.inverse_transform(scaler.transform(series))
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(y, 1), 1), y)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(y, 1)[..., None], [1])[..., 0], y)
    np.testing.assert_allclose(whole, series)


def test_padding_that_a_model_reads_is_told():
    def fit(*layers, lengths=(2, 3, 5), value=-1.0):
        model = Sequential([*layers, GRU(2), Dense(1)])
        model.compile("sgd", "mse")
        sequences = [np.ones((n, 2), np.float32) for n in lengths]
        model.fit(data.BatchesByLength(sequences, np.zeros(len(lengths)), value=value), verbose=0)

    with pytest.warns(UserWarning, match=r"padded with -1.0, .* expected it to begin with Masking\(-1.0\), got none"):
        fit()
    with pytest.warns(UserWarning, match=r"expected it to begin with Masking\(-1.0\), got Masking\(0.0\)"):
        fit(Masking(0.0))
    fit(Masking(-1.0))
    fit(lengths=(4, 4))  # nothing is padded


def test_labels_and_ragged_lists_are_told_what_to_become():
    model = Sequential([GRU(2), Dense(2)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(TypeError, match=r"y: expected numbers, got dtype <U3; classes, y = numpy.unique"):
        model.fit(np.ones((2, 3, 1)), np.array(["yes", "no"]), verbose=0)
    with pytest.raises(ValueError, match=r"x: expected an array, got sequences of different lengths; .*By"):
        model.predict([np.ones((2, 1)), np.ones((3, 1))])


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
        (
            lambda: data.fill_missing([[1.0, np.nan], [2.0, np.nan]]),
            r"x: expected a number in feature 1, got NaN alone",
        ),
        (lambda: data.fill_missing([np.ones(2), np.array([np.nan])]), r"feature 0 of sequence 1, got NaN alone"),
        (
            lambda: data.forecast_windows(np.ones((9, 2)), 3, target=2),
            r"target: expected the number of a feature of \(9",
        ),
        (lambda: data.forecast_windows(np.ones((9, 2)), 3, target="a"), r"target: expected .* without names, got 'a'"),
        (
            lambda: data.Scaler().fit([[1.0, 1.0], [1.0, np.nan]]),
            r"got NaN or infinity in 1 of 2 rows of feature 1; .*fi",
        ),
        (
            lambda: data.BatchesByLength([np.ones((2, 3)), np.ones((1, 2))]),
            r"sequences: .*\(2, 3\) at 0 and \(1, 2\) at 1",
        ),
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
        (lambda: data.forecast_windows(np.arange(4), 3, 2), r"series: expected at least 5 steps .* got 4"),
        (lambda: data.forecast_windows(np.arange(4), 0), r"length: expected a number >= 1, got 0"),
        (lambda: data.forecast_windows(np.arange(4), 2, gap=-1), r"gap: expected a number >= 0, got -1"),
        (lambda: data.forecast_windows(np.arange(4), 2, target=[1]), r"target: expected 4 steps .* got shape \(1,\)"),
        (lambda: data.split_by_time([1, 2, 3], test_size=0.5, gap=1), r"test_size: expected a share .* gap 1"),
        (lambda: data.split_by_time([1, 2, 3], gap=-1), r"gap: expected a number >= 0, got -1"),
        (lambda: data.Scaler("robust"), r"kind: expected one of 'standard', 'minmax', got 'robust'"),
        (lambda: data.Scaler().fit([]), r"x: expected at least one row, got none"),
        (lambda: data.Scaler().fit([1.0, 2.0]), r"x: expected \(steps, features\) or more axes, got shape \(2,\)"),
        (lambda: data.Scaler().fit([[1.0, np.nan]]), r"x: expected finite numbers"),
        (lambda: data.Scaler().transform([[1.0]]), r"expected fit to have been called"),
        (lambda: data.Scaler().fit([[1.0]]).transform([[1, 2]]), r"x: expected 1 features on the last axis, got .*2"),
        (lambda: data.Scaler().fit([[1.0]]).partial_fit([[1, 2]]), r"x: expected 1 features, got 2"),
        (lambda: data.BatchesByLength([]), r"sequences: expected at least one, got none"),
        (lambda: data.BatchesByLength([[1], []]), r"sequences: expected at least one step in each, got none at 1"),
        (lambda: data.BatchesByLength([[1]], [1, 2]), r"y: expected 1, one for each sequence, got 2"),
        (lambda: data.BatchesByLength([[1]]).restore([1]), r"shuffle: expected False to restore the order"),
        (lambda: data.BatchesByLength([[1]], shuffle=False).restore([1, 2]), r"rows: expected 1, .* got 2"),
        (lambda: data.BatchesByLength([[1]], batch_size=0), r"batch_size: expected a number >= 1, got 0"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
