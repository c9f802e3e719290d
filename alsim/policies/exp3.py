"""Exp3: contents with exponential weights."""

from __future__ import annotations

import numpy as np

from alsim.mdp.actions import KINDS
from alsim.policies.bandits import exp3
from alsim.policies.bandits.arms import ContentBandit, Pulls
from alsim.policies.base import Transitions
from alsim.policies.sampling import read_number
from alsim.types import Bools, Doubles, Floats


class Exp3(ContentBandit):
    """Policy that shows contents by exponential weights.

    Contents of the weakest LO have exponential weights of rewards over propensities.

    The reward is the normalised gain of mastery divided by 0.25, at most 1.

    gamma   share of uniform choices among the arms, and learning rate, in (0, 1]
    floor   probability of an action drawn uniformly from all allowed actions, questions included, in [0, 1]
    shared  whether all learners share one state, which learns in rounds of 256 learners

    It reads mastery. Raises AlsimError for invalid values.
    Source: Auer, Cesa-Bianchi, Freund & Schapire (2002), SIAM J. Comput. 32(1).
    """

    def __init__(self, gamma: float = 0.1, floor: float = 0.05, shared: bool = False) -> None:
        super().__init__("exp3", floor, shared)
        self.gamma = read_number("exp3", "gamma", gamma, positive=True)

    def start(self, n: int) -> Doubles:
        """Return the state of n lanes before the first reward."""
        return np.zeros((n, KINDS))

    def _arm_odds(self, state: Doubles, observation: Floats, num_los: int, allowed: Bools | None) -> Doubles:
        return exp3.probabilities(state, self.gamma, allowed)

    def _learn(self, state: Doubles, transitions: Transitions, pulls: Pulls) -> None:
        chances = transitions.propensities[pulls.lanes]
        rewards = self._rewards(transitions, pulls)
        exp3.learn(state, pulls.rows, pulls.arms, rewards, chances, self.gamma)


__all__ = ["Exp3"]
