"""The page at `/`, in headless Chromium: what it shows, and that it is a client whose answers are right."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn

pytest.importorskip("aiohttp", reason="the service's extra is not installed: pip install '.[serve]'")
from tests.support.served import model, model_file, options, running

CHROMIUM = shutil.which("chromium")
FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a beep a second; nobody is asked


@options()
def test_the_page_is_there_and_needs_nobody_else(server):
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript")):
        with urllib.request.urlopen(server.url + path) as response:
            text = response.read().decode()
            assert response.headers["Content-Type"].startswith(kind)
            assert "default-src 'none'; script-src 'self'" in response.headers["Content-Security-Policy"]
        assert "//" not in text.replace("// ", "").replace("registerProcessor", "")
        assert 'src="page.js"' in text or path != "/"
    with urllib.request.urlopen(server.url + "/status") as response:
        status = json.loads(response.read())
    assert status["models"]["lstm"].items() >= {"input_size": 128, "streams": 0, "steps": 0}.items()
    assert (status["count"], status["streams"], len(status["bounds"])) == (0, [], 12)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with (
        sync_api.sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *FAKE]) as started,
    ):
        yield started


def visit(browser: Any, url: str) -> tuple[Any, list[str], dict[str, list[bytes]]]:
    """A page, what it complains about, and what its WebSockets send and get."""
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    frames: dict[str, list[bytes]] = {"sent": [], "received": []}
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)

    def watch(socket: Any) -> None:
        socket.on("framesent", lambda data: frames["sent"].append(data))
        socket.on("framereceived", lambda data: frames["received"].append(data))

    page.on("websocket", watch)
    page.goto(url)
    return page, wrong, frames


def wait_for(page: Any, selector: str, pattern: str) -> str:
    """Waits for a text; the page's policy allows no code that would."""
    for _ in range(1200):
        text = str(page.inner_text(selector))
        if re.search(pattern, text):
            return text
        page.wait_for_timeout(50)
    raise AssertionError(f"{selector}: expected {pattern}, got {text!r}")


def colours(page: Any, canvas: str) -> int:
    """How many different colours a canvas shows."""
    code = "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    return int(page.eval_on_selector(canvas, code))


def check_answers(frames: dict[str, list[bytes]], steps: int, served: Any) -> None:
    session = fastrnn.Session(served)
    assert len(frames["received"]) > 10
    for chunk, answer in zip(frames["sent"], frames["received"], strict=False):
        x = np.frombuffer(chunk, np.float32).reshape(steps, 1, -1)
        assert session.run(x).tobytes() == answer


@pytest.mark.full
@pytest.mark.parametrize("signal", ["sine", "noise", "microphone"])
def test_a_signal_and_its_answer(browser, signal, tmp_path):
    with running() as server:
        page, wrong, frames = visit(browser, server.url)
        page.wait_for_selector("#models tr")
        assert page.inner_text("#models tr").split()[:4] == ["lstm", "128", "128", "float32"]
        page.select_option("#signal", signal)
        page.click("#run")
        wait_for(page, "#panel-text", r"^([3-9]\d|\d{3,}) answers")
        wait_for(page, "#latency-text", r"\d+ chunks; ms\. Half <= \d")
        page.wait_for_selector("#streams tr")
        assert page.inner_text("#streams tr").split()[:2] == ["lstm", "127.0.0.1"]
        assert colours(page, "#drawing") > 8
        assert colours(page, "#latency") > 2
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        page.click("#run")
        page.wait_for_selector("#streams tr", state="detached")
        assert page.inner_text("#run") == "Start"
        assert wrong == []
        check_answers(frames, 4, model())
        heard = np.frombuffer(b"".join(frames["sent"]), np.float32)
        assert 0.05 < np.abs(heard).max() <= 1
        page.close()
    assert (tmp_path / "page.png").stat().st_size > 10_000


@pytest.mark.full
def test_one_output_a_token_and_the_end(browser, tmp_path):
    path, tokens = tmp_path / "one.npz", tmp_path / "tokens"
    small = fastrnn.Sequential(
        [fastrnn.Input((None, 1)), fastrnn.GRU(5, return_sequences=True), fastrnn.layers.Dense(1)]
    )
    small.save(path)
    tokens.write_text("ann secret\n")
    with running("--token-file", str(tokens), models=(str(path), f"lstm={model_file()}")) as server:
        page, wrong, frames = visit(browser, server.url)
        wait_for(page, "#state", "^a token is needed$")
        page.fill("#token", "secret")
        page.keyboard.press("Tab")
        page.wait_for_selector("#models tr")
        page.select_option("#model", "one")
        page.click("#run")
        wait_for(page, "#panel-text", r"^([2-9]\d|\d{3,}) answers")
        assert colours(page, "#drawing") > 3
        check_answers(frames, 64, small.to_native())
        server.process.terminate()
        wait_for(page, "#panel-text", "^closed: 1012 the server stops$")
        assert all("401" in text or "ERR_" in text or "WebSocket" in text for text in wrong), wrong
        page.close()


def test_where_the_page_lies():
    """The package, as installed, has what the service reads beside its modules."""
    import fastrnn.serve.service

    folder = Path(fastrnn.serve.service.__file__).parent
    assert {"page.html", "page.js"} <= {path.name for path in folder.iterdir()}
