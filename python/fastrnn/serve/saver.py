"""Writes states to the store behind the answers: no answer waits for it, and each says what is stored by then."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from .log import event
from .metrics import Metrics
from .store import MOST_AT_ONCE, Kept, Store, StoreError

PAUSE_SECONDS = 0.2  # before a write that failed is tried again
SAID_SECONDS = 10.0  # between lines of the log that say the store does not answer


class Owner(Protocol):
    """Who is told what became of its state."""

    def saved(self, position: int) -> None: ...
    def taken_over(self) -> None: ...


class Saver:
    """The newest state of each stream waits here until the store has taken it."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self.store, self.metrics = store, metrics
        self._due: dict[Owner, tuple[str, Kept]] = {}
        self._some, self._none = asyncio.Event(), asyncio.Event()
        self._none.set()
        self._said: float | None = None  # when the log last had that the store does not answer

    def failed(self, error: StoreError) -> None:
        """Counts a failure of the store, and says so from time to time."""
        self.metrics.store_failures.add()
        now = asyncio.get_running_loop().time()
        if self._said is None or now - self._said >= SAID_SECONDS:
            self._said = now
            event(logging.ERROR, "the store does not answer", error=str(error), unstored_streams=len(self._due))

    def put(self, owner: Owner, key: str, kept: Kept) -> None:
        self._due[owner] = key, kept
        self._some.set()
        self._none.clear()

    async def run(self) -> None:
        """Writes until it is cancelled. While the store does not answer, it is asked again and again.

        It is asked at once: a wrong password, or a replica that cannot be written, is in the log from the start.
        """
        try:
            await self.store.open("fastrnn", "")
        except StoreError as error:
            self.failed(error)
        while True:
            await self._some.wait()
            batch = list(self._due.items())[:MOST_AT_ONCE]
            try:
                owned = await self.store.save([state for _, state in batch])
            except StoreError as error:
                self.failed(error)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if self._said is not None:
                self._said = None
                event(logging.INFO, "the store answers again")
            self.metrics.stored.add(sum(owned))
            for (owner, state), mine in zip(batch, owned, strict=True):
                if self._due[owner] is state:  # else a newer state waits, and stays in the list
                    del self._due[owner]
                if mine:
                    owner.saved(state[1].position)
                else:
                    owner.taken_over()
            if not self._due:
                self._some.clear()
                self._none.set()

    async def flush(self, seconds: float) -> bool:
        """Waits until all is written, `seconds` at most; returns whether it is."""
        try:
            await asyncio.wait_for(self._none.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True
