"""Processes of this machine, each with a pipe of its own to the one that started them.

A plain pipe a worker instead of an executor: where one worker of an executor is killed all are, and nobody
knows what it was doing. Decision 13.
"""

from __future__ import annotations

import errno
import logging
import os
import pickle
import signal
from collections import Counter, deque
from collections.abc import Generator, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread
from traceback import format_exc
from typing import Any

from alsim.datasets.shards import Job, Shard, ShardMaker
from alsim.datasets.store import DatasetError
from alsim.errors import AlsimError, InputTypeError

MOST_TRIES = 3
"""A shard that so many workers died of is given up."""
SPIN_LIMIT = 5.0
"""Seconds that a worker has to end when there is nothing left to do."""

log = logging.getLogger(__name__)


def in_processes(job: Job, numbers: Sequence[int], workers: int) -> Generator[Shard]:
    """Hand out shards as they are done, one in hand with each worker.

    What a killed worker had in hand is given to another. Raises DatasetError for a shard that was tried
    MOST_TRIES times, and what a worker raised.
    """
    waiting, tries, pickled = deque(numbers), Counter[int | None](), pickle.dumps(job)
    crew: list[_Worker] = []
    leaving: list[_Worker] = []
    try:
        for _ in range(min(workers, len(waiting))):
            crew.append(_begun(pickled, crew, workers))
        while crew:
            for worker in _heard(crew):
                try:
                    answer = worker.receive()
                except (EOFError, OSError):
                    crew.remove(worker)
                    tries[worker.number] += 1
                    _mourn(worker, tries[worker.number], job)
                    if worker.number is not None:
                        waiting.appendleft(worker.number)
                    if waiting:
                        crew.append(_begun(pickled, crew, workers))
                    continue
                tries[None] = 0  # one of them can begin, at least
                if waiting:
                    worker.send(waiting.popleft())
                else:
                    worker.send(None)
                    crew.remove(worker)
                    leaving.append(worker)
                if answer is not None:
                    yield answer
        for worker in leaving:
            worker.process.join(SPIN_LIMIT)
    finally:
        for worker in [*crew, *leaving]:
            worker.end()


def _begun(job: bytes, crew: Sequence[_Worker], workers: int) -> _Worker:
    """Begin a worker beside a crew. Raises DatasetError where the system lets a process have no more of them."""
    try:
        return _Worker(job)
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.EAGAIN):
            raise
        raise DatasetError(
            f"num_workers is {workers}, and the system lets {len(crew)} begin: {error.strerror}; "
            "have fewer of them, or raise the limit (ulimit -n for files, -u for processes)"
        ) from None


class _Worker:
    """A process, the pipe to it, and the number of the shard that it has in hand."""

    def __init__(self, job: bytes) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, job), name="alsim", daemon=True)
        self.process.start()
        theirs.close()
        self.number: int | None = None

    def fileno(self) -> int:
        """Makes it something to wait for."""
        return self._pipe.fileno()

    def send(self, number: int | None) -> None:
        """Have it make a shard, or end; if it is dead by now, that is heard when it should answer."""
        self.number = number
        try:
            self._pipe.send(number)
        except OSError:
            log.debug("a worker was gone before it could be asked")

    def receive(self) -> Shard | None:
        """Return the shard that it made, or None if it is ready for its first; raises what it raised."""
        answer = self._pipe.recv()
        if isinstance(answer, _Raised):
            raise answer.error() from _There(answer.trace)
        return answer  # type: ignore[no-any-return]  # what _work sends

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._pipe.close()
        self.process.kill()
        self.process.join()


def _heard(crew: list[_Worker]) -> list[_Worker]:
    """Wait for workers that have answered or died, and return them."""
    ready: list[Any] = wait(crew)  # type: ignore[arg-type]  # has a fileno, which is what is asked
    return ready


def _mourn(worker: _Worker, times: int, job: Job) -> None:
    """Say that a worker died; raise DatasetError if it is in vain to go on."""
    worker.process.join()
    code = worker.process.exitcode or 0
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    what = "before it began" if worker.number is None else f"while it made shard {worker.number}"
    if worker.number is None and code >= 0:
        raise DatasetError(
            f"a worker {how} {what}: what it printed says why; "
            'a script that has workers needs `if __name__ == "__main__":`'
        )
    if times == MOST_TRIES:
        raise DatasetError(
            f"{job.directory}: a worker {how} {what}, the {times}rd time: "
            "memory may be too short for so many workers, or for shards of so many episodes"
        )
    log.warning("a worker %s %s: another takes its place", how, what)


# ── in the worker ────────────────────────────────────────────────────────────────────────────────

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Read by what a policy may import: as many workers as processors, each with as many threads, would be slow."""


def _work(pipe: Connection, job: bytes) -> None:
    """Make the shards that are asked for until there is nobody left to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal; whoever started this one decides
    Thread(target=_follow, daemon=True).start()
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    try:
        maker = ShardMaker(load(job))
        pipe.send(None)
        while (number := pipe.recv()) is not None:
            pipe.send(maker(number))
    except BaseException as error:
        pipe.send(_Raised(error))


def load(job: bytes) -> Job:
    """Return a job as a worker is given it. Raises InputTypeError if what it names is not there."""
    try:
        return pickle.loads(job)  # type: ignore[no-any-return]  # a Job, pickled by this package
    except Exception as error:
        raise InputTypeError(
            "a worker cannot load its policy or dynamics, which are to be defined in a module that it can import: "
            f"{error}"
        ) from None


def _follow() -> None:
    """Die with whoever started this process, also in the middle of a shard."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _Raised:
    """An exception on its way through a pipe."""

    def __init__(self, error: BaseException) -> None:
        self.trace = format_exc()
        self._sentence = f"{type(error).__name__}: {error}"
        self._known = isinstance(error, AlsimError)
        try:
            self._pickled: bytes | None = pickle.dumps(error)
        except Exception:  # not every exception pickles
            self._pickled = None

    def error(self) -> BaseException:
        """Return the exception, or one that says the same."""
        try:
            assert self._pickled is not None
            return pickle.loads(self._pickled)  # type: ignore[no-any-return]
        except Exception:
            return (DatasetError if self._known else RuntimeError)(self._sentence)


class _There(Exception):
    """Where in a worker something was raised."""

    def __str__(self) -> str:
        """Show the worker's own traceback."""
        return f"in a worker:\n{self.args[0]}"
