"""Groups of files in one directory that are replaced together, such as a description and its weights.

A group is replaced in this order: temporary files with the new contents; a journal, which names them; renames; deletion
of the journal. The journal's appearance is the moment of the replacement: before it, a kill leaves the old group, and
after it, readers find the new one, whose remaining renames the next writer does. Other files of the directory are not
touched.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from alsim.utils.files import delete_abandoned, is_temporary, move, temporary_file, to_json, write_atomic
from alsim.utils.reading import parse_json, read_bytes

if sys.platform != "win32":
    import fcntl

T = TypeVar("T")

REPLACING = ".replacing"
"""Suffix of the hidden journal of a group, which is named after the first file of the group."""
ATTEMPTS = 20
"""Number of times that a group is read while other processes replace it. Then a reader locks the directory."""
MAX_JOURNAL = 2**16
"""Limit of the size of a journal, bytes."""


class Journal(NamedTuple):
    """The rest of a replacement: new files by name, and the names of files to delete."""

    moves: dict[str, str]
    obsolete: list[str]


def replace_group(folder: Path, contents: Mapping[str, bytes], obsolete: Iterable[str] = ()) -> None:
    """Write files in an existing directory so that all of them appear at one moment. Raises OSError.

    contents  content of each file by name; the first name identifies the group
    obsolete  names of files that are deleted at the same moment
    """
    main = next(iter(contents))
    with _locked(folder):
        _complete(folder, main)
        for name in contents:
            delete_abandoned(folder / name)
        moves = {}
        with ExitStack() as stack:
            for name, content in contents.items():
                temporary, stream = stack.enter_context(temporary_file(folder / name))
                stream.write(content)
                stream.flush()
                moves[name] = temporary.name
            try:
                write_atomic(_journal(folder, main), to_json(Journal(moves, list(obsolete))._asdict()))
            finally:
                if _journal(folder, main).exists():  # its temporary files remain, also after Ctrl-C
                    stack.pop_all().close()
        _complete(folder, main)


def read_group(folder: Path, main: str, load: Callable[[Callable[[str], Path]], T]) -> T:
    """Return load(path_of) for the files of one moment, where path_of(name) is the path of a file of the group.

    main  name that identifies the group
    load  reads the files; it is called again if the group was replaced while it read, the last time under the lock

    A path may not exist. Raises the errors of `load`, and OSError for an invalid journal.
    """
    for _ in range(ATTEMPTS):
        before = _state(folder, main)
        try:
            result = load(_paths(folder, _parse(folder, main, before[0])))
        except Exception:
            if _state(folder, main) == before:
                if not before[0]:
                    raise
                break  # the writer may have renamed a file, and not yet deleted the journal
            continue
        if _state(folder, main) == before:
            return result
    with _locked(folder):
        return load(_paths(folder, _parse(folder, main, _state(folder, main)[0])))


def _paths(folder: Path, journal: Journal) -> Callable[[str], Path]:
    """Return a function that returns the path of a file of a group, given its name."""

    def path_of(name: str) -> Path:
        if (temporary := journal.moves.get(name)) and (folder / temporary).exists():
            return folder / temporary
        return folder / (journal_name(name) if name in journal.obsolete else name)  # the former does not exist

    return path_of


def _complete(folder: Path, main: str) -> None:
    """Do the renames and deletions that remain of a replacement that was interrupted or has just begun."""
    journal = _parse(folder, main, _state(folder, main)[0])
    for name, temporary in journal.moves.items():
        with suppress(FileNotFoundError):  # it was renamed before the interruption
            move(folder / temporary, folder / name)
    for name in journal.obsolete:
        (folder / name).unlink(missing_ok=True)
    _journal(folder, main).unlink(missing_ok=True)


def journal_name(main: str) -> str:
    """Return the name of the journal of a group, given the name of its first file."""
    return f".{main}{REPLACING}"


def _journal(folder: Path, main: str) -> Path:
    """Return the path of a group's journal."""
    return folder / journal_name(main)


def _state(folder: Path, main: str) -> tuple[bytes, tuple[int, int, int]]:
    """Return the content of the journal, and what changes with each replacement of the first file."""
    journal, identity = b"", (0, 0, 0)
    with suppress(FileNotFoundError, NotADirectoryError):
        journal = read_bytes(_journal(folder, main), MAX_JOURNAL, inside=folder)
    with suppress(OSError):
        found = (folder / main).stat()
        identity = (found.st_ino, found.st_mtime_ns, found.st_size)
    return journal, identity


def _parse(folder: Path, main: str, content: bytes) -> Journal:
    """Return the journal with this content; an empty one if there is none. Raises OSError."""
    if not content:
        return Journal({}, [])
    try:
        parsed = parse_json(content)
        journal = Journal(dict(parsed["moves"]), list(parsed["obsolete"]))
        names = [*journal.moves, *journal.obsolete]
        if not all(map(_is_file_name, names)):
            raise ValueError("a name is not that of a file in its directory")
        for name, temporary in journal.moves.items():
            if not is_temporary(temporary, name):
                raise ValueError(f"{temporary!r} is not a temporary file of {name}")
    except (ValueError, LookupError, TypeError) as error:
        raise OSError(f"{_journal(folder, main)} is not a journal of alsim: {error}; delete it") from None
    return journal


def _is_file_name(name: object) -> bool:
    """Return whether a value is a file name without a directory."""
    return isinstance(name, str) and Path(name).name == name and name not in ("", "..") and "\0" not in name


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a directory, where the system has such locks: one process at a time replaces its groups."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a network file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
