"""Score a folder of Parquet files with Ray Data: actors that have the model, on this machine or on a cluster.

A row of IN has an `id` and `x`, the T * I numbers of a sequence, step after step; the files in OUT get `id` and `y`,
the output of the last step. An actor reads the model at its first batch.

    pip install 'fastrnn[io]' 'ray[data]' && python examples/scoring_ray.py MODEL IN OUT [--workers 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import ray.data

import fastrnn

Scores = Callable[[list[Any]], list[Any]]


class Actor:
    """What runs in a process of its own, one core each."""

    def __init__(self, scorer: Scores) -> None:
        self.scorer = scorer

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"id": batch["id"], "y": np.stack(self.scorer(batch["x"]))}


def score(scorer: Scores, source: str, target: str, workers: int = 2, rows: int = 256) -> None:
    """Write the results of `scorer` beside the ids of `source`."""
    # Ray would make blocks of 128 MB, with which some actors have nothing to do, and others the last one for long.
    ray.data.DataContext.get_current().target_max_block_size = 8 << 20
    pool = ray.data.ActorPoolStrategy(size=workers)
    data = ray.data.read_parquet(source).select_columns(["id", "x"])
    scored = data.map_batches(Actor, fn_constructor_args=(scorer,), batch_size=rows, compute=pool, num_cpus=1)
    scored.write_parquet(target)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("model", "source", "target"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(argv)
    ray.init(num_cpus=given.workers + 2)  # two more, for what reads and what writes
    score(fastrnn.Scorer(given.model, last=True), given.source, given.target, given.workers)


if __name__ == "__main__":
    main()
