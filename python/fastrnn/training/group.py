"""Processes that train one model together, as `fit(distributed=...)` wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .._typing import Array

__all__ = ["Group", "Sum", "share"]


class Sum(Protocol):
    """The sum of a row of numbers of every shard, each process giving the rows of its own shards piece by piece.

    A piece may leave for the other processes as soon as it is ready, while the process goes on computing.
    """

    def row(self, shard: int) -> Array:
        """Return the row (P,) of one of this process's shards, to be written; a piece that is ready stays as it is."""

    def ready(self, shard: int, piece: int, weight: float) -> None:
        """Take note that a piece of the row is written.

        Args:
            shard, piece: their numbers. Pieces of a row become ready in the order of their numbers.
            weight: of the shard.
        """

    def total(self, weights: Sequence[float], whole: float | None) -> Array:
        """Return the sum (P,) of all rows, each times `share(weight, whole)`, the same on all processes.

        Args:
            weights: of all shards.
            whole: what they are divided by; None for nothing.
        """


class Group(Protocol):
    """Processes that train one model together; all call the same in one order. `fastrnn.distributed.MPI` is one."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0 on. Process 0 has the callbacks and writes the files."""

    @property
    def size(self) -> int:
        """How many processes there are."""

    @property
    def shards(self) -> int:
        """In how many a batch is cut, `size` at least; process r has the numbers from shards*r//size on."""

    def exchange(self, value: Any) -> list[Any]:
        """Return the values of all processes, by their numbers. A value is what pickle takes."""

    def begin_sum(self, pieces: Sequence[slice], dtype: Any) -> Sum:
        """Begin a sum of rows, of a float dtype, that consist of these pieces."""

    def left(self, error: BaseException | None) -> None:
        """Take note that `fit` is left, by an error or without one."""


def share(weight: float, whole: float | None) -> float:
    """What a shard's loss, and its gradient, are multiplied by to be the batch's."""
    return 1.0 if whole is None else weight / whole if whole else 0.0
