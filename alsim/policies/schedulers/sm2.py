"""Intervals of SuperMemo's algorithm SM-2."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.models import sm2
from alsim.policies.schedulers.base import HOURS_PER_DAY, Presentations, Scheduler
from alsim.policies.schedulers.outcomes import Plan, Situation, most_overdue
from alsim.types import Bools, Doubles, Longs, short_repr

LONGEST_DAYS = 1e9
"""Bound of intervals, days: without one, hundreds of correct answers to an LO would exceed the range of numbers."""


@short_repr
class SM2State(NamedTuple):
    """Repetitions of L outcomes in each of N lanes."""

    clock: Doubles  # (N,) hours
    introduced: Bools  # (N, L)
    easiness: Doubles  # (N, L)
    interval: Doubles  # (N, L) days
    repetitions: Longs  # (N, L) correct answers since the start or the last wrong one
    due: Doubles  # (N, L) hours since the episode began; not read before the first presentation


class SM2(Scheduler[SM2State]):
    """Policy that reviews LOs at the intervals of SM-2.

    The intervals after correct answers are 1 day, 6 days, and then the last one times the easiness, not rounded. A
    wrong answer starts again at 1 day. A content leaves easiness and interval, and counts as a presentation. The most
    overdue LO comes first.

    floor, difficulty, first  see `Scheduler`
    right  quality of a correct answer, 3 to 5: 4 leaves the easiness at 2.5, 3 lowers it, and 5 raises it
    wrong  quality of a wrong answer, 0 to 2; all have the same effect in SM-2 as published

    Learners do not rate their answers, so all correct ones have the same quality: an assumption. Items of quality below
    4 are not repeated on the same day. Raises AlsimError for invalid values.
    Source: Wozniak (1990), Optimization of learning.
    """

    own = ("right", "wrong")

    def __init__(
        self,
        floor: float = 0.05,
        difficulty: str = "any",
        first: str = "question",
        right: int = 4,
        *,
        wrong: int = 2,
    ) -> None:
        super().__init__("sm2", floor, difficulty, first)
        self.right = _quality("right", right, sm2.PASSED, sm2.HIGHEST)
        self.wrong = _quality("wrong", wrong, 0, sm2.PASSED - 1)

    def start_state(self, lanes: int, num_los: int) -> SM2State:
        """Return the state before the first interaction."""
        shape = lanes, num_los
        return SM2State(
            clock=np.zeros(lanes),
            introduced=np.zeros(shape, np.bool_),
            easiness=np.full(shape, sm2.EASINESS),
            interval=np.full(shape, sm2.INTERVALS[0]),
            repetitions=np.zeros(shape, np.int64),
            due=np.zeros(shape),
        )

    def plan(self, state: SM2State, now: Situation) -> Plan:
        """Return the most overdue LO, or else a new one."""
        return most_overdue(now.hours[:, np.newaxis] - state.due, now)

    def record(self, state: SM2State, shown: Presentations) -> None:
        """Update the LOs that were answered, and set the due dates, in place."""
        answered = np.flatnonzero(shown.correct >= 0)
        places = shown.lanes[answered], shown.los[answered]
        quality = np.where(shown.correct[answered] == 1, self.right, self.wrong)
        after = sm2.review(state.easiness[places], state.interval[places], state.repetitions[places], quality)
        state.easiness[places], interval, state.repetitions[places] = after
        state.interval[places] = np.minimum(interval, LONGEST_DAYS)
        places = shown.lanes, shown.los
        state.due[places] = shown.hours + state.interval[places] * HOURS_PER_DAY


def _quality(parameter: str, value: int, lowest: int, highest: int) -> int:
    """Return the quality of an answer. Raises AlsimError."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise AlsimError(
            f"the quality of a {parameter} answer of sm2 must be an integer from {lowest} to {highest}; got {value!r}"
        )
    return value


__all__ = ["SM2", "SM2State"]
