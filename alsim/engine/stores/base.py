"""Interface of stores: what an engine keeps of its students, and what a commit guarantees."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import ClassVar, NamedTuple, Self

from alsim.engine.errors import EngineError
from alsim.types import short_repr


@short_repr
class Answer(NamedTuple):
    """Answer to a request with an idempotency key."""

    request: bytes
    """Digest of the request."""
    body: bytes
    """The answer, which a repetition of the request gets again."""


@short_repr
class Stored(NamedTuple):
    """Record of a student in a store."""

    version: int
    """Number of commits of the student so far; 0 for an unknown student."""
    state: bytes | None
    """State after the last commit; None for an unknown student."""
    is_deleted: bool = False
    """True if the student was deleted: further commits are refused."""
    answer: Answer | None = None
    """Answer to the idempotency key that was asked for; None if the key is new."""


UNKNOWN = Stored(0, None)
DELETED = Stored(0, None, is_deleted=True)


@short_repr
class Commit(NamedTuple):
    """A change of one student, which a store makes completely or not at all."""

    student: str
    version: int
    """Version on which the change is based: the store refuses it if the student has another one."""
    state: bytes
    """New state."""
    entries: tuple[bytes, ...] = ()
    """Entries that are appended to the log of the student; () if only the state changes."""
    key: str | None = None
    """Idempotency key of the request; None without one. Key and answer are passed together."""
    answer: Answer | None = None
    """Answer to the request, stored under the key."""
    counts: tuple[tuple[str, int], ...] = ()
    """Changes of counters that all students share: pairs of name and addend."""


def tombstone(student: str) -> bytes:
    """Return what remains of a deleted student: a hash of the name, by which late events are refused."""
    return hashlib.blake2b(student.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Store(ABC):
    """Students of an engine: a log of entries, a state and idempotency keys of each; and shared counters.

    The log is the truth and the state is a cache. All methods raise StoreError if the store cannot be reached, is full,
    or is damaged; a commit has then happened completely or not at all. Threads may share a store, and it may be used
    in a process that was forked. `alsim.engine.stores.contract.check_store`
    checks what is written here.
    """

    kind: ClassVar[str]
    """Name of the kind of store."""

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the store with an address that begins with a kind of store. Raises EngineError for an invalid one."""
        if address != cls.kind:
            raise EngineError(f"the address of this store must be {cls.kind!r}, without options; got {address!r:.100}")
        return cls()

    @abstractmethod
    def load(self, student: str, key: str | None = None) -> Stored:
        """Return what the store has of a student, with the answer to an idempotency key."""

    @abstractmethod
    def commit(self, change: Commit) -> bool:
        """Make a change, and return True; or return False, and change nothing.

        False means that the student has another version, was deleted, or has the idempotency key already.
        """

    def load_many(self, students: Sequence[str]) -> list[Stored]:
        """Return what the store has of each student."""
        return [self.load(student) for student in students]

    def first_deleted(self, students: Sequence[str]) -> str | None:
        """Return the first of some students that was deleted, None if none was."""
        states = zip(students, self.load_many(students), strict=True)
        return next((student for student, stored in states if stored.is_deleted), None)

    def commit_many(self, changes: Sequence[Commit]) -> list[bool]:
        """Make changes of different students, each completely or not at all; return whether each was made."""
        return [self.commit(change) for change in changes]

    @abstractmethod
    def entries(self, student: str) -> list[bytes]:
        """Return the log of a student, oldest entry first; [] for an unknown student."""

    @abstractmethod
    def students(self) -> Iterator[str]:
        """Return the names of the students, deleted ones excepted, in any order."""

    @abstractmethod
    def delete(self, student: str) -> bool:
        """Delete log, state and keys of a student; a tombstone remains. Return False for an unknown or deleted one."""

    @abstractmethod
    def counters(self) -> dict[str, int]:
        """Return the shared counters by name. Those whose value is 0 may be left out."""

    def read_counters(self, names: Sequence[str]) -> list[int]:
        """Return the shared counters with some names, 0 for unknown ones."""
        counters = self.counters()
        return [counters.get(name, 0) for name in names]

    @abstractmethod
    def set_counters(self, counters: Mapping[str, int]) -> None:
        """Replace all shared counters."""

    @abstractmethod
    def read_note(self, name: str) -> str | None:
        """Return a text that `write_note` has stored under a name; None if there is none."""

    @abstractmethod
    def write_note(self, name: str, text: str) -> None:
        """Store a text under a name."""

    def close(self) -> None:  # noqa: B027  # most stores have nothing to close
        """Release files and connections. The store must not be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


__all__ = ["DELETED", "UNKNOWN", "Answer", "Commit", "Store", "Stored", "tombstone"]
