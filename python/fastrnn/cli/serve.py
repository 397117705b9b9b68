"""``fastrnn serve``: models as a service, a WebSocket for each stream."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..serve.log import LEVELS
from ..serve.settings import DTYPES, Settings
from ._console import at_least_1, number_from_0, number_over_0

HELP = "serve models to many streams over WebSockets"
DESCRIPTION = (
    "Serve models: each WebSocket is a stream that sends chunks of float32 and gets the model's answers. "
    "docs/serving.md says how, and what it promises."
)
EXAMPLES = """examples:
  fastrnn serve vad.safetensors
  fastrnn serve vad=a.safetensors denoise=b.safetensors --dtype int8 --port 8080
  fastrnn serve vad.safetensors --store redis://127.0.0.1:6379/0 --token-file tokens --origin https://example.org

exit status: 0 after SIGTERM or SIGINT, 2 for what cannot be served."""

_DEFAULTS = Settings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command, which are the fields of `Settings`."""

    def add(name: str, text: str, **more: Any) -> None:
        field = name[2:].replace("-", "_")
        default = more.setdefault("default", getattr(_DEFAULTS, field, None))
        shown = "" if default is None or default == [] else f"; {default:g}" if isinstance(default, float) else None
        parser.add_argument(name, help=text + (f"; {default}" if shown is None else shown), **more)

    parser.add_argument(
        "models", nargs="+", type=_named, metavar="[NAME=]FILE", help="a model; its name is the file's without ending"
    )
    add("--host", "address to listen on")
    add("--port", "0: one that is free, which is printed", type=_port)
    add("--dtype", "of the weights", choices=DTYPES)
    add("--capacity", "streams of one model; one more gets HTTP 503", type=at_least_1)
    add("--connections", "of streams and of all else; one more gets HTTP 503", type=at_least_1)
    add("--deadline-ms", "how long a chunk may wait for others", type=number_from_0)
    add("--max-steps", "of one message", type=at_least_1)
    add("--header-seconds", "after which half a request is cut off", type=number_over_0)
    add("--stall-seconds", "after which a client that does not read is cut off", type=number_over_0)
    add("--idle-seconds", "after which a silent stream is closed", type=number_over_0)
    add("--drain-seconds", "for answers that are due when it stops", type=number_over_0)
    add("--reload-seconds", "between looks whether a file has changed; 0: never", type=number_from_0)
    add("--store", "of streams' states: memory, or redis://HOST:PORT/NUMBER for several instances", metavar="URL")
    add("--store-steps", "after which a stream's state is stored", type=at_least_1)
    add("--unstored-bytes", "of a stream's chunks behind its stored state; then it waits for the store",
        type=at_least_1)  # fmt: skip
    add("--keep-seconds", "for which the state of a stream that ended is kept", type=number_over_0)
    add("--origin", "of pages that may connect, besides the service's own; without it, all", action="append",
        dest="origins", default=[])  # fmt: skip
    add("--token-file", "lines 'name token'; a request without such a token gets HTTP 401", metavar="FILE")
    add("--proxy", "address of a proxy, whose X-Forwarded-For is believed", action="append", dest="proxies",
        metavar="ADDRESS", default=[])  # fmt: skip
    add("--client-streams", "that one client may have open", type=at_least_1)
    add("--client-steps", "a second to which one client is slowed down", type=number_over_0)
    add("--log-level", "of the log on stderr, a line of JSON for each event", choices=LEVELS)


def command(options: dict[str, Any]) -> int:
    """Serve until a signal; return the exit status."""
    named = options.pop("models")
    models = dict(named)
    if len(models) < len(named):
        raise ValueError(f"NAME: expected models of different names, got {', '.join(name for name, _ in named)}")
    try:
        from ..serve.run import run
    except ImportError as error:
        raise ImportError(f"fastrnn serve needs an extra: pip install 'fastrnn[serve]' ({error})") from error
    run(Settings(models=models, **options))
    return 0


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals:
        name, path = Path(text).stem, text
    if not name or not path:
        raise argparse.ArgumentTypeError(f"expected NAME=FILE, got {text!r}")
    return name, path


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, got {text!r}")
    return int(text)
