"""What tests/mutants.py breaks and runs is there: the few mutants in CI would not show that another is lost."""

from __future__ import annotations

import runpy

import pytest

from tests import mutants
from tests.support.mutant_list import KINDS, MUTANTS


@pytest.mark.skipif(not (mutants.ROOT / ".git").exists(), reason="asks git for the files of the tree")
def test_every_mutant_finds_its_text_and_its_tests():
    """What fails here has moved or changed: its mutant goes along, or another one takes its place."""
    runner = mutants.Runner(MUTANTS, 1)  # compares the texts
    for mutant in MUTANTS:
        assert mutant.kind in KINDS
        assert mutant.old != mutant.new
        for test in runner.tests_of(mutant):
            file, _, function = test.partition("::")
            assert not function or f"def {function}(" in (mutants.ROOT / file).read_text(), f"{mutant.name}: no {test}"
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 66
    assert sum(mutant.ci for mutant in MUTANTS) == 6


def test_every_mutant_of_the_cuda_kernels_finds_its_text():
    """tests/cuda_emulation/mutants.py runs them, which takes an hour."""
    kernels = runpy.run_path(str(mutants.ROOT / "tests" / "cuda_emulation" / "mutant_list.py"))["MUTANTS"]
    files = [path for folder in ("cuda", "core/backend") for path in (mutants.ROOT / "csrc" / folder).rglob("*.*")]
    for mutant in kernels:
        (path,) = (path for path in files if path.name == mutant.file)
        assert path.read_text().count(mutant.old) == 1, mutant.name
        assert mutant.old != mutant.new, mutant.name
