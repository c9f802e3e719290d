"""Threads that help with a step."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

Job = tuple[Callable[..., Any], tuple[Any, ...], list[BaseException]]


class Helpers:
    """Threads that wait for something to do, and end with this object.

    A plain queue instead of an executor: a step takes some hundred microseconds, of which an executor's
    bookkeeping would take a tenth.
    """

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._process = os.getpid()
        self._threads = [Thread(target=_help, args=(self._jobs,), name="alsim", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        self._end = weakref.finalize(self, _dismiss, self._jobs, count)

    def are_here(self) -> bool:
        """Whether the threads are of this process: a fork leaves them behind."""
        return self._process == os.getpid()

    def ask(self, function: Callable[..., Any], *arguments: Any, errors: list[BaseException]) -> None:
        """Have some thread call `function`; what it raises is appended to `errors`."""
        self._jobs.put((function, arguments, errors))

    def close(self) -> None:
        """End the threads."""
        self._end()
        for thread in self._threads:
            thread.join()


def _help(jobs: SimpleQueue[Job | None]) -> None:
    """Do one job after the other."""
    while (job := jobs.get()) is not None:
        function, arguments, errors = job
        try:
            function(*arguments)
        except BaseException as error:
            errors.append(error)
        del job, function, arguments, errors  # or they would live until the next


def _dismiss(jobs: SimpleQueue[Job | None], count: int) -> None:
    for _ in range(count):
        jobs.put(None)
