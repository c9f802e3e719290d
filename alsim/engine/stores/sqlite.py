"""Store in a SQLite file: several threads and processes of one machine may use it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from alsim.engine.errors import EngineError, StoreError
from alsim.engine.stores.base import DELETED, UNKNOWN, Answer, Commit, Store, Stored, tombstone

APPLICATION = 0x616C736D
"""Mark of the files, `alsm`."""
VERSION = 1
"""Version of the tables."""
SYNCHRONOUS = ("normal", "full")
MOST_NAMES = 500
"""Largest number of names in a query."""
PATIENCE = 30.0
"""Time to wait for other writers, seconds."""
TABLES = """
CREATE TABLE IF NOT EXISTS students (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    student INTEGER NOT NULL, version INTEGER NOT NULL, place INTEGER NOT NULL, entry BLOB NOT NULL,
    PRIMARY KEY (student, version, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    student INTEGER NOT NULL, key TEXT NOT NULL, request BLOB NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (student, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tombstones (hash BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
"""
Result = TypeVar("Result")


class SQLiteStore(Store):
    """Students in a file, which is created if it does not exist. Threads have connections of their own.

    path         path of the file
    synchronous  "normal": a killed process loses nothing, and a power failure may lose the last commits; "full":
                 a power failure loses nothing either

    Raises StoreError for a file that cannot be opened, that is no store, or that has another version.
    """

    kind: ClassVar[str] = "sqlite"

    def __init__(self, path: str | Path, *, synchronous: str = "normal") -> None:
        if synchronous not in SYNCHRONOUS:
            raise EngineError(f"synchronous must be {' or '.join(map(repr, SYNCHRONOUS))}; got {synchronous!r:.100}")
        self.path, self.synchronous = Path(path), synchronous
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with self._errors():
            self._prepare(self._connection)

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the store at `PATH` or `PATH?synchronous=full`. Raises EngineError for another option."""
        path, _, option = address.partition("?")
        name, _, value = option.partition("=")
        if option and name != "synchronous":
            raise EngineError(f"the address of a SQLite store has the option synchronous only; got {option!r:.100}")
        return cls(path, synchronous=value or "normal") if option else cls(path)

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self.path)!r})"

    # ── interface ───────────────────────────────────────────────────────────────────────────────

    def load(self, student: str, key: str | None = None) -> Stored:
        """Return what the store has of a student, with the answer to an idempotency key."""
        with self._errors():
            return self._load(student, key)

    def load_many(self, students: Sequence[str]) -> list[Stored]:
        """Return what the store has of each student, all at one moment."""
        with self._errors(), self._reading():
            return [self._load(student, None) for student in students]

    def commit(self, change: Commit) -> bool:
        """Make a change in one transaction, and return whether it was made."""
        return self._written(lambda: self._commit(change))

    def commit_many(self, changes: Sequence[Commit]) -> list[bool]:
        """Make changes in one transaction; return whether each was made."""
        return self._written(lambda: [self._commit(change) for change in changes])

    def entries(self, student: str) -> list[bytes]:
        """Return the log of a student."""
        query = (
            "SELECT entry FROM entries JOIN students ON students.id = entries.student WHERE name = ? "
            "ORDER BY entries.version, place"
        )
        with self._errors():
            return [row[0] for row in self._connection.execute(query, (_text(student),))]

    def students(self) -> Iterator[str]:
        """Return the names of the students, in order of their first event."""
        with self._errors():
            rows = self._connection.execute("SELECT name FROM students ORDER BY id").fetchall()
        return iter([_name(row[0]) for row in rows])

    def delete(self, student: str) -> bool:
        """Delete log, state and keys of a student."""
        return self._written(lambda: self._delete(student))

    def counters(self) -> dict[str, int]:
        """Return the shared counters by name."""
        with self._errors():
            return dict(self._connection.execute("SELECT name, value FROM counters").fetchall())

    def read_counters(self, names: Sequence[str]) -> list[int]:
        """Return the shared counters with some names, 0 for unknown ones: all at one moment."""
        found: dict[str, int] = {}
        with self._errors(), self._reading():
            for begin in range(0, len(names), MOST_NAMES):
                part = list(names[begin : begin + MOST_NAMES])
                query = f"SELECT name, value FROM counters WHERE name IN ({', '.join('?' * len(part))})"
                found.update(self._connection.execute(query, part).fetchall())
        return [found.get(name, 0) for name in names]

    def set_counters(self, counters: Mapping[str, int]) -> None:
        """Replace all shared counters."""

        def write() -> None:
            self._connection.execute("DELETE FROM counters")
            self._connection.executemany("INSERT INTO counters VALUES (?, ?)", list(counters.items()))

        self._written(write)

    def read_note(self, name: str) -> str | None:
        """Return a text by name."""
        with self._errors():
            row = self._connection.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def write_note(self, name: str, text: str) -> None:
        """Store a text under a name."""
        self._written(lambda: self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text)))

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = threading.local()

    # ── statements ──────────────────────────────────────────────────────────────────────────────

    def _load(self, student: str, key: str | None) -> Stored:
        """Return what the store has of a student."""
        query = "SELECT version, state, id FROM students WHERE name = ?"
        row = self._connection.execute(query, (_text(student),)).fetchone()
        if row is None:
            return DELETED if self._is_deleted(student) else UNKNOWN
        answer = None
        if key is not None:
            query = "SELECT request, body FROM answers WHERE student = ? AND key = ?"
            found = self._connection.execute(query, (row[2], _text(key))).fetchone()
            answer = None if found is None else Answer(*found)
        return Stored(row[0], row[1], answer=answer)

    def _is_deleted(self, student: str) -> bool:
        """Return whether a student was deleted."""
        query = "SELECT 1 FROM tombstones WHERE hash = ?"
        return self._connection.execute(query, (tombstone(student),)).fetchone() is not None

    def _commit(self, change: Commit) -> bool:
        """Make a change within a transaction, if it is based on the present version and its key is new."""
        execute, name = self._connection.execute, _text(change.student)
        found = execute("SELECT id, version FROM students WHERE name = ?", (name,)).fetchone()
        if (0 if found is None else found[1]) != change.version or (found is None and self._is_deleted(change.student)):
            return False
        if found is None:
            student = execute("INSERT INTO students VALUES (NULL, ?, 1, ?)", (name, change.state)).lastrowid
        else:
            student = found[0]
            if change.key is not None and self._has_key(student, change.key):
                return False
            query = "UPDATE students SET version = version + 1, state = ? WHERE id = ?"
            execute(query, (change.state, student))
        if change.key is not None and change.answer is not None:
            execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (student, _text(change.key), *change.answer))
        for place, entry in enumerate(change.entries):
            execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (student, change.version, place, entry))
        query = "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
        for pair in change.counts:
            execute(query, pair)
        return True

    def _has_key(self, student: int, key: str) -> bool:
        """Return whether a student has an idempotency key."""
        query = "SELECT 1 FROM answers WHERE student = ? AND key = ?"
        return self._connection.execute(query, (student, _text(key))).fetchone() is not None

    def _delete(self, student: str) -> bool:
        """Delete a student within a transaction."""
        execute = self._connection.execute
        found = execute("SELECT id FROM students WHERE name = ?", (_text(student),)).fetchone()
        if found is None:
            return False
        execute("DELETE FROM entries WHERE student = ?", found)
        execute("DELETE FROM answers WHERE student = ?", found)
        execute("DELETE FROM students WHERE id = ?", found)
        execute("INSERT OR IGNORE INTO tombstones VALUES (?)", (tombstone(student),))
        return True

    # ── connections ─────────────────────────────────────────────────────────────────────────────

    @property
    def _connection(self) -> sqlite3.Connection:
        """Connection of this thread of this process."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None or self._local.process != os.getpid():
            connection = sqlite3.connect(
                self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            connection.execute(f"PRAGMA synchronous = {self.synchronous.upper()}")
            self._local.connection, self._local.process = connection, os.getpid()
            with self._lock:
                self._connections.append(connection)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables of a new file. Raises StoreError for a file of another kind or version."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION and (tables or application or version):
            raise StoreError(f"{self.path} is a SQLite file, but no store of alsim: choose another path")
        if application == APPLICATION and version != VERSION:
            raise StoreError(
                f"{self.path} is a store of version {version}; expected version {VERSION}: use the version of alsim "
                "that wrote it, or export it there"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
        )

    def _written(self, write: Callable[[], Result]) -> Result:
        """Return the result of a function that runs in one transaction; an error undoes what it did."""
        with self._errors():
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                found = write()
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return found

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Read within a block from one moment."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise StoreError, with the path and the cure, instead of an error of SQLite."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {_sentence(error)}") from error


def _sentence(error: sqlite3.Error) -> str:
    """Return what is wrong with a store, and the cure."""
    text = str(error)
    cures: dict[str, str] = {
        "unable to open": "the store cannot be opened: create its directory, or choose a writable path",
        "not a database": "the file is not a store of alsim: choose another path",
        "malformed": "the store is damaged: restore a copy",
        "disk is full": "the disk is full, and nothing was changed: free space, and try again",
        "locked": f"other processes kept the store locked for {PATIENCE:g} s, and nothing was changed: try again",
        "readonly": "the store cannot be written, and nothing was changed: change its permissions",
        "closed": "the store is closed: open it again",
    }
    found = next((sentence for part, sentence in cures.items() if part in text), None)
    return found or f"the store cannot be used: {text}"


def _text(name: str) -> Any:
    """Return a name as SQLite stores it: text, or bytes if it has surrogates, which are no text in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")
    return name


def _name(stored: str | bytes) -> str:
    """Return the name that `_text` has converted."""
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")


__all__ = ["SQLiteStore"]
