"""What `python -m fastrnn latency` measures: models, dtypes, threads, and what else the machine does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...functional import pack_lstm


@dataclass(frozen=True)
class Shape:
    """LSTMs over one another, one step of one stream at a time. `published`: who else, and p99 in us."""

    name: str
    layers: int
    hidden: int
    inputs: int
    published: str = ""

    def weights(self, dtype: Any) -> list[Any]:
        """Random ones, the same each time."""
        rng = np.random.default_rng(0)
        bound = self.hidden**-0.5

        def uniform(*shape: int) -> Any:
            return rng.uniform(-bound, bound, shape).astype(np.float32)

        sizes = [self.inputs] + [self.hidden] * (self.layers - 1)
        rows = 4 * self.hidden
        return [
            pack_lstm(uniform(rows, width), uniform(rows, self.hidden), uniform(rows), uniform(rows), dtype=dtype)
            for width in sizes
        ]


# The sizes of STAC-ML Markets (Inference), suite Tacana: one step of a sliding window. The suite's specification is not
# public; the vendor of the published FPGA gives layers and units, and inputs as many as units
# (https://vollo.myrtle.ai/latest/benchmark-lstm.html), which is what is taken here. p99 of the audited FPGA:
# https://stacresearch.com/news/MRTL230426. Its time goes from the host's memory through the card and back, ours is that
# of the call. A head of one output, left out here, would add H products.
SHAPES = (
    Shape("stac-a", 2, 128, 128, "FPGA 5.07"),
    Shape("stac-b", 3, 256, 256, "FPGA 6.89"),
    Shape("stac-c", 3, 480, 480, "FPGA 31.0"),
    # silero-vad 5's recurrent part: one step for each 32 ms of sound.
    Shape("silero", 1, 128, 128),
)
DTYPES = ("float32", "bfloat16", "bfloat16_weights", "int8")
# Below, a step is over before a second thread has begun.
LEAST_HIDDEN_OF_THREADS = 256


@dataclass(frozen=True)
class Case:
    """One distribution to measure. `load` is "quiet" or "busy": another process spins on another core."""

    shape: Shape
    dtype: str
    threads: int
    load: str

    @property
    def name(self) -> str:
        size = f"{self.shape.layers}x{self.shape.hidden}"
        threads = "" if self.threads == 1 else f" {self.threads} threads"
        return f"{self.shape.name} {size} {self.dtype}{threads} {self.load}"


def cases(shapes: list[str], dtypes: list[str], threads: list[int], loads: list[str]) -> list[Case]:
    """All combinations that mean something."""
    return [
        Case(shape, dtype, count, load)
        for shape in SHAPES
        if shape.name in shapes
        for dtype in dtypes
        for count in threads
        if count == 1 or shape.hidden >= LEAST_HIDDEN_OF_THREADS
        for load in loads
    ]
