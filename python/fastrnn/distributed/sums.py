"""Sums over the ranks of an MPI job, whose pieces travel while the ranks compute; see `fastrnn.training.group.Sum`.

An MPI library moves messages when it is called. `ready` calls it, after each layer of each shard: what became ready
before has arrived by then, and at the end the last piece of the last shard is all there is to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .._typing import Array
from ..training.group import share
from .waiting import Patience

__all__ = ["InAnyOrder", "InOrder"]

_AT_ONCE = 1 << 14  # numbers that are added at a time, so that they stay in the L1 cache


class InOrder:
    """The rows of the shards, added in the order of the shards, whoever computed them.

    Each rank adds one range of all rows, and hands the sum of its range to the others: for k shards a rank, k*P numbers
    leave it and come to it, where gathering all rows everywhere would bring shards*P.
    """

    def __init__(
        self, comm: Any, library: Any, shards: int, pieces: Sequence[slice], dtype: Any, patience: Patience
    ) -> None:
        self._comm, self._library, self._shards, self._pieces = comm, library, shards, pieces
        self._patience = patience
        size, self._rank = comm.Get_size(), comm.Get_rank()
        width = max((piece.stop for piece in pieces), default=0)
        self._ranges = list(pairwise(width * rank // size for rank in range(size + 1)))
        begin, end = self._ranges[self._rank]
        # What this rank sums: columns begin .. end of the row of every shard. A single rank has all columns.
        self._gathered = np.empty((shards, end - begin), dtype)
        self._alone = size == 1
        self._requests: list[Any] = []
        self._peers: list[int] = []  # with whom each is
        self._own = range(shards * self._rank // size, shards * (self._rank + 1) // size)
        self._rows = self._gathered if self._alone else np.empty((len(self._own), width), dtype)

    def begin(self) -> InOrder:
        """Begin a sum, in the memory of the last one."""
        size, (begin, end) = len(self._ranges), self._ranges[self._rank]
        self._requests, self._peers = [], []
        for rank, (first, last) in enumerate(pairwise(self._shards * rank // size for rank in range(size + 1))):
            for shard in range(first, last) if rank != self._rank else ():
                for number, piece in enumerate(self._pieces):
                    part = _common(piece, begin, end)
                    if part is not None:
                        place = self._gathered[shard, part.start - begin : part.stop - begin]
                        self._receive(place, rank, self._tag(shard, number))
        return self

    def _receive(self, place: Array, rank: int, tag: int) -> None:
        self._requests.append(self._comm.Irecv(place, rank, tag))
        self._peers.append(rank)

    def _send(self, part: Array, rank: int, tag: int) -> None:
        self._requests.append(self._comm.Isend(part, rank, tag))
        self._peers.append(rank)

    def _wait(self) -> None:
        def missing() -> set[int]:
            return {rank for request, rank in zip(self._requests, self._peers, strict=True) if not request.Test()}

        self._patience.wait(lambda: self._library.Request.Testall(self._requests), missing)
        self._requests, self._peers = [], []

    def _tag(self, shard: int, piece: int) -> int:
        return shard * len(self._pieces) + piece

    def row(self, shard: int) -> Array:
        """Return the row of a shard, to be written."""
        row: Array = self._rows[shard - self._own.start]
        return row

    def ready(self, shard: int, piece: int, weight: float) -> None:
        """Send the piece to those who add it."""
        if self._alone:
            return
        row = self.row(shard)
        for rank, (begin, end) in enumerate(self._ranges):
            part = _common(self._pieces[piece], begin, end)
            if part is None:
                continue
            if rank == self._rank:
                self._gathered[shard, part.start - begin : part.stop - begin] = row[part]
            else:
                self._send(row[part], rank, self._tag(shard, piece))
        self._library.Request.Testall(self._requests)

    def total(self, weights: Sequence[float], whole: float | None) -> Array:
        """Return the sum of all rows."""
        self._wait()
        factors = [self._gathered.dtype.type(share(weight, whole)) for weight in weights]
        own = np.empty(self._gathered.shape[1], self._gathered.dtype)
        product = np.empty(min(_AT_ONCE, len(own)), own.dtype)
        for begin in range(0, len(own), _AT_ONCE):
            some = slice(begin, min(begin + _AT_ONCE, len(own)))
            added, scaled = own[some], product[: some.stop - begin]
            np.multiply(self._gathered[0, some], factors[0], out=added)
            for row, factor in zip(self._gathered[1:], factors[1:], strict=True):
                added += np.multiply(row[some], factor, out=scaled)
        if self._alone:
            return own
        result = np.empty(self._ranges[-1][1], own.dtype)
        last = self._tag(self._shards, 0)  # behind those of the pieces
        for rank, (first, end) in enumerate(self._ranges):
            if rank == self._rank:
                result[first:end] = own
            else:
                self._receive(result[first:end], rank, last)
                self._send(own, rank, last)
        self._wait()
        return result


class InAnyOrder:
    """The rows of the ranks, one each, added in an order of MPI's own."""

    def __init__(
        self,
        comm: Any,
        library: Any,
        pieces: Sequence[slice],
        dtype: Any,
        patience: Patience,
        silent: Callable[[], Iterable[int]],
    ) -> None:
        self._comm, self._library, self._pieces = comm, library, pieces
        self._patience, self._silent = patience, silent
        self._row = np.empty(max((piece.stop for piece in pieces), default=0), dtype)
        self._requests: list[Any] = []

    def begin(self) -> InAnyOrder:
        """Begin a sum, in the memory of the last one."""
        self._requests = []
        return self

    def row(self, shard: int) -> Array:
        """Return the row of the rank, to be written."""
        return self._row

    def ready(self, shard: int, piece: int, weight: float) -> None:
        """Begin to add the piece."""
        part = self._row[self._pieces[piece]]
        part *= part.dtype.type(weight)
        self._requests.append(self._comm.Iallreduce(self._library.IN_PLACE, part))
        self._library.Request.Testall(self._requests)

    def total(self, weights: Sequence[float], whole: float | None) -> Array:
        """Return the sum of all rows."""
        self._patience.wait(lambda: self._library.Request.Testall(self._requests), self._silent)
        total: Array = self._row * self._row.dtype.type(share(1.0, whole))
        return total


def _common(piece: slice, begin: int, end: int) -> slice | None:
    """What a piece and a range have in common, None for nothing."""
    first, last = max(piece.start, begin), min(piece.stop, end)
    return slice(first, last) if first < last else None
