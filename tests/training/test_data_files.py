"""fastrnn.data: tables, files, text, and data larger than memory."""

import json
import subprocess
import sys

import numpy as np
import pytest

import fastrnn
from fastrnn import data


def frames():
    """The same table as a dict, and as frames where the packages are there."""
    table = {"id": np.array(["b", "a", "b", "a", "b"]), "t": np.array([2, 1, 1, 2, 3]), "x": np.arange(5.0)}
    table["label"] = np.array([1, 0, 1, 0, 1])
    yield table
    for package in ("pandas", "polars"):
        try:
            yield __import__(package).DataFrame(table)
        except ImportError:
            continue


def test_columns_and_sequences_of_tables():
    for table in frames():
        assert data.columns(table, "x").tolist() == [0, 1, 2, 3, 4]
        assert data.columns(table, ["x", "t"]).tolist() == [[0, 2], [1, 1], [2, 1], [3, 2], [4, 3]]
        assert data.columns(table, "x").dtype == np.float32
        sequences, labels, names = data.group_sequences(table, "id", ["x", "t"], "label", "t")
        assert names.tolist() == ["a", "b"]
        assert labels.tolist() == [0, 1]
        assert [s.tolist() for s in sequences] == [[[1, 1], [3, 2]], [[2, 1], [0, 2], [4, 3]]]
        as_they_stand, none, _ = data.group_sequences(table, "id", ["x"])
        assert none is None
        assert as_they_stand[1][:, 0].tolist() == [0, 2, 4]
        with pytest.raises(ValueError, match=r"names: expected one of the columns id, t, x, label, got 'tt'"):
            data.columns(table, "tt")
        with pytest.raises(ValueError, match=r"names: expected a column of numbers, got 'id'"):
            data.columns(table, "id")
        with pytest.raises(ValueError, match=r"target: expected one label in all rows of id 'a', got 1.0, 3.0"):
            data.group_sequences(table, "id", ["x"], "x")


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_fit_takes_frames(package):
    frame = pytest.importorskip(package).DataFrame({"a": np.arange(20.0), "b": np.ones(20), "y": np.arange(20) % 2})
    model = fastrnn.Sequential([fastrnn.Dense(1)])
    model.compile("sgd", "mse")
    x = frame[["a", "b"]]
    model.fit(x, frame["y"], verbose=0, validation_split=0.2)
    assert model.predict(x).shape == (20, 1)


def test_csv(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\ufefftime,price,note\n1,2.5,a\n2,,b\n\n3,1e3,c\n", encoding="utf-8")
    table = data.read_csv(path)
    assert list(table) == ["time", "price", "note"]
    assert table["time"].tolist() == [1, 2, 3]
    assert np.isnan(table["price"][1])
    assert table["note"].tolist() == ["a", "b", "c"]
    for text, message in (
        ("", "expected a first line with the names"),
        ("a,a\n1,2\n", "expected different names of columns, got 'a' twice"),
        ("a,b\n1,2\n1\n", "expected 2 fields in line 3, as the first line has between ',', got 1"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            data.read_csv(path)


def test_csv_as_it_is_found(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("Zeit;Wärme °C;n\n01.03.2024;-0,5;1.234\n01.04.2024;NA;1.234,5\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"t\.csv: expected UTF-8, got byte 0xe4; encoding cp1252"):
        data.read_csv(path)
    table = data.read_csv(path, decimal=",", encoding="cp1252")
    assert list(table) == ["Zeit", "Wärme °C", "n"]
    assert table["Zeit"].tolist() == ["01.03.2024", "01.04.2024"]  # no numbers with dots between thousands
    assert table["Wärme °C"][0] == -0.5
    assert np.isnan(table["Wärme °C"][1])
    assert table["n"].tolist() == [1234, 1234.5]
    with pytest.raises(ValueError, match=r"got 'n' with '1\.234,5' in row 1, and 1 such fields of 2; decimal=','"):
        data.columns(data.read_csv(path, encoding="latin-1"), ["n"])
    for mark in ",;|\t":
        path.write_text(mark.join(["a b", '"x,y;z"', "c"]) + "\n" + mark.join("123") + "\n")
        assert list(data.read_csv(path)) == ["a b", "x,y;z", "c"]
    for options, message in (
        ({"delimiter": "tab"}, "delimiter: expected one character, got 'tab'"),
        ({"decimal": ";"}, "decimal: expected one of '.', ',', got ';'"),
        ({"encoding": "utf-9"}, "encoding: expected one that Python knows, such as cp1252, got 'utf-9'"),
    ):
        with pytest.raises(ValueError, match=message):
            data.read_csv(path, **options)


def test_steps_in_the_order_of_dates_that_are_texts():
    for texts in (
        ["01.04.2024", "02.03.2024", "31.03.2024 23:59:59,5"],
        ["2024-04-01T00:00", "2024-03-02 12:00:01", "2024-3-31"],
        ["10:00", "9:30", "9:59:59.9"],
        ["10", "2", "3.5"],
    ):
        table = {"id": np.zeros(3), "x": np.arange(3.0), "t": np.array(texts)}
        assert data.group_sequences(table, "id", ["x"], order="t")[0][0][:, 0].tolist() == [1, 2, 0]
    for text in ("03/01/2024", "31.02.2024", "2024-03-01 noon", "step 2"):
        table["t"] = np.array(["1", text, "2"])
        with pytest.raises(ValueError, match=rf"order: expected numbers, or dates such as .*, got '{text}'"):
            data.group_sequences(table, "id", ["x"], order="t")


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_frames_stay_frames(package):
    frame = pytest.importorskip(package).DataFrame({"a": np.arange(8.0), "b": np.ones(8), "c": list("abcdefgh")})
    for past, future in (data.split_by_time(frame, test_size=0.25), data.train_test_split(frame, test_size=2 / 8)):
        assert type(past) is type(future) is type(frame)
        assert (len(past), len(future), list(future.columns)) == (6, 2, ["a", "b", "c"])
    assert data.split_by_time(frame["a"], test_size=0.25)[1].to_numpy().tolist() == [6, 7]
    numbers = frame[["a", "b"]]
    x, y = data.forecast_windows(numbers, 3, 2, target="a")
    assert (x.shape, y[-1].tolist()) == ((4, 3, 2), [6, 7])
    assert data.Scaler().fit(numbers).transform(numbers).shape == (8, 2)
    dates = {"t": np.array(["2024-03-01", "2024-03-02"], "datetime64[D]"), "x": np.ones(2)}
    with pytest.raises(ValueError, match=r"names: expected a column of numbers, got 't' of dtype datetime64"):
        data.columns(dates, ["t", "x"])


def test_parts_of_files_are_the_file(tmp_path):
    table = np.random.default_rng(0).normal(size=(103, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", table)
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header="x,y,z", comments="")
    for name in ("a.npy", "a.csv"):
        parts = data.FileParts(tmp_path / name, rows=20)
        for _ in range(2):  # a pass is not the last one
            read = list(parts)
            assert [len(part) for part in read] == [20] * 5 + [3]
            np.testing.assert_allclose(np.concatenate(read), table, rtol=1e-6)
    chosen = np.concatenate(list(data.FileParts(tmp_path / "a.csv", ["z", "x"])))
    np.testing.assert_allclose(chosen, table[:, [2, 0]], rtol=1e-6)
    with pytest.raises(ValueError, match=r"names: expected some of the columns x, y, z, got 'w'"):
        list(data.FileParts(tmp_path / "a.csv", ["w"]))
    (tmp_path / "bad.csv").write_text("x\n1\n2\nthree\n")
    with pytest.raises(ValueError, match=r"bad.csv: expected numbers in lines 2 to 4"):
        list(data.FileParts(tmp_path / "bad.csv"))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:-4])
    with pytest.raises(ValueError, match=r"expected 103 rows, got a file that ends"):
        list(data.FileParts(tmp_path / "short.npy"))
    np.save(tmp_path / "line.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"expected an array \(rows, columns\)"):
        list(data.FileParts(tmp_path / "line.npy"))


@pytest.mark.parametrize(("length", "horizon", "stride", "gap"), [(5, 1, 1, 0), (3, 2, 4, 1), (2, 1, 9, 0)])
@pytest.mark.parametrize("rows", [1, 4, 7, 100])
def test_windows_of_parts_are_those_of_the_series(length, horizon, stride, gap, rows):
    series = np.arange(200, dtype=np.float32).reshape(100, 2)
    parts = [series[i : i + rows] for i in range(0, 100, rows)]
    stream = data.WindowStream(parts, length, horizon, stride, gap=gap, target=1, batch_size=3, mix=1)
    x, y = (np.concatenate(arrays) for arrays in zip(*stream, strict=True))
    expected = data.forecast_windows(series, length, horizon, stride, series[:, 1], gap)
    assert np.array_equal(x, expected[0])
    assert np.array_equal(y, expected[1])
    mixed = data.WindowStream(parts, length, horizon, stride, gap=gap, target=1, batch_size=3, mix=4, seed=0)
    batches = list(mixed)
    assert {len(a) for a, _ in batches[:-1]} <= {3}
    rows_of = np.concatenate([a[:, 0, 0] for a, _ in batches])
    assert sorted(rows_of) == expected[0][:, 0, 0].tolist()
    assert len(rows_of) < 9 or rows_of.tolist() != expected[0][:, 0, 0].tolist()


def test_a_stream_begins_anew_each_epoch_and_is_scaled():
    scaler = data.Scaler()
    make = lambda: (np.full((10, 1), 5.0) + np.arange(10)[:, None] for _ in range(3))  # noqa: E731
    for part in make():
        scaler.partial_fit(part)
    stream = data.WindowStream(make, 4, target=0, batch_size=5, seed=0, transform=scaler.transform)
    assert len(list(stream)) == len(list(stream)) == 6
    model = fastrnn.Sequential([fastrnn.GRU(4), fastrnn.Dense(1)])
    model.compile("adam", "mse")
    losses = model.fit(stream, epochs=3, verbose=0).history["loss"]
    assert len(losses) == 3
    with pytest.raises(ValueError, match="parts: expected something that each epoch can go through, got an iterator"):
        data.WindowStream(make(), 4)
    with pytest.raises(ValueError, match=r"parts: expected arrays \(rows, features\), got shape \(3,\)"):
        list(data.WindowStream([np.ones(3)], 2))


MEMORY = """
import resource, sys
import numpy as np
import fastrnn
from fastrnn import data
path = sys.argv[1]
model = fastrnn.Sequential([fastrnn.SimpleRNN(4), fastrnn.Dense(1)])
model.compile("sgd", "mse")
def train(parts):
    model.fit(data.WindowStream(parts, 16, stride=16, target=0, batch_size=256, mix=4), verbose=0)
train(lambda: [np.zeros((20000, 16), np.float32)])  # loads all code
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
train(data.FileParts(path, rows=20000))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_a_file_is_trained_on_in_a_part_of_its_size(tmp_path):
    path = tmp_path / "large.npy"
    file = np.lib.format.open_memmap(path, "w+", np.float32, (1_500_000, 16))  # 96 MB of zeros
    file.flush()
    del file
    done = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40  # MB; the file in memory would take 92


def test_words():
    vocabulary = data.WordVocabulary(["The cat, the dog.", "the end"], size=5)
    assert vocabulary.words == ["the", ",", "."]
    assert len(vocabulary) == 5
    assert vocabulary.encode("The cat, THE").tolist() == [2, 1, 3, 2]
    assert vocabulary.decode([2, 3, 0, 1]) == "the , \N{REPLACEMENT CHARACTER}"
    cased = data.WordVocabulary("It's It's", lower=False)
    assert cased.words == ["It's"]
    with pytest.raises(ValueError, match="size: expected at least 3"):
        data.WordVocabulary("a", size=2)


@pytest.mark.parametrize("vocabulary", [data.CharVocabulary("hello"), data.WordVocabulary("hello hello world")])
def test_a_vocabulary_is_saved_with_the_model(vocabulary, tmp_path):
    model = fastrnn.Sequential([fastrnn.Embedding(len(vocabulary), 3), fastrnn.LSTM(2)])
    model.predict(vocabulary.encode("hello")[np.newaxis])
    model.metadata["vocabulary"] = vocabulary.get_config()
    model.save(tmp_path / "model.npz")
    again = data.vocabulary_from_config(fastrnn.load_model(tmp_path / "model.npz").metadata["vocabulary"])
    assert type(again) is type(vocabulary)
    assert len(again) == len(vocabulary)
    assert np.array_equal(again.encode("hello world"), vocabulary.encode("hello world"))
    assert again.get_config() == json.loads(json.dumps(vocabulary.get_config()))
    with pytest.raises(ValueError, match="class_name: expected one of 'CharVocabulary', 'WordVocabulary', got None"):
        data.vocabulary_from_config({})
