"""Score a Parquet or Arrow file in this process, whose columns NumPy sees without a copy.

A row of IN has an `id` and `x`, the T * I numbers of a sequence, step after step; OUT gets `id` and `y`, the output of
the last step. The sequences of an Arrow file (`.arrow`) are views of the mapped file, those of a Parquet file views of
the buffers into which it is decoded. `y` is written from the array that holds the results.

    pip install 'fastrnn[io]' pyarrow && python examples/scoring_arrow.py MODEL IN.parquet OUT.parquet
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

import fastrnn

Scores = Callable[[list[Any]], list[Any]]


def batches(source: str, rows: int) -> Iterator[Any]:
    """The record batches of a file, or of a folder of Parquet files."""
    if source.endswith(".arrow"):
        file = pa.ipc.open_file(pa.memory_map(source))
        return (file.get_batch(index) for index in range(file.num_record_batches))
    return pa.dataset.dataset(source).to_batches(columns=["id", "x"], batch_size=rows)


def score(scorer: Scores, source: str, target: str, rows: int = 1024) -> None:
    """Write the results of `scorer` beside the ids of `source`."""
    with pa.OSFile(target, "wb") as file:
        writer = None
        for batch in batches(source, rows):
            y = np.stack(scorer([np.asarray(row.values) for row in batch["x"]]))
            column = pa.FixedSizeListArray.from_arrays(pa.array(y.ravel()), y.shape[1])
            table = pa.table({"id": batch["id"], "y": column})
            writer = writer or pa.parquet.ParquetWriter(file, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("model", "source", "target"):
        parser.add_argument(name)
    given = parser.parse_args(argv)
    score(fastrnn.Scorer(given.model, last=True), given.source, given.target)


if __name__ == "__main__":
    main()
