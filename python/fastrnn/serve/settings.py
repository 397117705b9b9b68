"""What ``fastrnn serve`` can be told."""

from __future__ import annotations

from dataclasses import dataclass, field

DTYPES = ("float32", "bfloat16", "bfloat16_weights", "int8")
"""Of the weights of a model that runs step by step."""


@dataclass
class Settings:
    """Of one instance. Seconds, where nothing else is said; None: no limit, or no check."""

    models: dict[str, str] = field(default_factory=dict)  # name -> file
    host: str = "127.0.0.1"
    port: int = 8000  # 0: one that is free
    dtype: str = "float32"  # of the weights
    capacity: int = 1024  # streams of one model
    connections: int = 4096  # streams and all others
    deadline_ms: float = 4.0  # for which a chunk may wait for others
    max_steps: int = 64  # of one message
    header_seconds: float = 10.0  # after which half a request is cut off
    stall_seconds: float = 5.0  # after which a client that does not read is cut off
    idle_seconds: float = 60.0  # after which a silent stream is closed
    drain_seconds: float = 10.0  # for answers that are due when it stops
    reload_seconds: float = 1.0  # between looks at the models' files; 0: never looked at
    store: str = "memory"  # or redis://host:port/number
    store_steps: int = 32  # after which a stream's state is stored
    unstored_bytes: int = 1 << 24  # of a stream's chunks behind its stored state, which its client has to keep
    keep_seconds: float = 3600.0  # for which the state of a stream that ended is kept
    origins: list[str] = field(default_factory=list)  # of pages that may connect, besides the service's own; none: all
    token_file: str | None = None  # lines "name token"; without it, everyone may connect
    proxies: list[str] = field(default_factory=list)  # addresses whose X-Forwarded-For is believed
    client_streams: int | None = None  # open at once, of one client
    client_steps: float | None = None  # a second, of one client; it is slowed down to that
    log_level: str = "info"
