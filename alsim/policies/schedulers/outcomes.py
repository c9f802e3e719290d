"""Choice of the LO that a scheduler presents next: due reviews first, then a new LO, then reviews ahead of time."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from alsim.types import Bools, Doubles, Longs, short_repr

NONE = -1
"""Choice of a lane in which no LO can be presented."""


@short_repr
class Situation(NamedTuple):
    """LOs among which a scheduler chooses, in each of N lanes."""

    hours: Doubles  # (N,) since the episode began
    reviewable: Bools  # (N, L) presented before, and a question is allowed
    new: Bools  # (N, L) not presented before, may be introduced: its parents have been presented


class Plan(Protocol):
    """Distribution over the LOs of each lane."""

    def draw(self, uniform: Doubles) -> Longs:
        """Return the LO that a variate on (0, 1) selects in each lane, (N,); NONE where there is none."""
        ...

    def share(self, los: Longs) -> Doubles:
        """Return the probability of one LO in each lane, (N,)."""
        ...

    def shares(self, num_los: int) -> Doubles:
        """Return the probability of each LO, (N, L); a row is 0 where there is none."""
        ...


class OneOutcome:
    """Plan with one LO per lane, (N,), which is certain, or NONE."""

    def __init__(self, lo: Longs) -> None:
        self.lo = lo

    def __repr__(self) -> str:
        """Return the number of lanes."""
        return f"<OneOutcome: {len(self.lo)} lanes>"

    def draw(self, uniform: Doubles) -> Longs:
        """Return the LO of each lane, (N,)."""
        return self.lo

    def share(self, los: Longs) -> Doubles:
        """Return 1 for the LO of a lane, 0 for others, (N,)."""
        return np.asarray(los == self.lo, np.float64)

    def shares(self, num_los: int) -> Doubles:
        """Return 1 for the LO of a lane, 0 for others, (N, L)."""
        return np.asarray(self.lo[:, np.newaxis] == np.arange(num_los), np.float64)


class SomeOutcomes:
    """Plan with several LOs per lane, which are equally likely: the true entries of an array (N, L)."""

    def __init__(self, candidates: Bools) -> None:
        self.candidates, self.count = candidates, candidates.sum(axis=1)

    def __repr__(self) -> str:
        """Return the numbers of lanes and LOs."""
        return f"<SomeOutcomes: {self.candidates.shape[0]} lanes, {self.candidates.shape[1]} LOs>"

    def draw(self, uniform: Doubles) -> Longs:
        """Return a candidate of each lane, (N,); NONE where there is none."""
        return np.where(self.count > 0, nth(self.candidates, uniform, self.count), NONE)

    def share(self, los: Longs) -> Doubles:
        """Return the probability of one LO in each lane, (N,)."""
        return np.asarray(self.candidates[np.arange(len(los)), los] / np.maximum(self.count, 1))

    def shares(self, num_los: int) -> Doubles:
        """Return the probability of each LO, (N, L)."""
        return np.asarray(self.candidates / np.maximum(self.count, 1)[:, np.newaxis])


def nth(true: Bools, uniform: Doubles, count: Longs) -> Longs:
    """Return the index of a true entry of each row (N, K), drawn uniformly by a variate on (0, 1), (N,).

    count  (N,) number of true entries; the result of a row without any is 0
    """
    place = (uniform * count).astype(np.int64)
    return np.asarray(np.argmax(np.cumsum(true, axis=1) > place[:, np.newaxis], axis=1))


def most_overdue(overdue: Doubles, now: Situation) -> OneOutcome:
    """Return the LO that is most overdue, the first of equals, by the order of `due_first`.

    overdue  (N, L) how far the due date of an LO has passed, at least 0 for those that are due; any unit. Entries of
             LOs that are not reviewable are not read
    """
    known = np.where(now.reviewable, overdue, -np.inf)
    review = known.argmax(axis=1)
    largest = known[np.arange(len(known)), review]
    return due_first(review, largest >= 0, largest > -np.inf, now.new)


def due_first(review: Longs, is_due: Bools, is_there: Bools, new: Bools) -> OneOutcome:
    """Return the LO of a review if it is due; else the first new LO; else that of the review, ahead of time.

    review    (N,) LO to be reviewed
    is_due    (N,) whether it is due
    is_there  (N,) whether any LO can be reviewed
    new       (N, L) LOs that may be introduced
    """
    first = new.argmax(axis=1)
    is_new = new[np.arange(len(new)), first]
    chosen = np.where(is_new & ~is_due, first, review)
    return OneOutcome(np.where(is_new | is_there, chosen, NONE))


__all__ = ["NONE", "OneOutcome", "Plan", "Situation", "SomeOutcomes", "due_first", "most_overdue", "nth"]
