"""Score a folder of Parquet files with Ray Data: actors that have the model, on this machine or on a cluster.

A row of IN has an `id` and `x`, the T * I numbers of a sequence, step after step; the files in OUT get `id` and `y`,
the output of the last step. Ray hands out the names of files, which every machine has to reach: the sequences
themselves, as rows of a data set, would be copied from processes that read to the actors and on to those that write,
which took a fifth of two cores. An actor reads the model at its first file, and a file is there whole or not at all.

    pip install 'fastrnn[io]' 'ray[data]' && python examples/scoring_ray.py MODEL IN OUT [--workers 2]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray.data
import scoring_arrow

import fastrnn

Scores = Callable[[list[Any]], list[Any]]


class Actor:
    """What runs in a process of its own, one core each."""

    def __init__(self, scorer: Scores, target: Path) -> None:
        self.scorer, self.target = scorer, target

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for source in batch["item"]:
            part = self.target / f".{Path(source).name}.part"
            scoring_arrow.score(self.scorer, source, str(part))
            os.replace(part, self.target / Path(source).name)
        return batch


def score(scorer: Scores, source: str, target: str, workers: int = 2) -> None:
    """Write the results of `scorer` beside the ids of `source`."""
    folder = Path(target).resolve()
    folder.mkdir(parents=True)
    files = sorted(str(path.resolve()) for path in Path(source).glob("*.parquet"))
    pool = ray.data.ActorPoolStrategy(size=workers)
    names = ray.data.from_items(files, override_num_blocks=len(files))
    names.map_batches(Actor, fn_constructor_args=(scorer, folder), batch_size=1, compute=pool, num_cpus=1).materialize()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("model", "source", "target"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(argv)
    # Actors find the recipe for one file beside this one.
    path = os.pathsep.join([str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")])
    ray.init(num_cpus=given.workers, runtime_env={"env_vars": {"PYTHONPATH": path}})
    score(fastrnn.Scorer(given.model, last=True), given.source, given.target, given.workers)


if __name__ == "__main__":
    main()
