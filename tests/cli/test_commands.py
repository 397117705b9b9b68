"""The commands around files: what they print, and how they end."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

import fastrnn
from fastrnn.cli import _console, command_line
from fastrnn.interop import nam, rtneural
from tests.support import model_files


def run(capsys, *words):
    """Exit status, output, errors."""
    try:
        status = command_line.main([str(word) for word in words])
    except SystemExit as end:
        status = end.code
    return (status, *capsys.readouterr())


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "a.npz"
    model_files.plain().save(path)
    return path


def test_inspect(model, tmp_path, capsys):
    status, out, _ = run(capsys, "inspect", model)
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == f"{model}: fastrnn"
    assert lines[1].endswith(": (batch, time, 3) to (batch, time, 2)")
    assert [line.split()[2:] for line in lines[4:7]] == [
        ["LSTM", "(batch,", "time,", "4)", "float32", "128", "yes"],
        ["GRU", "(batch,", "time,", "2)", "float32", "48", "yes"],
        ["Dense", "(batch,", "time,", "2)", "float32", "6", "yes"],
    ]
    assert lines[7:] == ["182 parameters, 728 bytes", "Runs step by step: yes"]
    nam.save(model_files.amp(), tmp_path / "a.nam")
    _, out, _ = run(capsys, "inspect", tmp_path / "a.nam")
    assert f"{tmp_path / 'a.nam'}: Neural Amp Modeler" in out
    assert "Runs step by step: yes" in out
    assert "Metadata: nam" in out


def test_a_state_dict(tmp_path, capsys):
    pytest.importorskip("safetensors")
    from fastrnn.interop import torch

    path = tmp_path / "a.safetensors"
    torch.save(model_files.words(), path)
    status, out, _ = run(capsys, "inspect", path)
    assert status == 0
    assert "PyTorch, a state dict of 11 tensors" in out
    assert "Its parts: '0' '1' '2'. Say in which order they run" in out
    parts = ["0:kind=embedding", "1:return_sequences=false", "2:activation=softmax"]
    _, out, _ = run(capsys, "inspect", path, "--parts", *parts)
    assert "bidirectional" in out
    assert run(capsys, "convert", path, tmp_path / "b.npz", "--parts", *parts)[0] == 0
    words = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(fastrnn.load_model(tmp_path / "b.npz")(words), model_files.words()(words))
    status, out, _ = run(capsys, "verify", path, tmp_path / "b.npz", "--parts-a", *parts)
    assert (status, out.splitlines()[-1].split(",")[0]) == (0, "The same: worst error 0 at (0")
    status, _, err = run(capsys, "inspect", tmp_path / "b.npz", "--parts", "0")
    assert status == 2
    assert "parts: expected none with a file of fastrnn, which tells its layers itself" in err


def test_convert_and_verify(model, tmp_path, capsys):
    other = tmp_path / "b.json"
    status, out, _ = run(capsys, "convert", model, other)
    assert (status, out) == (0, f"{other}: 182 parameters, {os.path.getsize(other):,} bytes\n")
    x = np.ones((1, 4, 3), np.float32)
    np.testing.assert_allclose(rtneural.load(other)(x), model_files.plain()(x), rtol=1e-6)
    status, _, err = run(capsys, "convert", model, other)
    assert (status, err) == (2, f"fastrnn convert: error: {other}: it is there already; --force replaces it\n")
    assert run(capsys, "convert", model, other, "--force")[0] == 0
    status, out, _ = run(capsys, "verify", model, other)
    assert status == 0
    assert out.splitlines()[-1].startswith("The same: worst error ")
    wide = tmp_path / "c.npz"
    assert run(capsys, "convert", model, wide, "--dtype", "float64")[0] == 0
    assert fastrnn.load_model(wide).layers[0].dtype == "float64"
    assert run(capsys, "verify", model, wide)[0] == 0
    changed = model_files.plain()
    changed.layers[-1].bias.value[0] += 1e-3
    changed.save(tmp_path / "d.npz")
    status, out, _ = run(capsys, "verify", model, tmp_path / "d.npz")
    assert status == 1
    assert "Not the same: worst error 0.000" in out
    assert run(capsys, "verify", model, tmp_path / "d.npz", "--tolerance", "0.01")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "none.npz"], "none.npz: No such file or directory"),
        (["inspect", "x.unknown"], "path: expected one of"),
        (["convert", "a.npz", "b.onnx2"], "path: expected one of"),
        (["convert", "a.npz", "b.npz", "--opset", "3"], "opset: expected only for an .onnx file"),
        (["convert", "a.npz", "b.npz", "--names", "torch"], "names: expected only for a .safetensors file"),
        (["convert", "a.npz", "b.nam"], "model: expected LSTM layers and a linear Dense(1), got LSTM, GRU, Dense"),
    ],
)
def test_errors_in_one_line(words, message, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *words)
    assert status == 2
    assert err.count("\n") == 1
    assert err.startswith(f"fastrnn {words[0]}: error: ")
    assert message in err
    _, _, err = run(capsys, *words, "--verbose")
    assert err.startswith("Traceback (most recent call last):")


def test_wrong_arguments(model, capsys):
    for words, message in (
        (["inspect"], "the following arguments are required: FILE"),
        (["inspect", model, "--parts", "a:b"], "expected NAME:OPTION=VALUE, got 'a:b'"),
        (["verify", model, model, "--batch", "0"], "expected a number >= 1, got 0"),
        (["verify", model, model, "--tolerance", "x"], "expected a number, got 'x'"),
        (["train", model, "--validation", "1"], "expected a share between 0 and 1, got 1"),
        (["nothing"], "invalid choice: 'nothing'"),
    ):
        status, _, err = run(capsys, *words)
        assert status == 2
        assert message in err


def test_every_command_has_help_with_examples(capsys):
    for name in command_line.COMMANDS:
        status, out, _ = run(capsys, name, "--help")
        assert status == 0
        assert "exit status: 0" in out
        assert "--verbose" in out
        examples = command_line.COMMANDS[name].EXAMPLES.splitlines()
        for line in (line.strip() for line in examples if line.startswith("  fastrnn ")):
            command_line.parser().parse_args(shlex.split(line.partition("   ")[0].partition(" > ")[0])[1:])


def test_completion(capsys):
    _, script, _ = run(capsys, "completion", "bash")
    test = script + (
        '\ncomplete_it() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _fastrnn; echo ${COMPREPLY[@]}; }'
        "\ncomplete_it fastrnn tr\ncomplete_it fastrnn train --ta\ncomplete_it fastrnn completion z"
    )
    done = subprocess.run(["bash", "-c", test], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["train", "--task --target", "zsh"] or sorted(done.stdout.split()) == sorted(
        ["train", "--target", "--task", "zsh"]
    )
    _, script, _ = run(capsys, "completion", "zsh")
    assert script.startswith("autoload -U +X bashcompinit && bashcompinit\n")
    _, script, _ = run(capsys, "completion", "fish")
    assert "complete -c fastrnn -n '__fish_seen_subcommand_from train' -l target" in script


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_tables(monkeypatch):
    plain = io.StringIO()
    _console.show_table(("name", "size "), [("a", 1), ("long name", 1000)], plain)
    assert plain.getvalue() == "name       size\n---------  ----\na             1\nlong name  1000\n"
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "rich", None)
        context.setitem(sys.modules, "rich.box", None)
        terminal = Terminal()
        _console.show_table(("name", "size "), [("a", 1), ("long name", 1000)], terminal)
    assert terminal.getvalue() == plain.getvalue()
    pytest.importorskip("rich")
    terminal = Terminal()
    _console.show_table(("name", "size "), [("[bold]", 1)], terminal)
    assert "[bold]" in terminal.getvalue()
    assert "─" in terminal.getvalue()


def test_a_reader_that_has_seen_enough(model):
    done = subprocess.run(
        f"{sys.executable} -m fastrnn inspect {model} | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{model}: fastrnn\n"
    assert done.stderr == ""
