"""Store in a SQLite file: several threads and processes of one machine may use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from alsim.engine.errors import EngineError, StoreError
from alsim.engine.stores.base import DELETED, UNKNOWN, Answer, Commit, Store, Stored, tombstone
from alsim.engine.stores.sqlite_link import Execute, Link

APPLICATION = 0x616C736D
"""Mark of the files, `alsm`."""
VERSION = 1
"""Version of the tables."""
SYNCHRONOUS = ("normal", "full")
MOST_NAMES = 500
"""Largest number of names in a query."""
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


class SQLiteStore(Store):
    """Students in a file, which is created if it does not exist. Threads and processes of one machine may share it.

    A file without write permission, as that of a backup or of a mounted snapshot, can be read.

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
        # Two connections: a reader does not wait for the disk while another thread writes.
        self._reader, self._writer = Link(self.path, synchronous), Link(self.path, synchronous)
        self._prepare()

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the store at `sqlite:PATH` or `sqlite:PATH?synchronous=full`. Raises EngineError for other options."""
        path, _, option = address.removeprefix("sqlite:").partition("?")
        if address == "sqlite" or not path or path.startswith(":memory:"):
            raise EngineError(f"the address of a SQLite store must be sqlite:PATH with a file; got {address!r:.100}")
        name, _, value = option.partition("=")
        if option and name != "synchronous":
            raise EngineError(f"the address of a SQLite store has the option synchronous only; got {option!r:.100}")
        return cls(path, synchronous=value) if option else cls(path)

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self.path)!r})"

    # ── interface ───────────────────────────────────────────────────────────────────────────────

    def load(self, student: str, key: str | None = None) -> Stored:
        """Return what the store has of a student, with the answer to an idempotency key."""
        return self._reader.read(lambda execute: _load(execute, student, key))

    def load_many(self, students: Sequence[str]) -> list[Stored]:
        """Return what the store has of each student, all at one moment."""
        return self._reader.snapshot(lambda execute: [_load(execute, student, None) for student in students])

    def commit(self, change: Commit) -> bool:
        """Make a change in one transaction, and return whether it was made."""
        return self._writer.transaction(lambda execute: _commit(execute, change))

    def commit_many(self, changes: Sequence[Commit]) -> list[bool]:
        """Make changes in one transaction; return whether each was made."""
        return self._writer.transaction(lambda execute: [_commit(execute, change) for change in changes])

    def entries(self, student: str) -> list[bytes]:
        """Return the log of a student."""
        query = (
            "SELECT entry FROM entries JOIN students ON students.id = entries.student WHERE name = ? "
            "ORDER BY entries.version, place"
        )
        return [row[0] for row in self._reader.read(lambda execute: execute(query, (_text(student),)).fetchall())]

    def students(self) -> Iterator[str]:
        """Return the names of the students, in order of their first event."""
        rows = self._reader.read(lambda execute: execute("SELECT name FROM students ORDER BY id").fetchall())
        return iter([_name(row[0]) for row in rows])

    def delete(self, student: str) -> bool:
        """Delete log, state and keys of a student."""
        return self._writer.transaction(lambda execute: _delete(execute, student))

    def counters(self) -> dict[str, int]:
        """Return the shared counters by name."""
        rows = self._reader.read(lambda execute: execute("SELECT name, value FROM counters").fetchall())
        return {_name(name): value for name, value in rows}

    def read_counters(self, names: Sequence[str]) -> list[int]:
        """Return the shared counters with some names, 0 for unknown ones: all at one moment."""
        found: dict[str, int] = {}

        def read(execute: Execute) -> None:
            for begin in range(0, len(names), MOST_NAMES):
                part = [_text(name) for name in names[begin : begin + MOST_NAMES]]
                query = f"SELECT name, value FROM counters WHERE name IN ({', '.join('?' * len(part))})"
                found.update((_name(name), value) for name, value in execute(query, part).fetchall())

        self._reader.snapshot(read)
        return [found.get(name, 0) for name in names]

    def set_counters(self, counters: Mapping[str, int]) -> None:
        """Replace all shared counters."""

        def write(execute: Execute) -> None:
            execute("DELETE FROM counters")
            for name, value in counters.items():
                execute("INSERT INTO counters VALUES (?, ?)", (_text(name), value))

        self._writer.transaction(write)

    def read_note(self, name: str) -> str | None:
        """Return a text by name."""
        query = "SELECT text FROM notes WHERE name = ?"
        row = self._reader.read(lambda execute: execute(query, (_text(name),)).fetchone())
        return None if row is None else _name(row[0])

    def write_note(self, name: str, text: str) -> None:
        """Store a text under a name."""
        query, values = "INSERT OR REPLACE INTO notes VALUES (?, ?)", (_text(name), _text(text))
        self._writer.transaction(lambda execute: execute(query, values))

    def close(self) -> None:
        """Close the file. The last process that closes it removes the files PATH-wal and PATH-shm."""
        self._reader.close()
        self._writer.close()

    # ── files ───────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> None:
        """Create the tables of a new file. Raises StoreError for a file of another kind or version."""
        if self._reader.read(_marks) != (APPLICATION, VERSION):
            self._writer.transaction(self._create)
        if not self._reader.is_read_only:
            self._writer.read(lambda execute: execute("PRAGMA journal_mode = WAL").fetchone())

    def _create(self, execute: Execute) -> None:
        """Create the tables within a transaction, unless another process has done so."""
        application, version = _marks(execute)
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION and (tables or application or version):
            raise StoreError(f"{self.path} is a SQLite file, but no store of alsim: choose another path")
        if application == APPLICATION and version != VERSION:
            raise StoreError(
                f"{self.path} is a store of version {version}; expected version {VERSION}: use the version of alsim "
                "that wrote it, or export it there"
            )
        if application == APPLICATION:
            return
        for statement in TABLES.split(";"):
            execute(statement)
        execute(f"PRAGMA application_id = {APPLICATION}")
        execute(f"PRAGMA user_version = {VERSION}")


# ── statements ───────────────────────────────────────────────────────────────────────────────────


def _marks(execute: Execute) -> tuple[int, int]:
    """Return the mark and the version of a file, 0 and 0 for a new one."""
    return execute("PRAGMA application_id").fetchone()[0], execute("PRAGMA user_version").fetchone()[0]


def _load(execute: Execute, student: str, key: str | None) -> Stored:
    """Return what the store has of a student."""
    row = execute("SELECT version, state, id FROM students WHERE name = ?", (_text(student),)).fetchone()
    if row is None:
        return DELETED if _is_deleted(execute, student) else UNKNOWN
    return Stored(row[0], row[1], answer=None if key is None else _answer(execute, row[2], key))


def _is_deleted(execute: Execute, student: str) -> bool:
    """Return whether a student was deleted."""
    return execute("SELECT 1 FROM tombstones WHERE hash = ?", (tombstone(student),)).fetchone() is not None


def _answer(execute: Execute, number: int, key: str) -> Answer | None:
    """Return the answer to an idempotency key of a student, given its number; None for a new key."""
    query = "SELECT request, body FROM answers WHERE student = ? AND key = ?"
    found = execute(query, (number, _text(key))).fetchone()
    return None if found is None else Answer(*found)


def _commit(execute: Execute, change: Commit) -> bool:
    """Make a change within a transaction, if it is based on the present version and its key is new."""
    name = _text(change.student)
    found = execute("SELECT id, version FROM students WHERE name = ?", (name,)).fetchone()
    if (0 if found is None else found[1]) != change.version or (found is None and _is_deleted(execute, change.student)):
        return False
    if found is None:
        number = execute("INSERT INTO students VALUES (NULL, ?, 1, ?)", (name, change.state)).lastrowid or 0
    else:
        number = found[0]
        if change.key is not None and _answer(execute, number, change.key) is not None:
            return False
        execute("UPDATE students SET version = version + 1, state = ? WHERE id = ?", (change.state, number))
    if change.key is not None and change.answer is not None:
        execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (number, _text(change.key), *change.answer))
    for place, entry in enumerate(change.entries):
        execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (number, change.version, place, entry))
    query = "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
    for counter, addend in change.counts:
        execute(query, (_text(counter), addend))
    return True


def _delete(execute: Execute, student: str) -> bool:
    """Delete a student within a transaction."""
    found = execute("SELECT id FROM students WHERE name = ?", (_text(student),)).fetchone()
    if found is None:
        return False
    execute("DELETE FROM entries WHERE student = ?", found)
    execute("DELETE FROM answers WHERE student = ?", found)
    execute("DELETE FROM students WHERE id = ?", found)
    execute("INSERT OR IGNORE INTO tombstones VALUES (?)", (tombstone(student),))
    return True


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
