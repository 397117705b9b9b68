"""The examples and the demo, each run very small: that they work and learn at all, not how well."""

import importlib.util
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

import fastrnn
from fastrnn.cli import command_line
from tests.support.tree import ROOT

EXAMPLES = ROOT / "examples"


def run(name, *arguments):
    """Call the example's `main` with the arguments."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([*arguments, "--verbose", "0"])


def need(package):
    """Skip unless the package is there; it is not imported: its dependencies may not be."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def test_every_example_has_a_test():
    sources = [ROOT / "tests" / "examples" / "test_examples.py", *(ROOT / "tests" / "doors").glob("test_*.py")]
    tested = {name for source in sources for name in re.findall(r"^def test_example_(\w+)", source.read_text(), re.M)}
    assert tested == {path.stem for path in EXAMPLES.glob("*.py")}


def test_example_text(capsys):
    figures = run("text", "--epochs", "1", "--units", "16", "--characters", "20000", "--length", "20")
    # Better than the evenly guessing 6.2 bits of some 75 characters, after 17 steps.
    assert 2 < figures["bits_per_character"] < 5.5
    assert capsys.readouterr().out.count("--- temperature") == 3


def test_example_japanese_vowels():
    need("aeon")
    figures = run("japanese_vowels", "--epochs", "6", "--units", "16")
    assert 0.5 < figures["accuracy"] <= 1


def test_example_forecasting():
    need("vega_datasets")
    figures = run("forecasting", "--epochs", "2", "--units", "8", "--days", "2", "--stride", "6")
    assert figures["model"] < figures["seasonal_naive"] < figures["persistence"]


def test_example_adding_problem():
    small = [
        "--steps",
        "10",
        "--epochs",
        "3",
        "--examples",
        "1000",
        "--units",
        "8",
        "--cells",
        "SimpleRNN",
        "LSTM",
        "GRU",
    ]
    errors = run("adding_problem", *small)
    assert set(errors) == {"SimpleRNN", "LSTM", "GRU"}
    assert all(0 < error < 0.25 for error in errors.values())


@pytest.fixture
def choosing():
    """The module of the example."""
    spec = importlib.util.spec_from_file_location("choosing", EXAMPLES / "choosing.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["choosing"] = module  # where its dataclass looks for its annotations
    spec.loader.exec_module(module)
    yield module
    del sys.modules["choosing"]


def test_example_choosing(choosing, tmp_path):
    pytest.importorskip("safetensors")
    tasks = ["adding", "copy", "characters", *(["vowels"] if importlib.util.find_spec("aeon") else [])]
    results = choosing.main(["--quick", "--seeds", "1", "--verbose", "0", "--tasks", *tasks])
    assert set(results["tasks"]) == set(tasks)
    for name, task in results["tasks"].items():
        assert list(task["cells"]) == list(choosing.CELLS)
        for found in task["cells"].values():
            assert 0.9 * task["weights"] < found["weights"] <= task["weights"], (
                name
            )  # alike, and as many as there may be
            assert 0 <= found["runs"][0]["right"] <= 1
            assert found["kept"] > 0
    for by_cell in results["streams"].values():
        assert all(s["microseconds"] > 0 and s["stream"] > 0 for s in by_cell.values())


def test_the_guide_shows_what_was_measured(choosing):
    folder = ROOT / "docs" / "choosing"
    results = json.loads((folder / "choosing.json").read_text(encoding="utf-8"))
    assert list(results["tasks"]) == list(choosing.TASKS)
    page = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    for table in choosing.tables(results).split("\n\n"):
        assert table in page  # python examples/choosing.py --out docs/choosing --draw
    assert "choosing/choosing.png" in page


def test_example_audio():
    figures = run(
        "audio", "--epochs", "4", "--units", "12", "--examples", "800", "--noise", "0.1", "--batch-size", "32"
    )
    assert figures["accuracy"] > 0.3  # guessing: 0.2


def test_example_video():
    pytest.importorskip("sklearn")
    figures = run("video", "--epochs", "6", "--units", "32", "--examples", "1200", "--batch-size", "16")
    assert figures["accuracy"] > 0.25  # guessing: 0.125


DEMO = ["demo", "--epochs", "1", "--units", "16", "--characters", "20000", "--quiet"]


def test_demo(tmp_path, capsys):
    out = tmp_path / "model.npz"
    assert command_line.main([*DEMO, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "bits per character, perplexity" in text
    assert "characters/s" in text
    assert f"A sample at temperature 0.5; fastrnn demo --sample {out} " in text
    written, _, after = text.split("writes more:\n    ")[1].partition("\nWhat to do next:\n")
    assert f"fastrnn inspect {out}" in after
    written = written.replace("\n    ", "\n")
    assert command_line.main(["demo", "--sample", str(out)]) == 0
    assert capsys.readouterr().out == f"The {written}\n"
    assert command_line.main(["demo", "--sample", str(out), "--prompt", "def "]) == 0
    assert capsys.readouterr().out.startswith("def ")
    model = fastrnn.load_model(out)
    p = model.predict(np.array([[1, 2, 3]]))
    assert p.shape == (1, 3, model.layers[-1].get_config()["units"])
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-5)


def test_demo_repeats_by_seed(tmp_path):
    from fastrnn.cli import demo

    def go(seed):
        return demo.run(epochs=1, units=8, characters=8000, out=str(tmp_path / "m.npz"), seed=seed, verbose=0)["loss"]

    assert go(1) == go(1) != go(2)
    assert math.isfinite(go(1))


def test_demo_stops_after_seconds(tmp_path):
    from fastrnn.cli import demo

    settings = {"epochs": 10**6, "units": 8, "characters": 8000, "out": str(tmp_path / "m.npz"), "verbose": 0}
    assert demo.run(seconds=0.2, **settings)["characters_per_second"] > 0


def test_demo_samples_from_its_own_files_alone(tmp_path, capsys):
    path = tmp_path / "other.npz"
    model = fastrnn.Sequential([fastrnn.Input((3,)), fastrnn.Dense(2)])
    model.save(path)
    for arguments, message in (
        (["--sample", str(path)], "expected a model that `fastrnn demo` has saved, with its vocabulary"),
        (["--sample", str(tmp_path / "none.npz")], "No such file"),
        (["--sample", str(path), "--prompt", ""], "prompt: expected at least one character, got none"),
        (["--prompt", ""], "prompt: expected at least one character, got none"),
    ):
        assert command_line.main(["demo", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_demo_with_too_little_text(tmp_path, capsys):
    assert command_line.main(["demo", "--characters", "50", "--out", str(tmp_path / "m.npz")]) == 2
    assert "fastrnn demo: error: length: expected a number in" in capsys.readouterr().err


def test_info_and_help(capsys):
    assert command_line.main(["info"]) == 0
    assert "version" in capsys.readouterr().out
    for arguments in (["--help"], ["demo", "--help"]):
        with pytest.raises(SystemExit) as stop:
            command_line.main(arguments)
        assert stop.value.code == 0
        assert "demo" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command_line.main(["demo", "--epochs", "0"])
    assert "expected a number >= 1, got 0" in capsys.readouterr().err


def test_version_and_no_command(capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"fastrnn {fastrnn.__version__}\n"
    assert command_line.main([]) == 2
    assert capsys.readouterr().err == command_line.parser().format_help()


def test_module_runs_from_the_command_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fastrnn", *DEMO, "--out", str(tmp_path / "m.npz")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.npz").stat().st_size > 10_000
