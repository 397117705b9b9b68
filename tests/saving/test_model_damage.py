"""Files that are damaged or hostile: whatever is wrong with a model's file is a ValueError, and costs next to nothing.

`python -m tests.saving.test_model_damage 20000 7` tries so many of each kind of damage, from that seed on.
"""

from __future__ import annotations

import io as streams
import json
import os
import struct
import sys
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

import fastrnn
from fastrnn import config, io, schedules
from fastrnn.io import load_model
from fastrnn.layers import GRU, LSTM, Bidirectional, Dense, Dropout, Masking, TimeDistributed
from fastrnn.model import Sequential
from fastrnn.optimizers import Adam
from tests.support.damage import damage_json, flip_bytes

SUFFIXES = (".npz", ".safetensors")


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return request.param


def save(folder, suffix):
    """A model with something of everything, trained for a step; its path."""
    config.set_random_seed(1)
    inner = GRU(2, return_sequences=True, name="inner")
    layers = [
        Masking(name="m"),
        Bidirectional(inner, name="b"),
        TimeDistributed(Dense(3, name="d"), name="t"),
        Dropout(0.1, name="o"),
        LSTM(2, peephole="full", clip=3.0, name="l"),
        Dense(2, "softmax", name="e"),
    ]
    model = Sequential(layers, name="net")
    rate = schedules.CosineDecay(0.01, decay_steps=10)
    model.compile(Adam(rate, clipnorm=1.0), "categorical_crossentropy", ["accuracy"], ["mae"])
    model.train_on_batch(np.ones((2, 3, 2), np.float32), np.eye(2, dtype=np.float32))
    path = folder / f"good{suffix}"
    model.save(path)
    return path


# -- seeded damage -----------------------------------------------------------------------------------------------------

ODD = (
    None, True, -1, 0, 3, 2**70, 10**400, 1.5, 1e300, float("nan"), "", "yes", "LSTM", [], [[]], [None, 3], {},
    {"a": 1}, {"class_name": "LSTM", "config": {}}, {"class_name": ["x"], "config": {}},
    {"class_name": 3, "config": {}},
)  # fmt: skip


def change_header(text, rng):
    """The header with one or two of its values replaced, removed, renamed or nested deeply."""
    nested = '{"class_name":"TimeDistributed","config":{"layer":' * 2000
    return damage_json(text, rng, ODD, "[" * 5000 if rng.integers(2) else nested)


def unpack(content, suffix):
    if suffix == ".npz":
        with np.load(streams.BytesIO(content)) as archive:
            arrays = dict(archive)
        return str(arrays.pop("fastrnn")), arrays
    import safetensors.numpy

    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]["fastrnn"], safetensors.numpy.load(content)


def pack(header, arrays, suffix):
    if suffix == ".npz":
        file = streams.BytesIO()
        np.savez(file, fastrnn=np.array(header), **arrays)
        return file.getvalue()
    import safetensors.numpy

    return safetensors.numpy.save(arrays, {"fastrnn": header})


def cut(content, suffix, rng):
    return content[: rng.integers(len(content))]


def flip(content, suffix, rng):
    return flip_bytes(content, rng, 3)


def splice(content, suffix, rng):
    """A piece removed, repeated or moved."""
    a, b, c = sorted(int(i) for i in rng.integers(0, len(content), 3))
    return (
        content[:a] + content[b:],
        content[:b] + content[a:],
        content[:a] + content[b:c] + content[a:b] + content[c:],
    )[rng.integers(3)]


def header(content, suffix, rng):
    text, arrays = unpack(content, suffix)
    return pack(change_header(text, rng), arrays, suffix)


def arrays(content, suffix, rng):
    """An array of another dtype, shape or number, under another name, missing or one more."""
    text, found = unpack(content, suffix)
    key = sorted(found)[rng.integers(len(found))]
    array = found.pop(key)
    dtypes = ["<f8", "<f2", "<i4", "<i8", "u1", "?"] + ([">f4", "<c8", "<U3", "S2"] if suffix == ".npz" else [])
    more = [
        {key: array.astype(dtypes[rng.integers(len(dtypes))])},
        {key: array[None]},
        {key: array.reshape(-1)[:1]},
        {key: np.full_like(array, np.nan if array.dtype.kind == "f" else -1)},
        {key: np.asfortranarray(array)} if suffix == ".npz" else {key: array.T.copy()},
        {f"{key}x": array},
        {key: array, f"{key}/0": array},
        {},
    ][rng.integers(8)]
    return pack(text, {**found, **more}, suffix)


def container(content, suffix, rng):
    """Other sizes, dtypes and methods than what is there, as only a hostile writer gives them."""
    if suffix == ".npz":
        with zipfile.ZipFile(streams.BytesIO(content)) as archive:
            entries = {name: bytearray(archive.read(name)) for name in archive.namelist()}
        name = sorted(entries)[rng.integers(len(entries))]
        data, length = bytes(entries[name]), struct.unpack_from("<H", entries[name], 8)[0]
        form = b"{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }"
        words = [
            form % (b"<f4", b"1099511627776, 2"), form % (b"<f4", b"9" * 5000), form % (b"<f99", b"1"),
            form % (b"|O", b"1"), b"{'descr': [('a', '<f4')]}", b"{'shape': (", b"[" * 3000, b"'" * 99, b"\xff\0",
        ]  # fmt: skip
        word = words[rng.integers(len(words))] + b"\n"
        entries[name] = data[:8] + struct.pack("<H", len(word)) + word + data[10 + length :]
        method = [zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
        file = streams.BytesIO()
        with zipfile.ZipFile(file, "w", method[rng.integers(5)]) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        damaged = bytearray(file.getvalue())
        for mark, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8), (b"PK\x01\x02", 24), (b"PK\x01\x02", 8)):
            if rng.integers(3) == 0:  # another method, size or flag
                struct.pack_into("<H", damaged, damaged.find(mark) + offset, int(rng.integers(2**16)))
        return bytes(damaged)
    length = int.from_bytes(content[:8], "little")
    tree = json.loads(content[8 : 8 + length])
    key = sorted(tree)[rng.integers(len(tree))]
    odd = [{"dtype": "BF16"}, {"dtype": "F8_E5M2"}, {"shape": [2**62, 4]}, {"shape": [0]}, {"data_offsets": [0, 2**63]},
           {"dtype": 3}, {"shape": [-1]}, {"shape": "x"}, {"data_offsets": [8, 0]}]  # fmt: skip
    tree[key] = {**tree[key], **odd[rng.integers(len(odd))]}
    text = json.dumps(tree).encode()
    return struct.pack("<Q", len(text) if rng.integers(4) else int(rng.integers(2**62))) + text + content[8 + length :]


DAMAGE = {f.__name__: f for f in (cut, flip, splice, header, arrays, container)}


def read(path, model):
    """Read the file in every way there is; return how many of them took it."""
    taken = 0
    for act in (load_model, lambda p: load_model(p, compile=False), model.load_weights):
        try:
            act(path)
            taken += 1
        except ValueError:
            pass
    return taken


def attack(folder, suffix, kind, count, seed):
    """Damage a good file `count` times; return how many of the damaged ones could be read all the same."""
    good = save(folder, suffix)
    model, content, taken = load_model(good), good.read_bytes(), 0
    bad = folder / f"bad{suffix}"
    for number in range(count):
        rng = np.random.default_rng([seed, number, sorted(DAMAGE).index(kind)])
        bad.write_bytes(DAMAGE[kind](content, suffix, rng))
        try:
            taken += read(bad, model) > 0
        except BaseException as error:
            raise AssertionError(f"{suffix}, {kind}, seed {seed}, number {number}: {error!r}") from error
    return taken


@pytest.mark.filterwarnings("ignore")  # of casts, and of names twice in a zip file
@pytest.mark.parametrize("kind", DAMAGE)
def test_every_damage_is_a_value_error(tmp_path, suffix, kind):
    taken = attack(tmp_path, suffix, kind, 40, seed=0)
    assert taken < 40  # most of it is noticed


# -- what it may cost --------------------------------------------------------------------------------------------------


def edited(path, change):
    """The file with `change(header)` applied to its JSON."""
    suffix = path.suffix
    text, found = unpack(path.read_bytes(), suffix)
    tree = json.loads(text)
    change(tree)
    bad = path.with_name(f"bad{suffix}")
    bad.write_bytes(pack(json.dumps(tree), found, suffix))
    return bad


def peak_of(act):
    """Bytes that were taken at most while `act` raised a ValueError; its message."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller looks at the message
            act()
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("units", [3000, 10**6, 10**9, 10**400])
def test_large_weights_are_refused_before_they_are_made(tmp_path, suffix, units, monkeypatch):
    def draw(*args, **kwargs):
        raise AssertionError("an initial value was drawn")

    path = save(tmp_path, suffix)
    monkeypatch.setattr(fastrnn.initializers.Orthogonal, "_draw", draw)
    load_model(path)

    def change(tree):
        tree["config"]["layers"][4]["config"]["units"] = units

    peak, message = peak_of(lambda: load_model(edited(path, change)))
    assert "l/w_hh: expected a shape" in message or "l/w_ih: expected a shape" in message
    assert "expected a shape that has room in the file's arrays, got" in message
    assert peak < 8e6


def test_many_small_weights_are_refused_together(tmp_path, suffix):
    def change(tree):
        layer = {"class_name": "Dense", "config": {"units": 400}}
        tree["config"]["layers"] = [layer] * 200  # 128 MB

    peak, message = peak_of(lambda: load_model(edited(save(tmp_path, suffix), change)))
    assert "has room in the file's arrays" in message
    assert peak < 16e6


def bomb(path, method):
    """20 MB of zeros in few bytes."""
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (5_000_000,)})
        for _ in range(20):
            file.write(bytes(1_000_000))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, method):
    bomb(tmp_path / "x.npz", method)
    assert os.path.getsize(tmp_path / "x.npz") < 50_000
    peak, message = peak_of(lambda: load_model(tmp_path / "x.npz"))
    assert "a.npy: expected an entry that is stored uncompressed" in message
    assert peak < 1e6


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(100_000))
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry, count = content[start:end], 500
    copies = b"".join(entry.replace(b"a.npy", b"%c.npy" % (97 + i % 26)) for i in range(count))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(copies), start, 0)
    path.write_bytes(content[:start] + copies + tail)  # 400 MB by its directory
    peak, message = peak_of(lambda: load_model(path))
    assert "not a readable .npz file" in message
    assert peak < 4e6


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "m.npz")
    with pytest.raises(ValueError, match="expected a regular file"):
        load_model(tmp_path / "m.npz")


# -- numbers that are not finite ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_are_finite_for_every_reader_and_writer(tmp_path, suffix, bad):
    path = save(tmp_path, suffix)
    good = path.read_bytes()
    text, found = unpack(good, suffix)
    found["layers/4/l/w_hh"][1, 1] = bad
    message = f"layers/4/l/w_hh: expected finite numbers, got {bad}"
    hostile = tmp_path / f"bad{suffix}"
    hostile.write_bytes(pack(text, found, suffix))
    model = load_model(path)
    before = model.get_weights()
    for act in (load_model, model.load_weights):
        with pytest.raises(ValueError, match=message):
            act(hostile)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    model.layers[4].w_hh.value[1, 1] = bad
    with pytest.raises(ValueError, match=message):
        model.save(path)
    with pytest.raises(ValueError, match=message.replace("/l/", "/1/")):
        model.save_weights(path)
    assert path.read_bytes() == good


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_native_reader_has_the_same_rule(tmp_path, bad):
    pytest.importorskip("safetensors")
    arrays = {"w_ih": np.ones((1, 1), np.float32), "w_hh": np.full((1, 1), 2, np.float32)}
    path = tmp_path / "m.safetensors"
    io.save_layers(path, [{"cell": "rnn", **arrays}])
    content = path.read_bytes()
    one = np.float32(2).tobytes()
    assert content.count(one) == 1
    path.write_bytes(content.replace(one, np.float32(bad).tobytes()))
    with pytest.raises(ValueError, match="'layers/0/w_hh': expected finite numbers in the range of float, got"):
        fastrnn.Model.load(path)
    with pytest.raises(ValueError, match="w_hh: expected finite numbers"):
        io.save_layers(path, [{"cell": "rnn", **arrays, "w_hh": np.full((1, 1), bad, np.float32)}])


if __name__ == "__main__":
    import pathlib
    import tempfile
    import warnings

    warnings.simplefilter("ignore")
    for one in SUFFIXES:
        for what in DAMAGE:
            with tempfile.TemporaryDirectory() as name:
                start = time.perf_counter()
                n = attack(pathlib.Path(name), one, what, int(sys.argv[1]), int(sys.argv[2]))
                print(f"{one} {what}: {n} of {sys.argv[1]} taken, {time.perf_counter() - start:.1f} s", flush=True)
