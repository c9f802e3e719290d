"""Threads: a pool for many short jobs, and a group that runs one function in several threads."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

POLL_SECONDS = 0.05
"""Seconds between checks whether a thread has ended."""

Job = tuple[Callable[..., Any], tuple[Any, ...], list[BaseException]]


class ThreadPool:
    """Threads that wait for jobs, and end when this object is deleted.

    It uses a plain queue: a step takes about 100 µs, and the overhead of a `ThreadPoolExecutor` would be 10 % of it.
    """

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._process = os.getpid()
        self._threads = [Thread(target=_work, args=(self._jobs,), name="alsim", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        self._end = weakref.finalize(self, _stop, self._jobs, count)

    def in_this_process(self) -> bool:
        """Return whether the threads belong to this process: a fork copies this object, but not the threads."""
        return self._process == os.getpid()

    def submit(self, function: Callable[..., Any], *arguments: Any, errors: list[BaseException]) -> None:
        """Run `function` in one of the threads. Its exception, if any, is appended to `errors`."""
        self._jobs.put((function, arguments, errors))

    def close(self) -> None:
        """End all threads, and wait for them."""
        self._end()
        for thread in self._threads:
            thread.join()


def _work(jobs: SimpleQueue[Job | None]) -> None:
    """Run jobs until the queue returns None."""
    while (job := jobs.get()) is not None:
        function, arguments, errors = job
        try:
            function(*arguments)
        except BaseException as error:
            errors.append(error)
        del job, function, arguments, errors  # otherwise they would be kept alive until the next job


def _stop(jobs: SimpleQueue[Job | None], count: int) -> None:
    """Put one None into the queue for each thread."""
    for _ in range(count):
        jobs.put(None)


class ThreadGroup:
    """Context manager that calls `work(stopped)` in several threads, and waits for them at the end of the block.

    count  number of threads
    work   function that each thread calls with one argument, `stopped`; stopped() returns True after another thread
           failed or the block was left
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
        """Wait for all threads. Raises the first exception of a thread."""
        while any(thread.is_alive() for thread in self._threads):
            for thread in self._threads:
                thread.join(POLL_SECONDS)
        if self.errors:
            raise self.errors[0]

    def _end(self) -> None:
        """Stop the work and wait for all threads, even if interrupted while waiting."""
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
