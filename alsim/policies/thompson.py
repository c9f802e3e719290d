"""Thompson sampling of contents, with exact propensities."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.mdp.actions import KINDS
from alsim.policies.bandits.arms import ContentBandit, Pulls
from alsim.policies.bandits.thompson import choose, propensities
from alsim.policies.base import Transitions
from alsim.policies.sampling import read_number
from alsim.types import Bools, Codes, Doubles, Floats, Longs


class Posteriors(NamedTuple):
    """Beta posteriors of the six contents in each of N lanes, and contents without a result so far."""

    alpha: Doubles  # (N, 6) 1 + successes
    beta: Doubles  # (N, 6) 1 + failures
    arms: Codes  # (N, W) content of each of the last W interactions, the latest last; -1 for none or decided
    los: Longs  # (N, W) its LO


class Thompson(ContentBandit):
    """Policy that shows contents by Thompson sampling.

    A content of the weakest LO is shown with the probability that a draw of its success from its posterior is the
    largest.

    threshold  normalised gain of mastery, (after - before) / (1 - before), above which a content is a success
    floor      probability of an action drawn uniformly from all allowed actions, questions included, in [0, 1]
    shared     whether all learners share one state, which learns in rounds of 256 learners
    within     number of interactions; if given, a content is instead a success if its LO is mastered after at most this
               many interactions, itself included
    mastered   mastery from which an LO counts as mastered

    Posteriors begin as Beta(1, 1). Propensities are exact (`propensities`). Contents without a result at the end of an
    episode are failures. It reads mastery. Raises AlsimError for invalid values.
    Source: Thompson (1933), On the likelihood that one unknown probability exceeds another.
    """

    def __init__(
        self,
        threshold: float = 0.1,
        floor: float = 0.05,
        shared: bool = False,
        *,
        within: int | None = None,
        mastered: float = 0.8,
    ) -> None:
        super().__init__("thompson", floor, shared)
        if within is not None and (isinstance(within, bool) or not isinstance(within, int) or not 1 <= within <= 1000):
            raise AlsimError(f"the parameter within of thompson must be an integer from 1 to 1000; got {within!r}")
        self.threshold = read_number("thompson", "threshold", threshold)
        self.within, self.mastered = within, read_number("thompson", "mastered", mastered)

    def start(self, n: int) -> Posteriors:
        """Return the state of n lanes before the first success or failure."""
        width = 0 if self.within is None or self.shared else self.within
        ones = np.ones((n, KINDS))
        return Posteriors(ones, ones.copy(), np.full((n, width), -1, np.int8), np.zeros((n, width), np.int64))

    def learn(self, state: Posteriors, transitions: Transitions) -> None:
        """Learn from the interactions with arms, in place."""
        if self.within is None or self.shared:
            super().learn(state, transitions)
        else:
            self._learn_pending(state, transitions, self._pulls(transitions))

    def _arm_odds(self, state: Posteriors, observation: Floats, num_los: int, allowed: Bools | None) -> Doubles:
        return propensities(state.alpha, state.beta, allowed)

    def _learn(self, state: Posteriors, transitions: Transitions, pulls: Pulls) -> None:
        if self.within is None:
            success = self._gains(transitions, pulls) > self.threshold
        else:
            success = self._successes(transitions, pulls, self.within)
        _count(state, pulls.rows, pulls.arms, success)

    def _successes(self, x: Transitions, pulls: Pulls, within: int) -> Bools:
        """Return whether the LO of each content was mastered in time, (M,), where the rows of an episode follow."""
        episodes: Longs = np.cumsum(x.ended) - x.ended
        success = np.zeros(len(pulls.lanes), np.bool_)
        for k in range(within):
            rows = np.minimum(pulls.lanes + k, x.num_lanes - 1)
            same = (episodes[rows] == episodes[pulls.lanes]) & (pulls.lanes + k < x.num_lanes)
            success |= same & (x.next_mastery[rows, pulls.los] >= self.mastered)
        return success

    def _learn_pending(self, state: Posteriors, x: Transitions, pulls: Pulls) -> None:
        """Add the latest contents to those without a result, and count those with one."""
        state.arms[:, :-1], state.los[:, :-1] = state.arms[:, 1:].copy(), state.los[:, 1:].copy()
        state.arms[:, -1] = -1
        state.arms[pulls.lanes, -1], state.los[pulls.lanes, -1] = pulls.arms, pulls.los
        waiting = (state.arms >= 0) & x.active[:, np.newaxis]
        success = waiting & (x.next_mastery[np.arange(x.num_lanes)[:, np.newaxis], state.los] >= self.mastered)
        late = np.arange(state.arms.shape[1]) == 0
        lanes, places = np.nonzero(success | (waiting & (late | x.ended[:, np.newaxis])))
        _count(state, lanes, state.arms[lanes, places].astype(np.int64), success[lanes, places])
        state.arms[lanes, places] = -1


def _count(state: Posteriors, rows: Any, arms: Longs, success: Bools) -> None:
    """Count successes and failures, in place."""
    np.add.at(state.alpha, (rows[success], arms[success]), 1.0)
    np.add.at(state.beta, (rows[~success], arms[~success]), 1.0)


__all__ = ["Posteriors", "Thompson", "choose", "propensities"]
