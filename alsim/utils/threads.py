"""Threads: helpers that wait for the next step, and crews that work until all is done."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

POLL_SECONDS = 0.05
"""Seconds between looks at whether a thread has ended."""

Job = tuple[Callable[..., Any], tuple[Any, ...], list[BaseException]]


class ThreadPool:
    """Threads that wait for something to do, and end with this object.

    A plain queue instead of an executor: a step takes some hundred microseconds, of which an executor's
    bookkeeping would take a tenth.
    """

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._process = os.getpid()
        self._threads = [Thread(target=_work, args=(self._jobs,), name="alsim", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        self._end = weakref.finalize(self, _stop, self._jobs, count)

    def in_this_process(self) -> bool:
        """Whether the threads are of this process: a fork leaves them behind."""
        return self._process == os.getpid()

    def submit(self, function: Callable[..., Any], *arguments: Any, errors: list[BaseException]) -> None:
        """Have some thread call `function`; what it raises is appended to `errors`."""
        self._jobs.put((function, arguments, errors))

    def close(self) -> None:
        """End the threads."""
        self._end()
        for thread in self._threads:
            thread.join()


def _work(jobs: SimpleQueue[Job | None]) -> None:
    """Do one job after the other."""
    while (job := jobs.get()) is not None:
        function, arguments, errors = job
        try:
            function(*arguments)
        except BaseException as error:
            errors.append(error)
        del job, function, arguments, errors  # or they would live until the next


def _stop(jobs: SimpleQueue[Job | None], count: int) -> None:
    for _ in range(count):
        jobs.put(None)


class ThreadGroup:
    """Threads that each call `work(stopped)`; the block that uses them ends after them, whatever ends it.

    stopped  says that the work is called off: another thread failed, or the block was left
    """

    def __init__(self, count: int, work: Callable[[Callable[[], bool]], None]) -> None:
        self._work = work
        self._threads = [Thread(target=self._run, name="alsim", daemon=True) for _ in range(count)]
        self._stop = False
        self.errors: list[BaseException] = []

    def _run(self) -> None:
        try:
            if not self._stop:
                self._work(lambda: self._stop)
        except BaseException as error:
            self.errors.append(error)
            self._stop = True

    def __enter__(self) -> ThreadGroup:
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        if exception[0] is None and self.errors:
            raise self.errors[0]

    def wait(self) -> None:
        """Wait until all is done. Raises what went wrong in a thread."""
        while any(thread.is_alive() for thread in self._threads):
            for thread in self._threads:
                thread.join(POLL_SECONDS)
        if self.errors:
            raise self.errors[0]

    def _end(self) -> None:
        """Call off what is left, and wait for the threads, even if interrupted once more."""
        self._stop = True
        interrupted: BaseException | None = None
        while any(thread.is_alive() for thread in self._threads):
            try:
                for thread in self._threads:
                    if thread.ident is not None:
                        thread.join(POLL_SECONDS)
            except BaseException as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted
