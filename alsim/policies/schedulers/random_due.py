"""Random reviews of LOs that are due."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.policies.schedulers.base import Presentations, Scheduler, read_positive
from alsim.policies.schedulers.outcomes import Plan, Situation, SomeOutcomes
from alsim.types import Bools, Doubles, short_repr


@short_repr
class DueState(NamedTuple):
    """Last presentations of L outcomes in each of N lanes."""

    clock: Doubles  # (N,) hours
    introduced: Bools  # (N, L)
    last: Doubles  # (N, L) start of the last presentation, hours; not read before the first


class RandomDue(Scheduler[DueState]):
    """Policy that presents a random LO of those that are due.

    An LO is due a fixed time after its last presentation. The policy draws uniformly from the LOs that are due or new;
    while there is none, from all LOs that have been presented. It is a baseline for schedulers.

    interval_hours  time after which an LO is due, hours, >= 0
    floor, difficulty, first  see `Scheduler`

    Raises AlsimError for invalid values.
    """

    own = ("interval_hours",)

    def __init__(
        self, interval_hours: float = 24.0, floor: float = 0.05, difficulty: str = "any", first: str = "question"
    ) -> None:
        super().__init__("random-due", floor, difficulty, first)
        self.interval_hours = read_positive("random-due", "interval_hours", interval_hours, zero=True)

    def start_state(self, lanes: int, num_los: int) -> DueState:
        """Return the state before the first interaction."""
        shape = lanes, num_los
        return DueState(np.zeros(lanes), np.zeros(shape, np.bool_), np.zeros(shape))

    def plan(self, state: DueState, now: Situation) -> Plan:
        """Return the LOs that are due or new, or else all that have been presented."""
        is_due = now.hours[:, np.newaxis] - state.last >= self.interval_hours
        wanted = now.new | (now.reviewable & is_due)
        return SomeOutcomes(np.where(wanted.any(axis=1, keepdims=True), wanted, now.reviewable))

    def record(self, state: DueState, shown: Presentations) -> None:
        """Set the times of the last presentations, in place."""
        state.last[shown.lanes, shown.los] = shown.hours


__all__ = ["DueState", "RandomDue"]
