"""Softmax over the mean rewards of contents."""

from __future__ import annotations

from alsim.mdp.actions import KINDS
from alsim.policies.bandits import softmax
from alsim.policies.bandits.arms import ContentBandit, Pulls, read_positive
from alsim.policies.bandits.means import Means, learn_means, start_means
from alsim.policies.base import Transitions
from alsim.types import Bools, Doubles, Floats


class Softmax(ContentBandit):
    """Policy that shows contents by softmax of their rewards.

    Contents of the weakest LO have probabilities proportional to exp(mean reward / temperature).

    The reward is the normalised gain of mastery divided by 0.25, at most 1.

    temperature  unit of the mean rewards, positive
    floor        probability of an action drawn uniformly from all allowed actions, questions included, in [0, 1]
    shared       whether all learners share one state, which learns in rounds of 256 learners

    It reads mastery. Raises AlsimError for invalid values.
    Source: Sutton & Barto (2018), Reinforcement learning, section 2.8.
    """

    def __init__(self, temperature: float = 0.1, floor: float = 0.05, shared: bool = False) -> None:
        super().__init__("softmax", floor, shared)
        self.temperature = read_positive("softmax", "temperature", temperature)

    def start(self, n: int) -> Means:
        """Return the state of n lanes before the first reward."""
        return start_means(n, KINDS)

    def _arm_odds(self, state: Means, observation: Floats, num_los: int, allowed: Bools | None) -> Doubles:
        return softmax.probabilities(state, self.temperature, allowed)

    def _learn(self, state: Means, transitions: Transitions, pulls: Pulls) -> None:
        learn_means(state, pulls.rows, pulls.arms, self._rewards(transitions, pulls))


__all__ = ["Softmax"]
