"""What a run without `--full` leaves out, and what it never does."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.selection import MOST, SHARE, SMALL, left_out

CELLS, SIZES, FLAGS = tuple("abcdef"), (1, 3, 17, 33, 100), (False, True)
FILE = Path("/tests/cells/test_many.py")


@dataclass(eq=False)
class Item:
    """As much of a pytest.Item as the choice looks at."""

    originalname: str
    params: dict[str, Any] = field(default_factory=dict)
    path: Path = FILE
    marks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.originalname}{list(self.params.values())}"

    @property
    def callspec(self) -> Any:
        return SimpleNamespace(params=self.params)

    def get_closest_marker(self, name: str) -> Any:
        return name if name in self.marks else None


def many(name: str = "test_many", path: Path = FILE) -> list[Item]:
    names = ("cell", "size", "flag", "seed")
    return [
        Item(name, dict(zip(names, values, strict=True)), path) for values in product(CELLS, SIZES, FLAGS, range(20))
    ]


def test_every_value_of_every_parameter_stays():
    items = many()
    out = set(left_out(items))
    kept = [item for item in items if item not in out]
    for name in items[0].params:
        assert {item.params[name] for item in kept} == {item.params[name] for item in items}
    assert SHARE * len(items) <= len(kept) < 2 * SHARE * len(items)


def test_a_parameter_of_many_values_keeps_a_hundred():
    items = [Item("test_cases", {"case": case}) for case in map(str, range(300))]
    assert len(items) - len(left_out(items)) == MOST
    large = [Item("test_cases", {"case": case}) for case in map(str, range(10_000))]
    assert len(large) - len(left_out(large)) == SHARE * len(large)


def test_the_choice_is_the_same_in_every_run_and_order():
    names = {item.name for item in left_out(many())}
    assert names == {item.name for item in left_out(many()[::-1])}


def test_few_tests_of_a_function_all_stay():
    assert left_out([Item("test_few", {"seed": seed}) for seed in range(SMALL)]) == []
    assert left_out([Item("test_one")]) == []


def test_functions_are_counted_alone():
    few = [Item("test_few", {"seed": seed}) for seed in range(SMALL)]
    assert not set(few) & set(left_out([*many(), *few]))


def test_what_is_marked_is_left_out():
    slow = Item("test_slow", marks=("full",))
    assert left_out([slow, Item("test_one")]) == [slow]


def test_nothing_is_left_out_of_a_file_that_is_asked_for():
    slow, other = Item("test_slow", marks=("full",)), Path("/tests/cells/test_other.py")
    items = [*many(), slow, *many("test_other", other)]
    out = left_out(items, asked_for={FILE})
    assert out
    assert {item.path for item in out} == {other}
    assert left_out(items, whole={Path("/tests/cells")}) == []
