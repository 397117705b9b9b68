"""Damaged files of other libraries: a ValueError with a sentence, and memory within bounds.

`python -m tests.fuzz.model_files nam json npz safetensors --files 20000` tries many more.
"""

from __future__ import annotations

import pytest

from tests.fuzz import model_files as fuzz


@pytest.mark.parametrize("kind", ["nam", "json", "npz", "safetensors"])
def test_three_hundred(kind, tmp_path):
    if kind == "safetensors":
        pytest.importorskip("safetensors")
    # In a process of its own, since threads that other tests have left allocate, too.
    outcomes = fuzz.run_in_children(kind, 1_000_000, 300, tmp_path)
    assert set(outcomes) <= {"read", "refused"}, outcomes
    assert outcomes["refused"]
    assert outcomes["read"], "nothing of this damage was harmless: the damage is too coarse to reach the reader"


def test_what_is_wrong_is_told(tmp_path):
    def reader(_: str) -> None:
        raise RuntimeError("an accident")

    path = tmp_path / "a"
    assert fuzz.check("npz", reader, path, b"xyz") == "RuntimeError: an accident"

    def hungry(_: str) -> None:
        bytearray(2**24)

    assert fuzz.check("npz", hungry, path, b"xyz").startswith("memory: ")
