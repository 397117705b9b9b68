"""Who may connect, and how much one client may take."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from .settings import Settings

BURST_SECONDS = 1.0  # a client may send the steps of so many seconds at once


REASON = "X-Reason"  # of a refusal: clients of WebSockets do not show the body of an answer


class Refused(Exception):
    """A request that gets no answer but `status` and `reason`."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass
class Account:
    """What one client has open, and how far it is ahead of its rate."""

    name: str
    streams: int = 0
    due: float = 0.0

    def delay(self, steps: int, rate: float, now: float) -> float:
        """Seconds for which the next steps must wait to keep the client at `rate` steps a second."""
        self.due = max(self.due, now - BURST_SECONDS) + steps / rate
        return max(0.0, self.due - now)


class Access:
    """Checks origin and token of a request, and keeps the clients' accounts.

    A client is a token's name, or else an address: of the peer, or what a proxy that is believed says of its own peer.
    """

    def __init__(self, settings: Settings) -> None:
        self.origins, self.proxies = set(settings.origins), set(settings.proxies)
        self.most_streams = settings.client_streams
        # Digests are compared, so that how long that takes says nothing of a token.
        self.names = None if settings.token_file is None else read_tokens(settings.token_file)
        self.accounts: dict[str, Account] = {}

    def check(self, request: web.BaseRequest) -> str:
        """The client's name. Refused with 403 or 401 if it may not come in."""
        origin = request.headers.get("Origin")
        if origin is not None and self.origins and origin not in self.origins:
            own = origin.partition("://")[2] == request.headers.get("Host")  # the page that this service serves
            if not own:
                raise Refused(403, "this origin may not connect")
        if self.names is None:
            return self.address(request)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            token = request.query.get("token", "")  # a page cannot set headers of a WebSocket
        name = self.names.get(_digest(token))
        if name is None:
            raise Refused(401, "expected a token")
        return name

    def address(self, request: web.BaseRequest) -> str:
        peer = str(request.remote or "")
        if peer not in self.proxies:
            return peer
        return str(request.headers.get("X-Forwarded-For", peer)).rpartition(",")[2].strip()

    def enter(self, name: str) -> Account:
        """Counts another stream of a client; Refused with 429 if that is too many."""
        account = self.accounts.setdefault(name, Account(name))
        if self.most_streams is not None and account.streams >= self.most_streams:
            raise Refused(429, f"expected at most {self.most_streams} streams of one client")
        account.streams += 1
        return account

    def sweep(self, now: float) -> None:
        """Forgets clients that have nothing open and need not wait."""
        self.accounts = {name: one for name, one in self.accounts.items() if one.streams or one.due > now}


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()  # what came need not be UTF-8


def read_tokens(path: str) -> dict[bytes, str]:
    """Digests of the tokens in a file of lines "name token", each with its name. ValueError for another line."""
    names: dict[bytes, str] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise ValueError(f"{path}, line {number}: expected a name and a token, got {len(words)} words")
        names[_digest(words[1])] = words[0]
    return names
