"""Locks of directories: one process at a time replaces the entries of a directory."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

WINDOWS: bool = sys.platform == "win32"
"""True where directories have no locks, and where files that are open cannot be renamed, replaced or deleted."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait for the lock of a directory, and hold it. The system releases it when the process ends, for any reason.

    The lock is that of the directory itself, so that nothing remains after a kill. On Windows, it is a file in the
    user's directory of temporary files. On network file systems without such locks, no process is excluded. A process
    that holds the lock must not wait for it again.
    """
    with ExitStack() as stack:
        if WINDOWS:
            from filelock import FileLock

            stack.enter_context(FileLock(lock_file(folder)))
        else:
            with suppress(OSError):  # no locks, no permission to read the directory, or no such directory
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def lock_file(folder: Path) -> Path:
    """Return the file whose lock stands for that of a directory on Windows."""
    digest = hashlib.sha256(os.fsencode(os.path.normcase(folder.resolve()))).hexdigest()
    return Path(tempfile.gettempdir(), f"alsim-{digest[:32]}.lock")
