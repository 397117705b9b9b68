"""Callbacks, driven by a scripted training in place of a model."""

import csv
import math
import os

import pytest

from fastrnn import callbacks
from fastrnn.callbacks.progress import ProgressBar
from tests.support.scripted_training import FakeModel, train


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
