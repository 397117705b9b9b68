"""The progress display: on a terminal, without one, with tqdm and without."""

from __future__ import annotations

import io
import math
import sys

import numpy as np
import pytest

from fastrnn.callbacks import progress
from fastrnn.callbacks.progress import ProgressBar, duration, number
from tests.support.scripted_training import regressor, train


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_progress_is_one_plain_line_per_epoch_without_a_terminal(verbose):
    out = io.StringIO()
    train(ProgressBar(out), [2.0, 1e-7], steps=2, samples=64, verbose=verbose)
    lines = out.getvalue().split("\n")
    assert "\r" not in out.getvalue()
    assert len(lines) == 3
    assert lines[0].startswith("Epoch 1/2 - ")
    assert "samples/s - loss: 2.0000 - val_loss: 2.0000 - ETA 0s" in lines[0]
    assert lines[1].endswith("loss: 1.000e-07 - val_loss: 1.000e-07")


def test_progress_silent():
    out = Terminal()
    train(ProgressBar(out), [2.0], steps=2, verbose=0)
    assert out.getvalue() == ""


def test_progress_writes_to_the_stdout_of_the_moment(capsys):
    bar = ProgressBar()
    train(bar, [2.0], verbose=2)
    assert "Epoch 1/1" in capsys.readouterr().out


def test_progress_bar_on_a_terminal():
    pytest.importorskip("tqdm")
    out = Terminal()
    train(ProgressBar(out), [2.0, 1.0], steps=2, samples=64, verbose=1)
    assert "\r" in out.getvalue()
    assert "0/2" in out.getvalue()
    lines = [part for part in out.getvalue().replace("\r", "\n").split("\n") if "val_loss" in part]
    assert len(lines) == 2


def test_progress_without_tqdm_is_a_plain_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(progress._PlainBar, "INTERVAL", 0)
    monkeypatch.setenv("COLUMNS", "60")
    out = Terminal()
    train(ProgressBar(out), [2.0, 1.0], steps=2, samples=64, verbose=1)
    drawn = [line for part in out.getvalue().split("\r") for line in part.split("\n")]
    assert "Epoch 1/2 [>                   ] 0/2" in drawn
    assert any(line.startswith("Epoch 1/2 [==========>         ] 1/2 - 0s left - ") for line in drawn)
    assert all(len(line.rstrip()) < 60 for line in drawn if "[" in line)
    screen = [line.split("\r")[-1] for line in out.getvalue().split("\n")]
    assert [line.split(" - ")[0] for line in screen] == ["Epoch 1/2", "Epoch 2/2", ""]


def test_plain_bar_of_unknown_length_and_a_shorter_line(monkeypatch):
    monkeypatch.setattr(progress._PlainBar, "INTERVAL", 0)
    out = Terminal()
    bar = progress._PlainBar("Predict", None, out)
    bar.advance("loss: 0.123456")
    bar.advance("")
    bar.close()
    lines = out.getvalue().split("\r")
    assert [line.rstrip() for line in lines] == ["", "Predict 0", "Predict 1 - loss: 0.123456", "Predict 2", "", ""]
    assert len(lines[3]) == len(lines[2])  # what was longer is written over


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_progress_bar_is_put_away_when_training_breaks_off(with_tqdm, monkeypatch):
    if with_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    out = Terminal()
    bar = ProgressBar(out)
    bar.set_params({"epochs": 1, "steps": 4, "verbose": 1})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    bar.on_train_batch_end(0, {"loss": 1.0})
    bar.on_train_end()
    assert out.getvalue().split("\r")[-1].strip() == ""
    assert out.getvalue().count("\n") == 0


@pytest.mark.parametrize("verbose", [1, 2])
def test_evaluate_and_predict_show_progress_when_asked(verbose, capsys):
    model, x, y = regressor()
    model.evaluate(x, y), model.predict(x, batch_size=4)
    assert capsys.readouterr().out == ""
    loss = model.evaluate(x, y, batch_size=4, verbose=verbose)
    line = capsys.readouterr().out
    assert line.startswith("Evaluate - ")
    assert line.endswith(f"samples/s - loss: {loss:.4f}\n")
    for data in (x, iter([x[:5], x[5:]])):
        model.predict(data, verbose=verbose)
        assert capsys.readouterr().out.startswith("Predict - ")


def test_evaluate_and_predict_draw_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model, x, y = regressor()
    for call, first in (
        (lambda: model.evaluate(x, y, 4, verbose=1), "Evaluate"),
        (lambda: model.predict(x, 4, 1), "Pr"),
    ):
        out = Terminal()
        monkeypatch.setattr(sys, "stdout", out)
        call()
        assert out.getvalue().startswith(f"\r{first}")
        assert "] 0/3" in out.getvalue()


@pytest.mark.parametrize("verbose", ["loud", 3, None])
def test_verbose_is_checked(verbose):
    model, x, y = regressor()
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="verbose: expected one of 'auto', '0', '1', '2', got "):
            call(x, y, verbose=verbose)


def test_formats():
    assert [duration(s) for s in (0.4, 8, 125, 3725)] == ["0s", "8s", "2:05", "1:02:05"]
    assert [number(v) for v in (0.5, 1e-5, 0, math.nan, 2e7, np.float32(1), "x")] == [
        "0.5000", "1.000e-05", "0.0000", "nan", "2.000e+07", "1.0000", "x",
    ]  # fmt: skip
