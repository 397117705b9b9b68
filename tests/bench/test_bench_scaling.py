"""The model of cost of bench.scaling: what it counts is what is sent, and it answers without measuring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import scaling
from fastrnn.distributed.sums import InOrder
from fastrnn.distributed.waiting import Patience


class Counting:
    """A communicator of one rank of several, which counts what it is asked to send.

    What comes from the others is 1, and with the tag `last`, which sums have, `total`.
    """

    class Request:
        @staticmethod
        def Testall(requests: Any) -> bool:
            return True

    def __init__(self, rank: int, size: int, last: int, total: float) -> None:
        self.rank, self.size, self.last, self.sum, self.sent = rank, size, last, total, [0, 0]

    def Get_rank(self) -> int:
        return self.rank

    def Get_size(self) -> int:
        return self.size

    def Irecv(self, place: Any, rank: int, tag: int) -> None:
        assert rank != self.rank
        place[...] = self.sum if tag == self.last else 1

    def Isend(self, part: Any, rank: int, tag: int) -> None:
        assert rank != self.rank
        self.sent = [self.sent[0] + 1, self.sent[1] + part.nbytes]


@pytest.mark.parametrize(("ranks", "shards", "pieces"), [(2, 12, 1), (2, 12, 4), (3, 12, 5), (4, 4, 2), (8, 16, 3)])
def test_what_a_rank_sends(ranks, shards, pieces):
    width = 9600
    messages, size, added = scaling.sum_traffic(width, ranks, shards, pieces)
    assert added == shards * width / ranks
    for rank in range(ranks):
        comm = Counting(rank, ranks, shards * pieces, 2 * shards)
        cuts = [slice(width * n // pieces, width * (n + 1) // pieces) for n in reversed(range(pieces))]
        found = InOrder(comm, comm, shards, cuts, "float32", Patience(rank, None)).begin()
        for shard in range(shards * rank // ranks, shards * (rank + 1) // ranks):
            found.row(shard)[...] = 1
            for number in range(pieces):
                found.ready(shard, number, 1.0)
        np.testing.assert_array_equal(found.total([2.0] * shards, 1.0), np.full(width, 2 * shards, np.float32))
        assert comm.sent[1] == size
        if rank == 0:
            assert comm.sent[0] == messages


def test_the_plan_answers_without_measuring(capsys):
    assert scaling.main(["--parts", "plan", "--streams", "1000", "--chunk-ms", "10", "--server-us", "50"]) == 0
    text = capsys.readouterr().out
    assert "| a service of 50 us a chunk of one step | 200 streams a core, 5 cores |" in text
    assert "| states of 1024 bytes, every 32 steps | 3125 writes and 3 MB a second |" in text
