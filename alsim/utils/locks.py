"""Locks of directories: one process at a time replaces the entries of a directory."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

if sys.platform != "win32":
    import fcntl

WINDOWS: bool = sys.platform == "win32"
"""True where directories have no locks, and where files that are open cannot be renamed, replaced or deleted."""

TIMEOUT, PAUSE = 60.0, 0.005
"""Longest time of waiting for a lock, and the time between two attempts, seconds."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait for the lock of a directory, and hold it. The system releases it when the process ends, for any reason.

    The lock is that of the directory itself, so that nothing remains after a kill. On Windows, it is a file in the
    user's directory of temporary files. On network file systems without such locks, no process is excluded. A process
    that holds the lock must not wait for it again. Raises TimeoutError after TIMEOUT seconds: another program may hold
    the lock of the directory for a purpose of its own.
    """
    with ExitStack() as stack:
        if WINDOWS:
            from filelock import FileLock

            stack.enter_context(FileLock(lock_file(folder), timeout=TIMEOUT))
        else:
            descriptor = None
            with suppress(OSError):  # no permission to read the directory, or no such directory
                descriptor = os.open(folder, os.O_RDONLY)
            if descriptor is not None:
                stack.callback(os.close, descriptor)
                _wait(folder, descriptor)
        yield


def _wait(folder: Path, descriptor: int) -> None:
    """Wait for the lock of a directory that is open. Raises TimeoutError."""
    end = monotonic() + TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if monotonic() > end:
                cause = f"another process has held the lock of the directory for {TIMEOUT:.0f} s"
                raise TimeoutError(errno.ETIMEDOUT, cause, str(folder)) from None
            sleep(PAUSE)
        except OSError:  # a file system without locks
            return


def lock_file(folder: Path) -> Path:
    """Return the file whose lock stands for that of a directory on Windows."""
    digest = hashlib.sha256(os.fsencode(os.path.normcase(folder.resolve()))).hexdigest()
    return Path(tempfile.gettempdir(), f"alsim-{digest[:32]}.lock")
