"""Atomic file writes and checksums."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from alsim.errors import AlsimError

UNFINISHED = ".unfinished"
"""Suffix of temporary files and directories, which get their final name when they are complete."""


def temporary_sibling(path: Path) -> Path:
    """Return an unused hidden path in the same directory."""
    return path.with_name(f".{path.name}-{secrets.token_hex(8)}{UNFINISHED}")


@contextmanager
def atomic_file(file: Path, *, buffering: int = -1) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `file` when the block ends without an error.

    The replacement is atomic for other processes. The data are not flushed to the disk: after a power failure,
    checksums detect a damaged file.
    """
    temporary = temporary_sibling(file)
    try:
        with temporary.open("xb", buffering=buffering) as stream:
            yield stream
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def temporary_directory(path: Path) -> Iterator[Path]:
    """Create a hidden directory next to `path`, and delete it with its contents when the block ends.

    `tempfile` is not used: in a directory without write permission on Windows, it takes the refusal for a name in use,
    and tries up to 2**31 other names.
    """
    directory = temporary_sibling(path)
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


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


def to_json(value: Any, *, sort_keys: bool = False) -> bytes:
    """Return a value as indented JSON that ends with a newline. Raises ValueError for NaN and infinities."""
    return (json.dumps(value, indent=2, sort_keys=sort_keys, allow_nan=False) + "\n").encode()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(file: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def replace_directory(out: Path, replacement: Path, aside: Path) -> None:
    """Move `out` to `aside` and `replacement` to `out`. On an error, `out` is restored."""
    try:
        out.rename(aside)
        replacement.rename(out)
    except BaseException:
        if aside.exists() and not out.exists():
            aside.rename(out)
        raise
