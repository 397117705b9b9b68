"""Other programs around the service, started on free ports."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType


def free_port() -> int:
    """A port that nobody listens on, as of now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """Until a process listens on a port of this machine. RuntimeError if it ends, or takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"nobody listens on port {port}; status {process.poll()}")


class RedisServer:
    """A Redis that has written to its append-only file what it answers; it can be killed, and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "always"]
        self.process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as client:  # it may read its file yet
            while True:
                client.sendall(b"PING\r\n")
                if client.recv(1 << 10).startswith(b"+"):
                    break
                time.sleep(0.01)

    def kill(self) -> None:
        """As kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
