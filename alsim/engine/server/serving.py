"""The process of a server: its address, its workers, and its end."""

from __future__ import annotations

import ipaddress
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alsim.engine.engine import AdaptiveEngine
from alsim.engine.errors import EngineError
from alsim.engine.server.app import create_app
from alsim.engine.server.boundary import checked_key
from alsim.engine.server.metrics import DIRECTORY
from alsim.engine.warmup import warm_up
from alsim.types import describe
from alsim.utils.optional import require

if TYPE_CHECKING:
    import fastapi
    import uvicorn
    from uvicorn.supervisors import Multiprocess
else:
    uvicorn = require("uvicorn", "server", "alsim.engine.server")
    Multiprocess = require("uvicorn.supervisors", "server", "alsim.engine.server").Multiprocess

API_KEY = "ALSIM_API_KEY"
"""Environment variable with the API key."""
MOST_WORKERS = 64
"""Largest number of workers."""
STOP_SECONDS = 30
"""Time that requests have to finish when the server stops, seconds."""
WORKER_SECONDS = 60
"""Time that a worker has to start, or to answer its supervisor, before another one replaces it, seconds."""
KEEP_ALIVE_SECONDS = 75
"""Time for which idle connections are kept: longer than proxies do (60 s), so that they do not meet a closed one."""

Source = str | Path | Callable[[], AdaptiveEngine]
"""Directory of an engine, or a function that returns one."""


def serve(
    source: Source,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    api_key: str | None = None,
    insecure: bool = False,
    report: Callable[[str], object] | None = None,
) -> None:
    """Serve an engine over HTTP until SIGTERM or SIGINT. Requests that have begun are finished.

    source    directory of an engine (`alsim engine init`), or a function without arguments that returns an
              AdaptiveEngine; with several workers it must be a function of a module
    host      address to listen on; the default is reachable from this machine only
    port      TCP port; 0 for a free one
    workers   number of processes; a store in memory allows one
    api_key   key that each request must have; None for that of the environment variable ALSIM_API_KEY, if it is set
    insecure  True to listen without a key on an address that other machines reach
    report    function that is called with a line about the address, before the server accepts requests; None prints
              it to the standard error stream

    Raises EngineError for invalid arguments and for an address in use, StoreError if the store cannot be opened,
    MissingExtra without the extra `server`.
    """
    key = os.environ.get(API_KEY) if api_key is None else api_key
    if key is not None:
        key = checked_key(key)
    count = _checked_count("workers", workers, 1, MOST_WORKERS)
    if key is None and not insecure and not _is_local(host):
        raise EngineError(
            f"without an API key, other machines could read and delete students at {host}: set {API_KEY}, or pass "
            "insecure=True (--insecure) if a proxy checks who calls"
        )
    with _listening(host, _checked_count("port", port, 0, 65535)) as listener:
        engine = _load(source)
        kind = engine.store.kind
        if count > 1 and kind == "memory":
            engine.close()
            raise EngineError(
                f"{count} workers cannot share the store memory: use sqlite:PATH or redis://HOST:PORT/DB, or 1 worker"
            )
        tell = report or (lambda line: print(line, file=sys.stderr, flush=True))
        processes = "1 worker" if count == 1 else f"{count} workers"
        tell(f"{_url(listener)}: {processes}, store {kind}, {'with' if key else 'without'} an API key")
        if count == 1:
            app = create_app(engine, api_key=key, close_engine=True)
            with _quiet_signals():
                uvicorn.Server(_settings(lambda: app, 1)).run([listener])
            return
        warm_up(engine)  # fills the compile cache, from which the workers start
        engine.close()
        with _shared_metrics():
            Supervisor(_settings(Worker(source, key), count), [listener]).run()


class LogLine(logging.Formatter):
    """Lines of the log: time in UTC (ISO 8601), level, process and message."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s [%(process)d] %(message)s", "%Y-%m-%dT%H:%M:%S")


class Supervisor(Multiprocess):
    """Supervisor of workers, which replaces those that have died."""

    def terminate_all(self) -> None:
        """Stop the workers. The socket is closed, because connections would wait on it, and nothing would answer."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


@dataclass(frozen=True)
class Worker:
    """Function that makes the application of a worker. It is pickled into the process of the worker."""

    source: Source
    api_key: str | None = field(repr=False)

    def __call__(self) -> fastapi.FastAPI:
        """Return the application, with an engine that belongs to this process."""
        if multiprocessing.parent_process() is not None:
            threading.Thread(target=_stop_with_parent, daemon=True).start()
        return create_app(_load(self.source), api_key=self.api_key, close_engine=True)


def _stop_with_parent() -> None:
    """Stop this worker after its supervisor has been killed: it would keep the address, and nothing would stop it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _load(source: Source) -> AdaptiveEngine:
    """Return the engine of a source. Raises EngineError."""
    if isinstance(source, str | Path):
        from alsim.engine.directory import load_engine

        loaded: AdaptiveEngine = load_engine(Path(source))
        return loaded
    if not callable(source):
        raise EngineError(f"serve needs the directory of an engine, or a function; got {describe(source)}")
    engine = source()
    if not isinstance(engine, AdaptiveEngine):
        raise EngineError(f"the function passed to serve must return an AdaptiveEngine; it returned {describe(engine)}")
    return engine


def _settings(make: Callable[[], Any], workers: int) -> Any:
    """Return the settings of uvicorn. Its access log has names of students, so it is off; /metrics has the counts."""
    handler = {"class": "logging.StreamHandler", "formatter": "line"}  # to the standard error stream
    logger = {"handlers": ["lines"], "level": "WARNING", "propagate": False}
    return uvicorn.Config(
        make,
        log_config={
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": LogLine}},
            "handlers": {"lines": handler},
            "loggers": {name: logger for name in ("uvicorn", "alsim.engine.server")},
        },
        factory=True,
        workers=workers,
        lifespan="on",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_worker_healthcheck=WORKER_SECONDS,
    )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open a socket at an address. Workers listen on it when they are ready, and connections are refused before.

    Raises EngineError if the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError, TypeError) as error:
        raise EngineError(f"host must be an address of this machine; got {host!r:.100}: {error}") from None
    with listener:
        try:
            if os.name != "nt":  # there it would let several servers use one port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError as error:
            raise EngineError(f"{host}:{port} cannot be used: {error.strerror}; choose another port or host") from None
        yield listener


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Ignore the signal that has stopped the server: uvicorn raises it again when all requests are finished."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.signal(kind, lambda *_: None) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """Let the workers add up their metrics in a directory: that of the environment variable, or a temporary one."""
    if DIRECTORY in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="alsim-metrics-") as directory:
        os.environ[DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY]


def _is_local(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url(listener: socket.socket) -> str:
    """Return the URL of a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _checked_count(name: str, value: Any, low: int, high: int) -> int:
    """Return an integer. Raises EngineError unless it is in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise EngineError(f"{name} must be an integer from {low} to {high:,}; got {describe(value)}")
    return value


__all__ = ["API_KEY", "serve"]
