"""Serve a recurrent model to many streams: python examples/server/server.py --help."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Sequence

import models
from aiohttp import web
from engine import Engine
from service import Service


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="server.py", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: one that is free, which is printed")
    parser.add_argument("--model", help="a .safetensors file of model.save; without it, a random LSTM 128 to 128")
    parser.add_argument("--dtype", default="float32", help="of the weights: float32, bfloat16, bfloat16_weights, int8")
    parser.add_argument("--capacity", type=int, default=1024, help="streams; who comes then gets HTTP 503")
    parser.add_argument("--deadline-ms", type=float, default=4, help="how long a chunk may wait for others")
    parser.add_argument("--max-steps", type=int, default=64, help="of one message")
    parser.add_argument("--idle-seconds", type=float, default=60, help="after which a silent connection is closed")
    parser.add_argument("--drain-seconds", type=float, default=10, help="for answers that are due when it stops")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(argv)
    model = models.load(options.model, options.dtype)
    engine = Engine(model, options.capacity, options.max_steps, options.deadline_ms / 1e3)
    about = {"input_size": model.input_size, "output_size": model.output_size, "max_steps": options.max_steps}
    service = Service(engine, options.idle_seconds, options.drain_seconds, about | {"dtype": options.dtype})
    listening = socket.create_server((options.host, options.port), backlog=1024)
    print(f"listening on {options.host}:{listening.getsockname()[1]}", flush=True)
    # It stops at SIGTERM and SIGINT: no new connections, then Service.drain, then an end.
    web.run_app(service.app, sock=listening, print=None, access_log=None, loop=event_loop())


def event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which takes half the time; where it is not to be had, Python's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
