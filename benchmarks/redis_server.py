"""A Redis server on a free loopback port, in a temporary directory, for tests and benchmarks."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAM = shutil.which("redis-server")
"""Path of redis-server; None if it is not installed."""
DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec")
"""Options of a server that loses up to a second when it is killed together with its machine."""


class RedisServer:
    """A Redis server, which is stopped at the end of a `with` block.

    folder   directory of its files
    options  further options, such as "--maxmemory", "3mb"
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = Path(folder), options
        self.port = _free_port()
        self.start()

    @property
    def address(self) -> str:
        """Address of its database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start the server, on another port if that one is in use, and wait until it answers."""
        for _ in range(10):
            command = [
                *(
                    PROGRAM or "redis-server",
                    "--port",
                    str(self.port),
                    "--bind",
                    "127.0.0.1",
                    "--dir",
                    str(self.folder),
                ),
                *("--save", "", "--loglevel", "warning"),
                *(self.options + options),
            ]
            with open(self.folder / "redis.log", "ab") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            if self._answers():
                return
            self.port = _free_port()
        raise RuntimeError(f"redis-server does not start: {(self.folder / 'redis.log').read_text()[-500:]}")

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the server with SIGTERM."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        """Return whether the server answers before it ends."""
        for _ in range(1000):
            if self.process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    answer = connection.recv(64)
                if answer.startswith((b"+PONG", b"-NOAUTH")):
                    return True
            except OSError:
                pass
            time.sleep(0.01)
        return False


def _free_port() -> int:
    """Return a port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
