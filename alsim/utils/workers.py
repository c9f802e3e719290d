"""Worker processes of this machine: their start, their exceptions, and their end with the parent process."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Thread
from traceback import format_exc
from typing import Any

from alsim.errors import AlsimError, InputTypeError
from alsim.utils.plugins import import_modules, imported_modules

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that limit the threads of numerical libraries. Several threads in each of many workers would be slow."""


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that start within the context use one thread in numerical libraries.

    The libraries read these variables when they are loaded, so a worker cannot set them itself: its main module may
    import NumPy first.
    """
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def depend_on_parent() -> None:
    """Let this worker ignore Ctrl-C, and exit as soon as its parent process ends.

    Ctrl-C reaches all processes of a terminal. The parent alone decides when its workers stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Wait for the end of the parent process, and exit."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def end_of(exitcode: int) -> str:
    """Return how a process ended: by which signal, or with which status."""
    return f"was killed by {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exited with status {exitcode}"


def cure_of_main(objects: str, argument: str) -> str:
    """Return the most probable cure of workers that cannot start: they import the main module from its file.

    objects   objects of the user that a worker needs, such as "the policy"
    argument  the argument that avoids workers, such as "num_workers=0"; "" if there is none
    """
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or not os.path.isfile(file):
        return (
            "workers import the main program from its file, and this one has none (standard input or a notebook): put "
            f"{objects} into a module, and the program into a file{argument and f', or use {argument}'}"
        )
    return 'a script that uses workers needs `if __name__ == "__main__":`'


def dump(job: Any, dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """Return the pickle of a job, with the modules that register its policy and dynamics, for `load`."""
    return pickle.dumps((imported_modules(), dumps(job)))


def load(pickled: bytes) -> Any:
    """Return a job from the bytes of `dump`. Raises AlsimError if its modules or classes cannot be imported."""
    try:
        modules, job = pickle.loads(pickled)
        import_modules(modules)
        return pickle.loads(job)
    except AlsimError as error:
        error.add_note("this happened in a worker")
        raise
    except Exception as error:
        raise InputTypeError(
            f"a worker cannot load its policy or dynamics: {error}; define them in a module that it can import, "
            "not in a notebook"
        ) from None


class Raised:
    """An exception that is sent through a pipe."""

    def __init__(self, error: BaseException) -> None:
        self.trace = format_exc()
        self._message = f"{type(error).__name__}: {error}"
        self._is_alsim_error = isinstance(error, AlsimError)
        try:
            self._pickled: bytes | None = pickle.dumps(error)
        except Exception:  # not every exception pickles
            self._pickled = None

    def error(self) -> BaseException:
        """Return the exception, or one with the same message if it cannot be pickled."""
        try:
            assert self._pickled is not None
            return pickle.loads(self._pickled)  # type: ignore[no-any-return]
        except Exception:
            return (AlsimError if self._is_alsim_error else RuntimeError)(self._message)


class WorkerTraceback(Exception):
    """The traceback of an exception in a worker."""

    def __str__(self) -> str:
        """Return the traceback as text."""
        return f"in a worker:\n{self.args[0]}"
