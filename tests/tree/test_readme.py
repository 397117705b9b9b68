"""What README.md and the other pages tell the reader to do: the snippets run, the commands parse, the files are there.

Snippets in C++ and C are not compiled here; tests/consumer has projects of the same calls.
"""

import ast
import functools
import importlib.util
import os
import re
import shlex
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.cli import parser
from tests.support.tree import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "bench/README.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
SIZES = {"T": 6, "B": 2, "I": 3, "H": 4}
T, B, I, H = SIZES.values()  # noqa: E741 (I is what the pages call the number of inputs)

# Packages whose snippets are compiled and have their names looked up, but do not run.
NOT_RUN = {
    "cupy": "it has no arrays without a GPU",
    "sktime": "it warns of what its next version will do; test_sktime.py does the same",
    "fastrnn.distributed": "a job of several processes; test_distributed_mpi.py starts it",
    "fastrnn.serve": "a client, which needs a server; test_docs.py runs it",
}


def array(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def parameters(gates: int, inputs: int = I, hidden: int = H) -> tuple[Any, ...]:
    """w_ih, w_hh, b_ih, b_hh of a layer."""
    rows = gates * hidden
    return array(rows, inputs), array(rows, hidden), array(rows), array(rows)


def names_of_readme() -> list[dict[str, Any]]:
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    functions = {**dict(zip(names, parameters(4), strict=True)), "x": array(T, B, I), "dy": array(T, B, H)}
    stream = {"chunks": array(T, I), "chunk": array(T, I)}
    model = {"x": array(40, T, I), "y": np.eye(9, dtype=np.float32)[np.arange(40) % 9]}
    return [model, functions, stream, {}]


def names_of_functions() -> list[dict[str, Any]]:
    given = names_of_readme()[1]
    given |= {"w_back": fastrnn.pack_lstm(*parameters(4), dtype="int8"), "lengths": np.arange(B) + T - B + 1}
    given |= {name: fastrnn.pack_lstm(*parameters(4, 2 * H), dtype="int8") for name in ("w2", "w2_back")}
    return [given, {}, {}, {}]


def names_of_arrays() -> list[dict[str, Any]]:
    weights = names_of_readme()[1]
    for layer, inputs in ((1, I), (2, 2 * H)):
        weights |= {f"{way}_{layer}": fastrnn.pack_lstm(*parameters(4, inputs)) for way in ("forward", "backward")}
    return [weights, {}, {}, weights]


def names_of_interop() -> list[dict[str, Any]]:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    for package in ("safetensors", "h5py", "onnx", "torch", "keras"):
        pytest.importorskip(package)
    from fastrnn.interop import keras

    warnings.simplefilter("ignore")  # of Keras, about NumPy; pytest resets it after the test
    keras.save(fastrnn.Sequential([fastrnn.Input((None, I)), fastrnn.LSTM(H, return_sequences=True)]), "model.keras")
    return [{}] * 4


def names_of_model_file() -> list[dict[str, Any]]:
    pytest.importorskip("safetensors")
    return [{**names_of_readme()[1], "kernel": array(H, 9), "bias": array(9)}, {}, {}]


def names_of_clusters() -> list[dict[str, Any]]:
    pytest.importorskip("safetensors")
    return [{}]


def names_of_onnx() -> list[dict[str, Any]]:
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    trained = fastrnn.Sequential([fastrnn.Input((None, I)), fastrnn.LSTM(H, return_sequences=True), fastrnn.Dense(5)])
    fastrnn.interop.onnx.save(trained, "denoiser.onnx")
    # As onnx.NodeProto has it; the package need not be there.
    node = SimpleNamespace(op_type="GRU", domain="", attribute=[], input=["x", "w", "r"], output=["y", "h"])
    both = {"x": array(T, B, I), "w": array(2, 4 * H, I), "r": array(2, 4 * H, H), "b": array(2, 8 * H)}
    values = {"x": both["x"], "w": array(1, 3 * H, I), "r": array(1, 3 * H, H)}
    model = SimpleNamespace(graph=SimpleNamespace(node=[None] * 3 + [node]))
    return [{"features": array(I)}, {**both, "values": values, "model": model}]


def names_of_streaming() -> list[dict[str, Any]]:
    pytest.importorskip("safetensors")
    trained = fastrnn.Sequential([fastrnn.Input((None, I)), fastrnn.LSTM(H, return_sequences=True), fastrnn.Dense(5)])
    trained.save("model.safetensors")
    models = {"first": parameters(4), "second": parameters(3, H), "trained": trained}
    return [models, {"x": array(I), "chunk": array(T, 1, I)}, {"x": array(I), "chunk": array(T, I)}]


def names_of_data() -> list[dict[str, Any]]:
    rows = [f"{n // 10},{n % 10},{n % 7},{-n % 5},{n // 20 % 2}" for n in range(80)]
    Path("measured.csv").write_text("\n".join(["machine,time,a,b,broken", *rows]))
    return [{}, {}, {}, {}, {}, {"series": array(200, 1)}, {}, {}, {"text": "the cat sat on the mat . " * 9}]


def names_of_serving() -> list[dict[str, Any]]:
    pytest.importorskip("aiohttp")
    return [{}]


def names_of_plots() -> list[dict[str, Any]]:
    pytest.importorskip("matplotlib").use("Agg")
    x, y = array(20, T, I), np.arange(20) % 4
    model = fastrnn.Sequential([fastrnn.LSTM(H), fastrnn.Dense(4, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    cell = {"sequence": array(T, B, I), **dict(zip(names, parameters(4), strict=True))}
    return [
        {"model": model, "x": x, "y": y},
        {},
        {},
        {},
        cell,
        {"past": array(9), "predicted": array(3), "truth": None},
        {},
    ]


def names_of_sklearn() -> list[dict[str, Any]]:
    pytest.importorskip("sklearn", minversion="1.6")
    sequences = [array(n, I) for n in range(3, 33)]
    series = [array(40), array(50)]
    given = {"sequences": sequences, "labels": np.arange(30) % 2}
    return [given, {}, {}, {"series": series}, {}]


def names_of_torch() -> list[dict[str, Any]]:
    pytest.importorskip("torch", minversion="2.4")
    import fastrnn.torch  # noqa: F401  (as the first snippet does; the second is looked through before)

    return [{}, {}]


def names_of_onnx_to_service() -> list[dict[str, Any]]:
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    name = "silero_vad_16k_sequence.onnx"
    package = importlib.util.find_spec("silero_vad")  # whose model it is; one of the same shapes where it is not there
    if package is not None and package.origin is not None:
        shutil.copy(Path(package.origin).parent / "data" / name, name)
    else:
        layers = [fastrnn.Input((None, 576)), fastrnn.LSTM(H, return_sequences=True), fastrnn.Dense(1)]
        fastrnn.interop.onnx.save(fastrnn.Sequential(layers), name)
    return [{}, {}]


def names_of_keras() -> list[dict[str, Any]]:
    pytest.importorskip("torch", minversion="2.4")
    pytest.importorskip("keras")
    import fastrnn.keras  # noqa: F401

    warnings.simplefilter("ignore")  # of Keras, about NumPy; pytest resets it after the test
    return [{}]


# For each snippet of a page the names that its text speaks of, added to those that the snippets before it leave.
NAMES = {
    "README.md": names_of_readme,
    "docs/sklearn.md": names_of_sklearn,
    "docs/data.md": names_of_data,
    "docs/plots.md": names_of_plots,
    "docs/cuda-arrays.md": names_of_arrays,
    "docs/cuda-plan.md": lambda: [{}],
    "docs/clusters.md": names_of_clusters,
    "docs/distributed.md": lambda: [{}],
    "docs/guides/functions.md": names_of_functions,
    "docs/guides/onnx-to-service.md": names_of_onnx_to_service,
    "docs/guides/precision.md": lambda: [{}],
    "docs/guides/same-bits.md": lambda: [{}],
    "docs/guides/threads-and-latency.md": lambda: [{}],
    "docs/interop.md": names_of_interop,
    "docs/keras.md": names_of_keras,
    "docs/model-file.md": names_of_model_file,
    "docs/onnx.md": names_of_onnx,
    "docs/serving.md": names_of_serving,
    "docs/resume.md": lambda: [{}, {}],
    "docs/start/first-five-minutes.md": lambda: [{}] * 4,
    "docs/streaming.md": names_of_streaming,
    "docs/torch.md": names_of_torch,
}


def snippets(page: str) -> list[str]:
    """The page's blocks of Python, each on its own lines of the page, so that errors name those."""
    found = re.finditer(r"^```python\n(.*?)^```", TEXTS[page], re.DOTALL | re.MULTILINE)
    codes = [(TEXTS[page].count("\n", 0, block.start(1)) * "\n") + block[1] for block in found]
    return [re.sub(r"^>>> ", "", code, flags=re.MULTILINE) for code in codes]


def on_the_cpu(code: str) -> str:
    """The snippet with the CPU's functions for the GPU's, which take the same arrays and give the same shapes."""
    code = re.sub(r'pack_cuda\("(\w+)", ', r"pack_\1(", code)
    return re.sub(r', (device="cuda[:\d]*"|device_dtype="\w+")', "", code)


def imported(code: str) -> set[str]:
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import)]
    return {name.name for node in imports for name in node.names}


def check_names(code: str) -> None:
    """Every fastrnn.NAME is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("fastrnn."):
            functools.reduce(getattr, ast.unparse(node).split(".")[1:], fastrnn)


def shapes_said(code: str) -> dict[str, tuple[int, ...]]:
    """What comments say, as `x (T,B,I)`; of a name that has several shapes the last."""
    said = re.findall(r"\b(\w+) (\([TBIH0-9*]+,[TBIH0-9*,]+\))", " ".join(re.findall("#.*", code)))
    return {name: eval(shape, dict(SIZES)) for name, shape in said}


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page)])
def test_snippets_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"fastrnn": fastrnn}
    for code, given in zip(snippets(page), NAMES[page](), strict=True):
        compiled = compile(on_the_cpu(code), str(ROOT / page), "exec")
        check_names(code)
        packages = imported(code)
        if packages & NOT_RUN.keys() or not all(map(importlib.util.find_spec, packages)):
            continue
        names |= given
        exec(compiled, names)
        for name, shape in shapes_said(code).items():
            assert names[name].shape == shape, f"{page}: {name}"


def test_shapes_are_read():
    said = shapes_said("\n".join(snippets("docs/guides/functions.md")))
    assert said.keys() == {"x", "w_ih", "w_hh", "y", "h_n"}


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse(page):
    command = r"(?:python -m ([\w.]+)|(?:python|pytest)(?: -q)? ([\w.]+/[\w./]+))([^`\n#&|)]*)"
    for module, path, words in re.findall(command, TEXTS[page]):
        if module == "fastrnn":
            check_arguments(shlex.split(words))
        elif module.startswith("bench."):
            place = ROOT / module.replace(".", "/")
            check_options(place / "__main__.py" if place.is_dir() else place.with_suffix(".py"), words)
        elif path:
            check_options(ROOT / path, words)


def check_arguments(words: list[str]) -> None:
    """The parser of `python -m fastrnn` takes the words."""
    try:
        parser().parse_args(words)
    except SystemExit as end:  # --cmake-dir ends, too, but not with the status of wrong usage
        if end.code == 2:
            pytest.fail(f"python -m fastrnn {shlex.join(words)}")


def check_options(path: Path, words: str) -> None:
    """The script is there, and each option stands in it or in a file beside it."""
    folder = path if path.is_dir() else path.parent
    sources = "".join(source.read_text(encoding="utf-8") for source in [path, *folder.glob("*.py")] if source.is_file())
    assert path.exists(), path
    for option in re.findall(r"--[\w-]+", words):
        assert option == "--help" or f'"{option}"' in sources, f"{path}: {option}"


@pytest.mark.parametrize("page", PAGES)
def test_files_are_there(page):
    for link in re.findall(r"\]\(([^)#]+)", TEXTS[page]):
        assert ":" in link or (ROOT / page).parent.joinpath(link).exists(), link
    for path in re.findall(
        r"(?<![\w./-])((?:bench|cmake|csrc|docs|examples|python|tests|\.ci)/[\w./-]*\w)", TEXTS[page]
    ):
        # NAME and ISA are for the reader to fill in, and the commands of the benchmark write into bench/history.
        assert re.search("NAME|ISA|^bench/history/", path) or (ROOT / path).exists(), path


def test_tasks_are_in_the_noxfile():
    sessions = set(re.findall(r"@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text()))
    callers = "\n".join([*TEXTS.values(), (ROOT / ".pre-commit-config.yaml").read_text()])
    called = re.findall(r"nox (?:-s|--session) (\w+)", callers)
    called += re.findall(r"^ *task (\w+)", (ROOT / ".ci" / "run").read_text(), re.M)
    assert {"tests", "lint", "tidy", "asan", "doors"} <= set(called) <= sessions
