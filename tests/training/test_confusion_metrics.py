"""Precision, recall and areas under curves: by hand, and in a model. tests/doors compares with Keras."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import LSTM, Checkpoints, Dense, Sequential, set_random_seed
from fastrnn.callbacks import LambdaCallback
from fastrnn.metrics import AUC, Precision, Recall, get

TRUE = np.array([[1], [1], [0], [0], [1]])
FOUND = np.array([[0.9], [0.4], [0.6], [0.2], [0.5]])


def result(metric, *batch):
    metric.update_state(*batch)
    return metric.result()


def test_by_hand():
    assert result(Precision(), TRUE, FOUND) == 1 / 2  # 0.9 and 0.6 are found; 0.5 is not above the threshold
    assert result(Recall(), TRUE, FOUND) == 1 / 3
    assert result(Precision(thresholds=0.3), TRUE, FOUND) == 3 / 4
    assert result(Recall(0.3), TRUE, FOUND) == 1
    weight = np.array([2.0, 1.0, 1.0, 1.0, 1.0])
    assert result(Precision(), TRUE, FOUND, weight) == 2 / 3
    assert result(Recall(), TRUE, FOUND, weight) == 2 / 4
    # Of six pairs of a positive and a negative entry 0.4 < 0.6 and 0.5 < 0.6 are the wrong way round.
    assert result(AUC(1001), TRUE, FOUND) == pytest.approx(4 / 6, abs=2e-3)
    assert result(AUC(), TRUE, TRUE.astype(float)) == 1.0


@pytest.mark.parametrize("metric", [Precision(), Recall(), AUC(), AUC(curve="PR")], ids=repr)
def test_nothing_seen_is_zero_and_batches_add_up(metric):
    assert metric.result() == 0.0
    whole = result(metric, TRUE, FOUND)
    assert whole > 0
    metric.reset_state()
    assert metric.result() == 0.0
    metric.update_state(TRUE[:2], FOUND[:2])
    assert result(metric, TRUE[2:], FOUND[2:]) == pytest.approx(whole)


def test_one_class_and_logits():
    y = np.array([[1, 0], [0, 1], [1, 1]])
    p = np.array([[0.9, 0.8], [0.8, 0.7], [0.1, 0.1]])
    assert result(Precision(), y, p) == 2 / 4
    assert result(Precision(class_id=1), y, p) == 1 / 2
    assert result(Recall(class_id=0), y, p) == 1 / 2
    logits = np.log(FOUND / (1 - FOUND))
    assert result(AUC(from_logits=True), TRUE, logits) == pytest.approx(result(AUC(), TRUE, FOUND))


def test_names_and_configs():
    for name, kind in (("auc", AUC), ("AUC", AUC), ("precision", Precision), ("Recall", Recall)):
        assert type(get(name)) is kind
        assert get(name).name == name
    metric = AUC(50, "PR", "majoring", "area", from_logits=True)
    again = get({"class_name": "AUC", "config": metric.get_config()})
    assert again.get_config() == metric.get_config()
    assert Precision(0.2, 3).get_config() == {"thresholds": 0.2, "class_id": 3, "name": "precision"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Precision([0.1, 0.5]), r"^thresholds: expected one number in \[0, 1\], got \[0.1, 0.5\]$"),
        (lambda: Recall(1.5), r"^thresholds: expected one number in \[0, 1\], got 1.5$"),
        (lambda: Recall(class_id=-1), r"^class_id: expected None or a number >= 0, got -1$"),
        (lambda: AUC(1), r"^num_thresholds: expected at least 2, got 1$"),
        (lambda: AUC(curve="PRGAIN"), r"^curve: expected one of 'ROC', 'PR', got 'PRGAIN'"),
        (lambda: AUC(summation_method="sum"), r"^summation_method: expected one of 'interpolation', "),
        (lambda: result(Precision(class_id=1), TRUE, FOUND), r"^class_id: expected one of the 1 of y_pred, got 1$"),
        (lambda: result(AUC(), TRUE[:2], FOUND), r"^y_true: expected shape \(5, 1\)"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_in_a_model_that_is_resumed_within_an_epoch(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 4, 3)).astype(np.float32)
    y = (x[:, -1, :1] > 0).astype(np.float32)

    def run(**more):
        set_random_seed(1)
        model = Sequential([LSTM(4), Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy", ["auc", "precision", "recall"])
        return model.fit(x, y, batch_size=8, epochs=2, verbose=0, **more).history

    def stop(batch, logs):
        if batch == 3:
            raise KeyboardInterrupt

    figures = run()
    assert set(figures) == {"loss", "auc", "precision", "recall"}
    with pytest.raises(KeyboardInterrupt):
        run(resume=Checkpoints(tmp_path, every=1), callbacks=LambdaCallback(on_train_batch_end=stop))
    assert run(resume=tmp_path) == figures
