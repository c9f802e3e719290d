"""Reviews of the LO whose estimated recall is nearest a threshold."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.models.hlr import memory as hlr
from alsim.policies.schedulers.base import HOURS_PER_DAY, Presentations, Scheduler, read_inside
from alsim.policies.schedulers.outcomes import OneOutcome, Plan, Situation, due_first
from alsim.types import Bools, Doubles, Longs, short_repr


@short_repr
class RecallState(NamedTuple):
    """Half-lives of L outcomes in each of N lanes."""

    clock: Doubles  # (N,) hours
    introduced: Bools  # (N, L)
    right: Longs  # (N, L) number of correct answers and contents
    wrong: Longs  # (N, L) number of wrong answers
    half_life: Doubles  # (N, L) days
    last: Doubles  # (N, L) start of the last presentation, hours; not read before the first


class RecallThreshold(Scheduler[RecallState]):
    """Policy that reviews the LO of recall nearest a threshold.

    Recall is estimated by half-life regression. While the recall of an LO is at or below the threshold, or there is no
    new LO, the policy reviews the LO for which |recall - threshold| is smallest, on either side of the threshold.
    Otherwise, it introduces a new LO. A content counts as a correct answer.

    threshold  probability of recall, in (0, 1)
    floor, difficulty, first  see `Scheduler`
    weights    (3,) weights of correct answers, of wrong answers, and of the intercept, see `alsim.models.hlr`

    Raises AlsimError for invalid values.
    Source: Khajah, Lindsey & Mozer (2014), Maximizing students' retention via spaced review, Topics in Cognitive
    Science 6(1), for the threshold; Reddy, Levine & Dragan (2017), Accelerating human learning with deep reinforcement
    learning, for the smallest difference; Settles & Meeder (2016) for recall.
    """

    own = ("threshold", "weights")

    def __init__(
        self,
        threshold: float = 0.5,
        floor: float = 0.05,
        difficulty: str = "any",
        first: str = "question",
        *,
        weights: ArrayLike = hlr.WEIGHTS,
    ) -> None:
        super().__init__("threshold", floor, difficulty, first)
        self.threshold = read_inside("threshold", "threshold", threshold)
        self.weights = tuple(np.ravel(hlr.checked_weights(weights)).tolist())
        self._start = float(hlr.half_life(0, 0, self.weights))

    def start_state(self, lanes: int, num_los: int) -> RecallState:
        """Return the state before the first interaction."""
        shape = lanes, num_los
        return RecallState(
            clock=np.zeros(lanes),
            introduced=np.zeros(shape, np.bool_),
            right=np.zeros(shape, np.int64),
            wrong=np.zeros(shape, np.int64),
            half_life=np.full(shape, self._start),
            last=np.zeros(shape),
        )

    def plan(self, state: RecallState, now: Situation) -> Plan:
        """Return the LO of recall nearest the threshold if one is at or below it, or else a new one."""
        days = (now.hours[:, np.newaxis] - state.last) / HOURS_PER_DAY
        return nearest_recall(days / state.half_life, self.threshold, now)

    def record(self, state: RecallState, shown: Presentations) -> None:
        """Count the answers, and update the half-lives, in place."""
        places = shown.lanes, shown.los
        state.right[places] += shown.correct != 0
        state.wrong[places] += shown.correct == 0
        state.half_life[places] = hlr.half_life(state.right[places], state.wrong[places], self.weights)
        state.last[places] = shown.hours


def nearest_recall(age: Doubles, threshold: float, now: Situation) -> OneOutcome:
    """Return the LO of recall nearest a threshold, the first of equals, by the order of `due_first`.

    age  (N, L) time since the last presentation, in half-lives: recall is 2^-age. Entries of LOs that are not
         reviewable are not read

    Recall falls with age. The nearest LO is therefore the oldest above the threshold, or the youngest of the others.
    """
    limit, lanes = -math.log2(threshold), np.arange(len(age))
    is_low = age >= limit
    low = np.where(now.reviewable & is_low, age, np.inf)
    high = np.where(now.reviewable & ~is_low, age, -np.inf)
    los = np.stack([low.argmin(axis=1), high.argmax(axis=1)])
    ages = np.stack([low[lanes, los[0]], high[lanes, los[1]]])
    is_there = np.isfinite(ages)
    recall = hlr.recall(np.where(is_there, ages, 0.0), 1.0)
    below, above = np.where(is_there, np.abs(recall - threshold), np.inf)
    review = np.where(below == above, los.min(axis=0), np.where(below < above, los[0], los[1]))
    return due_first(review, is_there[0], is_there.any(axis=0), now.new)


__all__ = ["RecallState", "RecallThreshold", "nearest_recall"]
