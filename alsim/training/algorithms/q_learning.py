"""Deep Q-learning without replay buffer and target network, PQN (Gallici et al., 2024, arXiv:2407.04811).

With hundreds of lanes, each rollout is varied enough that old interactions are not needed. The network has one output
per action, then one for the state. The value of an action is their sum, as in dueling networks (Wang et al., 2016,
arXiv:1511.06581): the value of the state is learned from all actions, also for those that are rarely taken.
"""

from __future__ import annotations

import numpy as np

from alsim.policies.network import FORBIDDEN
from alsim.training.algorithms.on_policy import Batch, OnPolicy
from alsim.training.algorithms.softmax import sample
from alsim.training.lanes import Lanes
from alsim.training.settings import DQN
from alsim.types import Bools, Floats, Longs, f32


class QLearning(OnPolicy):
    """Q-learning with Q(lambda) targets (Peng & Williams, 1996, doi:10.1007/BF00114731).

    Actions are drawn from the softmax of value / temperature, or with the decreasing probability epsilon uniformly.
    Actions that are nearly as good as the best are then compared more often than bad ones.
    """

    acting = "epsilon"
    num_values = 1
    settings: DQN

    def __init__(self, lanes: Lanes, settings: DQN, seed: int) -> None:
        super().__init__(lanes, settings, seed)  # the weights of the last layer stay 0: all first values are equal
        self.trace_decay = settings.q_lambda
        self._drawn, self._logs = np.empty(lanes.num_lanes, np.int64), np.empty(lanes.num_lanes, f32)
        self._scratch = np.empty((2, self.perceptron.layers[-1].weights.shape[1]), f32)

    @property
    def epsilon(self) -> float:
        """Probability of a random action now."""
        last, fraction = self.settings.exploration_final_eps, self.settings.exploration_fraction
        return last if self.progress >= fraction else 1 + (last - 1) * self.progress / fraction

    def choose(self, outputs: Floats, step: int) -> None:
        """Draw actions from the softmax of their values, or with probability epsilon any allowed action."""
        count, actions = len(outputs), self.lanes.num_actions
        self.rollout.values[step] = self.values_of(outputs)
        preferred = self._preferred(outputs)
        explores = self.random.random(count) < self.epsilon
        explored = random_actions(self.random, count, actions, self.lanes.masks)
        self.rollout.actions[step] = np.where(explores, explored, preferred)

    def _preferred(self, outputs: Floats) -> Longs:
        """Return actions drawn from the softmax of value / temperature; those of largest value if it is 0."""
        actions, temperature = self.lanes.num_actions, self.settings.temperature
        if temperature == 0:
            greedy: Longs = outputs[:, :actions].argmax(axis=1)
            return greedy
        allowed = outputs[:, :actions] > FORBIDDEN
        np.divide(outputs[:, :actions], f32(temperature), out=outputs[:, :actions], where=allowed)
        uniforms = self.random.random(len(outputs), f32)
        sample(outputs, actions, uniforms, self._drawn, self._logs, self._scratch)
        return self._drawn

    def values_of(self, outputs: Floats) -> Floats:
        """Return the value of the best action of each row."""
        actions = self.lanes.num_actions
        largest: Floats = outputs[:, :actions].max(axis=1)
        # Lanes that are reset next may have no allowed action.
        return np.where(largest == FORBIDDEN, f32(0), largest) + outputs[:, actions]

    def differentiate(self, outputs: Floats, batch: Batch) -> None:
        """Replace outputs by the gradient of half the mean squared difference between values and targets."""
        rollout, rows, each = self.rollout, np.arange(len(outputs)), f32(1 / len(outputs))
        targets = rollout.advantages.ravel()[batch.rows] + rollout.values[:-1].ravel()[batch.rows]
        actions, state = rollout.actions.ravel()[batch.rows], self.lanes.num_actions
        errors = (outputs[rows, actions] + outputs[:, state] - targets) * each
        outputs[:] = 0
        outputs[rows, actions] = outputs[:, state] = errors


def random_actions(random: np.random.Generator, count: int, num_actions: int, masks: Bools | None) -> Longs:
    """Return N actions, drawn uniformly from those that the masks (N, A) allow; None allows all."""
    if masks is None:
        return random.integers(0, num_actions, count)
    ranks = (random.random(count) * masks.sum(axis=1)).astype(np.int64)  # of the drawn action among the allowed ones
    return np.asarray((masks.cumsum(axis=1) > ranks[:, None]).argmax(axis=1))


__all__ = ["QLearning", "random_actions"]
