"""Contract of stores: checks that every store must pass, also those of other distributions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from alsim.engine.stores.base import Answer, Commit, Store, Stored

NAMES = (
    "ann",
    "",
    "a b",
    "{x}",
    "}{",
    "*?[a]\\",
    "a:b:log",
    "naïve Ω 🎓",
    "\x00nul",
    "line\nbreak",
    "\ud800",
    "x" * 256,
)
"""Names of students, keys, counters and notes that a store distinguishes."""
LARGE = bytes(range(256)) * 4096
"""State of 1 MiB."""
Connect = Callable[[], Store]
"""Function that opens the same store again, or returns it."""


def _require(condition: Any, sentence: str) -> None:
    """Raise AssertionError with the sentence unless the condition holds."""
    if not condition:
        raise AssertionError(sentence)


def check_unknown(connect: Connect) -> None:
    """Check an empty store."""
    store = connect()
    for name in NAMES:
        _require(store.load(name, "key") == Stored(0, None), "an unknown student has version 0, no state and no answer")
        _require(store.entries(name) == [], "an unknown student has no entries")
        _require(store.delete(name) is False, "an unknown student cannot be deleted")
        _require(store.read_note(name) is None, "an unknown note is None")
    _require(store.first_deleted(NAMES) is None, "an unknown student was not deleted")
    _require(list(store.students()) == [], "an empty store has no students")
    _require(store.counters() == {}, "an empty store has no counters")
    _require(store.load_many([]) == [] and store.commit_many([]) == [], "nothing in, nothing out")


def check_versions(connect: Connect) -> None:
    """Check that a change is made only on the version on which it is based, and completely or not at all."""
    store = connect()
    for wrong in (1, 7):
        _require(not store.commit(Commit("ann", wrong, b"x", (b"e",))), "a new student has version 0")
    for version in range(3):
        for other in (version - 1, version + 1):
            late = Commit("ann", other, b"late", (b"late",), "key", Answer(b"r", b"b"), (("n", 1),))
            _require(other < 0 or not store.commit(late), "a change of another version is refused")
        _require(store.commit(Commit("ann", version, b"%d" % version)), "a change of the present version is made")
        _require(store.load("ann") == Stored(version + 1, b"%d" % version), "a change adds 1 to the version")
    _require(store.entries("ann") == [] and store.counters() == {}, "a refused change leaves no entry and no count")
    _require(store.load("ann", "key").answer is None, "a refused change leaves no answer")
    _require(list(store.students()) == ["ann"], "a refused change leaves no student")


def check_keys(connect: Connect) -> None:
    """Check that an idempotency key is stored with its change, and that the same key is refused."""
    store, answer = connect(), Answer(b"\x00request", b"\xffbody")
    _require(store.commit(Commit("ann", 0, b"1", (b"e",), "key", answer)), "a new key is accepted")
    _require(store.load("ann", "key").answer == answer, "the answer is stored under its key")
    _require(store.load("ann").answer is None and store.load("ann", "other").answer is None, "other keys are new")
    again = Commit("ann", 1, b"2", (b"f",), "key", Answer(b"other", b""), (("n", 1),))
    _require(not store.commit(again), "a key that exists is refused, also with the present version")
    _require(store.commit_many([again]) == [False], "a key that exists is refused, also in commit_many")
    _require(store.load("ann", "key") == Stored(1, b"1", answer=answer), "a refused key changes nothing")
    _require(store.entries("ann") == [b"e"] and store.counters() == {}, "a refused key changes nothing")
    _require(store.commit(Commit("bob", 0, b"", (), "key", Answer(b"", b""))), "students have keys of their own")
    _require(store.load("bob", "key") == Stored(1, b"", answer=Answer(b"", b"")), "empty values are values")


def check_tombstones(connect: Connect) -> None:
    """Check that deletion removes everything, and refuses late events."""
    store = connect()
    for name in NAMES:
        _require(store.commit(Commit(name, 0, b"1", (b"e",), "key", Answer(b"r", b"b"))), "a student is created")
        _require(store.commit(Commit(name, 1, b"2", (b"f",))), "a student is changed")
        _require(store.delete(name) is True and store.delete(name) is False, "a student is deleted once")
        _require(store.load(name, "key") == Stored(0, None, is_deleted=True), "a deleted student has nothing")
        _require(store.load_many([name]) == [Stored(0, None, is_deleted=True)], "a deleted student has nothing")
        _require(store.first_deleted(["unknown", name]) == name, "first_deleted names the deleted student")
        _require(store.entries(name) == [], "a deleted student has no entries")
        late = [Commit(name, version, b"late", (b"late",), None, None, (("n", 1),)) for version in (0, 1, 2)]
        _require(not any(map(store.commit, late)), "events of a deleted student are refused")
        _require(not any(store.commit_many(late)), "events of a deleted student are refused, also in commit_many")
    _require(list(store.students()) == [] and store.counters() == {}, "deleted students are not listed")
    _require(store.commit(Commit("new", 0, b"1")), "other students can still be created")


def check_entries(connect: Connect) -> None:
    """Check that entries are in order, also of changes with none or many."""
    store = connect()
    expected: list[bytes] = []
    for version, size in enumerate((0, 1, 3, 0, 300, 1, *[1] * 20)):
        entries = tuple(b"%d \xff\x00\n %d" % (version, place) for place in range(size))
        _require(store.commit(Commit("ann", version, b"state", entries)), "a change may have any number of entries")
        _require(store.commit(Commit(f"s{version}", 0, b"", (b"other",))), "a student is created")
        expected += entries
    _require(store.entries("ann") == expected, "entries are in the order of their changes")


def check_names(connect: Connect) -> None:
    """Check that names are kept as they are: surrogates, separators, patterns and control characters."""
    store = connect()
    for number, name in enumerate(NAMES):
        answer = Answer(b"r%d" % number, b"b")
        change = Commit(name, 0, b"%d" % number, (b"%d" % number,), name, answer, ((name, number + 1),))
        _require(store.commit(change), f"a student may be named {name[:20]!r}")
        store.write_note(name, name)
    other = connect()
    for number, name in enumerate(NAMES):
        found = other.load(name, name)
        _require(found == Stored(1, b"%d" % number, answer=Answer(b"r%d" % number, b"b")), "each name has its own data")
        _require(other.entries(name) == [b"%d" % number], "each name has its own entries")
        _require(other.read_note(name) == name, "each note has its own text")
    _require(sorted(other.students()) == sorted(NAMES), "names are returned as they were")
    _require(other.counters() == {name: k + 1 for k, name in enumerate(NAMES)}, "counters have the same names")
    other.write_note("ann", "")
    _require(store.read_note("ann") == "", "a note is replaced")


def check_large(connect: Connect) -> None:
    """Check large states, entries, answers and notes."""
    store = connect()
    change = Commit("ann", 0, LARGE, (LARGE, b"", LARGE), "key", Answer(b"r", LARGE))
    _require(store.commit(change), "a change of several MiB is made")
    store.write_note("large", "Ω" * 10**6)
    _require(connect().load("ann", "key") == Stored(1, LARGE, answer=Answer(b"r", LARGE)), "large values are kept")
    _require(connect().entries("ann") == [LARGE, b"", LARGE], "large entries are kept")
    _require(connect().read_note("large") == "Ω" * 10**6, "large notes are kept")


def check_counters(connect: Connect) -> None:
    """Check shared counters: sums of the changes, replaced as a whole."""
    store = connect()
    for k in range(10):
        counts = (("shown", 1), (f"item {k % 3}", 2), ("shown", 1))
        _require(store.commit(Commit(f"s{k}", 0, b"", counts=counts)), "a change may change counters")
    _require(store.counters() == {"shown": 20, "item 0": 8, "item 1": 6, "item 2": 6}, "counters add up")
    _require(store.read_counters(["item 1", "unknown", "shown"]) == [6, 0, 20], "counters are read by name")
    _require(store.read_counters([]) == [], "no counters may be read")
    many = [f"item {k}" for k in range(1200)]
    _require(sum(store.read_counters(many)) == 20, "many counters are read by name")
    store.set_counters({"new": 2**40, "shown": 5})
    _require(connect().counters() == {"new": 2**40, "shown": 5}, "set_counters replaces all counters")
    _require(store.commit(Commit("s0", 1, b"", counts=(("new", -1), ("shown", 1)))), "an addend may be negative")
    _require(connect().counters() == {"new": 2**40 - 1, "shown": 6}, "counters go on from the values that were set")


def check_many(connect: Connect) -> None:
    """Check that `load_many` and `commit_many` equal single calls, also for thousands of students."""
    store = connect()
    names = [f"s{k}" for k in range(2500)]
    changes = [Commit(name, k % 2, b"%d" % k, (b"e%d" % k,), None, None, (("n", 1),)) for k, name in enumerate(names)]
    made = [k % 2 == 0 for k in range(2500)]
    _require(store.commit_many(changes) == made, "commit_many returns whether each change was made")
    found = store.load_many([*names, "unknown", "s0", "s0"])
    _require(found == [store.load(name) for name in [*names, "unknown", "s0", "s0"]], "load_many equals load")
    _require(found[0] == Stored(1, b"0") and found[1] == Stored(0, None), "refused changes change nothing")
    _require(store.counters() == {"n": 1250} and len(list(store.students())) == 1250, "made changes are complete")


def check_connections(connect: Connect) -> None:
    """Check that connections see each other's changes, and that data survive closing if they can be opened again."""
    one, two = connect(), connect()
    _require(one.commit(Commit("ann", 0, b"1", (b"e",), counts=(("n", 1),))), "a student is created")
    _require(two.load("ann") == Stored(1, b"1") and two.entries("ann") == [b"e"], "another connection sees a change")
    _require(not two.commit(Commit("ann", 0, b"late")), "another connection refuses an old version")
    _require(two.commit(Commit("ann", 1, b"2", (b"f",), counts=(("n", 1),))), "another connection changes a student")
    _require(one.load_many(["ann"]) == [Stored(2, b"2")] and one.counters() == {"n": 2}, "the first one sees it")
    if one is two:
        return
    one.close()
    _require(two.commit(Commit("ann", 2, b"3")), "a connection works after another one was closed")
    two.close()
    two.close()
    _require(connect().load("ann") == Stored(3, b"3"), "data survive closing")


def check_threads(connect: Connect) -> None:
    """Check that of changes that race, one per version is made, and that no entry and no count is lost."""
    stores = [connect(), connect()]

    def write(thread: int) -> list[bytes]:
        store = stores[thread % 2]
        made: list[bytes] = []
        while len(made) < 25:
            entry = b"%d %d" % (thread, len(made))
            version = store.load("ann").version
            if store.commit(Commit("ann", version, entry, (entry,), counts=(("n", 1),))):
                made.append(entry)
        return made

    with ThreadPoolExecutor(4) as pool:
        made = [entry for entries in pool.map(write, range(4)) for entry in entries]
    found = stores[0].entries("ann")
    _require(sorted(found) == sorted(made), "each change that was made has its entry, and no other")
    _require(stores[1].load("ann") == Stored(100, found[-1]), "the state is that of the last entry")
    _require(stores[0].counters() == {"n": 100}, "each change that was made is counted")


CHECKS: dict[str, Callable[[Connect], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
"""The checks by name. Each takes a function that opens one store, empty at first, and raises AssertionError."""


def check_store(make: Callable[[], Connect]) -> list[str]:
    """Check that a store keeps its contract.

    make  function that makes a new, empty store, and returns a function that opens it; each call of that function
          opens it again, or returns the same object if it cannot be opened twice

    Returns the names of the checks. Raises AssertionError, which names the check.
    """
    for name, check in CHECKS.items():
        with closing_all(make()) as connect:
            try:
                check(connect)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
    return list(CHECKS)


@contextmanager
def closing_all(connect: Connect) -> Iterator[Connect]:
    """Return a function that opens a store, within a block that closes all that was opened at its end."""
    with ExitStack() as stores:
        yield lambda: stores.enter_context(connect())


__all__ = ["CHECKS", "NAMES", "check_store", "closing_all"]
