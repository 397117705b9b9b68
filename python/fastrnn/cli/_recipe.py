"""How a file became a model's inputs: it goes into the model's file, so that `predict` does what `train` did."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .._typing import Array, Config
from ..data import CharVocabulary, Scaler, WordVocabulary, vocabulary_from_config

__all__ = ["KEY", "TASKS", "Recipe", "add_reading", "vocabulary_of"]

KEY = "fastrnn.train"
"""The entry of a model's metadata that has its recipe."""

TASKS = ("classification", "regression", "forecasting", "text")


def add_reading(parser: argparse._ActionsContainer, **defaults: Any) -> None:
    """Options that tell how a file is read. In `predict` the defaults are those of the training."""
    default = "default: %(default)s" if defaults else "default: as in training"
    parser.add_argument("--delimiter", help="between the fields of a CSV file; default: which fits its first line")
    parser.add_argument("--decimal", choices=(".", ","), metavar="MARK", default=defaults.get("decimal"),
                        help=f"of the numbers in it, a point or a comma; {default}")  # fmt: skip
    parser.add_argument("--encoding", default=defaults.get("encoding"), help=f"of its letters, as cp1252; {default}")
    parser.add_argument("--missing", choices=("error", "previous"), default=defaults.get("missing"),
                        help=f"what a missing number is: an error, or the one before it; {default}")  # fmt: skip


@dataclass
class Recipe:
    """How a file became a model's inputs and targets.

    Attributes:
        task: one of TASKS.
        features, target, sequence: names of columns, or of arrays in an .npz; `sequence` tells whose step a row is.
        classes: what the numbers of a classification stand for.
        scaler, target_scaler: configs of `Scaler`s, fitted on the training part.
        window, horizon: steps that a forecast reads, and gives.
        vocabulary: the characters of a text; `words` its words, in their place.
        order: name of the column that orders the rows, None for the order of the file.
        missing: "error", or "previous": a missing number is that before it.
        decimal, encoding: of a CSV file.
    """

    task: str
    features: list[str] = field(default_factory=list)
    target: str = ""
    sequence: str | None = None
    classes: list[Any] | None = None
    scaler: Config | None = None
    target_scaler: Config | None = None
    window: int = 0
    horizon: int = 0
    vocabulary: str | None = None
    words: list[str] | None = None
    order: str | None = None
    missing: str = "error"
    decimal: str = "."
    encoding: str = "utf-8"

    def as_config(self) -> Config:
        """What JSON has."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, metadata: Config, path: str) -> Recipe:
        """That of a model's file. ValueError for a model that `fastrnn train` has not made."""
        settings = metadata.get(KEY)
        known = set(cls.__dataclass_fields__)
        if not isinstance(settings, dict) or not {"task", "features"} <= set(settings) <= known:
            raise ValueError(f"{path}: expected a model that `fastrnn train` has saved, with how it reads data")
        return cls(**settings)

    def about(self) -> str:
        """A line that tells what is read, and what is said of it."""
        if self.task == "text":
            unit, known = ("words", self.words) if self.words is not None else ("characters", self.vocabulary)
            return f"Text: {len(known or ()):,} {unit}."
        of = f", steps of each {self.sequence!r}" if self.sequence else ""
        what = f"{self.horizon} steps of {self.target!r} from {self.window}" if self.window else repr(self.target)
        classes = f" ({', '.join(map(str, self.classes))})" if self.classes and len(self.classes) <= 20 else ""
        return f"{self.task.capitalize()}: reads {', '.join(self.features)}{of}; says {what}{classes}."

    def unscale(self, y: Array) -> Array:
        """Targets as they were in the file."""
        if self.target_scaler is None:
            return y
        scaler = Scaler.from_config(self.target_scaler)
        back: Array = scaler.inverse_transform(y[..., np.newaxis])[..., 0]
        return back


def vocabulary_of(recipe: Recipe) -> CharVocabulary | WordVocabulary:
    """That of a text's recipe."""
    if recipe.words is not None:
        return vocabulary_from_config({"class_name": "WordVocabulary", "words": recipe.words, "lower": False})
    return CharVocabulary(recipe.vocabulary or "")
