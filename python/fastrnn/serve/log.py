"""The service's log: a line of JSON for each event, on stderr."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
logger = logging.getLogger("fastrnn.serve")


def event(level: int, what: str, **fields: Any) -> None:
    """Log an event. Who opens and closes a stream is INFO, who is refused is WARNING, what fails is ERROR."""
    if logger.isEnabledFor(level):
        logger.log(level, what, extra={"fields": fields})


class JSONFormatter(logging.Formatter):
    """A record as one line: time (UTC), level, event, and the fields that `event` was given."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start(level: str) -> None:
    """Write to stderr what is of that level or worse; aiohttp's errors too."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter())
    for one, least in ((logger, level.upper()), (logging.getLogger("aiohttp"), "ERROR")):
        one.addHandler(handler)
        one.setLevel(least)
        one.propagate = False
