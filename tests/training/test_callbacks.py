"""Callbacks and the progress display, driven by a scripted training in place of a model."""

import csv
import io
import logging
import math
import os
import re
import sys

import numpy as np
import pytest

from fastrnn import Dense, Sequential, callbacks, optimizers
from fastrnn.callbacks import progress
from fastrnn.callbacks.progress import ProgressBar, duration, number


class FakeModel:
    """What callbacks see of a model. Its one weight is the number of the epoch it was trained for."""

    def __init__(self, learning_rate=1.0):
        self.stop_training = False
        self.optimizer = optimizers.SGD(learning_rate)
        self.weights = [np.zeros(1)]
        self.saved = []

    def get_weights(self):
        return self.weights  # not a copy, on purpose

    def set_weights(self, weights):
        self.weights = [w.copy() for w in weights]

    def save(self, path):
        self.saved.append(path)

    def save_weights(self, path):
        self.saved.append("weights:" + path)


def train(callback, figures, model=None, name="val_loss", batches=2, **params):
    """Run the hooks of a training whose epochs end with `figures`; return the model and the epochs run."""
    model = model or FakeModel()
    hooks = callbacks.CallbackList(callback, add_history=True, model=model, epochs=len(figures), **params)
    hooks.on_train_begin()
    for epoch, figure in enumerate(figures):
        hooks.on_epoch_begin(epoch)
        for batch in range(batches):
            hooks.on_train_batch_begin(batch)
            hooks.on_train_batch_end(batch, {"loss": figure})
        model.weights[0][...] = epoch
        hooks.on_epoch_end(epoch, {"loss": figure, name: figure})
        if model.stop_training:
            break
    hooks.on_train_end()
    return model, hooks.history


def test_every_hook_reaches_every_callback_in_order():
    seen = []
    hooks = [n for n in dir(callbacks.Callback) if n.startswith("on_")]
    assert len(hooks) == 10

    def recorder(tag):
        return callbacks.LambdaCallback(**{n: lambda *args, n=n: seen.append((tag, n, args)) for n in hooks})

    both = callbacks.CallbackList([recorder("a"), recorder("b")])
    for n in hooks:
        args = ({"loss": 1.0},) if "train_batch" not in n and "epoch" not in n and "test_batch" not in n else (3, {})
        getattr(both, n)(*args)
        assert seen[-2:] == [("a", n, args), ("b", n, args)]


def test_history():
    _, history = train(None, [3.0, 2.0, 1.0])
    assert history.epoch == [0, 1, 2]
    assert history.history == {"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.0, 1.0]}


def test_callback_list_adds_what_is_missing_only():
    mine = callbacks.History()
    both = callbacks.CallbackList([mine, ProgressBar()], add_history=True, add_progbar=True)
    assert both.history is mine
    assert len(both.callbacks) == 2
    with pytest.raises(TypeError, match="callbacks: expected Callback objects, got str at index 1"):
        callbacks.CallbackList([mine, "early"])


# -- early stopping --


@pytest.mark.parametrize(
    ("settings", "figures", "epochs"),
    [
        ({}, [3, 2, 2.5, 1], 3),
        ({"patience": 2}, [3, 2, 2.5, 2.1, 1], 4),
        ({"patience": 2}, [3, 2, 2.5, 1.9, 2.5, 1], 6),
        ({"min_delta": 0.5, "patience": 1}, [3, 2.8, 2.6, 2.4], 2),
        ({"mode": "max"}, [1, 2, 1.5, 3], 3),
        ({"monitor": "val_accuracy"}, [0.1, 0.2, 0.15, 0.9], 3),
        ({"baseline": 1.0, "patience": 2}, [3, 2.5, 2.0, 1.5, 1.2], 5),
        ({"baseline": 1.0, "patience": 2}, [3, 2.5, 2.6, 0.5], 3),
        ({"start_from_epoch": 2}, [1, 5, 4, 3, 3.5, 0], 5),
        ({"patience": 1}, [math.nan, math.nan, 1], 2),
    ],
)
def test_early_stopping_epochs(settings, figures, epochs):
    name = settings.get("monitor", "val_loss")
    _, history = train(callbacks.EarlyStopping(**settings), figures, name=name)
    assert len(history.epoch) == epochs


def test_early_stopping_restores_the_best_weights():
    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    model, _ = train(stop, [3, 1, 2, 2, 0])
    assert model.stop_training
    assert model.weights[0][0] == 1
    assert (stop.best, stop.best_epoch, stop.stopped_epoch) == (1.0, 1, 3)
    model, _ = train(callbacks.EarlyStopping(patience=2), [3, 1, 2, 2, 0])
    assert model.weights[0][0] == 3


def test_early_stopping_restores_without_stopping_and_forgets_between_trainings():
    stop = callbacks.EarlyStopping(patience=9, restore_best_weights=True)
    model, _ = train(stop, [3, 1, 2])
    assert not model.stop_training
    assert model.weights[0][0] == 1
    model, _ = train(stop, [8, 9])
    assert model.weights[0][0] == 0


def test_early_stopping_says_so(capsys):
    train(callbacks.EarlyStopping(verbose=1, restore_best_weights=True), [1, 2])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 2: early stopping",
        "Restoring the weights of epoch 1, the best.",
    ]


def test_missing_figure_warns_with_the_names_there_are():
    with pytest.warns(UserWarning, match="EarlyStopping: 'val_f' is not among the logged names: loss, val_loss"):
        train(callbacks.EarlyStopping("val_f"), [1])


# -- checkpoint --


def test_checkpoint_every_epoch_with_fields(tmp_path):
    path = tmp_path / "new" / "m-{epoch:02d}-{val_loss:.1f}.npz"
    model, _ = train(callbacks.ModelCheckpoint(path), [3.0, 2.0])
    assert model.saved == [str(tmp_path / "new" / n) for n in ("m-01-3.0.npz", "m-02-2.0.npz")]
    assert (tmp_path / "new").is_dir()


def test_checkpoint_best_only_threshold_and_weights(tmp_path):
    path = str(tmp_path / "{epoch}.npz")
    model, _ = train(callbacks.ModelCheckpoint(path, save_best_only=True), [3, 2, 2, 4, 1])
    assert [p[-5] for p in model.saved] == ["1", "2", "5"]
    checkpoint = callbacks.ModelCheckpoint(
        path, save_best_only=True, initial_value_threshold=1.5, save_weights_only=True
    )
    model, _ = train(checkpoint, [3, 2, 1])
    assert model.saved == ["weights:" + str(tmp_path / "3.npz")]
    assert checkpoint.best == 1.0
    model, _ = train(callbacks.ModelCheckpoint(path, "acc", save_best_only=True), [0.1, 0.3, 0.2], name="acc")
    assert [p[-5] for p in model.saved] == ["1", "2"]


def test_checkpoint_by_batches(tmp_path):
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}.npz", save_freq=3)
    model, _ = train(checkpoint, [1, 1, 1], batches=2)
    assert [os.path.basename(p) for p in model.saved] == ["2-1.npz", "3-2.npz"]


def test_checkpoint_errors(tmp_path):
    with pytest.raises(ValueError, match=r"filepath: expected fields among epoch, loss, val_loss, got 'acc'"):
        train(callbacks.ModelCheckpoint(tmp_path / "{acc}.npz"), [1])
    with pytest.raises(
        ValueError, match=r"filepath: expected fields among epoch, loss, val_loss, got one without a name"
    ):
        train(callbacks.ModelCheckpoint(tmp_path / "{}.npz"), [1])
    with pytest.raises(ValueError, match=r"save_freq: expected one of 'epoch', .* got 0"):
        callbacks.ModelCheckpoint("x.npz", save_freq=0)
    with pytest.raises(ValueError, match="mode: expected one of 'auto', 'min', 'max', got 'low'"):
        callbacks.ModelCheckpoint("x.npz", mode="low")


@pytest.mark.parametrize("name", ["m.keras", "m", "m-{val_loss:.3f}", "{epoch}.h5", "m.weights"])
def test_checkpoint_refuses_another_suffix_when_it_is_made(name):
    with pytest.raises(ValueError, match=r"filepath: expected a name ending in \.npz or \.safetensors, got"):
        callbacks.ModelCheckpoint(name)


def test_checkpoint_refuses_an_open_brace_when_it_is_made():
    with pytest.raises(ValueError, match=r"filepath: expected a name with fields in braces, got 'm-\{epoch.npz'"):
        callbacks.ModelCheckpoint("m-{epoch.npz")


@pytest.mark.parametrize("name", ["m.npz", "m-{epoch}.npz", "{epoch}/m.npz", "more/{epoch}.npz"])
def test_checkpoint_finds_out_before_training_that_it_cannot_write(tmp_path, name):
    (tmp_path / "file").write_text("no folder")
    model, seen = FakeModel(), []
    recorder = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    with pytest.raises(OSError, match="file"):
        train([callbacks.ModelCheckpoint(tmp_path / "file" / name), recorder], [1], model=model)
    assert seen == model.saved == []


def test_checkpoint_leaves_nothing_of_its_trial(tmp_path):
    train(callbacks.ModelCheckpoint(tmp_path / "{{a}}" / "{epoch}" / "m.npz", save_best_only=True), [])
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["{a}"]
    (tmp_path / "m.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        train(callbacks.ModelCheckpoint(tmp_path / "m.npz"), [1])


# -- CSV --


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_csv(tmp_path):
    path = tmp_path / "log.csv"
    train(callbacks.CSVLogger(path), [2.0, 1.5])
    assert rows(path) == [["epoch", "loss", "val_loss"], ["0", "2.0", "2.0"], ["1", "1.5", "1.5"]]
    train(callbacks.CSVLogger(path), [9.0])
    assert len(rows(path)) == 2


def test_csv_appends_to_the_columns_there_are_and_drops_a_torn_line(tmp_path):
    path = tmp_path / "log.csv"
    train(callbacks.CSVLogger(path, append=True), [2.0])
    with open(path, "a") as file:
        file.write("1,1.9")
    train(callbacks.CSVLogger(path, append=True), [1.0], name="other")
    assert rows(path) == [["epoch", "loss", "val_loss"], ["0", "2.0", "2.0"], ["0", "1.0", "NA"]]


def test_csv_row_is_on_disk_before_training_ends(tmp_path):
    path = tmp_path / "log.csv"
    logger = callbacks.CSVLogger(path, separator=";")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 1.0})
    assert path.read_text() == "epoch;loss\n0;1.0\n"
    logger.on_train_end()
    with pytest.raises(RuntimeError, match="outside of training"):
        logger.on_epoch_end(1, {})


# -- learning rate --


@pytest.mark.parametrize("schedule", [lambda epoch: 0.5**epoch, lambda epoch, rate: rate if epoch == 0 else rate / 2])
def test_learning_rate_scheduler(schedule):
    model, history = train(callbacks.LearningRateScheduler(schedule), [1, 1, 1])
    assert history.history["learning_rate"] == [1.0, 0.5, 0.25]
    assert model.optimizer.learning_rate == 0.25


def test_learning_rate_scheduler_error():
    with pytest.raises(TypeError, match=r"schedule: expected it to return a float, got NoneType"):
        train(callbacks.LearningRateScheduler(lambda epoch: None), [1])


@pytest.mark.parametrize(
    ("settings", "figures", "rates"),
    [
        ({"patience": 1}, [3, 3, 2, 2, 2], [1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 2}, [3, 3, 3, 3, 3], [1, 1, 1, 0.5, 0.5]),
        ({"patience": 1, "cooldown": 2}, [3, 3, 3, 3, 3], [1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 1, "min_lr": 0.4}, [3, 3, 3, 3, 3], [1, 1, 0.5, 0.4, 0.4]),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.8, 2.6, 2.6], [1, 1, 0.5, 0.25]),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 3, 4], [1, 1, 1, 1, 0.5]),
    ],
)
def test_reduce_lr_on_plateau(settings, figures, rates):
    _, history = train(callbacks.ReduceLROnPlateau(factor=0.5, **settings), figures)
    assert history.history["learning_rate"] == pytest.approx(rates)


def test_reduce_lr_errors():
    with pytest.raises(ValueError, match=r"factor: expected a number in \(0, 1\), got 1.0"):
        callbacks.ReduceLROnPlateau(factor=1.0)


# -- the rest --


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_terminate_on_nan(bad, capsys):
    model, history = train(callbacks.TerminateOnNaN(), [1.0, bad, 1.0])
    assert model.stop_training
    assert len(history.epoch) == 2
    assert "invalid loss" in capsys.readouterr().out


def test_lambda_callback_errors():
    with pytest.raises(ValueError, match=r"LambdaCallback: expected one of on_train_begin, .* got 'on_epoch'"):
        callbacks.LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match="on_epoch_end: expected a function, got int"):
        callbacks.LambdaCallback(on_epoch_end=3)


# -- progress --


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
    model, x, y = classifier()
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
    model, x, y = classifier()
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
    model, x, y = classifier()
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="verbose: expected one of 'auto', '0', '1', '2', got "):
            call(x, y, verbose=verbose)


# -- logging, divergence --


def classifier():
    model = Sequential([Dense(2)])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    return model, rng.standard_normal((10, 3)).astype("float32"), rng.standard_normal((10, 2))


def test_the_log_has_what_training_decides(caplog, tmp_path, capfd):
    model, x, y = classifier()
    plateau = callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1e9)
    stop = callbacks.EarlyStopping("loss", patience=2, min_delta=1e9)
    path = tmp_path / "model.npz"
    model.fit(x, y, epochs=5, verbose=0)
    assert capfd.readouterr() == ("", "")  # no handler, no words
    with caplog.at_level(logging.INFO, "fastrnn"):
        model.fit(x, y, epochs=5, verbose=0, callbacks=[plateau, stop, callbacks.ModelCheckpoint(path)])
    text = "\n".join(record.getMessage() for record in caplog.records)
    for expected in ("epoch 1 of 5: {'loss': ", "learning rate 0.01 -> 0.001", "early stopping", f"saved {path}"):
        assert expected in text
    assert {record.name for record in caplog.records} == {"fastrnn"}


def test_divergence_is_one_warning_with_the_epoch():
    model, x, y = classifier()
    model.compile(optimizers.SGD(1e30), "mse")
    with pytest.warns(callbacks.DivergenceWarning) as caught:
        model.fit(x, y, epochs=4, batch_size=5, verbose=0)
    (only,) = caught  # and none of NumPy's
    assert only.filename == __file__
    assert re.match(r"loss became (inf|nan) in epoch [12], batch [12]; a lower learning rate", str(only.message))
    model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks.TerminateOnNaN())  # which says so itself


def test_an_evaluation_that_overflows_does_not_warn():
    model, x, y = classifier()
    assert model.evaluate(x, 1e30 * y) == math.inf


def test_formats():
    assert [duration(s) for s in (0.4, 8, 125, 3725)] == ["0s", "8s", "2:05", "1:02:05"]
    assert [number(v) for v in (0.5, 1e-5, 0, math.nan, 2e7, np.float32(1), "x")] == [
        "0.5000", "1.000e-05", "0.0000", "nan", "2.000e+07", "1.0000", "x",
    ]  # fmt: skip
