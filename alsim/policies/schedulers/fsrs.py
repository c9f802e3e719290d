"""Reviews at a desired retention, by the memory state of FSRS-6."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.models import fsrs
from alsim.policies.schedulers.base import HOURS_PER_DAY, Presentations, Scheduler, read_inside
from alsim.policies.schedulers.outcomes import Plan, Situation, most_overdue
from alsim.types import Bools, Doubles, short_repr

WRONG, RIGHT = 1, 3
"""Ratings of answers: learners do not rate them, and the policy does not know the distribution of response times."""


@short_repr
class FSRSState(NamedTuple):
    """Memory states of L outcomes in each of N lanes."""

    clock: Doubles  # (N,) hours
    introduced: Bools  # (N, L)
    stability: Doubles  # (N, L) days; NaN before the first presentation
    difficulty: Doubles  # (N, L) in [1, 10]; NaN before the first presentation
    last: Doubles  # (N, L) start of the last presentation, hours; not read before the first


class FSRS(Scheduler[FSRSState]):
    """Policy that reviews LOs at a retention, by FSRS-6.

    An LO is due when its retrievability has fallen to the desired retention. The LO of lowest retrievability comes
    first, also ahead of time. A wrong answer is a review of rating 1, a correct answer or a content one of rating 3.

    retention  probability of recall at which an LO is due, in (0, 1)
    floor, difficulty, first  see `Scheduler`
    weights    (21,) weights of FSRS-6

    Raises AlsimError for invalid values.
    Source: Open Spaced Repetition (2025), The algorithm, FSRS-6.
    """

    own = ("retention", "weights")

    def __init__(
        self,
        retention: float = 0.9,
        floor: float = 0.05,
        difficulty: str = "any",
        first: str = "question",
        *,
        weights: ArrayLike = fsrs.WEIGHTS,
    ) -> None:
        super().__init__("fsrs", floor, difficulty, first)
        self.retention = read_inside("fsrs", "retention", retention)
        self.weights = tuple(fsrs.checked_weights(weights).tolist())
        # The interval is proportional to the stability, so that its unit, days per day of stability, is enough.
        self._interval = float(fsrs.interval(1.0, self.retention, self.weights))

    def start_state(self, lanes: int, num_los: int) -> FSRSState:
        """Return the state before the first interaction."""
        shape = lanes, num_los
        return FSRSState(
            clock=np.zeros(lanes),
            introduced=np.zeros(shape, np.bool_),
            stability=np.full(shape, np.nan),
            difficulty=np.full(shape, np.nan),
            last=np.zeros(shape),
        )

    def plan(self, state: FSRSState, now: Situation) -> Plan:
        """Return the LO of lowest retrievability if it is due, or else a new one.

        Retrievability falls with the time since the last presentation, divided by the stability.
        """
        days = (now.hours[:, np.newaxis] - state.last) / HOURS_PER_DAY
        return most_overdue(days / state.stability - self._interval, now)

    def record(self, state: FSRSState, shown: Presentations) -> None:
        """Update the memory states, in place."""
        places = shown.lanes, shown.los
        days = (shown.hours - state.last[places]) / HOURS_PER_DAY
        rating = np.where(shown.correct == 0, WRONG, RIGHT)
        after = fsrs.review(state.stability[places], state.difficulty[places], days, rating, self.weights)
        state.stability[places], state.difficulty[places] = after
        state.last[places] = shown.hours


__all__ = ["FSRS", "FSRSState"]
