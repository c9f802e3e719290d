"""Leitner's boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.policies.schedulers.base import HOURS_PER_DAY, Presentations, Scheduler, read_positive
from alsim.policies.schedulers.outcomes import Plan, Situation, most_overdue
from alsim.types import Bools, Codes, Doubles, short_repr

MOST_BOXES, LONGEST_DAYS = 100, 1e30


@short_repr
class LeitnerState(NamedTuple):
    """Boxes of L outcomes in each of N lanes."""

    clock: Doubles  # (N,) hours
    introduced: Bools  # (N, L)
    box: Codes  # (N, L) from 1
    due: Doubles  # (N, L) hours since the episode began; not read before the first presentation


class Leitner(Scheduler[LeitnerState]):
    """Policy that reviews LOs by Leitner's boxes.

    An LO in box k is due base_days factor^(k - 1) days after its last presentation: 1, 2, 4, 8 and 16 days. It begins
    in box 1. A correct answer moves it to the next box, a wrong one to box 1. A content leaves it in its box, and
    counts as a presentation. The most overdue LO comes first.

    boxes       number of boxes, from 1 to 100
    base_days   interval of box 1, days, > 0
    factor      ratio of the intervals of neighbouring boxes, > 0
    floor, difficulty, first  see `Scheduler`

    Leitner's boxes have sizes instead of times; the fixed times, which double, are an assumption that many programs
    make. Raises AlsimError for invalid values.
    Source: Leitner (1972), So lernt man lernen, for the boxes.
    """

    own = ("boxes", "base_days", "factor")

    def __init__(
        self,
        boxes: int = 5,
        base_days: float = 1.0,
        factor: float = 2.0,
        floor: float = 0.05,
        difficulty: str = "any",
        first: str = "question",
    ) -> None:
        super().__init__("leitner", floor, difficulty, first)
        if isinstance(boxes, bool) or not isinstance(boxes, int) or not 1 <= boxes <= MOST_BOXES:
            raise AlsimError(f"the boxes of leitner must be an integer from 1 to {MOST_BOXES}; got {boxes!r}")
        self.boxes = boxes
        self.base_days = read_positive("leitner", "base_days", base_days)
        self.factor = read_positive("leitner", "factor", factor)
        days = [self.base_days]
        for _ in range(boxes - 1):  # products have the same bits on every machine; powers may not
            days.append(days[-1] * self.factor)
        if days[-1] > LONGEST_DAYS:
            raise AlsimError(
                f"the interval of box {boxes} of leitner must be at most {LONGEST_DAYS:g} days; got {days[-1]:g}: take "
                "fewer boxes, or a smaller factor"
            )
        self._hours_of = np.array([0.0, *days]) * HOURS_PER_DAY

    def start_state(self, lanes: int, num_los: int) -> LeitnerState:
        """Return the state before the first interaction: all LOs are in box 1."""
        shape = lanes, num_los
        return LeitnerState(np.zeros(lanes), np.zeros(shape, np.bool_), np.ones(shape, np.int8), np.zeros(shape))

    def plan(self, state: LeitnerState, now: Situation) -> Plan:
        """Return the most overdue LO, or else a new one."""
        return most_overdue(now.hours[:, np.newaxis] - state.due, now)

    def record(self, state: LeitnerState, shown: Presentations) -> None:
        """Move the LOs that were answered, and set the due dates, in place."""
        places = shown.lanes, shown.los
        box = state.box[places]
        box = np.where(shown.correct == 1, np.minimum(box + 1, self.boxes), np.where(shown.correct == 0, 1, box))
        state.box[places] = box
        state.due[places] = shown.hours + self._hours_of[box]


__all__ = ["Leitner", "LeitnerState"]
