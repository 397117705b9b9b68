"""The ranks of an MPI job as a group that trains together, by mpi4py."""

from __future__ import annotations

import atexit
import pickle
import socket
import sys
from collections.abc import Sequence
from typing import Any

from ..training.group import Sum
from .sums import InAnyOrder, InOrder
from .waiting import Patience

__all__ = ["MPI"]

_VALUE, _ROLL_CALL = 0, 1  # tags
_ROLL_CALL_SECONDS = 5.0  # all ranks have waited since about the same moment


class MPI:
    """The ranks of a job started by `mpirun -n N python train.py`; mpi4py is imported here and nowhere else.

    Every rank runs the same program, calls `fit` with the same arguments and data, and computes its part of each batch.
    A rank whose program ends with an error ends the job: it names itself on stderr, and the others do not wait for it.

    Args:
        exact: any number of ranks gives the bits of one. A batch is cut into `shards`, each is summed by itself, and
            the sums are added in the order of the shards. False: each rank sums all of its rows at once, and MPI adds
            in an order of its own. That is quicker, and the result depends on the number of ranks and on MPI.
        shards: in how many a batch is cut, the number of ranks at least. Part of the result as the batch size is; a
            multiple of the number of ranks gives each as much to do. With exact=False it is the number of ranks.
        comm: the communicator of mpi4py; None is COMM_WORLD. It is duplicated.
        timeout: seconds for which a rank waits for another one, which may be in a callback, or read data. Then it ends
            with an error that names that rank, and ends the job. None: for ever.

    Attributes:
        rank, size: the number of this rank, and how many there are.

    Raises:
        ImportError: there is no mpi4py, or no MPI library.
        ValueError: fewer shards than ranks, or a timeout that is no number above 0.
    """

    def __init__(
        self, *, exact: bool = True, shards: int = 12, comm: Any = None, timeout: float | None = 600.0
    ) -> None:
        if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
            raise ValueError(f"timeout: expected None or seconds above 0, got {timeout!r}")
        try:
            from mpi4py import MPI as library
        except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no libmpi
            raise ImportError(
                f"distributed: expected mpi4py with an MPI library (pip install 'fastrnn[mpi]'), got: {error}"
            ) from error
        self._library = library
        self._comm = (library.COMM_WORLD if comm is None else comm).Dup()
        self._values = self._comm.Dup()  # for `exchange`, so that its messages are not taken for those of a sum
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self.exact = exact
        self.shards = shards if exact else self.size
        if self.shards < self.size:
            raise ValueError(f"shards: expected at least {self.size}, the number of ranks, got {shards}")
        self._patience = Patience(self.rank, timeout)
        self._failed = False
        self._sum: InOrder | InAnyOrder | None = None  # kept, so that the next call reuses its memory
        self._like: tuple[list[tuple[int, int]], Any] | None = None
        if self.size > 1:
            atexit.register(self._end)

    def __repr__(self) -> str:
        return f"MPI(exact={self.exact}, shards={self.shards}, rank={self.rank}, size={self.size})"

    def exchange(self, value: Any) -> list[Any]:
        """Return the values of all ranks; see `fastrnn.training.group.Group`.

        Raises:
            RuntimeError: a `fit` of this group ended with an error. What was on its way then would be taken for what
                comes now.
        """
        if self._failed and self.size > 1:
            raise RuntimeError("distributed: a fit of this group ended with an error; expected another MPI() after it")
        if self.size == 1:
            return [value]
        arriving = self._arriving(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), _VALUE)
        self._patience.wait(arriving.done, arriving.missing)
        return [value if rank == self.rank else pickle.loads(arriving.came[rank]) for rank in range(self.size)]

    def _arriving(self, own: bytes, tag: int) -> _Arriving:
        return _Arriving(self._values, self._library, own, tag)

    def _silent(self) -> set[int]:
        """The ranks that do not answer a roll call."""
        arriving = self._arriving(b"", _ROLL_CALL)
        Patience.over(arriving.done, _ROLL_CALL_SECONDS)
        return arriving.missing()

    def begin_sum(self, pieces: Sequence[slice], dtype: Any) -> Sum:
        """Begin a sum of rows that consist of these pieces."""
        like = [(piece.start, piece.stop) for piece in pieces], dtype
        if self._sum is None or like != self._like:
            if self.exact:
                self._sum = InOrder(self._comm, self._library, self.shards, pieces, dtype, self._patience)
            else:
                self._sum = InAnyOrder(self._comm, self._library, pieces, dtype, self._patience, self._silent)
            self._like = like
        return self._sum.begin()

    def left(self, error: BaseException | None) -> None:
        """Keep whether `fit` was left by an error."""
        self._failed = error is not None

    def _end(self) -> None:
        """When the program ends: without this, the other ranks would wait for one that had an error."""
        if self._failed or getattr(sys, "last_value", None) is not None:
            sys.stdout.flush()
            sys.stderr.write(
                f"fastrnn.distributed: rank {self.rank} of {self.size} on {socket.gethostname()} ended with an error "
                "(above); this ends the job\n"
            )
            sys.stderr.flush()
            self._comm.Abort(1)


class _Arriving:
    """Bytes that each rank sends to each other one."""

    def __init__(self, comm: Any, library: Any, own: bytes, tag: int) -> None:
        self._comm, self._library, self._tag = comm, library, tag
        self.came: dict[int, bytearray] = {}
        self._others = [rank for rank in range(comm.Get_size()) if rank != comm.Get_rank()]
        self._begun: dict[int, tuple[Any, bytearray]] = {}  # whose length is known
        self._sent = [self._comm.Isend([own, self._library.BYTE], rank, tag) for rank in self._others]

    def done(self) -> bool:
        for rank in self.missing():
            if rank not in self._begun:
                status = self._library.Status()
                message = self._comm.Improbe(rank, self._tag, status)
                if message is None:
                    continue
                place = bytearray(status.Get_count(self._library.BYTE))
                self._begun[rank] = message.Irecv([place, self._library.BYTE]), place
            request, place = self._begun[rank]
            if request.Test():
                self.came[rank] = place
        return len(self.came) == len(self._others) and bool(self._library.Request.Testall(self._sent))

    def missing(self) -> set[int]:
        """The ranks whose bytes have not come."""
        return set(self._others) - self.came.keys()
