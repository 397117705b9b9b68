"""The callback TensorBoard: what stands in its files."""

import struct

import numpy as np
import pytest

pytest.importorskip("tensorboardX")

from tensorboardX.proto.event_pb2 import Event

import fastrnn
from fastrnn.callbacks import TensorBoard, tensorboard


def events(folder):
    """Tag to step and value, and the tags of histograms, of the files in a folder."""
    scalars, histograms = {}, set()
    for path in folder.iterdir():
        record = path.read_bytes()
        while record:  # length, its checksum, the event, its checksum
            (size,) = struct.unpack("<Q", record[:8])
            for value in Event.FromString(record[12 : 12 + size]).summary.value:
                step = Event.FromString(record[12 : 12 + size]).step
                if value.HasField("simple_value"):
                    scalars.setdefault(value.tag, {})[step] = value.simple_value
                else:
                    histograms.add(value.tag)
            record = record[16 + size :]
    return scalars, histograms


def test_figures_of_both_parts(tmp_path):
    fastrnn.set_random_seed(0)
    model = fastrnn.Sequential([fastrnn.Dense(1, name="out")])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(20, 3))
    callback = TensorBoard(tmp_path, histogram_freq=2, update_freq=2)
    history = model.fit(x, x[:, :1], 4, 3, verbose=0, validation_split=0.2, callbacks=callback).history
    scalars, histograms = events(tmp_path / "train")
    np.testing.assert_allclose([scalars["epoch_loss"][e] for e in range(3)], history["loss"], rtol=1e-6)
    assert sorted(scalars["batch_loss"]) == [2, 4, 6, 8, 10, 12]
    assert histograms == {"out/kernel", "out/bias"}
    held, _ = events(tmp_path / "validation")
    np.testing.assert_allclose([held["epoch_loss"][e] for e in range(3)], history["val_loss"], rtol=1e-6)


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match="update_freq: expected 'epoch', 'batch' or a number > 0, got 'step'"):
        TensorBoard(update_freq="step")
    with pytest.raises(ValueError, match="histogram_freq: expected a number >= 0, got -1"):
        TensorBoard(histogram_freq=-1)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(tensorboard.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'fastrnn\[tensorboard\]'"):
        TensorBoard()
