"""Atomic writing of files and of groups of files, replacement of directories, and checksums.

After a kill at any moment, a reader finds the old content or the new content. The data are not flushed to the disk:
after a power failure, checksums detect a damaged file.

Temporary files and directories have hidden names next to their targets. Their process holds a lock on them, which the
operating system releases when the process ends: those without a lock are deleted by the next write to the same target.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from alsim.errors import AlsimError
from alsim.utils.locks import WINDOWS, locked
from alsim.utils.reading import open_file

if sys.platform != "win32":
    import fcntl

UNFINISHED = ".unfinished"
"""Suffix of temporary files and directories, which get their final name when they are complete."""

REPLACED = ".alsim-replaced"
"""Suffix of hidden directories of old contents. With a random name, new contents have replaced them."""

REPLACING = ".replacing"
"""Suffix of the hidden journal of a group of files, see `alsim.utils.file_groups`."""

EXCHANGE = 2
"""Flag of `renameat2` on Linux, RENAME_EXCHANGE, and of `renamex_np` on macOS, RENAME_SWAP."""
AT_FDCWD = -100
"""Directory argument of `renameat2` on Linux for paths relative to the working directory."""

WAITS = tuple(0.01 * 2**k for k in range(7)) if WINDOWS else ()
"""Seconds between tries to rename or delete a file. On Windows, this fails while another program reads the file."""


# ── renames ──────────────────────────────────────────────────────────────────────────────────────


def move(source: Path, target: Path) -> None:
    """Rename a file or a directory. All renames of alsim are calls of this function.

    An existing file or empty directory is replaced, and its permissions are kept.
    """
    _copy_permissions(target, source)
    _patiently(lambda: os.replace(source, target))


def delete(file: Path) -> None:
    """Delete a file, if it exists."""
    _patiently(lambda: file.unlink(missing_ok=True))


def _patiently(call: Callable[[], object]) -> None:
    """Call a function, on Windows again and again while another program has a file open."""
    for seconds in WAITS:
        try:
            call()
            return
        except PermissionError:
            time.sleep(seconds)
    call()


def _copy_permissions(old: Path, new: Path) -> None:
    """Give a file or a directory the permissions of the one that it will replace, if there is one."""
    with suppress(OSError):
        new.chmod(stat.S_IMODE(old.stat().st_mode))


def exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one atomic step. Returns False where the system or the file system cannot. Raises OSError.

    Sources: renameat2(2) on Linux, renamex_np(2) on macOS.
    """
    call = _exchange_call()
    if call is None:
        return False
    if call(os.fsencode(first), os.fsencode(second)) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    """Return the function of the system that exchanges two paths; None if there is none."""
    if WINDOWS:
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        return lambda first, second: library.renamex_np(first, second, EXCHANGE)
    if hasattr(library, "renameat2"):
        return lambda first, second: library.renameat2(AT_FDCWD, first, AT_FDCWD, second, EXCHANGE)
    return None


# ── temporary files and directories ──────────────────────────────────────────────────────────────


def temporary_sibling(path: Path) -> Path:
    """Return an unused hidden path in the same directory."""
    return path.with_name(f".{path.name}-{secrets.token_hex(8)}{UNFINISHED}")


def is_temporary(name: str, target: str | None = None) -> bool:
    """Return whether a name is that of a temporary sibling, of any target or of one with the name `target`."""
    return bool(re.fullmatch(rf"\.{'.+' if target is None else re.escape(target)}-[0-9a-f]{{16}}{UNFINISHED}", name))


def target_of(name: str) -> str | None:
    """Return the name of the file that a temporary sibling replaces; None if the name is not that of a sibling."""
    found = re.fullmatch(rf"\.(.+)-[0-9a-f]{{16}}{UNFINISHED}", name)
    return found and found[1]


def delete_abandoned(path: Path) -> None:
    """Delete the temporary siblings of a path whose process has ended, and replaced directories.

    Errors are ignored: they are only clutter. If the directory has a journal, which may name them, they are kept.
    """
    replaced = re.compile(rf"\.{re.escape(path.name)}-[0-9a-f]{{16}}{REPLACED}")
    with suppress(OSError):
        names = os.listdir(path.parent)
        if any(name.startswith(".") and name.endswith(REPLACING) for name in names):
            return
        for name in names:
            if is_temporary(name, path.name):
                _delete_unlocked(path.parent / name)
            elif replaced.fullmatch(name):
                shutil.rmtree(path.parent / name, ignore_errors=True)


def _delete_unlocked(path: Path) -> None:
    """Delete a temporary file or directory unless a process holds its lock."""
    with suppress(OSError):
        if WINDOWS:
            path.unlink()  # fails for a file that a process has open, and for a directory
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(descriptor)


def _lock(path: Path, descriptor: int) -> bool:
    """Lock a new temporary file or directory. Returns False if another process takes it for abandoned.

    Without locks, as on some network file systems, abandoned files are not deleted.
    """
    if WINDOWS:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


@contextmanager
def atomic_file(file: Path, *, buffering: int = -1) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `file` when the block ends without an error.

    If `file` is the first of a group whose replacement was interrupted, this is finished: the new file is the last.
    """
    if file.with_name(f".{file.name}{REPLACING}").exists():
        from alsim.utils.file_groups import finish_group

        finish_group(file.parent, file.name)
    with renamed_file(file, buffering=buffering) as stream:
        yield stream


@contextmanager
def renamed_file(file: Path, *, buffering: int = -1) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `file` when the block ends without an error. Journals are not read."""
    delete_abandoned(file)
    with temporary_file(file, buffering=buffering) as (temporary, stream):
        yield stream
        stream.flush()
        if WINDOWS:
            stream.close()  # an open file cannot be renamed there
        move(temporary, file)


@contextmanager
def temporary_file(file: Path, *, buffering: int = -1) -> Iterator[tuple[Path, IO[bytes]]]:
    """Create a hidden file next to `file`; yield its path and its stream. If the block raises an error, delete it.

    It has the permissions of `file` from its first byte, if that exists.
    """
    while True:
        temporary = temporary_sibling(file)
        with _named_as(file):
            opened = temporary.open("xb", buffering=buffering)
        with opened as stream:
            if not _lock(temporary, stream.fileno()):
                continue
            _copy_permissions(file, temporary)
            try:
                yield temporary, stream
            except BaseException as error:
                with suppress(OSError):  # a full disk, which was the first error
                    stream.close()  # on Windows, an open file cannot be deleted
                temporary.unlink(missing_ok=True)
                add_path(error, file)
                raise
            return


@contextmanager
def _named_as(path: Path) -> Iterator[None]:
    """If a temporary file cannot be created, replace its name in the OSError by `path`, which the user knows."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def add_path(error: BaseException, path: Path) -> None:
    """Add a path to an OSError without one: a failed write to an open file does not name it."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        error.filename = str(path)


@contextmanager
def temporary_directory(path: Path) -> Iterator[Path]:
    """Create a hidden directory next to `path`, and delete it with its contents when the block ends.

    `tempfile` is not used: in a directory without write permission on Windows, it takes the refusal for a name in use,
    and tries up to 2**31 other names.
    """
    delete_abandoned(path)
    while True:
        directory = temporary_sibling(path)
        with _named_as(path):
            directory.mkdir()
        try:
            descriptor = None if WINDOWS else os.open(directory, os.O_RDONLY)
        except FileNotFoundError:  # another process has taken it for abandoned
            continue
        try:
            if descriptor is not None and not _lock(directory, descriptor):
                continue
            yield directory
            return
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


def write_atomic(file: Path, content: bytes) -> None:
    """Write a file atomically. An existing file is replaced."""
    with atomic_file(file) as stream:
        stream.write(content)


def write_durable(file: Path, content: bytes) -> None:
    """Write a file atomically, and to the disk: after a power failure, it has its old or its new content."""
    with atomic_file(file) as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def check_writable(file: Path, source: str) -> None:
    """Raise AlsimError if a file cannot be written atomically; its directory may not exist yet.

    source  option or argument that names the file, for messages
    """
    if file.is_dir():
        raise AlsimError(f"{source} {file} is a directory; expected a file to write")
    parent = next(parent for parent in file.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise AlsimError(f"{source} {file} cannot be written, because {parent} is not a directory; choose another file")
    if not os.access(parent, os.W_OK) and (file.is_file() or not file.exists()):  # pipes and devices are not replaced
        raise AlsimError(f"{source} {file} cannot be written, because {parent} is read-only; choose another directory")


# ── directories ──────────────────────────────────────────────────────────────────────────────────


@contextmanager
def replacing(out: Path, kind: type[AlsimError]) -> Iterator[None]:
    """Hold the lock of the directory in which `out` lies: one process at a time checks and replaces `out`.

    Raises an error of this kind if another process replaces `out` within the block, as is possible on file systems
    without locks, and on Windows if a program has a file of `out` open.
    """
    try:
        with locked(out.resolve().parent):
            yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            cause = f"{out} was changed by another process at the same time; run the command again"
        elif WINDOWS and isinstance(error, PermissionError):
            cause = f"{out} cannot be replaced; close the programs that read its files, and run the command again"
        else:
            raise
        raise kind(cause) from error


def replace_directory(out: Path, replacement: Path) -> Path:
    """Move a directory to `out`, and return a hidden path: that of the old directory, which the caller deletes.

    out          the target, which may not exist. The caller holds its lock, see `replacing`
    replacement  a directory on the same file system

    Where the system can exchange two paths, `out` is at every moment the old directory or the new one. Elsewhere, it
    is absent for a moment. `finish_replacement` undoes or finishes a replacement that was interrupted. Raises OSError.
    """
    finish_replacement(out)
    old = _replaced_sibling(out)
    if out.exists() and any(out.iterdir()):
        _replace(out, replacement, old)
        return old
    if WINDOWS and out.exists():  # elsewhere, a rename replaces an empty directory
        _copy_permissions(out, replacement)
        out.rmdir()
    move(replacement, out)
    return old


def _replace(out: Path, replacement: Path, old: Path) -> None:
    """Move `out` to `old`, and `replacement` to `out`, whose permissions are kept."""
    _copy_permissions(out, replacement)
    if exchange(replacement, out):
        move(replacement, old)
        return
    aside = hidden_sibling(out, REPLACED)
    move(out, aside)
    try:
        move(replacement, out)
    except BaseException:
        if not out.exists():
            move(aside, out)
        raise
    move(aside, old)


def finish_replacement(out: Path) -> None:
    """Restore a directory that an interrupted replacement removed, or delete what it replaced. Raises OSError.

    The caller holds the lock of `out`, see `replacing`.
    """
    aside = hidden_sibling(out, REPLACED)
    if aside.exists():
        if out.exists():
            delete_replaced(out, aside)
        else:
            move(aside, out)
    delete_abandoned(out)


def delete_replaced(out: Path, directory: Path) -> None:
    """Delete a directory that `out` has replaced. It gets a name that shows this, so that the next start deletes it."""
    old = _replaced_sibling(out)
    move(directory, old)
    shutil.rmtree(old, ignore_errors=True)


def _replaced_sibling(path: Path) -> Path:
    """Return an unused hidden path next to another, for the directory that it has replaced."""
    return hidden_sibling(path, f"-{secrets.token_hex(8)}{REPLACED}")


def hidden_sibling(path: Path, suffix: str) -> Path:
    """Return the hidden path next to another, also if that is relative or ends in "..": its name, with this suffix."""
    resolved = path.resolve()
    return resolved.parent / f".{resolved.name}{suffix}"


# ── values and checksums ─────────────────────────────────────────────────────────────────────────


def to_json(value: Any, *, sort_keys: bool = False) -> bytes:
    """Return a value as indented JSON that ends with a newline. Raises ValueError for NaN and infinities."""
    return (json.dumps(value, indent=2, sort_keys=sort_keys, allow_nan=False) + "\n").encode()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(file: Path, *, inside: Path | None = None) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal. Raises OSError, see `alsim.utils.reading.open_file`."""
    with open_file(file, inside=inside) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
