"""What a training says: its log, and the warning of a loss that diverges."""

from __future__ import annotations

import logging
import math
import re

import pytest

from fastrnn import callbacks, optimizers
from tests.support.scripted_training import regressor


def test_the_log_has_what_training_decides(caplog, tmp_path, capfd):
    model, x, y = regressor()
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
    model, x, y = regressor()
    model.compile(optimizers.SGD(1e30), "mse")
    with pytest.warns(callbacks.DivergenceWarning) as caught:
        model.fit(x, y, epochs=4, batch_size=5, verbose=0)
    (only,) = caught  # and none of NumPy's
    assert only.filename == __file__
    assert re.match(r"loss became (inf|nan) in epoch [12], batch [12]; a lower learning rate", str(only.message))
    model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks.TerminateOnNaN())  # which says so itself


def test_an_evaluation_that_overflows_does_not_warn():
    model, x, y = regressor()
    assert model.evaluate(x, 1e30 * y) == math.inf
