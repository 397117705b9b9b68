"""Score a folder of Parquet files with Dask: `map_partitions` in processes of this machine, or of a cluster.

A row of IN has an `id` and `x`, the T * I numbers of a sequence, step after step; the files in OUT get `id` and `y`,
the output of the last step. A process reads the model at its first partition; each file is one.

    pip install 'fastrnn[io]' 'dask[dataframe,distributed]'
    python examples/scoring_dask.py MODEL IN OUT [--workers 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import dask
import dask.dataframe
import dask.distributed
import pandas as pd
import pyarrow as pa

import fastrnn

Scores = Callable[[list[Any]], list[Any]]


def scored(frame: pd.DataFrame, scorer: Scores) -> pd.DataFrame:
    """One partition."""
    return pd.DataFrame({"id": frame["id"], "y": scorer(frame["x"])})


def score(scorer: Scores, source: str, target: str) -> None:
    """Write the results of `scorer` beside the ids of `source`, by the workers of the current client."""
    dask.config.set({"dataframe.convert-string": False})  # columns of arrays stay what they are
    data = dask.dataframe.read_parquet(source, columns=["id", "x"])
    found = data.map_partitions(scored, scorer, meta={"id": "int64", "y": object})
    schema = pa.schema({"id": pa.int64(), "y": pa.list_(pa.float32())})
    found.to_parquet(target, schema=schema, write_index=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("model", "source", "target"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(argv)
    # Or Client("scheduler:8786") of a cluster.
    with dask.distributed.Client(n_workers=given.workers, threads_per_worker=1, dashboard_address=None):
        score(fastrnn.Scorer(given.model, last=True), given.source, given.target)


if __name__ == "__main__":
    main()
