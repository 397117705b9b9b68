"""The commands on files of ONNX and Keras, whose own libraries run what is verified."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")

from fastrnn import Model
from fastrnn.cli import command_line
from fastrnn.interop.onnx import save
from tests.support import model_files
from tests.support.onnx_graphs import H, floats, frame_by_frame, graph, lstm, node


def test_onnx(tmp_path, capsys):
    names = [str(tmp_path / f"a.{kind}") for kind in ("npz", "onnx", "safetensors")]
    model_files.plain().save(names[0])
    assert command_line.main(["convert", names[0], names[1], "--opset", "17"]) == 0
    assert command_line.main(["verify", names[0], names[1]]) == 0
    assert "onnxruntime" in capsys.readouterr().out
    assert command_line.main(["inspect", names[1]]) == 0
    out = capsys.readouterr().out
    assert "operators of ai.onnx 17" in out
    assert "LSTM" in out
    assert "Runs step by step: " in out
    if out.endswith("yes\n"):
        assert command_line.main(["convert", names[1], names[2]]) == 0
        assert Model.load(names[2]).output_size == 2
    assert command_line.main(["convert", names[1], str(tmp_path / "b.npz")]) == 2
    assert "expected a name ending in .safetensors for what an ONNX graph becomes" in capsys.readouterr().err


def succeed(capsys, *words):
    assert command_line.main(list(map(str, words))) == 0
    return capsys.readouterr().out


def test_a_graph_with_layers_of_its_own(tmp_path, capsys):
    """What convert wrote is inspected, and verified against the graph."""
    names = tmp_path / "m.onnx", tmp_path / "m.safetensors"
    nodes = [node("Log", "x", "a"), node("MatMul", "a w", "b"), node("Sigmoid", "b", "c"), node("Mul", "c x", "y")]
    onnx.save(graph(nodes, {"w": floats(6, 6)}), names[0])
    assert "4 layers that run step by step" in succeed(capsys, "convert", *names)
    out = succeed(capsys, "inspect", names[1])
    assert "multiply" in out
    assert out.endswith("Runs step by step: yes\n")
    assert "The same" in succeed(capsys, "verify", *names, "--range", 0.1, 1)
    assert command_line.main(["verify", *map(str, names)]) == 1
    assert "does the model take a root or a logarithm of its input" in capsys.readouterr().out
    assert command_line.main(["convert", str(names[1]), str(tmp_path / "m.npz")]) == 2
    assert "a native model that no layers in Python make" in capsys.readouterr().err


def test_a_graph_for_whole_sequences(tmp_path, capsys):
    names = tmp_path / "m.onnx", tmp_path / "m.safetensors"
    save(model_files.words(), names[0])
    assert "layers for whole sequences" in succeed(capsys, "convert", *names)
    for name in names:
        out = succeed(capsys, "inspect", name)
        assert out.endswith("Runs step by step: no, on whole sequences alone: one output for a sequence\n")
    assert "The same" in succeed(capsys, "verify", *names)


def test_a_graph_that_gives_the_last_step(tmp_path, capsys):
    names = tmp_path / "m.onnx", tmp_path / "m.safetensors"
    nodes = [node("LSTM", "x W R B", "r h", hidden_size=H), node("Squeeze", "h zero", "s"), node("Gemm", "s w", "y")]
    onnx.save(graph(nodes, lstm() | {"w": floats(H, 3), "zero": np.array([0])}), names[0])
    assert "layers that run step by step" in succeed(capsys, "convert", *names)
    assert "The same" in succeed(capsys, "verify", *names)


def test_what_a_graph_leaves_open(tmp_path, capsys):
    names = tmp_path / "m.onnx", tmp_path / "m.safetensors"
    onnx.save(frame_by_frame(), names[0])
    assert command_line.main(["convert", *map(str, names)]) == 2
    assert "input 'rate': expected whole numbers for each step, or a setting" in capsys.readouterr().err
    said = ["--inputs", "rate=16000", "x=1x6"]
    assert "run step by step" in succeed(capsys, "convert", *names, *said)
    assert "Runs step by step: yes" in succeed(capsys, "inspect", names[0], *said)
    assert "The same" in succeed(capsys, "verify", *names, *said)
    assert command_line.main(["convert", *map(str, names), "--force", "--inputs", "rate=16000"]) == 2
    assert "if each call of this graph is a step, its input's shape" in capsys.readouterr().err
    assert command_line.main(["inspect", str(names[1]), *said]) == 2
    assert "inputs, outputs: expected them with an .onnx file alone" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_keras(tmp_path, capsys):
    pytest.importorskip("keras")
    pytest.importorskip("h5py")
    names = [str(tmp_path / f"a.{kind}") for kind in ("npz", "keras")]
    model_files.words().save(names[0])
    assert command_line.main(["convert", *names]) == 0
    assert command_line.main(["verify", *names]) == 0
    assert "Keras 3" in capsys.readouterr().out
