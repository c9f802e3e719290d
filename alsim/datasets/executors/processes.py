"""Worker processes on this machine, each connected to the driver by its own pipe.

A `ProcessPoolExecutor` is not used: if one of its workers is killed, it stops all of them, and does not report which
task was lost (decision 13).
"""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter, deque
from collections.abc import Generator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from alsim.datasets.manifest import DatasetError
from alsim.datasets.shards import Job, Shard, ShardMaker
from alsim.utils.workers import ONE_THREAD, Raised, WorkerTraceback, cure_of_main, depend_on_parent, dump, end_of, load

MOST_TRIES = 3
"""Number of deaths of workers at the same shard that ends the run."""
EXIT_SECONDS = 5.0
"""Seconds that a worker has to exit after the last shard, before it is killed."""

log = logging.getLogger(__name__)


def run_in_processes(job: Job, numbers: Sequence[int], workers: int) -> Generator[Shard]:
    """Yield shards in order of completion. Each worker makes one shard at a time.

    The shard of a killed worker is made by another worker. Raises DatasetError if MOST_TRIES workers died while
    making the same shard. An exception in a worker is raised again here.
    """
    waiting, tries, pickled = deque(numbers), Counter[int | None](), dump(job)
    active: list[_Worker] = []
    exiting: list[_Worker] = []
    try:
        for _ in range(min(workers, len(waiting))):
            active.append(_start_worker(pickled, len(active), workers))
        while active:
            for worker in _wait_for_answers(active):
                try:
                    answer = worker.receive()
                except (EOFError, OSError):
                    active.remove(worker)
                    tries[worker.number] += 1
                    _report_death(worker, tries[worker.number], job)
                    if worker.number is not None:
                        waiting.appendleft(worker.number)
                    if waiting:
                        active.append(_start_worker(pickled, len(active), workers))
                    continue
                tries[None] = 0  # workers can start, so earlier failures to start do not count
                if waiting:
                    worker.send(waiting.popleft())
                else:
                    worker.send(None)
                    active.remove(worker)
                    exiting.append(worker)
                if answer is not None:
                    yield answer
        for worker in exiting:
            worker.process.join(EXIT_SECONDS)
    finally:
        for worker in [*active, *exiting]:
            worker.kill()


def _start_worker(job: bytes, running: int, workers: int) -> _Worker:
    """Start a worker. Raises DatasetError if the operating system allows no further process or file."""
    try:
        return _Worker(job)
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.EAGAIN):
            raise
        raise DatasetError(
            f"num_workers = {workers} exceeds a limit of the operating system, with {running} workers running: "
            f"{error.strerror}; use fewer workers, or raise the limit (ulimit -n for files, -u for processes)"
        ) from None


class _Worker:
    """A worker process, the pipe to it, and the number of the shard that it is making."""

    def __init__(self, job: bytes) -> None:
        context = get_context("spawn")
        self._pipe, remote_end = context.Pipe()
        self.process = context.Process(target=_work, args=(remote_end, job), name="alsim", daemon=True)
        self.process.start()
        remote_end.close()
        self.number: int | None = None

    def fileno(self) -> int:
        """Return the file descriptor of the pipe, as `multiprocessing.connection.wait` requires."""
        return self._pipe.fileno()

    def send(self, number: int | None) -> None:
        """Send the number of the next shard, or None to exit. If the worker is dead, `receive` reports it."""
        self.number = number
        try:
            self._pipe.send(number)
        except OSError:
            log.debug("a worker died before it got its next shard")

    def receive(self) -> Shard | None:
        """Return the shard that the worker made, or None if it has just started. Raises the worker's exception."""
        answer = self._pipe.recv()
        if isinstance(answer, Raised):
            raise answer.error() from WorkerTraceback(answer.trace)
        return answer  # type: ignore[no-any-return]  # `_work` sends nothing else

    def kill(self) -> None:
        """Kill the process."""
        self._pipe.close()
        self.process.kill()
        self.process.join()


def _wait_for_answers(workers: list[_Worker]) -> list[_Worker]:
    """Wait until at least one worker has answered or died, and return these workers."""
    ready: list[Any] = wait(workers)  # type: ignore[arg-type]  # they have a fileno, which is sufficient
    return ready


def _report_death(worker: _Worker, tries: int, job: Job) -> None:
    """Log that a worker died. Raises DatasetError if a replacement is expected to die as well."""
    worker.process.join()
    code = worker.process.exitcode or 0
    end = end_of(code)
    phase = "before its first shard" if worker.number is None else f"while it made shard {worker.number}"
    if worker.number is None and code >= 0:
        raise DatasetError(
            f"a worker {end} {phase}; see its output for the reason; {cure_of_main('the policy', 'num_workers=0')}"
        )
    if tries == MOST_TRIES:
        raise DatasetError(
            f"{job.directory}: a worker {end} {phase}, for the {tries}rd time; "
            "if memory is short, use fewer workers or a smaller episodes_per_shard"
        )
    log.warning("a worker %s %s; another one replaces it", end, phase)


# ── in the worker ────────────────────────────────────────────────────────────────────────────────


def _work(pipe: Connection, job: bytes) -> None:
    """Make shards in a worker process until the driver sends None."""
    depend_on_parent()
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    try:
        maker = ShardMaker(load(job))
        pipe.send(None)
        while (number := pipe.recv()) is not None:
            pipe.send(maker(number))
    except BaseException as error:
        pipe.send(Raised(error))
