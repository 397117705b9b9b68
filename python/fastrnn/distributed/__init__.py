"""Processes that train one model together: what `fit(distributed=...)` takes. See docs/distributed.md."""

from .mpi import MPI

__all__ = ["MPI"]
