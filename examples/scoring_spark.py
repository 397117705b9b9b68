"""Score a folder of Parquet files with Spark: `mapInPandas` on this machine, or on a cluster.

A row of IN has an `id` and `x`, the T * I numbers of a sequence, step after step; the files in OUT get `id` and `y`,
the output of the last step. Spark keeps its Python processes, each of which reads the model once.

    apt-get install openjdk-17-jre-headless
    pip install 'fastrnn[io]' pyspark pandas pyarrow && python examples/scoring_spark.py MODEL IN OUT [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
from pyspark.sql import SparkSession

import fastrnn

Scores = Callable[[list[Any]], list[Any]]


def score(scorer: Scores, source: str, target: str, spark: SparkSession) -> None:
    """Write the results of `scorer` beside the ids of `source`."""

    def scored(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            yield pd.DataFrame({"id": frame["id"], "y": scorer(frame["x"])})

    data = spark.read.parquet(source).select("id", "x")
    data.mapInPandas(scored, "id long, y array<float>").write.parquet(target)


def session(workers: int, rows: int = 512) -> SparkSession:
    """Spark in this process; on a cluster spark-submit says the master, and how many cores there are."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else the first python3 of PATH, which may lack fastrnn
    options = {
        "spark.sql.execution.arrow.maxRecordsPerBatch": rows,
        "spark.sql.files.maxPartitionBytes": "16m",  # small tasks, so that no core is left with a long one at the end
        "spark.ui.enabled": False,
    }
    return SparkSession.builder.master(f"local[{workers}]").config(map=options).getOrCreate()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("model", "source", "target"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(argv)
    spark = session(given.workers)
    score(fastrnn.Scorer(given.model, last=True), given.source, given.target, spark)
    spark.stop()


if __name__ == "__main__":
    main()
