"""The command line of `fastrnn serve`: its models, and what it refuses."""

from __future__ import annotations

import pytest

from fastrnn.cli import command_line, parser
from tests.support import model_files


def refused(capsys, *words):
    try:
        status = command_line.main(["serve", *map(str, words)])
    except SystemExit as end:
        status = end.code
    assert status == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_models_have_names():
    options = parser().parse_args(["serve", "a/vad.safetensors", "b=c=d.onnx"])
    assert options.models == [("vad", "a/vad.safetensors"), ("b", "c=d.onnx")]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("m.npz --port 99999", "argument --port: expected 0 to 65535, got '99999'"),
        ("m.npz --deadline-ms -1", "argument --deadline-ms: expected a number > 0, got -1"),
        ("m.npz --idle-seconds nan", "argument --idle-seconds: expected a number > 0, got nan"),
        ("m.npz --capacity many", "argument --capacity: expected an integer, got 'many'"),
        ("m.npz --dtype float31", "argument --dtype: invalid choice: 'float31'"),
        ("m.npz --prot 1", "unknown option --prot; did you mean '--port'?"),
        ("=m.npz", "expected NAME=FILE, got '=m.npz'"),
        ("", "the following arguments are required: [NAME=]FILE"),
    ],
)
def test_a_bad_option_is_named(words, text, capsys):
    assert text in refused(capsys, *words.split())


def test_what_cannot_be_served_is_one_line(tmp_path, capsys):
    pytest.importorskip("aiohttp")
    path = tmp_path / "m.npz"
    assert f"error: {path}: No such file or directory" in refused(capsys, path)
    model_files.plain().save(path)
    assert "NAME: expected models of different names, got m, m" in refused(capsys, path, path)
    assert "capacity: expected at most 4 connections, got 5" in refused(
        capsys, path, "--capacity", 5, "--connections", 4
    )
    both = tmp_path / "both.npz"
    model_files.words().save(both)
    assert f"{both}: expected a model that runs step by step, got one that needs whole sequences" in refused(
        capsys, path, both
    )
    assert "dtype: expected float32 with" in refused(capsys, path, "--dtype", "int8")
    assert "arguments --host and --port: " in refused(capsys, path, "--host", "256.0.0.1")
    assert "store: expected memory or redis://host:port/number, got 'disk'" in refused(capsys, path, "--store", "disk")
    (tmp_path / "tokens").write_text("one\n")
    assert "tokens, line 1: expected a name" in refused(capsys, path, "--token-file", tmp_path / "tokens")
