"""LinUCB: contents of the largest upper confidence bound of a linear reward."""

from __future__ import annotations

from alsim.mdp.actions import KINDS
from alsim.policies.bandits import linucb
from alsim.policies.bandits.arms import FEATURES, ContentBandit, Pulls, contexts_of, read_positive
from alsim.policies.bandits.ridge import Ridge, learn_ridge, start_ridge
from alsim.policies.base import Transitions
from alsim.types import Bools, Doubles, Floats


class LinUCB(ContentBandit):
    """Policy that shows the content of the largest LinUCB.

    The content of the weakest LO with the largest upper confidence bound of its linear reward is shown.

    The reward is the normalised gain of mastery divided by 0.25, at most 1.

    alpha   factor of the width of the bounds, positive
    floor   probability of an action drawn uniformly from all allowed actions, questions included, in [0, 1]
    shared  whether all learners share one state, which learns in rounds of 256 learners

    It reads mastery. Raises AlsimError for invalid values.
    Source: Li, Chu, Langford & Schapire (2010), A contextual-bandit approach to personalized news.
    """

    def __init__(self, alpha: float = 1.0, floor: float = 0.05, shared: bool = False) -> None:
        super().__init__("linucb", floor, shared)
        self.alpha = read_positive("linucb", "alpha", alpha)

    def start(self, n: int) -> Ridge:
        """Return the state of n lanes before the first reward."""
        return start_ridge(n, KINDS, FEATURES)

    def _arm_odds(self, state: Ridge, observation: Floats, num_los: int, allowed: Bools | None) -> Doubles:
        return linucb.probabilities(state, contexts_of(observation, num_los), self.alpha, allowed)

    def _learn(self, state: Ridge, transitions: Transitions, pulls: Pulls) -> None:
        x = contexts_of(transitions.observation[pulls.lanes], transitions.num_los)
        learn_ridge(state, pulls.rows, pulls.arms, x, self._rewards(transitions, pulls))


__all__ = ["LinUCB"]
