"""Lock that many threads share while they use something, and that one holds alone while it replaces it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class SharedLock:
    """A lock for readers, of which there may be many at once, and writers. It must not be taken within itself."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._readers, self._is_writing = 0, False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Share the lock within a block; wait for a writer first."""
        with self._condition:
            while self._is_writing:
                self._condition.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                if self._readers == 0:
                    self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock alone within a block; readers that come later wait."""
        with self._condition:
            while self._is_writing:
                self._condition.wait()
            self._is_writing = True
            while self._readers:
                self._condition.wait()
        try:
            yield
        finally:
            with self._condition:
                self._is_writing = False
                self._condition.notify_all()


__all__ = ["SharedLock"]
