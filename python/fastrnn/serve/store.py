"""Where states of streams are kept, so that a stream may go on at another connection, or at another instance.

A stream belongs to who opened it last: a store takes states from its owner alone, so that an instance that lost a
client without noticing cannot write over what the next one has stored.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

ANSWER_SECONDS = 2.0  # the longest that Redis may take to answer
MOST_AT_ONCE = 256  # streams in one write
MOST = 1 << 16  # streams of the store in memory; the one that was stored longest ago is dropped


class StoreError(Exception):
    """The store did not answer."""


@dataclass(frozen=True)
class Kept:
    """A stream as it is stored: how many steps it has taken, of which version of a model its state is, and for whom."""

    owner: str
    position: int
    version: str
    state: bytes | None = None


class Store(Protocol):
    """Where states are kept. Its methods raise StoreError."""

    async def open(self, key: str, version: str) -> Kept:
        """Returns what is kept of a stream, now owned by the caller; a new stream is of model version `version`."""

    async def save(self, states: list[tuple[str, Kept]]) -> list[bool]:
        """Stores states by their streams' keys; returns for each whether its owner still owned the stream.

        A state older than the one that is stored changes nothing: it is a write that was given up and arrives late.
        """

    async def close(self) -> None: ...


class Memory:
    """Keeps states in this process: a client can come back to this instance alone."""

    def __init__(self, keep_seconds: float) -> None:
        self.keep_seconds = keep_seconds
        self._kept: OrderedDict[str, tuple[float, Kept]] = OrderedDict()  # with its time; the oldest first

    def _put(self, key: str, kept: Kept) -> None:
        now = time.monotonic()
        self._kept[key] = now, kept
        self._kept.move_to_end(key)
        while self._kept:
            oldest, (then, _) = next(iter(self._kept.items()))
            if len(self._kept) <= MOST and now - then <= self.keep_seconds:
                break
            del self._kept[oldest]

    async def open(self, key: str, version: str) -> Kept:
        then, kept = self._kept.get(key, (0.0, Kept("", 0, "")))
        if not kept.owner or time.monotonic() - then > self.keep_seconds:
            kept = Kept("", 0, version)
        kept = replace(kept, owner=secrets.token_hex(8))
        self._put(key, kept)
        return kept

    async def save(self, states: list[tuple[str, Kept]]) -> list[bool]:
        owned = []
        for key, kept in states:
            now = self._kept.get(key, (0.0, kept))[1]
            owned.append(now.owner == kept.owner)
            if owned[-1] and kept.position >= now.position:
                self._put(key, kept)
        return owned

    async def close(self) -> None:
        pass


OPEN = """
local kept = {}
for n, key in ipairs(KEYS) do
  redis.call('HSET', key, 'owner', ARGV[2 * n])
  redis.call('HSETNX', key, 'version', ARGV[2 * n + 1])
  redis.call('EXPIRE', key, ARGV[1])
  kept[n] = redis.call('HMGET', key, 'position', 'version', 'state')
end
return kept
"""
SAVE = """
local owned = {}
for n, key in ipairs(KEYS) do
  local owner, position, version, state = unpack(ARGV, 4 * n - 2, 4 * n + 1)
  local now, stored = unpack(redis.call('HMGET', key, 'owner', 'position'))
  owned[n] = (not now or now == owner) and 1 or 0
  if owned[n] == 1 and tonumber(position) >= tonumber(stored or 0) then
    redis.call('HSET', key, 'owner', owner, 'position', position, 'version', version, 'state', state)
    redis.call('EXPIRE', key, ARGV[1])
  end
end
return owned
"""


class Redis:
    """A Redis server, for several instances. What it has answered is as safe as its own files are (appendfsync)."""

    def __init__(self, url: str, keep_seconds: float) -> None:
        try:
            import redis.asyncio
        except ImportError as error:
            raise ImportError("a store of redis:// needs an extra: pip install 'fastrnn[serve]'") from error
        self._error: type[Exception] = redis.RedisError
        self._redis: Any = redis.asyncio.Redis.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
        )
        self._open, self._save = self._redis.register_script(OPEN), self._redis.register_script(SAVE)
        self._seconds = max(1, round(keep_seconds))
        self._asked: list[tuple[str, str, asyncio.Future[Kept]]] = []
        self._opening: asyncio.Task[None] | None = None

    async def _run(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        try:
            return await script(keys=keys, args=[self._seconds, *arguments])
        except (self._error, OSError, asyncio.TimeoutError) as error:
            raise StoreError(str(error) or type(error).__name__) from error

    async def open(self, key: str, version: str) -> Kept:
        answer: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        self._asked.append((key, version, answer))
        if self._opening is None:
            self._opening = asyncio.create_task(self._open_all())
        return await answer

    async def _open_all(self) -> None:
        """Opens all that are asked for in one write, and then those that came meanwhile: hundreds come when another
        instance has died, and each write waits for a disk."""
        while self._asked:
            asked, self._asked = self._asked[:MOST_AT_ONCE], self._asked[MOST_AT_ONCE:]
            owners = [secrets.token_hex(8) for _ in asked]
            arguments = [
                part for (_, version, _), owner in zip(asked, owners, strict=True) for part in (owner, version)
            ]
            try:
                answers = await self._run(self._open, [key for key, _, _ in asked], arguments)
                kept = [
                    Kept(owner, int(position or 0), version.decode(), state)
                    for owner, (position, version, state) in zip(owners, answers, strict=True)
                ]
            except Exception as error:  # handed to those who wait for an answer
                for _, _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, _, answer), one in zip(asked, kept, strict=True):
                if not answer.done():  # else its client is gone
                    answer.set_result(one)
        self._opening = None

    async def save(self, states: list[tuple[str, Kept]]) -> list[bool]:
        arguments = [part for _, kept in states for part in (kept.owner, kept.position, kept.version, kept.state)]
        return [answer == 1 for answer in await self._run(self._save, [key for key, _ in states], arguments)]

    async def close(self) -> None:
        await self._redis.aclose()


def make_store(url: str, keep_seconds: float) -> Store:
    """The store of an option: "memory", or redis://host:port/number. ValueError for another."""
    if url == "memory":
        return Memory(keep_seconds)
    if url.startswith(("redis://", "rediss://", "unix://")):
        _check(url)
        return Redis(url, keep_seconds)
    raise ValueError(f"store: expected memory or redis://host:port/number, got {url!r}")


def _check(url: str) -> None:
    """ValueError for a port or a number of a database that is none: redis-py takes such a number for 0.

    What is wrong is not shown, which may be a part of a password.
    """
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("store: expected redis://host:port/number, got a port that is no number") from None
    if parts.scheme != "unix" and not parts.path.strip("/").isdigit() and parts.path.strip("/"):
        raise ValueError("store: expected redis://host:port/number, got a number of the database that is none")
