"""Connections to a SQLite file that threads share, that processes do not inherit, and that wait fairly for writers."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from alsim.engine.errors import StoreError

PATIENCE = 30.0
"""Time to wait for other writers, seconds."""
PAUSES = 0.000_05, 0.001
"""First and longest pause while another process writes, seconds. SQLite itself pauses for up to 0.1 s."""
CHECKPOINT = 4000
"""Size of the write-ahead log, pages of 4 KiB, at which a commit copies it into the file, and waits for the disk. One
commit in a thousand does so; at SQLite's 1000 pages it would be one in 200, and count in the 99th percentile."""
READ_ONLY, IMMUTABLE = "?mode=ro", "?mode=ro&immutable=1"
"""Options of SQLite: for reading only, and for a file that no process writes."""
RECENT = (
    "its last commits are in a file -wal, which SQLite cannot read in a directory without write permission: copy both "
    "files to another directory"
)
"""Defect of a file that was copied while it was open, to a directory without write permission."""
UNREADABLE = "the store cannot be read: change its permissions"
Execute = Callable[..., sqlite3.Cursor]
Result = TypeVar("Result")


class Link:
    """A connection that threads use in turn. It is opened when it is first used, and again after a fork.

    path         path of the file
    synchronous  "normal" or "full"

    A file without write permission, as that of a mounted snapshot, is opened for reading. Raises StoreError for
    everything that SQLite reports, and if the file was removed or replaced meanwhile.
    """

    def __init__(self, path: Path, synchronous: str) -> None:
        self.path, self.synchronous = path, synchronous
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, ...] = ()
        self._mode = ""
        self._is_closed = False
        self._lock = threading.Lock()
        _links.add(self)

    @property
    def is_read_only(self) -> bool:
        """True if the file was opened for reading only."""
        return self._mode != ""

    def read(self, work: Callable[[Execute], Result]) -> Result:
        """Return the result of a function that reads with single statements."""
        with self._errors():
            return _patient(lambda: work(self._open().execute))

    def snapshot(self, work: Callable[[Execute], Result]) -> Result:
        """Return the result of a function that reads everything from one moment."""
        with self._errors():
            return _patient(lambda: self._transact("BEGIN", work))

    def transaction(self, work: Callable[[Execute], Result]) -> Result:
        """Return the result of a function that writes in one transaction; an error undoes what it did."""
        with self._errors():
            return self._transact("BEGIN IMMEDIATE", work)

    def _transact(self, begin: str, work: Callable[[Execute], Result]) -> Result:
        """Return the result of a function that runs in a transaction; the lock is held."""
        connection = self._open()
        _patient(lambda: connection.execute(begin))
        try:
            found = work(connection.execute)
            _patient(lambda: connection.execute("COMMIT"))
        except BaseException:
            if connection.in_transaction:
                with suppress(sqlite3.Error):  # the first error says what is wrong
                    connection.execute("ROLLBACK")
            raise
        return found

    def close(self) -> None:
        """Close the connection for good."""
        with self._lock:
            self._is_closed = True
            self.drop()

    def drop(self) -> None:
        """Close the connection until it is used again; the lock is held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        """Return the connection; the lock is held."""
        if self._connection is None:
            if self._is_closed:
                raise StoreError(f"{self.path}: the store is closed: open it again")
            if self.path.is_dir():
                raise StoreError(f"{self.path} is a directory: pass the path of a file in it")
            self._connection = self._connected()
        elif _identity(self.path) != self._identity[:2]:  # otherwise, commits go to a file that has no name
            raise StoreError(f"{self.path} was removed or replaced while it was open: restore it, and open it again")
        elif self._mode == IMMUTABLE and _stamp(self.path) != self._identity:  # others write it after all
            self.drop()
            self._connection = self._connected()
        return self._connection

    def _connected(self) -> sqlite3.Connection:
        """Return a new connection, by which only reading is possible if the file cannot be written."""
        self._mode, self._identity = _read_only_mode(self.path), _stamp(self.path)
        path = f"{self.path.absolute().as_uri()}{self._mode}" if self._mode else self.path
        connection = sqlite3.connect(
            path,
            uri=self._mode != "",
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        try:  # the first statement may find the file locked by a process that opens or closes it
            _patient(lambda: connection.execute(f"PRAGMA synchronous = {self.synchronous.upper()}"))
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        except sqlite3.Error:
            connection.close()
            raise
        if not self._mode:
            self._identity = _stamp(self.path)  # the file may be new
        return connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Hold the lock, and raise StoreError with the path and the cure instead of an error of SQLite."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                text = _sentence(error)
                if "unable to open" in str(error) and self.path.exists():
                    text = RECENT if os.access(self.path, os.R_OK) else UNREADABLE
                raise StoreError(f"{self.path}: {text}") from error


def _identity(path: Path) -> tuple[int, int]:
    """Return numbers that differ between files; those of no file if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _stamp(path: Path) -> tuple[int, ...]:
    """Return numbers that change when a file is replaced or written, also by commits that are still in PATH-wal."""
    try:
        found = os.stat(path)
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, *_identity(companion(path, "wal"))
    except OSError:
        return 0, 0


def companion(path: Path, suffix: str) -> Path:
    """Return the path of a file of the same name with a suffix, which SQLite keeps in the same directory."""
    return path.with_name(f"{path.name}-{suffix}")


def _read_only_mode(path: Path) -> str:
    """Return the options of SQLite for a file without write permission, "" for a writable or a new one."""
    if not path.exists():
        return ""
    log, index = companion(path, "wal"), companion(path, "shm")
    can_create = os.access(path.parent, os.W_OK) or (log.exists() and index.exists())
    if os.access(path, os.W_OK) and can_create:
        return ""
    # SQLite needs PATH-wal and PATH-shm to read, unless an option says that no process writes the file. It then ignores
    # commits in PATH-wal, so this is for files without.
    has_commits = log.exists() and (log.stat().st_size > 0 or index.exists())
    return READ_ONLY if has_commits else IMMUTABLE


def _patient(call: Callable[[], Result]) -> Result:
    """Return the result of a call, which is repeated while another process has the file locked."""
    end, pause = 0.0, PAUSES[0]
    while True:
        try:
            return call()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            now = time.monotonic()
            end = end or now + PATIENCE
            if now > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, PAUSES[1])


def _sentence(error: sqlite3.Error) -> str:
    """Return what is wrong with a store, and the cure."""
    text = str(error)
    cures: dict[str, str] = {
        "unable to open": "the store cannot be opened: create its directory, or choose a writable path",
        "not a database": "the file is not a store of alsim: choose another path",
        "malformed": "the store is damaged: restore a copy",
        "no such table": "the store is damaged, and lacks a table: restore a copy",
        "is full": "the disk is full, and nothing was changed: free space, and try again",
        "I/O error": "the disk cannot be read or written, and nothing was changed: check space, quota and disk",
        "locked": f"other processes kept the store locked for {PATIENCE:g} s, and nothing was changed: try again",
        "readonly": "the store cannot be written, and nothing was changed: change its permissions",
    }
    found = next((sentence for part, sentence in cures.items() if part in text), None)
    return found or f"the store cannot be used: {text}"


# ── forks ────────────────────────────────────────────────────────────────────────────────────────
# SQLite's locks belong to a process, while its memory of them is copied by a fork: a child that used a connection of
# its parent, or a new one to the same file, would write without locks. All connections are therefore closed before.

_links: WeakSet[Link] = WeakSet()
_forking = threading.Lock()
_held: list[Any] = []


def _before_fork() -> None:
    """Wait until no thread uses a connection, and close all of them."""
    _forking.acquire()
    for link in list(_links):
        link._lock.acquire()
        _held.append(link)
        link.drop()


def _after_fork() -> None:
    """Let threads open their connections again."""
    while _held:
        _held.pop()._lock.release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

__all__ = ["PATIENCE", "Execute", "Link"]
