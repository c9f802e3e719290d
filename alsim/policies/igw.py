"""Inverse-gap weighting of contents."""

from __future__ import annotations

from alsim.mdp.actions import KINDS
from alsim.policies.bandits import igw
from alsim.policies.bandits.arms import ContentBandit, Pulls, read_positive
from alsim.policies.bandits.means import Means, learn_means, start_means
from alsim.policies.base import Transitions
from alsim.types import Bools, Doubles, Floats


class InverseGap(ContentBandit):
    """Policy that shows contents by inverse-gap weights.

    Contents of the weakest LO have probabilities inverse to their gap from the best mean reward.

    The reward is the normalised gain of mastery divided by 0.25, at most 1.

    gamma   factor of the gaps, positive
    floor   probability of an action drawn uniformly from all allowed actions, questions included, in [0, 1]
    shared  whether all learners share one state, which learns in rounds of 256 learners

    It reads mastery. Raises AlsimError for invalid values.
    Source: Abe & Long (1999); Foster & Rakhlin (2020), Beyond UCB.
    """

    def __init__(self, gamma: float = 20.0, floor: float = 0.05, shared: bool = False) -> None:
        super().__init__("igw", floor, shared)
        self.gamma = read_positive("igw", "gamma", gamma)

    def start(self, n: int) -> Means:
        """Return the state of n lanes before the first reward."""
        return start_means(n, KINDS)

    def _arm_odds(self, state: Means, observation: Floats, num_los: int, allowed: Bools | None) -> Doubles:
        return igw.probabilities(state, self.gamma, allowed)

    def _learn(self, state: Means, transitions: Transitions, pulls: Pulls) -> None:
        learn_means(state, pulls.rows, pulls.arms, self._rewards(transitions, pulls))


__all__ = ["InverseGap"]
