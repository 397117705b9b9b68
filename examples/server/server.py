"""Serve a recurrent model to many streams: python examples/server/server.py --help."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
from collections.abc import Sequence

import models
from connections import Connections, Limits, listen
from engine import Engine
from options import COUNT, SECONDS, Parser, within
from service import Service

OWN_FILES = 64  # besides the connections


def arguments(argv: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = Parser(prog="server.py", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=within(int, 0, 65535), default=8000, help="0: one that is free, which is printed")
    add("--model", help="a .safetensors file of model.save; without it, a random LSTM 128 to 128")
    add("--dtype", choices=models.DTYPES, default="float32", help="of the weights")
    add("--capacity", type=COUNT, default=1024, help="streams; who comes then gets HTTP 503")
    add("--connections", type=COUNT, default=4096, help="streams and all others; who comes then gets HTTP 503")
    add("--deadline-ms", type=within(float, 0, 1e6), default=4, help="how long a chunk may wait for others")
    add("--max-steps", type=COUNT, default=64, help="of one message")
    add("--header-seconds", type=SECONDS, default=10, help="after which half a request is cut off")
    add("--stall-seconds", type=SECONDS, default=5, help="after which a client that does not read is cut off")
    add("--idle-seconds", type=SECONDS, default=60, help="after which a silent connection is closed")
    add("--drain-seconds", type=SECONDS, default=10, help="for answers that are due when it stops")
    return parser, parser.parse_args(argv)


def allow_files(connections: int) -> int:
    """As many connections, or the most that the limit on open files of the process can be raised to."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = connections + OWN_FILES
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return min(connections, files - OWN_FILES)


def main(argv: Sequence[str] | None = None) -> None:
    parser, options = arguments(argv)
    limits = Limits(allow_files(options.connections), options.header_seconds, options.stall_seconds)
    if options.capacity > limits.connections:
        parser.error(f"argument --capacity: expected at most {limits.connections} connections, got {options.capacity}")
    try:
        model = models.load(options.model, options.dtype)
        engine = Engine(model, options.capacity, options.max_steps, options.deadline_ms / 1e3)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        parser.error(f"the model: {error}")
    try:
        listening = listen(options.host, options.port)
    except OSError as error:
        parser.error(f"arguments --host and --port: {error}")
    about = {"input_size": model.input_size, "output_size": model.output_size, "max_steps": options.max_steps}
    service = Service(engine, options.idle_seconds, options.drain_seconds, about | {"dtype": options.dtype})
    print(f"listening on {options.host}:{listening.getsockname()[1]}", flush=True)
    event_loop().run_until_complete(serve(service, limits, listening))


async def serve(service: Service, limits: Limits, listening: socket.socket) -> None:
    """Until SIGTERM or SIGINT: then there are no new connections, then Service.drain, then an end."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(ending, stop.set)
    connections = Connections(service.answer, limits)
    server = await loop.create_server(connections, sock=listening)
    work = service.engine.run(), service.close_idle(), connections.cut_off_stalled(), stop.wait()
    tasks = [asyncio.create_task(one) for one in work]
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    await service.drain()
    connections.cut_off_all()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others, timeout=1)
    for task in ended:
        task.result()  # raises what the work ended with, if it was not a signal


def event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which takes half the time; where it is not to be had, Python's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
