"""Progress of students, besides the state of the student model: counts, times, and items that were shown."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from alsim.engine.errors import OutOfOrder
from alsim.engine.selection import Choice
from alsim.jit.compile import lean_kernel
from alsim.types import Doubles, Ints, Longs, short_repr

MOST_SHOWN = 64
"""Largest number of items shown without a response that a state holds; the earliest are forgotten."""
MOST_TRIALS = 32
"""Largest number of contents of a student whose effect is awaited; the earliest are forgotten."""


class Trial(NamedTuple):
    """A content whose effect is awaited: whether its skill is mastered within some interactions."""

    content: int
    """Number of the content."""
    skill: int
    """Number of the skill that it teaches."""
    remaining: int
    """Interactions that remain."""


@short_repr
@dataclass
class Progress:
    """Progress of n students, besides the state of the student model."""

    decisions: Longs
    """Number of recommendations so far, (n,)."""
    interactions: Longs
    """Number of responses and contents so far, (n,)."""
    last: Longs
    """Item of the last response or content, -1 before the first, (n,)."""
    first_time: Doubles
    """Time of the first event, seconds since 1970, NaN before it, (n,)."""
    last_time: Doubles
    """Time of the last event, seconds since 1970, NaN before the first, (n,)."""
    shown: Ints
    """Items that were shown without a response since, earliest first, then -1, (n, MOST_SHOWN)."""
    counts: Ints
    """How often each of them was shown, (n, MOST_SHOWN)."""
    trials: list[list[Trial]]
    """Contents whose effect is awaited, by student, earliest first."""
    classes: list[str]
    """Name of the class of each student, "" if it is unknown."""

    @classmethod
    def start(cls, n: int) -> Progress:
        """Return the progress of n new students."""
        nan, zeros = np.full(n, np.nan), np.zeros(n, np.int64)
        shown = np.full((n, MOST_SHOWN), -1, np.int32)
        counts, trials = np.zeros_like(shown), [list[Trial]() for _ in range(n)]
        return cls(zeros, zeros.copy(), zeros - 1, nan, nan.copy(), shown, counts, trials, [""] * n)

    def rows(self, rows: Longs) -> Progress:
        """Return a copy of the progress of some students."""
        return Progress(
            decisions=self.decisions[rows],
            interactions=self.interactions[rows],
            last=self.last[rows],
            first_time=self.first_time[rows],
            last_time=self.last_time[rows],
            shown=self.shown[rows],
            counts=self.counts[rows],
            trials=[list(self.trials[i]) for i in rows.tolist()],
            classes=[self.classes[i] for i in rows.tolist()],
        )


def with_shown(progress: Progress, choice: Choice, now: list[float]) -> Progress:
    """Return the progress after decisions at some times."""
    moments = np.array(now)
    after = replace(
        progress,
        decisions=progress.decisions + 1,
        first_time=np.where(np.isnan(progress.first_time), moments, progress.first_time),
        last_time=moments,
        shown=progress.shown.copy(),
        counts=progress.counts.copy(),
    )
    show(after.shown, after.counts, choice.items)
    return after


@lean_kernel
def show(shown: Ints, counts: Ints, items: Ints) -> None:
    """Count that students were shown items, in place.

    shown, counts  fields of `Progress`, (n, MOST_SHOWN)
    items          (n, r), -1 is no item
    """
    most = shown.shape[1]
    for i in range(len(items)):
        for r in range(items.shape[1]):
            item = items[i, r]
            if item < 0:
                continue
            k = 0
            while k < most and shown[i, k] >= 0 and shown[i, k] != item:
                k += 1
            if k == most:  # the earliest is forgotten
                for j in range(most - 1):
                    shown[i, j], counts[i, j] = shown[i, j + 1], counts[i, j + 1]
                k = most - 1
                shown[i, k] = -1
            counts[i, k] = counts[i, k] + 1 if shown[i, k] == item else 1
            shown[i, k] = item


def remove_shown(progress: Progress, item: int) -> bool:
    """Forget that an item was shown to the only student, in place: it has a response. Return whether it was shown."""
    kept = (progress.shown[0] != item) & (progress.shown[0] >= 0)
    was_shown = bool((progress.shown[0] == item).any())
    size = int(kept.sum())
    shown, counts = progress.shown[0, kept], progress.counts[0, kept]
    progress.shown[0], progress.counts[0] = -1, 0
    progress.shown[0, :size], progress.counts[0, :size] = shown, counts
    return was_shown


def forget(progress: Progress, rows: Longs, items: Longs) -> None:
    """Forget that items (m,) were shown to some students (m,), in place: see `remove_shown`."""
    shown, counts = progress.shown[rows], progress.counts[rows]
    is_removed = shown == items[:, np.newaxis]
    some = is_removed.any(axis=1)
    rows, shown, counts, is_removed = rows[some], shown[some], counts[some], is_removed[some]
    kept = np.argsort(is_removed, axis=1, kind="stable")
    shown[is_removed], counts[is_removed] = -1, 0
    progress.shown[rows] = np.take_along_axis(shown, kept, axis=1)
    progress.counts[rows] = np.take_along_axis(counts, kept, axis=1)


def set_time(progress: Progress, now: float) -> None:
    """Set the time of the last event of the only student, in place."""
    if math.isnan(progress.first_time[0]):
        progress.first_time[0] = now
    progress.last_time[0] = now


def set_times(progress: Progress, now: Doubles) -> None:
    """Set the time of the last event of the first students, (m,), in place."""
    first = progress.first_time[: len(now)]
    first[:] = np.where(np.isnan(first), now, first)
    progress.last_time[: len(now)] = now


def times(names: Sequence[str], progress: Progress, moment: float | None) -> list[float]:
    """Return the time of an event of each student. Raises OutOfOrder for one before the last event."""
    last = progress.last_time
    if moment is None:
        now = clock.time()
        return [*map(float, np.where(last > now, last, now))]
    if (early := last > moment).any():
        i = int(np.argmax(early))
        raise OutOfOrder(
            f"the event at {moment!r} of the student {names[i]!r} is {last[i] - moment:,.1f} s earlier than its last "
            f"one, at {float(last[i])!r}: report events in order of time, or without a time, which is now"
        )
    return [moment] * len(names)


__all__ = [
    "MOST_SHOWN",
    "MOST_TRIALS",
    "Progress",
    "Trial",
    "forget",
    "remove_shown",
    "set_time",
    "set_times",
    "show",
    "times",
    "with_shown",
]
