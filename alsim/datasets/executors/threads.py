"""Generation of shards in threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

from alsim.utils.threads import ThreadGroup

T = TypeVar("T")


def run_in_threads(new_maker: Callable[[], Callable[[int], T]], numbers: Sequence[int], threads: int) -> Generator[T]:
    """Yield the result of a maker for each number, in order of completion.

    new_maker  function that returns a maker; called once in each thread
    numbers    arguments of the makers
    threads    number of threads; with 1, the calling thread does the work

    Raises the first exception of a maker.
    """
    threads = min(threads, len(numbers))
    if threads <= 1:
        maker = new_maker()
        yield from map(maker, numbers)
        return
    waiting, lock = iter(numbers), Lock()
    results: SimpleQueue[tuple[T] | None] = SimpleQueue()

    def work(stopped: Callable[[], bool]) -> None:
        maker = new_maker()
        try:
            while not stopped():
                with lock:
                    number = next(waiting, None)
                if number is None:
                    return
                results.put((maker(number),))
        except BaseException:
            results.put(None)
            raise

    with ThreadGroup(threads, work) as group:
        for _ in numbers:
            result = results.get()
            if result is None:
                group.wait()  # raises the exception of the thread
            else:
                yield result[0]
