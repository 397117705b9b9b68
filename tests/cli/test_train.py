"""`fastrnn train` and `predict`: tables, arrays, series and texts, each from the file to the prediction."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fastrnn import load_model
from fastrnn.cli import command_line

GESTURES = ("wave", "push", "turn")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *words):
    """Exit status, output, errors."""
    status = command_line.main([str(word) for word in words])
    return (status, *capsys.readouterr())


def train(capsys, *words):
    """Train quietly; return what was printed."""
    status, out, err = run(capsys, "train", *words, "--quiet", "--units", "12")
    assert status == 0, err
    return out


def read(text):
    return list(csv.reader(text.splitlines()))


def write_gestures(path, sequences=60, delimiter=","):
    """Sines of three frequencies, of different lengths."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["rec", "note", "ax", "ay", "gesture"])
        for r in range(sequences):
            for t in range(int(RNG.integers(8, 14))):
                a = t * (r % 3 + 1) / 3
                writer.writerow([f"r{r:02d}", "ok", np.sin(a) + RNG.normal() * 0.05, np.cos(a), GESTURES[r % 3]])


def test_classification_of_a_table(capsys):
    write_gestures("g.csv")
    out = train(
        capsys, "g.csv", "--sequence", "rec", "--target", "gesture", "--epochs", "60", "--learning-rate", "0.02"
    )
    assert "Task: classification, as the target has words" in out
    assert "48 sequences to train on and 12 to judge on, 8 to 13 steps of 2 features (ax, ay), 3 classes." in out
    assert "Saved model.npz, and a report in model-report" in out
    right = float(out.split("Judged: ")[1].split("%")[0])
    assert right > 80
    status, out, _ = run(capsys, "predict", "model.npz", "g.csv")
    rows = read(out)
    assert (status, rows[0], len(rows)) == (0, ["rec", "gesture", "probability"], 61)
    expected = {f"r{r:02d}": GESTURES[r % 3] for r in range(60)}
    assert np.mean([row[1] == expected[row[0]] for row in rows[1:]]) > 0.8
    page = Path("model-report/report.md").read_text()
    assert "| is, and was taken for | push | turn | wave |" in page
    history = read(Path("model-report/history.csv").read_text())
    assert set(history[0]) >= {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert [row[0] for row in history[1:3]] == ["1", "2"]
    predictions = read(Path("model-report/predictions.csv").read_text())
    assert (predictions[0], len(predictions)) == (["rec", "target", "predicted", "probability"], 13)


def test_the_same_seed_gives_the_same_model(capsys):
    write_gestures("g.tsv", 15, "\t")
    words = ["g.tsv", "--sequence", "rec", "--target", "gesture", "--epochs", "2", "--cell", "gru", "--layers", "2"]
    for name, seed in (("a.npz", 1), ("b.npz", 1), ("c.npz", 2)):
        train(capsys, *words, "--out", name, "--seed", seed, "--bidirectional", "--dropout", "0.1")
    a, b, c = ([w.tobytes() for w in load_model(name).get_weights()] for name in ("a.npz", "b.npz", "c.npz"))
    assert a == b != c


def test_regression_of_rows(capsys):
    x = RNG.standard_normal((200, 5))
    with open("r.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"day{k}" for k in range(5)), "next"])
        writer.writerows([*row, 100 + 10 * row.sum()] for row in x)
    words = ["r.csv", "--target", "next", "--task", "regression", "--epochs", "60", "--learning-rate", "0.02"]
    out = train(capsys, *words, "--cell", "rnn")
    error, base = (float(part.split()[0].rstrip(").")) for part in (out.split("error ")[1], out.split("the mean: ")[1]))
    assert error < base / 2
    rows = read(run(capsys, "predict", "model.npz", "r.csv", "--out", "p.csv")[1] or Path("p.csv").read_text())
    assert rows[0] == ["row", "next"]
    guess = np.array([float(row[1]) for row in rows[1:]])
    assert np.corrcoef(guess, x.sum(axis=1))[0, 1] > 0.9


def test_forecasting(capsys):
    t = np.arange(600)
    with open("w.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "temp"])
        writer.writerows([f"day {k}", 15 + 8 * np.sin(k * 2 * np.pi / 24)] for k in t)
    words = [
        "w.csv",
        "--target",
        "temp",
        "--window",
        "24",
        "--horizon",
        "3",
        "--epochs",
        "25",
        "--learning-rate",
        "0.01",
    ]
    out = train(capsys, *words)
    assert "480 steps to train on and the last 120 to judge on, 1 features (temp)" in out
    rows = read(run(capsys, "predict", "model.npz", "w.csv")[1])
    assert rows[0] == ["step", "temp"]
    expected = 15 + 8 * np.sin(np.arange(600, 603) * 2 * np.pi / 24)
    assert np.abs(np.array([float(row[1]) for row in rows[1:]]) - expected).max() < 3
    np.savez("w.npz", x=t[:20].astype(float))
    status, _, err = run(capsys, "predict", "model.npz", "w.npz")
    assert (status, err) == (2, "fastrnn predict: error: w.npz: expected an array 'temp', got x\n")


def test_arrays(capsys):
    y = RNG.integers(0, 2, 60)
    x = RNG.standard_normal((60, 7, 2)) + 2 * y[:, None, None]
    np.savez("d.npz", x=x, y=y, lengths=RNG.integers(3, 8, 60))
    out = train(capsys, "d.npz", "--epochs", "10", "--learning-rate", "0.02")
    assert "Task: classification, as the target has integers" in out
    assert "3 to 7 steps of 2 features, 2 classes" in out
    rows = read(run(capsys, "predict", "model.npz", "d.npz")[1])
    assert np.mean([int(row[1]) for row in rows[1:]] == y) > 0.8
    np.savez("s.npz", x=np.sin(np.arange(300) / 4))
    assert "forecast" in train(capsys, "s.npz", "--window", "16", "--epochs", "1", "--out", "s-model.npz")


def test_text(capsys):
    with open("t.txt", "w") as file:
        file.write("the cat sat on the mat. " * 200)
    out = train(capsys, "t.txt", "--epochs", "40", "--learning-rate", "0.02", "--seconds", "60")
    assert "Task: text, as the file is a text" in out
    assert float(out.split("Judged: ")[1].split()[0]) < 2
    _, out, _ = run(capsys, "predict", "model.npz", "--prompt", "the c", "--length", "20")
    assert out.startswith("the c")
    assert len(out) == 26
    assert run(capsys, "predict", "model.npz", "--prompt", "the c", "--length", "20", "--out", "o.txt")[0] == 0
    assert Path("o.txt").read_text() == out
    assert run(capsys, "predict", "model.npz", "t.txt")[2].startswith("fastrnn predict: error: DATA: expected none")


def test_what_cannot_be_used(capsys):
    write_gestures("g.csv", 9)
    with open("empty.csv", "w") as file:
        file.write("a,b\n1,2\n3,\n" + "5,6\n" * 60)
    with open("full.csv", "w") as file:
        file.write("a,b\n" + "5,6\n" * 60)
    with open("short.txt", "w") as file:
        file.write("too short")
    np.savez("other.npz", a=np.ones(3))
    Path("model.xyz").touch()
    base = ["g.csv", "--sequence", "rec", "--target", "gesture"]
    for words, message in (
        (
            ["g.csv", "--sequence", "rec"],
            "target: expected the name of a column of rec, note, ax, ay, gesture, got",
        ),
        (
            [*base[:3], "--target", "gestur"],
            "target: expected a column of g.csv (rec, note, ax, ay, gesture), got 'gestur'; did",
        ),
        ([*base, "--features", "ax,az"], "features: expected a column of g.csv"),
        ([*base, "--features", "note"], "features: expected a column of numbers, got 'note' with 'ok' in row 1, and"),
        ([*base, "--out", "model.txt"], "--out: expected a name ending in .npz or .safetensors, got 'model.txt'"),
        (["none.csv", "--target", "a"], "none.csv: No such file or directory"),
        (
            ["empty.csv", "--target", "a", "--window", "4"],
            "empty.csv: expected a number in every field of b, got a missing one in step 2 (1 of 186); --missing",
        ),
        (
            ["empty.csv", "--target", "b", "--task", "regression"],
            "b: expected a target for every sequence, got 1 empty ones, the first of row 2",
        ),
        (["short.txt"], "short.txt: expected at least 650 characters, got 9"),
        (["other.npz"], "other.npz: expected an array 'y', got a"),
        (["model.xyz"], "model.xyz: expected a name ending in .csv, .tsv, .npz, .txt, .text or .md"),
        (["g.csv", "--task", "text"], "g.csv: expected a text for this task, got a table or arrays"),
        (["full.csv", "--target", "a", "--window", "50"], "window: expected window and horizon of at most 12 steps"),
    ):
        status, _, err = run(capsys, "train", *words, "--epochs", "1", "--quiet")
        assert status == 2
        assert message in err
        assert err.count("\n") == 1
    train(capsys, *base, "--epochs", "1")
    status, _, err = run(capsys, "train", *base)
    assert (status, "model.npz: it is there already; --force replaces it" in err) == (2, True)
    status, _, err = run(capsys, "predict", "model.npz", "empty.csv")
    assert (status, "expected a column of empty.csv (a, b), got 'ax'" in err) == (2, True)
    status, _, err = run(capsys, "predict", "other.npz", "g.csv")
    assert status == 2
    status, _, err = run(capsys, "predict", "model.npz")
    assert (status, err) == (2, "fastrnn predict: error: DATA: expected a file, got none\n")


def test_pictures(capsys):
    pytest.importorskip("matplotlib")
    import os

    write_gestures("g.csv", 12)
    train(capsys, "g.csv", "--sequence", "rec", "--target", "gesture", "--epochs", "2")
    assert {"curves.png", "confusion.png"} <= set(os.listdir("model-report"))
    np.savez("s.npz", x=np.sin(np.arange(200) / 4))
    train(capsys, "s.npz", "--window", "8", "--epochs", "1", "--out", "s-model.npz", "--report", "elsewhere")
    assert {"curves.png", "forecast.png", "report.md"} <= set(os.listdir("elsewhere"))


TEXT = ["t.txt", "--cell", "gru", "--dropout", "0.2", "--batch-size", "4", "--seed", "5"]


def begin_and_kill(words, seconds=300):
    """Start `fastrnn train` in a process of its own, and kill it once it has written a checkpoint, the only one."""
    once = "import sys; from fastrnn.cli import _unfinished, main; _unfinished.SECONDS = 1e9; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", once, "train", *words, "--units", "12", "--quiet"], stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end and not any(Path().glob("*-checkpoints/check*.npz")):
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -9, "it ended before it was killed"


def test_a_killed_run_is_resumed_to_the_same_model(capsys):
    Path("t.txt").write_text("the cat sat on the mat, and the dog sat by the door. " * 120)
    begin_and_kill([*TEXT, "--epochs", "100000", "--patience", "100000"])
    assert not Path("model.npz").exists()
    words = [*TEXT, "--patience", "100000", "--epochs", "2"]  # how long it trains may be changed
    out = train(capsys, *words, "--resume")
    assert re.search(r"Resumed from model-checkpoints/checkpoint-00000\S+, after \d+ batches of epoch 1\.", out)
    status, _, err = run(capsys, "train", *words, "--resume")
    assert (status, "--resume: the run is over, its model is model.npz; another is begun by" in err) == (2, True)
    assert not Path("model-checkpoints").exists()
    train(capsys, *words, "--out", "unbroken.npz", "--report", "elsewhere")
    expected, got = (load_model(name).get_weights() for name in ("unbroken.npz", "model.npz"))
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a, b)
    assert Path("elsewhere/history.csv").read_text() == Path("model-report/history.csv").read_text()


def test_what_is_not_resumed(capsys, monkeypatch):
    write_gestures("g.csv", 9)
    words = ["g.csv", "--sequence", "rec", "--target", "gesture", "--epochs", "2", "--quiet", "--units", "12"]
    status, _, err = run(capsys, "train", *words, "--resume")
    assert (status, err) == (
        2,
        "fastrnn train: error: --resume: expected a run that was not finished in model-checkpoints, got none; "
        "without it one is begun\n",
    )

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fastrnn.Sequential.fit", interrupt)  # before there is a checkpoint
        assert run(capsys, "train", *words)[::2] == (130, "interrupted\n")
    assert not Path("model-checkpoints").exists()
    with monkeypatch.context() as patch:
        patch.setattr("fastrnn.training.trainer.Trainer._evaluate", interrupt)  # in the validation
        status, _, err = run(capsys, "train", *words)
    assert (status, err) == (130, "The same command with --resume goes on.\ninterrupted\n")
    status, _, err = run(capsys, "train", *words)
    assert (status, "--resume goes on with it, --force begins anew" in err) == (2, True)
    for more, message in (
        (["--layers", "2"], "--layers: expected 1 as the run in model-checkpoints was begun with, got 2"),
        (["--batch-size", "8"], "--batch-size: expected 32 as the run in"),
        (["--task", "regression"], "--task: expected None as the run in"),
    ):
        status, _, err = run(capsys, "train", *words, *more, "--resume")
        assert (status, message in err) == (2, True), err
    before = Path("g.csv").read_bytes()
    Path("g.csv").write_bytes(before.replace(b"ok", b"no"))
    status, _, err = run(capsys, "train", *words, "--resume")
    assert (status, "g.csv: expected the contents with which the run in" in err) == (2, True)
    Path("other-name.csv").write_bytes(before)
    train(capsys, "other-name.csv", *words[1:-3], "--resume")
    assert not Path("model-checkpoints").exists()
    assert Path("model.npz").exists()
