"""The loop of algorithms that learn from the current policy: collect a rollout, make gradient steps, forget it.

Axes: T steps of a rollout, N lanes, R entries of an observation, A actions, M outputs of the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from alsim.jit.compile import lean_kernel
from alsim.policies.network import ACTIVATIONS, FORBIDDEN, Acting, Network
from alsim.training.algorithms.adam import Adam
from alsim.training.algorithms.normalization import ObservationScale, RewardScale
from alsim.training.algorithms.perceptron import Perceptron
from alsim.training.lanes import Lanes
from alsim.training.settings import DQN, PPO, TrainingError
from alsim.types import ZERO, Bools, Floats, Longs, f32

WIDTH = 16
"""The outputs of a network are padded to a multiple of this number, with unused ones: rows are then aligned."""
MAX_PARAMETER = 10**6
"""Largest plausible parameter of a network; above it, the training has diverged."""


class Batch:
    """A minibatch: rows of a rollout, in random order.

    rows          (B,) indices into the T * N rows of the rollout
    observations  (B, R)
    masks         (B, A) True for allowed actions; None without masks
    """

    def __init__(self, rollout: Rollout, rows: Longs) -> None:
        self.rows = rows
        self.observations = rollout.observations[:-1].reshape(-1, rollout.observations.shape[2])[rows]
        self.masks = None if rollout.masks is None else rollout.masks.reshape(-1, rollout.masks.shape[2])[rows]


class Rollout:
    """Arrays of a rollout, (T, N) unless noted. They are reused for the next one."""

    def __init__(self, steps: int, lanes: Lanes) -> None:
        shape = (steps, lanes.num_lanes)
        self.observations = np.empty((steps + 1, lanes.num_lanes, lanes.width), f32)
        self.masks: Bools | None = None  # (T, N, A)
        self.actions = np.empty(shape, np.int64)
        self.rewards = np.empty(shape, f32)
        self.values = np.empty((steps + 1, lanes.num_lanes), f32)
        self.terminated, self.ended = np.empty(shape, np.bool_), np.empty(shape, np.bool_)
        self.skipped = np.empty(shape, np.bool_)  # steps that only reset a lane
        self.advantages = np.empty(shape, f32)

    def keep_masks(self, step: int, masks: Bools | None) -> None:
        """Keep the masks (N, A) of a step."""
        if masks is not None:
            if self.masks is None:
                self.masks = np.ones((*self.actions.shape, masks.shape[1]), np.bool_)
            self.masks[step] = masks

    def batches(self, count: int, random: np.random.Generator) -> Iterator[Batch]:
        """Yield the rows with an interaction as minibatches of about equal size, in random order."""
        rows = random.permutation(np.flatnonzero(~self.skipped.ravel()))
        yield from (Batch(self, part) for part in np.array_split(rows, count) if len(part))


class OnPolicy(ABC):
    """A network, its optimizer, and the lanes from which it learns.

    lanes     lanes of an environment
    settings  hyperparameters
    seed      seed of the initial network, of exploration and of minibatches

    Same lanes, settings and seed give the same network, bit for bit, with one thread of the matrix library on one
    machine.
    """

    acting: ClassVar[Acting]
    """Choice of actions by the trained policy, see `NetworkPolicy`."""
    num_values: ClassVar[int]
    """Number of outputs of the network after the A outputs of the actions."""
    trace_decay: float
    """Lambda of the advantages."""

    def __init__(self, lanes: Lanes, settings: PPO | DQN, seed: int) -> None:
        self.lanes, self.settings = lanes, settings
        self.random = np.random.default_rng([seed, 1])
        outputs = -(-(lanes.num_actions + self.num_values) // WIDTH) * WIDTH
        sizes = [lanes.width, *settings.net_arch, outputs]
        rows = max(lanes.num_lanes, -(-settings.rollout_steps // settings.minibatches))
        self.perceptron = Perceptron(sizes, ACTIVATIONS[settings.activation], rows)
        self.perceptron.initialize(self.random)
        self.optimizer = Adam(len(self.perceptron.parameters))
        self.rollout = Rollout(settings.n_steps, lanes)
        self.observation_scale = ObservationScale(lanes.width) if settings.normalize_observations else None
        self.reward_scale = RewardScale(lanes.num_lanes, settings.gamma) if settings.normalize_rewards else None
        self.steps = 0

    @abstractmethod
    def choose(self, outputs: Floats, step: int) -> None:
        """Write actions and values of a step of the rollout, given the outputs (N, M)."""

    @abstractmethod
    def values_of(self, outputs: Floats) -> Floats:
        """Return the values (N,) of states, given the outputs (N, M)."""

    @abstractmethod
    def differentiate(self, outputs: Floats, batch: Batch) -> None:
        """Replace outputs (B, M) by the gradient of the loss of a minibatch with respect to them."""

    def learn(self, before_rollout: Callable[[], object]) -> None:
        """Train until the number of interactions in the settings, and call a function before each rollout."""
        while self.steps < self.settings.total_steps:
            before_rollout()
            self.collect()
            self.improve()

    @property
    def progress(self) -> float:
        """Share of the interactions of the training so far, in [0, 1]."""
        return self.steps / self.settings.total_steps

    def collect(self) -> None:
        """Fill the rollout with T interactions in each lane, and estimate advantages."""
        lanes, rollout = self.lanes, self.rollout
        for t in range(self.settings.n_steps):
            rollout.skipped[t] = lanes.skipped
            self._look(t)
            rollout.keep_masks(t, lanes.masks)
            self.choose(self._outputs(rollout.observations[t], lanes.masks), t)
            outcome = lanes.step(rollout.actions[t])
            rollout.terminated[t], rollout.ended[t] = outcome.terminated, outcome.terminated | outcome.truncated
            rewards = outcome.rewards
            self._check_finite("reward", rewards)
            if self.reward_scale is not None:
                rewards = self.reward_scale.apply(rewards, rollout.ended[t])
            rollout.rewards[t] = rewards
            if outcome.final is not None and len(outcome.final):
                self._add_final_values(t, outcome.truncated, outcome.final)
        self._look(self.settings.n_steps, counted=False)  # the next rollout starts with these observations
        outputs = self._outputs(rollout.observations[self.settings.n_steps], lanes.masks)
        rollout.values[self.settings.n_steps] = self.values_of(outputs)
        self.steps += self.settings.rollout_steps
        gamma = f32(self.settings.gamma)
        estimate_advantages(
            *(rollout.rewards, rollout.values, rollout.terminated, rollout.ended),
            *(gamma, gamma * f32(self.trace_decay), rollout.advantages),
        )

    def improve(self) -> None:
        """Make the gradient steps of a rollout."""
        settings, perceptron = self.settings, self.perceptron
        start, end = settings.learning_rate, settings.final_learning_rate
        learning_rate = start + (end - start) * (self.steps - settings.rollout_steps) / settings.total_steps
        for _ in range(settings.n_epochs):
            for batch in self.rollout.batches(settings.minibatches, self.random):
                outputs = self._outputs(batch.observations, batch.masks)
                self.differentiate(outputs, batch)
                perceptron.backward(batch.observations, outputs)
                self.optimizer.update(perceptron.parameters, perceptron.gradient, learning_rate, settings.max_grad_norm)

    def _look(self, step: int, *, counted: bool = True) -> None:
        """Write the current observations, scaled if the settings say so, to a step of the rollout.

        counted  add them to the moments of the scale
        """
        observations = self.lanes.observations
        self._check_finite("observation", observations)
        if self.observation_scale is not None:
            scale = self.observation_scale.apply if counted else self.observation_scale.scaled
            observations = scale(observations)
        self.rollout.observations[step] = observations

    def _outputs(self, observations: Floats, masks: Bools | None) -> Floats:
        """Return the outputs (N, M) of the network; those of forbidden actions are FORBIDDEN."""
        outputs = self.perceptron.forward(observations)
        if masks is not None:
            np.copyto(outputs[:, : masks.shape[1]], FORBIDDEN, where=~masks)
        return outputs

    def _add_final_values(self, step: int, truncated: Bools, final: Floats) -> None:
        """Add the discounted values of the last observations of truncated episodes to their last rewards.

        Their lanes were reset in the same step, so the next row of the rollout belongs to another episode.
        """
        self._check_finite("last observation", final, np.flatnonzero(truncated))
        masks = self.lanes.masks_of(final)
        if self.observation_scale is not None:
            final = self.observation_scale.scaled(final)
        values = self.values_of(self._outputs(final, masks))
        self.rollout.rewards[step, truncated] += f32(self.settings.gamma) * values
        self.rollout.terminated[step] |= truncated

    def _check_finite(self, name: str, values: Floats, lanes: Longs | None = None) -> None:
        """Raise TrainingError if values (K, ...) of a step that the environment returned are not finite.

        lanes  (K,) their lanes; None: all lanes
        """
        if np.isfinite(values).all():
            return
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise TrainingError(
            f"the {name} that the environment returned is not finite: {values[row]} in lane "
            f"{row if lanes is None else lanes[row]}, in the rollout after {self.steps:,} interactions; correct the "
            "environment or the reward weights"
        )

    @property
    def network(self) -> Network:
        """The network from observations to one output per action, for a policy; without outputs for values."""
        actions = self.lanes.num_actions
        layers = [(layer.weights.copy(), layer.biases.copy()) for layer in self.perceptron.layers]
        layers[-1] = (layers[-1][0][:, :actions].copy(), layers[-1][1][:actions].copy())
        if self.observation_scale is not None:
            layers[0] = self.observation_scale.within(*layers[0])
        return Network(layers, self.settings.activation)

    @property
    def has_diverged(self) -> bool:
        """True if a parameter of the network is NaN, or larger in absolute value than MAX_PARAMETER."""
        return not bool((np.abs(self.perceptron.parameters) <= MAX_PARAMETER).all())

    @property
    def weights(self) -> dict[str, NDArray[Any]]:
        """Arrays that determine the policy, by name; not copied."""
        scale = {} if self.observation_scale is None else self.observation_scale.state
        return {"parameters": self.perceptron.parameters} | scale

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """All arrays that change in the training, by name; not copied. Lanes, counters and random numbers excepted."""
        scale = {} if self.reward_scale is None else self.reward_scale.state
        return self.weights | {"first_moment": self.optimizer.first, "second_moment": self.optimizer.second} | scale


@lean_kernel
def estimate_advantages(
    rewards: Floats, values: Floats, terminated: Bools, ended: Bools, gamma: f32, decay: f32, advantages: Floats
) -> None:
    """Write advantages by generalized advantage estimation.

    rewards, terminated, ended, advantages  (T, N); `ended` says whether an episode ended, terminated or truncated
    values                                  (T + 1, N), of the observations before each step and after the last one
    gamma, decay                            discount, and weight of later advantages, gamma * lambda
    """
    steps, lanes = rewards.shape
    for n in range(lanes):
        estimate = ZERO
        for t in range(steps - 1, -1, -1):
            future = ZERO if terminated[t, n] else gamma * values[t + 1, n]
            carried = ZERO if ended[t, n] else decay * estimate
            estimate = rewards[t, n] + future - values[t, n] + carried
            advantages[t, n] = estimate


__all__ = ["Batch", "OnPolicy", "Rollout", "estimate_advantages"]
