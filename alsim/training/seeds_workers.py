"""Worker processes of a training with several seeds: one process per seed."""

from __future__ import annotations

import logging
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from alsim.errors import AlsimError, InputTypeError, RuleWarning
from alsim.training import directory
from alsim.training.plan import TrainingPlan
from alsim.training.run import Moment, Run
from alsim.training.seeds_directory import SeedsPlan, folder_of
from alsim.training.settings import TrainingError
from alsim.utils.plugins import PluginWarning
from alsim.utils.workers import (
    Raised,
    WorkerTraceback,
    cure_of_main,
    depend_on_parent,
    dump,
    end_of,
    load,
    one_thread_each,
)

EXIT_SECONDS = 10.0
"""Seconds that a process has to exit after its training, before it is killed."""
PERIOD = 0.1
"""Shortest time between two messages of a worker about its progress, seconds."""
LOGGER = "alsim.training"
FINISHED = "finished"
"""Last message of a worker. The messages before are None when it has started, and numbers of interactions."""


class Failure(NamedTuple):
    """A training that did not finish."""

    reason: str
    """Message of the exception, or how the process ended; it ends with the cure."""
    trace: WorkerTraceback | None = None
    """Traceback of an unexpected exception."""


class Progress(NamedTuple):
    """Callbacks of `train_in_processes`, each with the seed."""

    stepped: Callable[[int, int], object]
    """Called with the number of interactions so far."""
    finished: Callable[[int], object]
    """Called after a training."""


def train_in_processes(
    plan: SeedsPlan, out: Path, seeds: Sequence[int], processes: int, progress: Progress
) -> dict[int, Failure]:
    """Train with these seeds, in one process each, and return the failures by seed.

    processes  largest number of processes at a time

    A failure does not stop the other trainings. If this function raises an exception, such as KeyboardInterrupt, it
    has killed all processes. Raises TrainingError if processes cannot start.
    """
    waiting, active, failures = deque(seeds), list[_Worker](), dict[int, Failure]()
    job = _dumped(plan.first)
    try:
        while waiting or active:
            while waiting and len(active) < processes:
                seed = waiting.popleft()
                active.append(_Worker(job, seed, folder_of(out, seed)))
            ready: list[Any] = wait(active)  # type: ignore[arg-type]  # they have a fileno, which is sufficient
            for worker in ready:
                if worker.advance(progress):
                    continue
                active.remove(worker)
                if worker.failure is not None:
                    failures[worker.seed] = worker.failure
                else:
                    progress.finished(worker.seed)
    finally:
        for worker in active:
            worker.kill()
    return failures


def _dumped(plan: TrainingPlan) -> bytes:
    """Return the pickle of a plan. Raises InputTypeError if its configuration cannot be pickled."""
    try:
        return dump(plan)
    except Exception as error:  # a class of the user may raise any exception
        raise InputTypeError(
            f"the configuration cannot be pickled for the processes of the seeds: {error}; define its dynamics in a "
            "module"
        ) from None


class _Worker:
    """The process of one seed, and the pipe from it."""

    def __init__(self, job: bytes, seed: int, folder: Path) -> None:
        context = get_context("spawn")  # forks would share locks and threads of the parent
        self.seed, self.folder = seed, folder
        self.failure: Failure | None = None
        self._started = self._finished = False
        self._pipe, remote_end = context.Pipe(duplex=False)
        arguments = (remote_end, job, seed, folder)
        self.process = context.Process(target=_work, args=arguments, name=f"alsim-seed-{seed}", daemon=True)
        with one_thread_each():
            self.process.start()
        remote_end.close()

    def fileno(self) -> int:
        """Return the file descriptor of the pipe, as `multiprocessing.connection.wait` requires."""
        return self._pipe.fileno()

    def advance(self, progress: Progress) -> bool:
        """Handle one message, and return whether the process is still running. Raises TrainingError, see `_death`."""
        try:
            message = self._pipe.recv()
        except (EOFError, OSError):
            self.process.join(EXIT_SECONDS)
            self.kill()
            if not self._finished and self.failure is None:
                self.failure = self._death()
            return False
        if isinstance(message, Raised):
            self.failure = _failure_of(message)
        elif message == FINISHED:
            self._finished = True
        elif message is None:
            self._started = True
        else:
            progress.stepped(self.seed, message)
        return True

    def _death(self) -> Failure:
        """Return the failure of a process that ended. Raises TrainingError if all others are expected to fail as well.

        That is so if the process ended by itself before it could read its plan.
        """
        end = end_of(self.process.exitcode or 0)
        if not self._started and (self.process.exitcode or 0) >= 0:
            raise TrainingError(
                f"the process of seed {self.seed} {end} before its training; see its output for the reason; "
                f"{cure_of_main('own dynamics', '')}"
            )
        return Failure(
            f"{self.folder}: its process {end}; the same command resumes it; if memory is short, use fewer processes "
            "(--processes)"
        )

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()
        self._pipe.close()


def _failure_of(raised: Raised) -> Failure:
    """Return the failure for an exception of a worker; only unexpected ones have a traceback."""
    error = raised.error()
    if isinstance(error, AlsimError):
        return Failure(str(error))
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError | MemoryError):
        return Failure(f"{message}; correct the cause, and the same command resumes it")
    return Failure(message, WorkerTraceback(raised.trace))


# ── in the worker ────────────────────────────────────────────────────────────────────────────────


def _work(pipe: Connection, job: bytes, seed: int, folder: Path) -> None:
    """Train with one seed in a worker process, and report the progress."""
    depend_on_parent()
    logging.getLogger(LOGGER).setLevel(logging.WARNING)  # the parent process has logged the notes
    try:
        with warnings.catch_warnings():
            for kind in (PluginWarning, RuleWarning):  # the parent process has given them
                warnings.simplefilter("ignore", kind)
            plan: TrainingPlan = load(job)._replace(seed=seed)
            pipe.send(None)
            with directory.open_directory(folder, plan.settings, force=False):
                Run(plan, folder, _Sender(pipe)).finish()
        pipe.send(FINISHED)
    except BaseException as error:
        pipe.send(Raised(error))


class _Sender:
    """A progress callback that sends the number of interactions through a pipe, at most every PERIOD seconds."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._previous = pipe, -PERIOD

    def __call__(self, moment: Moment) -> None:
        """Send the number of interactions if one is due, and at the end."""
        if monotonic() - self._previous >= PERIOD or moment.steps == moment.total:
            self._previous = monotonic()
            self._pipe.send(moment.steps)


__all__ = ["Failure", "Progress", "train_in_processes"]
