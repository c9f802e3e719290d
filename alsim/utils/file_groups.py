"""Groups of files in one directory that are replaced together, such as a description and its weights.

A group is replaced in this order: temporary files with the new contents; a journal, which names them; deletion of all
old files but the first; renames, the first file first; deletion of the journal. The journal's appearance is the moment
of the replacement: before it, a kill leaves the old group, and after it, readers find the new one, whose remaining
renames the next writer does. Other files of the directory are not touched.

Files under their own names are at every moment those of one version, though some of them may be absent: other programs,
which do not know the journal, find no mixture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from alsim.utils.files import (
    REPLACING,
    delete,
    delete_abandoned,
    is_temporary,
    move,
    renamed_file,
    target_of,
    temporary_file,
    to_json,
)
from alsim.utils.locks import locked
from alsim.utils.reading import parse_json, read_bytes

T = TypeVar("T")

ATTEMPTS = 20
"""Number of times that a group is read while other processes replace it. Then a reader locks the directory."""
MAX_JOURNAL = 2**16
"""Limit of the size of a journal, bytes."""
MEMBERS = {
    "questions.csv": r"(questions|contents)\.(csv|parquet)",
    "engine.toml": r"engine\.toml|skills\.(csv|json|toml)|catalogue\.(csv|json|parquet)|model-[0-9a-f]{16}\.(json|npz)",
    "checkpoint.json": r"checkpoint\.json|epoch-[0-9]+\.npz",
}
"""Regular expressions of the names in a group, by the name of its first file. Other groups are a file and its .npz."""


class Journal(NamedTuple):
    """The rest of a replacement: new files by name, and the names of files to delete."""

    moves: dict[str, str]
    obsolete: list[str]


def replace_group(
    folder: Path,
    contents: Mapping[str, bytes],
    obsolete: Iterable[str] = (),
    check: Callable[[], object] = lambda: None,
) -> None:
    """Write files in an existing directory so that all of them appear at one moment. Raises OSError.

    contents  content of each file by name; the first name identifies the group
    obsolete  names of files that are deleted at the same moment
    check     raises an error if the files must not be replaced. An interrupted replacement is finished before, and no
              other process replaces the group between the check and the replacement
    """
    main = next(iter(contents))
    with locked(folder):
        _complete(folder, main)
        check()
        _delete_abandoned(folder, main, contents)
        moves = {}
        with ExitStack() as stack:
            for name, content in contents.items():
                temporary, stream = stack.enter_context(temporary_file(folder / name))
                stream.write(content)
                stream.flush()
                moves[name] = temporary.name
            try:
                with renamed_file(_journal(folder, main)) as stream:  # this process holds the lock of the directory
                    stream.write(to_json(Journal(moves, list(obsolete))._asdict()))
            finally:
                if _journal(folder, main).exists():  # its temporary files remain, also after Ctrl-C
                    stack.pop_all().close()
        _complete(folder, main)


def finish_group(folder: Path, main: str) -> None:
    """Finish the replacement of a group that was interrupted, so that its files have their own names. Raises OSError.

    main  name that identifies the group
    """
    if _journal(folder, main).exists():
        with locked(folder):
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
    with locked(folder):
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
    # The others were renamed before the interruption.
    moves = {name: temporary for name, temporary in journal.moves.items() if (folder / temporary).exists()}
    # The rename of the first file deletes its old content. Before it, no other file is left that would go with the new.
    for name in [*list(moves)[1:], *journal.obsolete]:
        delete(folder / name)
    for name, temporary in moves.items():
        with suppress(FileNotFoundError):  # without locks, another process may have renamed it
            move(folder / temporary, folder / name)
    delete(_journal(folder, main))


def _delete_abandoned(folder: Path, main: str, names: Iterable[str]) -> None:
    """Delete the temporary files of these names, and of others of the group: an earlier writer may have had them."""
    others = {target for name in os.listdir(folder) if (target := target_of(name)) and _is_member(main, target)}
    for target in sorted({*names, *others}):
        delete_abandoned(folder / target)


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
        if others := [name for name in names if not _is_member(main, name)]:
            raise ValueError(f"{others[0]!r} is not a file of this group")
        for name, temporary in journal.moves.items():
            if not is_temporary(temporary, name):
                raise ValueError(f"{temporary!r} is not a temporary file of {name}")
    except (ValueError, LookupError, TypeError) as error:
        raise OSError(f"{_journal(folder, main)} is not a journal of alsim: {error}; delete it") from None
    return journal


def arrays_name(main: str) -> str:
    """Return the name of the npz file of a JSON file: fit.npz for fit.json, and fit.v1.npz for fit.v1."""
    return re.sub(r"\.json$", "", main, flags=re.IGNORECASE) + ".npz"


def _is_member(main: str, name: object) -> bool:
    """Return whether a value is a name in the group whose first file is `main`: a journal may be that of a stranger."""
    if not isinstance(name, str):
        return False
    return name in (main, arrays_name(main)) or re.fullmatch(MEMBERS.get(main, r"(?!)"), name) is not None
