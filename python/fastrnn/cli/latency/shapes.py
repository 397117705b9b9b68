"""What `python -m fastrnn latency` measures: models, dtypes, threads, and what else the machine does meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._core import Model
from ...functional import pack_lstm
from .._models import MASKED, load_file


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

    def model(self, dtype: str) -> Model:
        """The same, for a session."""
        return Model(self.weights(dtype))


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
# Below, a step is over before a second thread has begun.
LEAST_HIDDEN_OF_THREADS = 256


@dataclass(frozen=True)
class FileShape(Shape):
    """The model in a file, in place of stacked LSTMs."""

    path: str = ""

    @classmethod
    def of(cls, path: str) -> FileShape:
        """Of a file of any format that `fastrnn inspect` reads. ValueError for a model that has no single steps."""
        model = cls._load(path, "float32")
        name = os.path.splitext(os.path.basename(path))[0]
        return cls(name, model.layers, model.output_size, model.input_size, path=path)

    def model(self, dtype: str) -> Model:
        """The file's, with its recurrent weights in this dtype."""
        return self._load(self.path, dtype)

    @staticmethod
    def _load(path: str, dtype: str) -> Model:
        loaded = load_file(path, None)
        if isinstance(loaded, Model):
            if dtype != "float32":
                raise ValueError(f"dtypes: expected float32 for {path}, got {dtype}")
            model = loaded
        else:
            try:
                model = loaded.to_native(dtype)
            except ValueError as error:
                raise ValueError(f"{path}: {error}{MASKED if 'masking' in str(error).lower() else ''}") from None
        if not model.stepwise:
            raise ValueError(f"{path}: expected a model that runs step by step; fastrnn inspect names the layers")
        return model


@dataclass(frozen=True)
class Case:
    """One distribution to measure. `load` is "quiet" or "busy": another process spins on another core."""

    shape: Shape
    dtype: str
    threads: int
    load: str

    @property
    def name(self) -> str:
        if isinstance(self.shape, FileShape):
            return f"{self.shape.name} {self.dtype} {self.load}"
        size = f"{self.shape.layers}x{self.shape.hidden}"
        threads = "" if self.threads == 1 else f" {self.threads} threads"
        return f"{self.shape.name} {size} {self.dtype}{threads} {self.load}"


def cases(shapes: Sequence[Shape], dtypes: list[str], threads: list[int], loads: list[str]) -> list[Case]:
    """All combinations that mean something; a file's model has one thread."""
    return [
        Case(shape, dtype, count, load)
        for shape in shapes
        for dtype in dtypes
        for count in threads
        if count == 1 or (shape.hidden >= LEAST_HIDDEN_OF_THREADS and not isinstance(shape, FileShape))
        for load in loads
    ]
