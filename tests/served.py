"""Servers of an engine for tests: in a thread of this process, and in processes that can be killed.

`python -m served ADDRESS PORT WORKERS` serves the engine of `make_engine`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from alsim.engine import AdaptiveEngine

ROOT = Path(__file__).parent.parent
GRAPH = {"counting": [], "addition": ["counting"], "fractions": ["addition"]}
CATALOGUE = [
    {"id": "count-1", "skills_taught": ["counting"], "skills_assessed": ["counting"]},
    {"id": "add/1 é", "skills_taught": ["addition"], "skills_assessed": ["addition"]},
    {"id": "fraction-1", "skills_taught": ["fractions"], "skills_assessed": ["addition", "fractions"]},
    {"id": "video", "skills_taught": ["counting"], "type": "content"},
]


def make_engine(address: Any = "memory", **options: Any) -> AdaptiveEngine:
    """Return a small engine with a store."""
    return AdaptiveEngine(GRAPH, CATALOGUE, store=address, **options)


@contextmanager
def in_thread(app: Any) -> Iterator[str]:
    """Serve an application in a thread, and yield its URL."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        until(lambda: server.started or not thread.is_alive())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


class Processes:
    """A server in processes of their own, which are stopped at the end of a `with` block.

    address  address of its store
    workers  number of workers
    """

    def __init__(self, address: str, workers: int, **environment: str) -> None:
        self.address, self.workers, self.environment = address, workers, environment
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()  # of metrics, which a killed server leaves
        self.start()

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "served", self.address, str(self.port), str(self.workers)],
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": self.folder.name, **self.environment},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        until(lambda: self.process.poll() is not None or accepts(self.port))
        assert self.process.poll() is None, self.process.communicate()[1]

    def kill(self) -> None:
        """End all processes with SIGKILL, at one moment."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> str:
        """End the server with SIGTERM, and return what it has written to the standard error stream."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=60)[1]

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.stop()
        self.folder.cleanup()


def accepts(port: int) -> bool:
    """Return whether a port accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(condition: Any, seconds: float = 120) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


if __name__ == "__main__":
    from alsim.engine.server import serve

    address, port, workers = sys.argv[1:]
    serve(partial(make_engine, address), port=int(port), workers=int(workers))
