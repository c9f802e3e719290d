"""UCB1: contents of the largest upper confidence bound."""

from __future__ import annotations

from alsim.mdp.actions import KINDS
from alsim.policies.bandits import ucb1
from alsim.policies.bandits.arms import ContentBandit, Pulls, read_positive
from alsim.policies.bandits.means import Means, learn_means, start_means
from alsim.policies.base import Transitions
from alsim.types import Bools, Doubles, Floats


class UCB1(ContentBandit):
    """Policy that shows the content of the largest UCB1.

    The content of the weakest LO with the largest upper confidence bound of its mean reward is shown.

    The reward is the normalised gain of mastery divided by 0.25, at most 1.

    alpha   factor of the width of the bounds, positive
    floor   probability of an action drawn uniformly from all allowed actions, questions included, in [0, 1]
    shared  whether all learners share one state, which learns in rounds of 256 learners

    It reads mastery. Raises AlsimError for invalid values.
    Source: Auer, Cesa-Bianchi & Fischer (2002), Finite-time analysis of the multiarmed bandit problem.
    """

    def __init__(self, alpha: float = 1.0, floor: float = 0.05, shared: bool = False) -> None:
        super().__init__("ucb1", floor, shared)
        self.alpha = read_positive("ucb1", "alpha", alpha)

    def start(self, n: int) -> Means:
        """Return the state of n lanes before the first reward."""
        return start_means(n, KINDS)

    def _arm_odds(self, state: Means, observation: Floats, num_los: int, allowed: Bools | None) -> Doubles:
        return ucb1.probabilities(state, self.alpha, allowed)

    def _learn(self, state: Means, transitions: Transitions, pulls: Pulls) -> None:
        learn_means(state, pulls.rows, pulls.arms, self._rewards(transitions, pulls))


__all__ = ["UCB1"]
