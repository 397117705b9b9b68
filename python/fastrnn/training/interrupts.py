"""Ctrl-C while a model is trained: the batch that runs is finished first."""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["BatchInterrupts"]


class BatchInterrupts:
    """Puts SIGINT off to the end of a batch, so that it leaves no weights half updated.

        with BatchInterrupts() as interrupts:
            for batch in data:
                with interrupts.batch:
                    ...  # a first Ctrl-C in here raises KeyboardInterrupt after this block, a second one at once

    Only in the main thread, and only where Python's own handler is in place, which is put back in the end; else nothing
    is put off.
    """

    def __init__(self) -> None:
        self.batch = _Batch()

    def __enter__(self) -> BatchInterrupts:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self.batch.put_off)
        return self

    def __exit__(self, *raised: object) -> None:
        if signal.getsignal(signal.SIGINT) == self.batch.put_off:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class _Batch:
    """Batches may be within a batch, as when a callback evaluates: the outermost one counts."""

    def __init__(self) -> None:
        self._depth = 0
        self._came = False

    def put_off(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT."""
        if self._depth == 0 or self._came:
            signal.default_int_handler(number, frame)
        self._came = True

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, kind: object, *raised: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._came:
            self._came = False
            if kind is None:
                raise KeyboardInterrupt
