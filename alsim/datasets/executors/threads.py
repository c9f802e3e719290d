"""Threads of this process, each with a maker of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

from alsim.utils.threads import ThreadGroup

T = TypeVar("T")


def side_by_side(new_maker: Callable[[], Callable[[int], T]], numbers: Sequence[int], threads: int) -> Generator[T]:
    """Hand out what makers make of the numbers, as it is done; in one thread, in this one."""
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

    with ThreadGroup(threads, work) as crew:
        for _ in numbers:
            done = results.get()
            if done is None:
                crew.wait()
            else:
                yield done[0]
