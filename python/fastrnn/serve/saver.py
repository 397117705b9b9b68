"""Writes states to the store behind the answers: no answer waits for it, and each says what is stored by then."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from .log import event
from .metrics import Metrics
from .store import MOST_AT_ONCE, Kept, Store, StoreError

PAUSE_SECONDS = 0.2  # before a write that failed is tried again


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

    def put(self, owner: Owner, key: str, kept: Kept) -> None:
        self._due[owner] = key, kept
        self._some.set()
        self._none.clear()

    async def run(self) -> None:
        """Writes until it is cancelled. While the store does not answer, it is asked again and again."""
        while True:
            await self._some.wait()
            batch = list(self._due.items())[:MOST_AT_ONCE]
            try:
                owned = await self.store.save([state for _, state in batch])
            except StoreError as error:
                self.metrics.store_failures.add()
                event(logging.ERROR, "the store does not answer", error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
                continue
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
