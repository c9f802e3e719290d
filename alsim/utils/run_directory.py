"""Output directories: ownership, lock, resuming and checksums.

A directory is written in this order: its plan (everything that determines the result), intermediate files, its
result. The presence of the result marks the directory as finished. An interrupted run with the same plan is resumed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from alsim.errors import AlsimError
from alsim.utils.file_groups import finish_group, journal_name
from alsim.utils.files import (
    UNFINISHED,
    add_path,
    is_temporary,
    move,
    sha256,
    sha256_of_file,
    temporary_sibling,
    to_json,
    write_atomic,
)
from alsim.utils.locks import WINDOWS
from alsim.utils.reading import parse_json, read_bytes, read_json, reason

CHECKSUMS = "sums.json"
"""File with the SHA-256 of the other files of a folder."""
MAX_CHECKPOINT = 2**35
"""Largest file of a checkpoint, bytes; a replay buffer is the largest."""
FORCE = "force=True (--force)"
MAX_DIFFERENCES = 3
"""Number of differences between two plans that an error lists."""
MAX_LENGTH = 70
"""Characters of a value in an error."""


class Layout(NamedTuple):
    """The entries of one kind of output directory.

    kind              noun for error messages, such as "dataset"
    error             class of the exceptions that are raised
    plan              file that is written first
    result            file that is written last
    lock              lock file
    contents          all other files and folders
    mark      key of the JSON objects in plan and result. A directory in which one of them has this key is of this kind;
              any other directory is foreign unless it is empty
    inner     regular expression of the paths of the files in its folders, relative to the directory
    derived   keys of the plan that depend on others: for each, the keys whose differences explain its own. An explained
              difference is not listed in errors
    """

    kind: str
    error: type[AlsimError]
    plan: str
    result: str
    lock: str
    contents: tuple[str, ...]
    mark: str
    inner: str
    derived: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    @property
    def entries(self) -> tuple[str, ...]:
        """All entries, in the order of deletion: the result first, so that a partly deleted directory is unfinished."""
        return (self.result, *self.contents, self.plan, self.lock)


class RunDirectory:
    """An output directory with a given layout.

    path    the directory
    layout  its entries
    name    path in error messages; None means `path`
    """

    def __init__(self, path: Path, layout: Layout, name: Path | None = None) -> None:
        self.path, self.layout = path, layout
        self.name = path if name is None else name

    @property
    def is_finished(self) -> bool:
        """True if the result exists."""
        return (self.path / self.layout.result).exists()

    @property
    def has_plan(self) -> bool:
        """True if the plan exists."""
        return (self.path / self.layout.plan).exists()

    def check_location(self) -> None:
        """Raise the layout's error if the path is a symbolic link, a file or the working directory."""
        check_location(self.path, self.layout.kind, self.layout.error)

    def finish_groups(self) -> None:
        """Finish replacements of groups of files that were interrupted. Raises the layout's error."""
        try:
            for name in self.layout.contents:
                finish_group(self.path, name)
        except OSError as error:
            raise self.layout.error(f"{self.path}: {reason(error)}") from None

    def check_ownership(self) -> None:
        """Raise the layout's error if the directory contains anything that this kind of run does not write.

        This method alone decides which entries may be overwritten or deleted.
        """
        if not self.path.exists():
            return
        try:
            names = {entry.name for entry in self.path.iterdir() if not is_temporary(entry.name)}
        except FileNotFoundError:  # another process has just deleted it
            return
        names -= {journal_name(name) for name in self.layout.contents}
        # Read after listing: another process may begin or end meanwhile. It writes the plan first and the result last.
        owned = any(self._is_marked(name) for name in (self.layout.plan, self.layout.result))
        allowed = self.layout.entries if owned else (self.layout.lock,)
        if not owned and self.layout.plan in names:
            if not self.has_plan:  # another process has just deleted it
                self.check_ownership()
                return
            raise self.layout.error(
                f"{self.path / self.layout.plan} is damaged, or not that of a {self.layout.kind}; "
                f"choose a new or empty directory, or delete {self.path} to start again"
            )
        foreign = names - {*allowed} or self._foreign_inner_files()
        check_foreign_files(self.path, foreign, self.layout.kind, self.layout.error)

    def _foreign_inner_files(self) -> set[str]:
        """Return the paths of files in the layout's folders, relative to the directory, that this kind does not write.

        Links to folders are not followed: deleting them does not delete files.
        """
        folders = [self.path / name for name in self.layout.contents]
        files = [
            Path(parent, name).relative_to(self.path)
            for folder in folders
            if not folder.is_symlink()
            for parent, _, names in os.walk(folder)
            for name in names
        ]
        lasting = [file.as_posix() for file in files if not any(map(is_temporary, file.parts))]
        return {path for path in lasting if not re.fullmatch(self.layout.inner, path)}

    def _is_marked(self, name: str) -> bool:
        """Return whether a file holds a JSON object with the mark of the layout."""
        try:
            content = read_json(self.path / name, inside=self.path)
        except (OSError, ValueError):
            return False
        return isinstance(content, dict) and self.layout.mark in content

    def finished_error(self) -> AlsimError:
        """Return the error for a finished directory that must not be overwritten."""
        return self.layout.error(f"{self.name} already holds a finished {self.layout.kind}; {FORCE} overwrites it")

    def create(self, folder: str = "") -> None:
        """Create the directory, or a folder in it, if it does not exist. Raises the layout's error."""
        try:
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.layout.error(f"{self.path / folder} cannot be created: {error.strerror or error}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory's lock. Raises the layout's error if another process holds it.

        The operating system releases the lock when the process ends, for any reason.
        """
        from filelock import FileLock, Timeout

        file = self.path / self.layout.lock
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
            own = file.stat()
        except (Timeout, FileNotFoundError):  # the other process may have moved or deleted the directory
            lock.release()
            raise self.layout.error(
                f"{self.name} is in use by another process; wait until it has ended, or choose another directory"
            ) from None
        except OSError as error:
            raise self.layout.error(f"{self.name} cannot be locked: {error.strerror or error}") from error
        try:
            yield
        finally:
            if WINDOWS:  # an open file cannot be deleted, so the lock of another process remains
                lock.release()
            with suppress(OSError):  # if the directory was moved, another process may have locked this path
                if os.path.samestat(file.stat(), own):
                    file.unlink()
            lock.release()

    def differences(self, plan: Mapping[str, Any]) -> list[str]:
        """Return one phrase per difference between the stored plan and another. Raises the layout's error.

        Differences that follow from other differences are left out, see `Layout.derived`.
        """
        file = self.path / self.layout.plan
        try:
            stored = read_json(file, inside=self.path)
            if not isinstance(stored, dict):
                raise ValueError("expected a JSON object")
        except (OSError, ValueError) as error:
            raise self.layout.error(
                f"{file} cannot be read: {reason(error)}; delete {self.path} to start again"
            ) from None
        phrases = dict(_differences(stored, json.loads(json.dumps(plan))))
        explained = {
            key
            for key in phrases
            for derived, causes in self.layout.derived.items()
            if _is_within(key, derived) and any(_is_within(other, cause) for other in phrases for cause in causes)
        }
        return [phrase for key, phrase in phrases.items() if key not in explained]

    def conflict(self, differences: list[str]) -> AlsimError:
        """Return the error for an unfinished run that has another plan."""
        more = len(differences) - MAX_DIFFERENCES
        listed = "; ".join(differences[:MAX_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
        return self.layout.error(
            f"{self.name} holds an unfinished {self.layout.kind} with other settings: {listed}; "
            f"the same settings resume it, and {FORCE} deletes it and starts again"
        )

    def clear(self) -> None:
        """Delete all entries of the layout but the lock, the result first and the plan last."""
        for name in self.layout.entries:
            entry = self.path / name
            if name == self.layout.lock:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        self.delete_unfinished_files()

    def delete_unfinished_files(self) -> None:
        """Delete the temporary files of a process that was killed."""
        for folder in (self.path, *(self.path / name for name in self.layout.contents)):
            for file in folder.glob(f".*{UNFINISHED}"):
                if is_temporary(file.name):
                    with suppress(OSError):
                        file.unlink()


def check_location(path: Path, kind: str, error: type[AlsimError]) -> None:
    """Raise `error` if a path is a symbolic link, a file or the working directory."""
    if path.is_symlink():
        raise error(f"{path} is a symbolic link; pass the path of the directory itself")
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null byte
        return
    if not stat.S_ISDIR(found.st_mode):
        raise error(f"{path} is not a directory; choose a new or empty directory for the {kind}")
    if os.path.samestat(found, os.stat(".")):
        raise error(f"{path} is the working directory; choose a new or empty directory for the {kind}")


def check_foreign_files(path: Path, names: set[str], kind: str, error: type[AlsimError]) -> None:
    """Raise `error` if `names`, the names of foreign files in a directory, are not empty."""
    if names:
        raise error(f"{path} contains other files ({min(names)}); choose a new or empty directory for the {kind}")


def _is_within(key: str, table: str) -> bool:
    """Return whether a key is a table or a list, or within it, as "a.b" and "a[0].b" are within "a"."""
    return key == table or key.startswith((f"{table}.", f"{table}["))


def _differences(stored: Any, current: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the key and a phrase for each difference between two JSON values."""
    if isinstance(stored, dict) and isinstance(current, dict):
        for name in dict.fromkeys([*current, *stored]):
            yield from _differences(stored.get(name), current.get(name), f"{key}.{name}" if key else name)
    elif isinstance(stored, list) and isinstance(current, list) and len(stored) == len(current):
        for index, (old, new) in enumerate(zip(stored, current, strict=True)):
            yield from _differences(old, new, f"{key}[{index}]")
    elif stored != current:
        yield key, f"{key} was {_short(stored)} and is now {_short(current)}"


def _short(value: Any) -> str:
    """Return a JSON value as text of limited length."""
    text = json.dumps(value)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 3] + "..."


# ── checksums ────────────────────────────────────────────────────────────────────────────────────


def file_entry(directory: Path, relative: str) -> dict[str, Any]:
    """Return a dictionary of a file's path, size ("bytes") and SHA-256. Raises OSError."""
    file = directory / relative
    return {"path": relative, "bytes": file.stat().st_size, "sha256": sha256_of_file(file)}


def matches_entry(file: Path, entry: Mapping[str, Any]) -> bool:
    """Return whether a file has the size and the SHA-256 of an entry. Raises OSError."""
    return bool(file.stat().st_size == entry["bytes"] and sha256_of_file(file) == entry["sha256"])


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder of files and their checksums atomically."""
    temporary = temporary_sibling(folder)
    temporary.mkdir()
    try:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        write_atomic(temporary / CHECKSUMS, to_json({name: sha256(content) for name, content in files.items()}))
        move(temporary, folder)
    except OSError as error:
        add_path(error, temporary)
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder that `write_folder` wrote. Raises OSError, or ValueError if any file differs."""
    files = {entry.name: read_bytes(entry, MAX_CHECKPOINT, inside=folder) for entry in folder.iterdir()}
    if CHECKSUMS not in files:
        raise ValueError(f"it has no readable {CHECKSUMS}")
    checksums = parse_json(files.pop(CHECKSUMS))
    if checksums != {name: sha256(content) for name, content in files.items()}:
        raise ValueError(f"its files differ from the checksums in {CHECKSUMS}")
    return files


def delete_unfinished_folders(folder: Path) -> None:
    """Delete the temporary folders of a process that was killed."""
    for entry in folder.glob(f".*{UNFINISHED}"):
        if is_temporary(entry.name):
            shutil.rmtree(entry)
