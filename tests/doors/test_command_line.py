"""The commands on files of ONNX and Keras, whose own libraries run what is verified."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")

from fastrnn import Model
from fastrnn.cli import command_line
from tests.support import model_files


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
    assert "expected a name ending in .safetensors for an ONNX graph" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_keras(tmp_path, capsys):
    pytest.importorskip("keras")
    pytest.importorskip("h5py")
    names = [str(tmp_path / f"a.{kind}") for kind in ("npz", "keras")]
    model_files.words().save(names[0])
    assert command_line.main(["convert", *names]) == 0
    assert command_line.main(["verify", *names]) == 0
    assert "Keras 3" in capsys.readouterr().out
