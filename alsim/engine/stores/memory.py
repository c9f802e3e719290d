"""Store in the memory of the process: fast, and lost when the process ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import ClassVar

from alsim.engine.stores.base import DELETED, UNKNOWN, Answer, Commit, Store, Stored, tombstone

Kept = tuple[int, bytes, list[bytes]]
"""Version, state and log of a student. They are in one object: finding it is what a large store spends its time on."""

NOTHING: Kept = (0, b"", [])
"""Record of an unknown student."""
_stored = tuple.__new__
"""Construction of a `Stored` from all its fields, in a third of the time of a call of the class."""


class MemoryStore(Store):
    """Students in dictionaries of this process. Several threads may use it."""

    kind: ClassVar[str] = "memory"

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._answers: dict[str, dict[str, Answer]] = {}
        self._deleted: set[bytes] = set()
        self._counters: dict[str, int] = {}
        self._notes: dict[str, str] = {}
        self._lock = Lock()

    def load(self, student: str, key: str | None = None) -> Stored:
        """Return what the store has of a student, with the answer to an idempotency key."""
        with self._lock:
            return self._load(student, key)

    def load_many(self, students: Sequence[str]) -> list[Stored]:
        """Return what the store has of each student."""
        with self._lock:
            found = map(self._kept.get, students)
            return [
                self._absent(student) if kept is None else _stored(Stored, (kept[0], kept[1], False, None))
                for student, kept in zip(students, found, strict=True)
            ]

    def first_deleted(self, students: Sequence[str]) -> str | None:
        """Return the first of some students that was deleted, None if none was."""
        with self._lock:
            return next(filter(self._is_deleted, students), None) if self._deleted else None

    def commit(self, change: Commit) -> bool:
        """Make a change, and return whether it was made."""
        with self._lock:
            return self._commit(change)

    def commit_many(self, changes: Sequence[Commit]) -> list[bool]:
        """Make changes of different students; return whether each was made."""
        with self._lock:
            return [self._commit(change) for change in changes]

    def entries(self, student: str) -> list[bytes]:
        """Return the log of a student."""
        with self._lock:
            return list(self._kept.get(student, NOTHING)[2])

    def students(self) -> Iterator[str]:
        """Return the names of the students."""
        with self._lock:
            return iter(list(self._kept))

    def delete(self, student: str) -> bool:
        """Delete log, state and keys of a student."""
        with self._lock:
            if student not in self._kept:
                return False
            del self._kept[student]
            self._answers.pop(student, None)
            self._deleted.add(tombstone(student))
            return True

    def counters(self) -> dict[str, int]:
        """Return the shared counters by name."""
        with self._lock:
            return dict(self._counters)

    def read_counters(self, names: Sequence[str]) -> list[int]:
        """Return the shared counters with some names, 0 for unknown ones."""
        with self._lock:
            return [self._counters.get(name, 0) for name in names]

    def set_counters(self, counters: Mapping[str, int]) -> None:
        """Replace all shared counters."""
        with self._lock:
            self._counters = dict(counters)

    def read_note(self, name: str) -> str | None:
        """Return a text by name."""
        return self._notes.get(name)

    def write_note(self, name: str, text: str) -> None:
        """Store a text under a name."""
        self._notes[name] = text

    def _load(self, student: str, key: str | None) -> Stored:
        """Return what the store has of a student; the lock is held."""
        kept = self._kept.get(student)
        if kept is None:
            return self._absent(student)
        answer = None if key is None else self._answers.get(student, {}).get(key)
        return Stored(kept[0], kept[1], answer=answer)

    def _absent(self, student: str) -> Stored:
        """Return what the store has of a student without events; the lock is held."""
        return DELETED if self._is_deleted(student) else UNKNOWN

    def _is_deleted(self, student: str) -> bool:
        """Return whether a student was deleted; the lock is held."""
        return bool(self._deleted) and tombstone(student) in self._deleted

    def _commit(self, change: Commit) -> bool:
        """Make a change if it is based on the present version; the lock is held."""
        student = change.student
        version, _, log = self._kept.get(student, NOTHING)
        if version != change.version or (version == 0 and self._is_deleted(student)):
            return False
        if change.key is not None and change.answer is not None:
            answers = self._answers.setdefault(student, {})
            if change.key in answers:
                return False
            answers[change.key] = change.answer
        log = log if version else []
        log.extend(change.entries)
        self._kept[student] = version + 1, change.state, log
        for name, addend in change.counts:
            self._counters[name] = self._counters.get(name, 0) + addend
        return True


__all__ = ["MemoryStore"]
