"""A run of `fit` that was broken goes on to the bits of an unbroken one; what cannot be kept is an error."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, Bidirectional, Checkpoints, Dense, Dropout, Masking, Sequential, TimeDistributed
from fastrnn.callbacks import (
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from fastrnn.data import BatchesByLength
from fastrnn.layers import Layer
from fastrnn.layers.draws import StepSeeds, kept_elements

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
N, T, C = 40, 5, 3
X = RNG.standard_normal((N, T, 3)).astype(np.float32)
Y = RNG.integers(0, C, N)
BATCHES = [(X[k : k + 8], Y[k : k + 8]) for k in range(0, N, 8)]


class Broken(Exception):
    """Ends a run, as a kill would."""


def made(optimizer="adam") -> Sequential:
    model = Sequential([
        Masking(),
        LSTM(6, return_sequences=True, dropout=0.2, recurrent_dropout=0.1),
        Dropout(0.3),
        TimeDistributed(Dropout(0.1)),
        Bidirectional(GRU(4, zoneout_h=0.1)),
        Dropout(0.1),
        Dense(C, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def break_after(batches: int) -> LambdaCallback:
    """A callback that raises Broken at the end of so many batches."""
    left = [batches]

    def count(batch, logs):
        left[0] -= 1
        if left[0] == 0:
            raise Broken

    return LambdaCallback(on_train_batch_end=count)


def same_in_pieces(folder, fit, make=made, every=2, piece=3):
    """Fit unbroken, and broken after each few batches: both must end alike. Returns the number of pieces."""
    fastrnn.set_random_seed(1)
    whole = make()
    history = fit(whole, callbacks=[]).history
    pieces = 0
    while True:
        fastrnn.set_random_seed(1 if not pieces else 100 + pieces)  # what a resumed process draws must not matter
        model = make()
        pieces += 1
        with contextlib.suppress(Broken):
            found = fit(model, callbacks=[break_after(piece)], resume=Checkpoints(folder, every=every))
            break
        assert pieces < 100
    assert found.history == history
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    return pieces


# -- to the bits of an unbroken run ------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the runs that it kills")
@pytest.mark.parametrize("more", [[], pytest.param(["--command-line"], marks=pytest.mark.full)], ids=["fit", "train"])
def test_killed_at_random_moments(more):
    command = [sys.executable, "-m", "tests.support.killed_runs", "--kills", "4", "--epochs", "3", *more]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("4 kills, ")


def test_arrays(tmp_path):
    def fit(model, **more):
        return model.fit(X, Y, batch_size=8, epochs=3, validation_split=0.2, verbose=0, **more)

    assert same_in_pieces(tmp_path, fit) > 3


def test_without_shuffling_and_with_weights(tmp_path):
    def fit(model, **more):
        return model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, class_weight={0: 2.0}, verbose=0, **more)

    assert same_in_pieces(tmp_path, fit, every=1, piece=2) > 3


class Shuffled:
    """A Sequence as Keras has it, with an order of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(5)
        self.order = np.arange(len(BATCHES))

    def __len__(self):
        return len(BATCHES)

    def __getitem__(self, index):
        return BATCHES[self.order[index]]

    def on_epoch_end(self):
        self.rng.shuffle(self.order)


def endless():
    while True:
        yield from BATCHES


SEQUENCES = [X[k, : 1 + k % T] for k in range(N)]


@pytest.mark.parametrize(
    ("data", "steps"),
    [
        (lambda: BATCHES, None),
        (Shuffled, None),
        (endless, 4),  # which does not divide the batches there are
        (lambda: BatchesByLength(SEQUENCES, Y, batch_size=8, seed=3, pool=2), None),
        (lambda: BatchesByLength(SEQUENCES, Y, batch_size=8, pool=2), None),
    ],
    ids=["list", "Sequence", "generator", "by length", "by length, without a seed"],
)
def test_batches(data, steps, tmp_path):
    first = data()
    if isinstance(first, BatchesByLength):
        first.set_state(first.get_state())
    kept = first.get_state() if isinstance(first, BatchesByLength) else None

    def fit(model, **more):
        batches = data()
        if kept is not None and not os.listdir(tmp_path):  # else the checkpoint has it
            batches.set_state(kept)
        return model.fit(batches, epochs=3, steps_per_epoch=steps, verbose=0, **more)

    assert same_in_pieces(tmp_path, fit) > 3


def test_callbacks_go_on(tmp_path):
    def fit(model, callbacks, **more):
        log = CSVLogger(tmp_path / ("resumed.csv" if "resume" in more else "whole.csv"))
        watchers = [
            EarlyStopping("loss", patience=2, min_delta=0.05, restore_best_weights=True),
            ReduceLROnPlateau("loss", patience=1, min_delta=0.05, factor=0.5),
            LearningRateScheduler(lambda epoch, rate: rate * 0.9),  # twice in an epoch would show
            log,
        ]
        return model.fit(X, Y, batch_size=8, epochs=12, verbose=0, callbacks=[*watchers, *callbacks], **more)

    assert same_in_pieces(tmp_path / "c", fit) > 3
    assert (tmp_path / "resumed.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_a_stopped_run_stays_stopped_and_a_finished_one_goes_further(tmp_path):
    def run(epochs, folder, **more):
        fastrnn.set_random_seed(1)
        model = made()
        history = model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, resume=tmp_path / folder, **more)
        return history.epoch, model.get_weights()

    stop = {"callbacks": EarlyStopping("loss", min_delta=10.0, patience=1)}
    assert run(5, "stopped", **stop)[0] == [0, 1]
    assert run(9, "stopped", callbacks=EarlyStopping("loss", min_delta=10.0, patience=1))[0] == [0, 1]
    assert run(2, "finished")[0] == [0, 1]
    epochs, weights = run(4, "finished")
    assert epochs == [0, 1, 2, 3]
    for a, b in zip(weights, run(4, "at once")[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_layers_carry(tmp_path):
    class Noise(Layer):
        """A layer of a user's own that draws."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.rng = np.random.default_rng(9)

        def forward(self, x, mask=None, training=False):
            return x + np.float32(0.1) * self.rng.standard_normal(x.shape, np.float32) if training else x

        def backward(self, dy):
            return dy

        def get_training_state(self):
            return {"generator": self.rng.bit_generator.state}

        def set_training_state(self, state):
            self.rng.bit_generator.state = state["generator"]

    def make():
        model = Sequential([Noise(input_shape=(T, 3)), LSTM(5, stateful=True), Dense(C)])
        model.compile("sgd", fastrnn.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def fit(model, **more):
        return model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, **more)

    assert same_in_pieces(tmp_path, fit, make) > 2


def test_a_model_checkpoint_remembers_its_best(tmp_path):
    def run(epochs):
        fastrnn.set_random_seed(1)
        keeper = ModelCheckpoint(tmp_path / "best.npz", "loss", save_best_only=True)
        made().fit(X, Y, epochs=epochs, verbose=0, callbacks=keeper, resume=tmp_path / "c")
        return keeper.best

    best = run(2)
    assert run(2) == best  # nothing left to do


# -- by counter --------------------------------------------------------------------------------------------------------


def test_rows_of_a_mask_do_not_depend_on_the_rows_before():
    seed, shape = 7, (6, 3, 7)
    whole = kept_elements(seed, shape, 0.4)
    assert 0.4 < whole.mean() < 0.8
    generator = np.random.Generator(np.random.Philox(key=seed).advance(4 * 3))  # 21 elements: three blocks of eight
    np.testing.assert_array_equal(whole[4], (generator.random(24, dtype=np.float32)[:21] >= 0.4).reshape(3, 7))
    np.testing.assert_array_equal(kept_elements(seed, (2, 3, 7), 0.4), whole[:2])
    assert not np.array_equal(kept_elements(seed + 1, shape, 0.4), whole)


def test_the_seed_of_a_step_is_a_function_of_its_number():
    seeds = StepSeeds(5)
    drawn = [seeds.next() for _ in range(4)]
    assert drawn == np.random.default_rng(5).integers(2**63, size=4).tolist()  # those of every version before
    other = StepSeeds(6)
    other.set_state({"seed": 5, "step": 2})
    assert [other.next(), other.next()] == drawn[2:]
    assert other.get_state() == {"seed": 5, "step": 4}


def test_dropout_repeats_with_its_seed():
    a, b = Dropout(0.5, seed=3), Dropout(0.5, seed=3)
    x = np.ones((4, 9), np.float32)
    first = a(x, training=True)
    np.testing.assert_array_equal(first, b(x, training=True))
    assert not np.array_equal(first, a(x, training=True))
    noise = Dropout(0.5, noise_shape=(None, 1, None), seed=3)(np.ones((4, 5, 9), np.float32), training=True)
    np.testing.assert_array_equal(noise, np.repeat(first[:, np.newaxis], 5, axis=1))


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_newest_are_kept(tmp_path):
    made().fit(X, Y, batch_size=8, epochs=3, verbose=0, resume=Checkpoints(tmp_path, every=3, keep=2))
    assert [Path(p).name for p in Checkpoints(tmp_path).files()] == [
        "checkpoint-000002-00000003.npz", "checkpoint-000003-00000000.npz",
    ]  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == [Path(p).name for p in Checkpoints(tmp_path).files()]


def test_one_that_the_disk_has_damaged_is_left_out(tmp_path):
    def run(folder, epochs):
        fastrnn.set_random_seed(1)
        model = made()
        model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, resume=folder)
        return model.get_weights()

    expected = run(tmp_path / "sound", 3)
    run(tmp_path / "hurt", 2)
    files = [Path(p) for p in Checkpoints(tmp_path / "hurt").files()]
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[: len(whole) // 2])
    with pytest.warns(RuntimeWarning, match="checkpoint-000002-00000000.npz: not a readable .*; the checkpoint before"):
        weights = run(tmp_path / "hurt", 3)
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for path in Checkpoints(tmp_path / "hurt").files():
        Path(path).write_bytes(b"nothing")
    before = made()
    before.build((None, T, 3))
    weights = before.get_weights()
    with (
        pytest.warns(RuntimeWarning),
        pytest.raises(ValueError, match=r"^resume: expected a readable checkpoint in .*, got 3 damaged ones$"),
    ):
        before.fit(X, Y, verbose=0, resume=tmp_path / "hurt")
    for a, b in zip(weights, before.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_full_disk_loses_nothing(tmp_path):
    """A file cannot grow beyond a limit, as on a disk that has no more room."""
    fastrnn.set_random_seed(1)
    whole = made()
    whole.fit(X, Y, batch_size=8, epochs=4, verbose=0)

    fastrnn.set_random_seed(1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(epoch, logs):
        if epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))

    model = made()
    try:
        with pytest.raises(OSError, match=r"File too large|No space left"):
            model.fit(
                X, Y, batch_size=8, epochs=4, verbose=0, resume=tmp_path, callbacks=LambdaCallback(on_epoch_end=fill)
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-000001-00000000.npz", "checkpoint-000002-00000000.npz"]
    assert model.optimizer.iterations == 15
    model = made()
    model.fit(X, Y, batch_size=8, epochs=4, verbose=0, resume=tmp_path)
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_folder_that_takes_no_files_is_found_before_training(tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    model = made()
    with pytest.raises(OSError, match="file"):
        model.fit(X, Y, verbose=0, resume=file / "c")
    assert not model.built
    if os.geteuid() == 0:
        pytest.skip("root writes into folders that are read-only")
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    with pytest.raises(PermissionError, match="closed"):
        model.fit(X, Y, verbose=0, resume=closed)
    assert not model.built


# -- errors ------------------------------------------------------------------------------------------------------------


def other_model():
    model = Sequential([LSTM(6), Dense(C, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def wider():
    model = made()
    model.layers[-1].units = 4
    return model


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (other_model, {}, r"resume: expected a checkpoint with layers \['LSTM', 'Dense'\], got one with \['Masking'"),
        (lambda: made("sgd"), {}, "resume: expected a checkpoint with optimizer SGD, got one with Adam"),
        (wider, {}, r"resume: expected a checkpoint with weights .*\(8, 4\)"),
        (made, {"batch_size": 10}, "batch_size: expected 8 as in the checkpoint, got 10"),
        (made, {"shuffle": False}, "shuffle: expected True as in the checkpoint, got False"),
        (made, {"x": X[:30], "y": Y[:30]}, "x: expected 40 examples as in the checkpoint, got 30"),
        (made, {"x": BATCHES, "y": None, "batch_size": None}, "x: expected arrays as in the checkpoint, got batches"),
        (made, {"callbacks": None}, r"callbacks: expected EarlyStopping as in the checkpoint, got \["),
    ],
    ids=["layers", "optimizer", "weights", "batch_size", "shuffle", "x", "batches", "callbacks"],
)  # fmt: skip
def test_another_run_is_refused(make, arguments, message, tmp_path):
    log = tmp_path / "log.csv"
    usual = {"x": X, "y": Y, "batch_size": 8, "callbacks": [EarlyStopping("loss", patience=9), CSVLogger(log)]}
    made().fit(**usual, verbose=0, resume=tmp_path / "c")
    text = log.read_text()
    with pytest.raises(ValueError, match=f"^{message}"):
        make().fit(**{**usual, **arguments}, epochs=2, verbose=0, resume=tmp_path / "c")
    assert log.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"resume": 3}, TypeError, "^resume: expected a folder or Checkpoints, got int$"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        made().fit(X, Y, verbose=0, **arguments)


def test_wrong_settings():
    with pytest.raises(ValueError, match=r"^every: expected at least 1, got 0$"):
        Checkpoints("c", every=0)
    with pytest.raises(ValueError, match=r"^keep: expected at least 1, got 0$"):
        Checkpoints("c", keep=0)
    with pytest.raises(ValueError, match=r"^seconds: expected a number of at least 0, got -1$"):
        Checkpoints("c", seconds=-1)
    assert repr(Checkpoints("c", every=5)) == "Checkpoints('c', every=5, keep=3)"
    assert repr(Checkpoints("c", seconds=9)) == "Checkpoints('c', every=None, keep=3, seconds=9)"


def test_no_sooner_than_seconds_after_another(tmp_path):
    made().fit(X, Y, batch_size=8, epochs=3, verbose=0, resume=Checkpoints(tmp_path, every=3, seconds=1e9))
    assert [Path(p).name for p in Checkpoints(tmp_path).files()] == ["checkpoint-000000-00000003.npz"]


def test_a_callback_whose_state_no_file_can_hold(tmp_path):
    class Odd(LambdaCallback):
        def get_state(self):
            return {"thing": object()}

    with pytest.raises(TypeError, match=r"^checkpoint: expected numbers, texts and arrays, got object at callbacks/"):
        made().fit(X, Y, verbose=0, resume=tmp_path, callbacks=Odd())
    assert os.listdir(tmp_path) == []
