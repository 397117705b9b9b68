"""Writing a file: interrupted, killed, beside others, through links."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastrnn import io
from fastrnn.cli import demo, main
from fastrnn.io import load_model, save_model
from tests.support.saved_models import classifier, trained


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
