"""`fastrnn train` and `predict` on tables and texts as they are found, and what they say of what they cannot read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from fastrnn import load_model
from fastrnn.cli import command_line

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastrnn.cli._report._draw", lambda result, folder: ["none.png"])  # which takes a second


def run(capsys, *words):
    """Exit status, output, errors."""
    try:
        status = command_line.main([str(word) for word in words])
    except SystemExit as end:  # of argparse
        status = end.code
    return (status, *capsys.readouterr())


def train(capsys, *words):
    """Train an epoch quietly; return what was printed."""
    status, out, err = run(capsys, "train", *words, "--quiet", "--units", "3", "--epochs", "1", "--force")
    assert status == 0, err
    return out


def refused(capsys, *words):
    """What is said on the one line of an error."""
    status, _, err = run(capsys, *words)
    assert status == 2
    assert err.count("\n") == 1
    return err


def gestures(sequences=20):
    """Head and rows: ids, dates as texts, two features, a label."""
    rows = [
        [
            f"P {r:02d}",
            f"{1 + t:02d}.{3 + r % 2:02d}.2024",
            RNG.normal(),
            r % 2 + RNG.normal() / 9,
            ("ruhe", "winken")[r % 2],
        ]
        for r in range(sequences)
        for t in range(5 + r % 3)
    ]
    return ["Proben ID", "Zeit", "X", "Wärme °C", "Geste"], rows


def write(path, head, rows, *, delimiter=",", decimal=".", encoding="utf-8"):
    with open(path, "w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(head)
        writer.writerows([f"{v:.3f}".replace(".", decimal) if isinstance(v, float) else v for v in row] for row in rows)


BASE = ["--sequence", "Proben ID", "--target", "Geste"]


def test_a_file_of_a_german_spreadsheet(capsys):
    head, rows = gestures()
    rows[7][2] = None
    write("g.csv", head, rows, delimiter=";", decimal=",", encoding="cp1252")
    assert "g.csv: expected UTF-8, got byte 0xe4; encoding cp1252" in refused(capsys, "train", "g.csv", *BASE)
    words = ["g.csv", *BASE, "--encoding", "cp1252"]
    assert "--decimal , reads such numbers" in refused(capsys, "train", *words)
    named = refused(capsys, "train", *words, "--features", "X,Wärme °C")
    assert "features: expected a column of numbers, got 'X' with '" in named
    assert "--decimal , reads such numbers" in named
    words += ["--decimal", ","]
    gap = refused(capsys, "train", *words)
    assert "Proben ID P 01: expected a number in every field of X, got a missing one in step 3 (1 of 12)" in gap
    assert "--missing previous repeats the number before it" in gap
    out = train(capsys, *words, "--missing", "previous")
    assert "2 features (X, Wärme °C), 2 classes" in out
    assert "Not read: Zeit." in out
    out = run(capsys, "inspect", "model.npz")[1]
    assert "Classification: reads X, Wärme °C, steps of each 'Proben ID'; says 'Geste' (ruhe, winken)." in out
    assert "fastrnn convert --without-masking writes the model without it." in out
    _, out, _ = run(capsys, "predict", "model.npz", "g.csv")  # as in training
    assert len(out.splitlines()) == 21
    head = Path("model-report/predictions.csv").read_text().splitlines()
    assert head[0] == "Proben ID,target,predicted,probability"
    assert head[1].startswith("P ")
    for path, delimiter in (("g.tsv", "\t"), ("tabs.csv", "\t"), ("bars.csv", "|")):
        write(path, *gestures(), delimiter=delimiter)
        assert "2 classes" in train(capsys, path, *BASE)


def test_steps_are_sorted_by_their_dates(capsys):
    head, rows = gestures()
    write("sorted.csv", head, rows)
    write("mixed.csv", head, [rows[k] for k in RNG.permutation(len(rows))])
    assert "--order" not in train(capsys, "sorted.csv", *BASE)
    expected = [w.tobytes() for w in load_model("model.npz").get_weights()]
    hint = "The rows are not in the order of 'Zeit'; --order 'Zeit' sorts them."
    assert hint in train(capsys, "mixed.csv", *BASE)
    assert hint not in train(capsys, "mixed.csv", *BASE, "--order", "Zeit")
    assert [w.tobytes() for w in load_model("model.npz").get_weights()] == expected
    predictions = [run(capsys, "predict", "model.npz", path)[1] for path in ("sorted.csv", "mixed.csv")]
    assert predictions[0] == predictions[1]
    assert "order: expected a column of mixed.csv" in refused(
        capsys, "train", "mixed.csv", *BASE, "--order", "zeit", "--force"
    )
    series = [[f"2024-{1 + k // 28:02d}-{1 + k % 28:02d}", float(k)] for k in range(200)]
    write("s.csv", ["date", "v"], series[::-1])
    words = ["s.csv", "--target", "v", "--window", "4"]
    assert "--order 'date' sorts them" in train(capsys, *words)
    train(capsys, *words, "--order", "date")
    rows = list(csv.reader(io.StringIO(Path("model-report/predictions.csv").read_text())))
    assert rows[0] == ["row", "target", "predicted"]
    assert rows[1][:2] == ["165", "164"]  # the fifth of the last fifth


def test_nothing_is_left_out_in_silence(capsys):
    head, rows = gestures()
    rows[20][3] = "defekt"
    write("word.csv", head, rows)
    message = refused(capsys, "train", "word.csv", *BASE)
    assert (
        "Wärme °C: expected numbers in all rows, or in few, got a column with 'defekt' in row 21, and 1 such" in message
    )
    assert "1 features (X)" in train(capsys, "word.csv", *BASE, "--features", "X")
    head, rows = gestures()
    for row in rows:
        row[4] = "" if row[0] == "P 03" else row[4]
    write("label.csv", head, rows)
    message = refused(capsys, "train", "label.csv", *BASE, "--force")
    assert "Geste: expected a target for every sequence, got 1 empty ones, the first of Proben ID P 03" in message
    numbers = [[*row[:4], float("nan") if row[0] == "P 03" else 1.5] for row in rows]
    write("number.csv", head, numbers)
    assert "got 1 empty ones, the first of Proben ID P 03" in refused(capsys, "train", "number.csv", *BASE, "--force")
    rows[0][3] = "inf"
    write("inf.csv", head, [row for row in rows if row[4]])
    assert "of Wärme °C, got inf in step" in refused(capsys, "train", "inf.csv", *BASE, "--force")
    head, rows = gestures()
    for row in rows:
        row[2] = None if row[0] == "P 03" else row[2]
    write("all.csv", head, rows)
    message = refused(capsys, "train", "all.csv", *BASE, "--force", "--missing", "previous")
    assert "Proben ID P 03: expected a number in X, got none in all 5 steps" in message


def test_rows_that_look_like_steps_and_models_that_learned_nothing_are_told(capsys):
    write("g.csv", *gestures())
    out = train(capsys, "g.csv", "--target", "Geste")
    assert "--sequence 'Proben ID' would read them as its steps." in out
    np.savez("n.npz", x=np.zeros((40, 3, 1)), y=np.arange(40) % 2)
    assert "The model is no better than that guess." in train(capsys, "n.npz")


def test_files_that_are_none(capsys):
    write("g.csv", *gestures())
    train(capsys, "g.csv", *BASE)
    Path("folder").mkdir()
    np.savez("objects.npz", x=np.array([np.ones(2), np.ones(3)], dtype=object), y=[0, 1])
    Path("latin.txt").write_bytes("Straße ".encode("latin-1") * 200)
    for words, message in (
        (["none.csv", *BASE], "none.csv: No such file or directory"),  # and not that the model is there already
        (["folder", "--force"], "folder: expected a file, got a folder"),
        (["model.npz", "--out", "b.npz"], "model.npz: expected arrays, got a model; fastrnn predict uses it"),
        (
            ["objects.npz", "--force"],
            "got Python objects; ragged sequences are padded to (N, T, I), with their lengths",
        ),
        (["latin.txt", "--force"], "latin.txt: expected UTF-8, got byte 0xdf; encoding cp1252"),
        (
            ["g.csv", *BASE, "--task", "regression", "--force"],
            "expected one number for each sequence, got words, as 'ruhe'",
        ),
    ):
        assert message in refused(capsys, "train", *words)
    assert "MODEL: expected a name ending in .npz" in refused(capsys, "predict", "g.csv", "model.npz")


def test_words_that_are_no_options_are_told_in_one_line(capsys):
    for words, message in (
        (["train", "g.csv", "--windw", "3"], "fastrnn train: error: unknown option --windw; did you mean '--window'?"),
        (["train", "g.csv", "--task", "forecast"], "(choose from 'class"),
        (["train", "g.csv", "--task", "forecast"], "; did you mean 'forecasting'?; fastrnn train --help tells more"),
        (["train", "g.csv", "--validation", "0"], "argument --validation: expected a share between 0 and 1, got 0"),
        (["inspect", "a.npz", "b.npz"], "fastrnn inspect: error: unexpected argument 'b.npz'"),
        (["trian"], "did you mean 'train'?"),
        (["--nothing"], "fastrnn: error: unknown option --nothing"),
    ):
        assert message.replace("'", "") in refused(capsys, *words).replace("'", "")  # Python 3.12 quotes no choices


def test_the_same_bits_are_a_tolerance(capsys):
    write("g.csv", *gestures())
    train(capsys, "g.csv", *BASE)
    train(capsys, "g.csv", *BASE, "--seed", "1", "--out", "other.npz")
    assert run(capsys, "verify", "model.npz", "model.npz", "--tolerance", "0")[0] == 0
    assert run(capsys, "verify", "model.npz", "other.npz", "--tolerance", "0.0")[0] == 1
    assert "expected a number > 0, got -1" in refused(capsys, "verify", "a", "b", "--tolerance", "-1")


def test_seconds_that_end_within_the_first_epoch(capsys):
    Path("t.txt").write_text("the cat sat on the mat. " * 200)
    out = train(capsys, "t.txt", "--seconds", "1e-6", "--batch-size", "4")
    assert "Trained 1 epochs" in out
    assert Path("model-report/history.csv").read_text().startswith("epoch,loss,accuracy,val_loss,val_accuracy\n1,")


def test_words(capsys):
    Path("t.txt").write_text("Der Hund sah, dass die Katze schlief. " * 90)
    status, _, err = run(
        capsys, "train", "t.txt", "--words", "--epochs", "30", "--learning-rate", "0.03", "--units", "12", "--quiet"
    )
    assert status == 0, err
    _, out, err = run(capsys, "predict", "model.npz", "--prompt", "Der Hund", "--length", "8", "--temperature", "0.1")
    assert (out, err) == ("Der Hund sah, dass die Katze schlief. Der\n", "")
    assert "bits per word" in Path("model-report/report.md").read_text()
    _, out, err = run(capsys, "predict", "model.npz", "--prompt", "Der Bär", "--length", "2")
    assert err == "The model has not met 'Bär', and goes on as from anything.\n"
    assert "prompt: expected at least one word, got ' '" in refused(capsys, "predict", "model.npz", "--prompt", " ")
