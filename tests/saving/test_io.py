"""Saving and loading: bit-equal round trips, resumed training, damaged files, interrupted writes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastrnn import config, io, losses, optimizers
from fastrnn.cli import demo, main
from fastrnn.io import load_model, save_model
from fastrnn.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input, Masking, SimpleRNN, TimeDistributed
from fastrnn.layers.base import LAYERS
from fastrnn.model import Sequential

B, T, I, C = 6, 4, 3, 2  # noqa: E741 - I is the input size everywhere
SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return request.param


@pytest.fixture
def data():
    config.set_random_seed(2)
    rng = np.random.default_rng(1)
    return rng.standard_normal((B, T, I)).astype(np.float32), np.eye(C, dtype=np.float32)[rng.integers(0, C, B)]


def classifier():
    model = Sequential([LSTM(5), Dense(C, activation="softmax")], name="net")
    model.compile(optimizers.Adam(0.01, clipnorm=1.0), "categorical_crossentropy", ["accuracy"], ["mae"])
    return model


def trained(data):
    model = classifier()
    model.fit(*data, epochs=2, batch_size=4, verbose=0)
    return model


def rewrite(path, target, change):
    """Copy an .npz model with `change(header, arrays)` applied."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays.pop("fastrnn")))
    change(header, arrays)
    np.savez(target, fastrnn=np.array(json.dumps(header)), **arrays)
    return target


def test_round_trip_is_bit_equal_and_training_goes_on(tmp_path, suffix, data):
    model = trained(data)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    again = load_model(path)
    assert again.get_config() == model.get_config()
    assert again.get_compile_config() == model.get_compile_config()
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))
    assert again.evaluate(*data) == model.evaluate(*data)
    histories = [m.fit(*data, epochs=3, shuffle=False, verbose=0).history for m in (model, again)]
    assert histories[0] == histories[1]  # Adam's moments and step counter came along
    assert again.optimizer.iterations == model.optimizer.iterations == 7
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


STACKS = [
    lambda: [Masking(), Bidirectional(LSTM(3, return_sequences=True)), TimeDistributed(Dense(2))],
    lambda: [GRU(3, reset_after=False, go_backwards=True), Dense(2, use_bias=False)],
    lambda: [LSTM(3, peephole="full", return_sequences=True), SimpleRNN(2, activation="relu")],
    lambda: [Bidirectional(GRU(2), backward_layer=LSTM(3, go_backwards=True)), Dense(1)],
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stack", STACKS)
def test_every_kind_of_layer(tmp_path, suffix, stack, dtype, data):
    config.set_floatx(dtype)
    try:
        model = Sequential(stack())
    finally:
        config.set_floatx("float32")
    expected = model.predict(data[0])
    model.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    assert again.predict(data[0]).dtype == dtype
    np.testing.assert_array_equal(again.predict(data[0]), expected)
    assert not again.compiled


def test_embedding_and_declared_shape(tmp_path, data):
    model = Sequential([Input((None,)), Embedding(5, 2, mask_zero=True), GRU(2)])
    x = np.array([[1, 2, 0], [4, 0, 0]])
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.input_shape == (None, None)
    with pytest.raises(ValueError, match=r"x: expected shape \(None, None\), got \(2, 3, 1\)"):
        again.predict(x[..., None])


def test_without_optimizer_and_without_compile(tmp_path, suffix, data):
    model = trained(data)
    model.save(tmp_path / f"a{suffix}", include_optimizer=False)
    assert not load_model(tmp_path / f"a{suffix}").compiled
    model.save(tmp_path / f"b{suffix}")
    assert not load_model(tmp_path / f"b{suffix}", compile=False).compiled
    assert os.path.getsize(tmp_path / f"a{suffix}") < os.path.getsize(tmp_path / f"b{suffix}")


def test_a_loss_function_cannot_be_saved_and_says_so(tmp_path, data):
    model = Sequential([Dense(1)])
    model.compile("sgd", lambda y, p: (((p - y) ** 2)[..., 0], 2 * (p - y)))
    model.predict(data[0])
    with pytest.warns(UserWarning, match="saved without its training state: loss: expected a fastrnn Loss"):
        model.save(tmp_path / "m.npz")
    assert not load_model(tmp_path / "m.npz").compiled


def test_configured_loss_and_frozen_layers_survive(tmp_path, suffix, data):
    model = Sequential([LSTM(2, trainable=False), Dense(C)])
    model.compile("sgd", losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2), ["accuracy"])
    model.fit(*data, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    assert again.loss.get_config() == model.loss.get_config()
    assert [m.name for m in again.metrics] == ["accuracy"]
    assert len(again.trainable_weights) == 2
    assert again.evaluate(*data) == model.evaluate(*data)


# -- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["write", "replace"])
def test_an_interrupted_save_leaves_the_old_file(tmp_path, suffix, data, monkeypatch, where):
    model = trained(data)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    old = path.read_bytes()
    model.fit(*data, verbose=0)

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync" if where == "write" else "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]
    model.save(path)
    assert path.read_bytes() != old
    assert os.listdir(tmp_path) == [path.name]


def test_a_save_keeps_the_mode_of_the_file(tmp_path, suffix, data):
    model = trained(data)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    for mode in (0o600, 0o664, 0o440):
        path.chmod(mode)
        model.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_save_goes_to_where_a_link_points(tmp_path, suffix, data):
    model = trained(data)
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "real.bin", tmp_path / f"m{suffix}"
    link.symlink_to(os.path.join("far", "real.bin"))
    for _ in range(2):  # before there is such a file, and after
        model.save(link)
        assert link.is_symlink()
        assert not target.is_symlink()
        np.testing.assert_array_equal(load_model(link).predict(data[0]), model.predict(data[0]))
    assert os.listdir(tmp_path / "far") == ["real.bin"]
    assert sorted(os.listdir(tmp_path)) == ["far", link.name]


def test_a_save_syncs_the_folder_after_the_file_has_its_name(tmp_path, data, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def note_sync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(*paths):
        done.append("name")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    trained(data).save(tmp_path / "m.npz")
    assert done == ["file", "name", "folder"]


KILLED = """
import os, sys
from fastrnn._file_writing import write_file
def write(file):
    file.write(b"half")
    file.flush()
    print(flush=True)
    {then}
write_file(sys.argv[1], write)
"""


def writer(path, then):
    """A process that is in the middle of writing `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(then=then), str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    process.stdout.readline()
    return process


def test_a_save_removes_what_killed_ones_left_and_nothing_else(tmp_path, suffix, data):
    pytest.importorskip("fcntl", reason="without locks nobody knows who is dead")
    path = tmp_path / f"m{suffix}"
    others = [f".x{suffix}.0123abcd.tmp", f".m{suffix}.0123abcd.tmp.bak", f".m{suffix}.tmp", f"m{suffix}.bak"]
    for name in others:
        (tmp_path / name).write_text("keep")
    with writer(path, "sys.stdin.read()") as alive:
        with writer(path, "os._exit(9)") as dead:
            pass
        assert dead.returncode == 9
        assert len(os.listdir(tmp_path)) == 2 + len(others)
        model = trained(data)
        model.save(path)
        left = set(os.listdir(tmp_path)) - {path.name, *others}
        assert len(left) == 1  # of the process that is still writing
        np.testing.assert_array_equal(load_model(path).predict(data[0]), model.predict(data[0]))
    assert alive.returncode == 0  # and nobody disturbed it
    assert path.read_bytes() == b"half"
    assert set(os.listdir(tmp_path)) == {path.name, *others}


def test_threads_may_save_to_one_path(tmp_path, data):
    model = trained(data)
    errors = []

    def save():
        try:
            for _ in range(10):
                model.save(tmp_path / "m.npz")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert os.listdir(tmp_path) == ["m.npz"]
    load_model(tmp_path / "m.npz")


def test_what_is_no_file_is_not_replaced(tmp_path, data):
    (tmp_path / "m.npz").mkdir()
    (tmp_path / "null.npz").symlink_to(os.devnull)
    model = trained(data)
    for name, error in (("m.npz", IsADirectoryError), ("null.npz", OSError), ("none/m.npz", FileNotFoundError)):
        with pytest.raises(error):
            model.save(tmp_path / name)
        with pytest.raises(error):
            io.check_path(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["m.npz", "null.npz"]


def test_check_path_leaves_nothing_and_changes_nothing(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    io.check_path(path)
    assert os.listdir(tmp_path) == []
    path.write_bytes(b"there")
    io.check_path(path)
    assert path.read_bytes() == b"there"
    with pytest.raises(ValueError, match="path: expected a name ending in"):
        io.check_path(tmp_path / "m.h5")


def test_the_demo_finds_out_before_training_that_it_cannot_save(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "python_topics", lambda: pytest.fail("it began"))
    for out in ("m.h5", os.path.join("none", "m.npz")):
        assert main(["demo", "--out", str(tmp_path / out)]) == 2
        message = capsys.readouterr().err
        assert message.startswith("fastrnn demo: error: ")
        assert out in message


def test_save_errors(tmp_path, data, monkeypatch):
    model = trained(data)
    with pytest.raises(ValueError, match=r"path: expected a name ending in .npz or .safetensors, got '.*m.h5'"):
        model.save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="model: expected a built model"):
        save_model(classifier(), tmp_path / "m.npz")
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "none" / "m.npz")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install fastrnn\[io\]"):
        model.save(tmp_path / "m.safetensors")
    with pytest.raises(ImportError, match=r"pip install fastrnn\[io\]"):
        load_model(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []


# -- reading ---------------------------------------------------------------------------------------------------------


def edit(*keys):
    """Return a function that sets header[keys[0]][keys[1]]... to the last of `keys`."""
    *parents, key, value = keys

    def change(header, arrays):
        for parent in parents:
            header = header[parent]
        header[key] = value

    return change


DAMAGE = {
    "missing": (lambda h, a: a.pop("layers/0/lstm/w_hh"), "missing array 'layers/0/lstm/w_hh'"),
    "superfluous": (lambda h, a: a.update(more=np.zeros(1)), "unexpected array 'more'"),
    "shape": (
        lambda h, a: a.update({"layers/1/dense/bias": np.zeros(3, np.float32)}),
        r"layers/1/dense/bias: expected shape \(2,\), got \(3,\)",
    ),
    "dtype": (
        lambda h, a: a.update({"layers/1/dense/bias": np.zeros(2)}),
        "layers/1/dense/bias: expected dtype float32, got float64",
    ),
    "optimizer_shape": (
        lambda h, a: a.update({"optimizer/0/momentum": np.zeros(3, np.float32)}),
        r"optimizer/0/momentum: expected float32 \(20, 3\), got float32 \(3,\)",
    ),
    "optimizer_position": (lambda h, a: a.update({"optimizer/9/v": np.zeros(3)}), "unexpected array 'optimizer/9/v'"),
    "iterations": (
        lambda h, a: a.update({"optimizer/iterations": np.array(1.5)}),
        "optimizer/iterations: expected an integer",
    ),
    "no_iterations": (lambda h, a: a.pop("optimizer/iterations"), "state: expected a key 'iterations'"),
    "newer": (edit("format_version", 99), "format_version: expected at most 1, got 99 of a newer fastrnn"),
    "version": (edit("format_version", "x"), r"format_version: expected 1..1, got 'x'"),
    "class": (edit("class_name", "Functional"), "class_name: expected 'Sequential', got 'Functional'"),
    "layer": (edit("config", "layers", 0, "class_name", "Foo"), "class_name: expected one of .*, got 'Foo'"),
    "units": (edit("config", "layers", 0, "config", "units", -3), "units: expected at least 1, got -3"),
    "units_type": (edit("config", "layers", 0, "config", "units", "5"), "units: expected an integer, got str"),
    "other_units": (edit("config", "layers", 0, "config", "units", 6), r"expected shape \(24, 3\), got \(20, 3\)"),
    "key": (edit("config", "layers", 0, "config", "size", 1), "LSTM config: unknown key 'size'"),
    "input_shape": (edit("config", "input_shape", [None, 4]), r"x: expected shape \(B, T, I\)"),
    "input_none": (edit("config", "input_shape", None), "config: expected the input_shape of a built model"),
    "input_text": (edit("config", "input_shape", "abc"), "input_shape: expected a tuple, got str"),
    "no_config": (edit("config", None), "model config: expected a dict"),
    "loss": (edit("compile", "loss", "class_name", "Foo"), "loss: expected one of .*, got 'Foo'"),
    "compile": (edit("compile", {}), "compile: expected the keys optimizer"),
}


@pytest.fixture
def saved(tmp_path, data):
    model = Sequential([LSTM(5, name="lstm"), Dense(C, activation="softmax", name="dense")])
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    model.fit(*data, verbose=0)
    model.save(tmp_path / "good.npz")
    return tmp_path / "good.npz"


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_models_are_refused(case, saved):
    change, message = DAMAGE[case]
    bad = rewrite(saved, saved.with_name("bad.npz"), change)
    with pytest.raises(ValueError, match=f"bad.npz: .*{message}"):
        load_model(bad)


def test_files_of_another_kind(tmp_path, suffix, saved):
    path = tmp_path / f"x{suffix}"
    with pytest.raises(FileNotFoundError):
        load_model(path)
    for content in (b"", b"hello", b"PK\x03\x04", saved.read_bytes()[:700]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"not a readable {suffix} file"):
            load_model(path)


def test_arrays_without_a_model(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="expected a fastrnn model, found no entry 'fastrnn'"):
        load_model(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", fastrnn=np.array("{not json"))
    with pytest.raises(ValueError, match="damaged header"):
        load_model(tmp_path / "x.npz")
    np.save(tmp_path / "y.npy", np.zeros(3))
    os.replace(tmp_path / "y.npy", tmp_path / "y.npz")
    with pytest.raises(ValueError, match=r"not a readable \.npz file"):
        load_model(tmp_path / "y.npz")


def test_pickles_are_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    np.savez(tmp_path / "x.npz", fastrnn=np.array(Bomb(), dtype=object))
    with pytest.raises(ValueError, match=r"not a readable \.npz file"):
        load_model(tmp_path / "x.npz")
    assert not (tmp_path / "ran").exists()


def test_a_layer_of_ones_own(tmp_path, data):
    from fastrnn.layers import register_layer

    @register_layer
    class Twice(Dense):
        def forward(self, x, mask=None, training=False):
            return 2 * super().forward(x, mask, training)

    try:
        model = Sequential([Twice(2)])
        expected = model.predict(data[0])
        model.save(tmp_path / "m.npz")
        np.testing.assert_array_equal(load_model(tmp_path / "m.npz").predict(data[0]), expected)
    finally:
        del LAYERS["Twice"]
    with pytest.raises(ValueError, match=r"class_name: expected one of .*, got 'Twice'"):
        load_model(tmp_path / "m.npz")


# -- weights alone -----------------------------------------------------------------------------------------------------


def stacked(names=(None, None, None), units=3):
    layers = [
        Bidirectional(LSTM(units, return_sequences=True, name=names[0])),
        TimeDistributed(Dense(4, name=names[1])),
        GRU(2, name=names[2]),
    ]
    return Sequential([Input((None, I)), *layers])


def test_weights_alone_go_to_a_model_of_other_names(tmp_path, suffix, data):
    model = stacked()
    model.compile("adam", "mse")
    model.fit(data[0], np.zeros((B, 2)), verbose=0)
    path = tmp_path / f"m.weights{suffix}"
    model.save_weights(path)
    for other in (stacked(), stacked(("a", "b", "c"))):
        assert not np.array_equal(other.predict(data[0]), model.predict(data[0]))
        other.load_weights(path)
        np.testing.assert_array_equal(other.predict(data[0]), model.predict(data[0]))
    with pytest.raises(ValueError, match=r"class_name: expected 'Sequential', got 'Weights'"):
        load_model(path)
    model.save(tmp_path / f"all{suffix}")
    assert os.path.getsize(path) < os.path.getsize(tmp_path / f"all{suffix}")
    again = stacked()
    again.load_weights(tmp_path / f"all{suffix}")
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))


def test_weights_that_do_not_fit_change_nothing(tmp_path, suffix, data):
    path = tmp_path / f"m{suffix}"
    stacked().save_weights(path)
    other = stacked(units=2)
    before = other.get_weights()
    fit = r"m\.(npz|safetensors): "
    with pytest.raises(ValueError, match=fit + r"layers/0/0/w_ih: expected shape \(8, 3\), got \(12, 3\)"):
        other.load_weights(path)
    deeper = stacked()
    deeper.add(Dense(2))
    with pytest.raises(ValueError, match=fit + "missing array 'layers/3/0/kernel'"):
        deeper.load_weights(path)
    shorter = stacked()
    shorter.pop()
    with pytest.raises(ValueError, match=fit + "unexpected array 'layers/2/0/w_ih'"):
        shorter.load_weights(path)
    simple = Sequential([Input((None, I)), Bidirectional(SimpleRNN(3, return_sequences=True))])
    with pytest.raises(ValueError, match=fit + r"layers/0/0/w_ih: expected shape \(3, 3\), got \(12, 3\)"):
        simple.load_weights(path)
    double = Sequential([Input((None, I)), Bidirectional(LSTM(3, dtype="float64"), dtype="float64")])
    with pytest.raises(ValueError, match=fit + "layers/0/0/w_ih: expected dtype float64, got float32"):
        double.load_weights(path)
    for a, b in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_errors(tmp_path, data):
    model = stacked()
    for act in (model.save_weights, model.load_weights):
        with pytest.raises(ValueError, match=r"path: expected a name ending in .npz or .safetensors, got '.*m.h5'"):
            act(tmp_path / "m.h5")
    for act in (classifier().save_weights, classifier().load_weights):
        with pytest.raises(ValueError, match="model: expected a built model"):
            act(tmp_path / "m.npz")
    with pytest.raises(FileNotFoundError):
        model.load_weights(tmp_path / "m.npz")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("weights_only", [False, True])
def test_model_checkpoint_writes_what_can_be_read(tmp_path, suffix, data, weights_only):
    from fastrnn.callbacks import ModelCheckpoint

    model = classifier()
    checkpoint = ModelCheckpoint(tmp_path / ("{epoch}" + suffix), save_weights_only=weights_only)
    model.fit(*data, epochs=2, callbacks=[checkpoint], verbose=0)
    assert sorted(os.listdir(tmp_path)) == [f"1{suffix}", f"2{suffix}"]
    last, first = (classifier() for _ in range(2))
    for other, epoch in ((first, 1), (last, 2)):
        other.build(model.input_shape)
        other.load_weights(tmp_path / f"{epoch}{suffix}")
    np.testing.assert_array_equal(last.predict(data[0]), model.predict(data[0]))
    assert not np.array_equal(first.predict(data[0]), model.predict(data[0]))


def test_model_checkpoint_uses_save(tmp_path, data):
    from fastrnn.callbacks import ModelCheckpoint

    model = classifier()
    path = tmp_path / "best.npz"
    model.fit(*data, epochs=3, validation_data=data, callbacks=[ModelCheckpoint(str(path))], verbose=0)
    np.testing.assert_array_equal(io.load_model(path).predict(data[0]), model.predict(data[0]))
