"""Seeded damage to files: bytes of any format, and values in JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

ODD = (
    None, True, -1, 0, 3, 2**70, 10**400, 1.5, 1e300, float("nan"), "", "tanh", [], [[]], [None, 3], [1, [2]], {},
    {"a": 1}, "9" * 50, [[1.0, "2"]], [[True]],
)  # fmt: skip


def damage_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, cut off, removed, repeated or moved."""
    kind = rng.integers(5)
    if kind == 0:
        return content[: rng.integers(len(content))]
    if kind in (1, 2):
        return flip_bytes(content, rng, 5)
    a, b, c = sorted(int(i) for i in rng.integers(0, len(content), 3))
    return (content[:a] + content[b:], content[:a] + content[b:c] + content[a:b] + content[c:])[rng.integers(2)]


def flip_bytes(content: bytes, rng: np.random.Generator, count: int) -> bytes:
    """Up to `count` bytes changed."""
    damaged = bytearray(content)
    # Most of a file is numbers: look at its ends, where the structure is, half of the time.
    most = len(content) if rng.integers(2) else min(len(content), 2000)
    for _ in range(rng.integers(1, count + 1)):
        place = int(rng.integers(most))
        damaged[place if rng.integers(2) else len(content) - 1 - place] = rng.integers(256)
    return bytes(damaged)


def places(tree: Any, here: tuple[Any, ...] = ()) -> Any:
    """The paths of all values in a JSON tree; of a list of numbers the first and the last alone."""
    yield here
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
        if len(items) > 8 and not isinstance(tree[0], dict | list):
            items = [items[0], items[-1]]
    else:
        return
    for key, value in items:
        yield from places(value, (*here, key))


def damage_json(text: str, rng: np.random.Generator, odd: Sequence[Any] = ODD, deep: str = "[" * 5000) -> str:
    """One or two values replaced by odd ones, removed, renamed, exchanged or nested deeply."""
    tree = [json.loads(text)]
    for _ in range(rng.integers(1, 3)):
        paths = [p for p in places(tree) if p]
        path = paths[rng.integers(len(paths))]
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        kind = rng.integers(8)
        if kind == 0 and isinstance(parent, dict):
            parent[f"{path[-1]}x"] = parent.pop(path[-1])
        elif kind == 1 and len(path) > 1:
            del parent[path[-1]]
        elif kind == 2:
            other: Any = tree
            for key in paths[rng.integers(len(paths))]:
                other = other[key]
            parent[path[-1]] = json.loads(json.dumps(other))
        elif kind == 3:
            return json.dumps(tree[0])[: rng.integers(1, 40)] + deep
        elif kind == 4 and isinstance(parent[path[-1]], int) and parent[path[-1]] is not True:
            parent[path[-1]] += int(rng.integers(-3, 4))
        else:
            parent[path[-1]] = copy.deepcopy(odd[rng.integers(len(odd))])
    return json.dumps(tree[0])


def damage_arrays(arrays: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """An array of another dtype, shape, size or number, under another name, missing or one more."""
    found = dict(arrays)
    key = sorted(found)[rng.integers(len(found))]
    array = found.pop(key)
    dtypes = ["<f8", "<f2", "<i4", "<i8", "u1", "?"]
    odd = np.full_like(array, [np.nan, np.inf, 3e38, -1, 0][rng.integers(5)])
    more: dict[str, Any] = [
        {key: array.astype(dtypes[rng.integers(len(dtypes))])},
        {key: array[None]},
        {key: array.reshape(-1)[:1]},
        {key: array.reshape(-1)[: rng.integers(array.size + 1)]},
        {key: np.zeros((*array.shape[:-1], 0), array.dtype)},
        {key: odd},
        {key: array.T.copy()},
        {f"{key}x": array},
        {key: array, f"{key}/0": array},
        {},
    ][rng.integers(10)]
    return {**found, **more}
