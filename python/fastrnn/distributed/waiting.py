"""Waiting for other ranks, for no longer than a time-out.

MPI's own waits have no end: a rank that hangs, without being dead, would hold up all others for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

__all__ = ["Patience"]

# Seconds for which a wait looks without a pause, as MPI's own waits do; then it looks every tenth of a millisecond. MPI
# gives way to other processes in each look where there are more ranks than processors; to give way here, too, costs
# milliseconds for each message on a machine that does other work.
_AWAKE = 0.05


class Patience:
    """How long a rank waits for others.

    Args:
        rank: who waits.
        seconds: how long; None: for ever.
    """

    def __init__(self, rank: int, seconds: float | None) -> None:
        self._rank, self._seconds = rank, seconds

    def wait(self, done: Callable[[], bool], missing: Callable[[], Iterable[int]]) -> None:
        """Call `done` until it is true.

        Args:
            done: looks whether what is waited for has come.
            missing: asked after the time-out: those from whom it has not come.

        Raises:
            TimeoutError: after the time-out; it names them.
        """
        if self.over(done, self._seconds):
            return
        ranks = ", ".join(map(str, sorted(missing()))) or "unknown"
        raise TimeoutError(
            f"distributed: rank {self._rank} has waited {self._seconds:g} s for rank {ranks}, which hangs, or takes "
            "longer than MPI(timeout=...) allows for"
        )

    @staticmethod
    def over(done: Callable[[], bool], seconds: float | None) -> bool:
        """Call `done` until it is true, for so many seconds at most; return whether it is."""
        begin = time.monotonic()
        while not done():
            waited = time.monotonic() - begin
            if seconds is not None and waited > seconds:
                return False
            if waited > _AWAKE:
                time.sleep(1e-4)
        return True
