"""Deep Q-learning without replay buffer and target network, PQN (Gallici et al., 2024, arXiv:2407.04811).

With hundreds of lanes, each rollout is varied enough that old interactions are not needed. The network has one output
per action, its value.
"""

from __future__ import annotations

import numpy as np

from alsim.training.algorithms.on_policy import FORBIDDEN, Batch, OnPolicy
from alsim.training.lanes import Lanes
from alsim.training.settings import DQN
from alsim.types import Bools, Floats, Longs, f32


class QLearning(OnPolicy):
    """Q-learning with Q(lambda) targets (Peng & Williams, 1996, doi:10.1007/BF00114731) and decreasing epsilon."""

    acting = "epsilon"
    num_values = 0
    settings: DQN

    def __init__(self, lanes: Lanes, settings: DQN, seed: int) -> None:
        super().__init__(lanes, settings, seed)  # the weights of the last layer stay 0: all first values are equal
        self.trace_decay = settings.q_lambda

    @property
    def epsilon(self) -> float:
        """Probability of a random action now."""
        last, fraction = self.settings.exploration_final_eps, self.settings.exploration_fraction
        return last if self.progress >= fraction else 1 + (last - 1) * self.progress / fraction

    def choose(self, outputs: Floats, step: int) -> None:
        """Choose actions with the largest value, or with probability epsilon any allowed action."""
        count = len(outputs)
        q = outputs[:, : self.lanes.num_actions]
        greedy = q.argmax(axis=1)
        explores = self.random.random(count) < self.epsilon
        explored = random_actions(self.random, count, self.lanes.num_actions, self.lanes.masks)
        self.rollout.actions[step] = np.where(explores, explored, greedy)
        self.rollout.values[step] = q[np.arange(count), greedy]

    def values_of(self, outputs: Floats) -> Floats:
        """Return the largest value of each row."""
        largest: Floats = outputs[:, : self.lanes.num_actions].max(axis=1)
        return np.where(largest == FORBIDDEN, f32(0), largest)  # lanes that are reset next may have no allowed action

    def differentiate(self, outputs: Floats, batch: Batch) -> None:
        """Replace outputs by the gradient of half the mean squared difference between values and targets."""
        rollout, rows, each = self.rollout, np.arange(len(outputs)), f32(1 / len(outputs))
        targets = rollout.advantages.ravel()[batch.rows] + rollout.values[:-1].ravel()[batch.rows]
        actions = rollout.actions.ravel()[batch.rows]
        errors = (outputs[rows, actions] - targets) * each
        outputs[:] = 0
        outputs[rows, actions] = errors


def random_actions(random: np.random.Generator, count: int, num_actions: int, masks: Bools | None) -> Longs:
    """Return N actions, drawn uniformly from those that the masks (N, A) allow; None allows all."""
    if masks is None:
        return random.integers(0, num_actions, count)
    ranks = (random.random(count) * masks.sum(axis=1)).astype(np.int64)  # of the drawn action among the allowed ones
    return np.asarray((masks.cumsum(axis=1) > ranks[:, None]).argmax(axis=1))


__all__ = ["QLearning", "random_actions"]
