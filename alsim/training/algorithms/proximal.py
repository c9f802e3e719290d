"""Proximal policy optimization, PPO (Schulman et al., 2017, arXiv:1707.06347).

The network has the logits of A actions, then the value of the state. Policy and value share all hidden layers.
"""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import lean_kernel, phase, wide_vectors
from alsim.numerics.elementary import exp, log
from alsim.training.algorithms.on_policy import Batch, OnPolicy
from alsim.training.algorithms.perceptron import orthogonal
from alsim.training.algorithms.softmax import sample, total_of, weigh
from alsim.training.lanes import Lanes
from alsim.training.settings import PPO
from alsim.types import ONE, ZERO, Floats, Longs, f32, u64

POLICY_GAIN = 0.01
"""Gain of the initial weights of the logits: the first policy is nearly uniform."""
SMALLEST_DEVIATION = f32(1e-8)


class ProximalPolicy(OnPolicy):
    """PPO with clipping, generalized advantage estimation and an entropy bonus, without clipping of values."""

    acting = "sample"
    num_values = 1
    settings: PPO

    def __init__(self, lanes: Lanes, settings: PPO, seed: int) -> None:
        super().__init__(lanes, settings, seed)
        self.trace_decay = settings.gae_lambda
        weights, actions = self.perceptron.layers[-1].weights, lanes.num_actions
        weights[:, :actions] = POLICY_GAIN * orthogonal(self.random, len(weights), actions)
        weights[:, actions : actions + 1] = orthogonal(self.random, len(weights), 1)
        self.log_probabilities = np.empty((settings.n_steps, lanes.num_lanes), f32)
        self._scratch = np.empty((3, weights.shape[1]), f32)

    def choose(self, outputs: Floats, step: int) -> None:
        """Draw actions from the softmax of the logits."""
        actions = self.lanes.num_actions
        uniforms = self.random.random(len(outputs), f32)
        sample(outputs, actions, uniforms, self.rollout.actions[step], self.log_probabilities[step], self._scratch)
        self.rollout.values[step] = outputs[:, actions]

    def values_of(self, outputs: Floats) -> Floats:
        """Return the values of states."""
        return outputs[:, self.lanes.num_actions]

    def differentiate(self, outputs: Floats, batch: Batch) -> None:
        """Replace outputs by the gradient of the loss, with advantages of mean 0 and standard deviation 1."""
        settings, rollout, rows = self.settings, self.rollout, batch.rows
        advantages = rollout.advantages.ravel()[rows]
        targets = advantages + rollout.values[:-1].ravel()[rows]
        advantages -= advantages.mean()
        advantages /= advantages.std() + SMALLEST_DEVIATION
        differentiate_loss(
            outputs,
            self.lanes.num_actions,
            rollout.actions.ravel()[rows],
            self.log_probabilities.ravel()[rows],
            advantages,
            targets,
            f32(settings.clip_range),
            f32(settings.ent_coef),
            f32(settings.vf_coef),
            self._scratch,
        )


@phase
def differentiate_logits(
    row: Floats, count: int, weights: Floats, scale: f32, shift: f32, gain: f32, bonus: f32, entropy: f32
) -> None:
    """Replace logits by the gradient of the loss, without the term of the chosen action.

    weights, scale  probabilities are weights * scale
    shift           log probabilities are logits - shift
    gain, bonus     derivatives of the loss by the log probability of the action, negated, and by the entropy, negated
    """
    wide_vectors()
    for j in range(count):
        row[u64(j)] = weights[u64(j)] * scale * (gain + bonus * (row[u64(j)] - shift + entropy))


@phase
def multiply_by_logs(row: Floats, count: int, weights: Floats, shift: f32, products: Floats) -> None:
    """Write the products of weights and log probabilities."""
    wide_vectors()
    for j in range(count):
        products[u64(j)] = weights[u64(j)] * (row[u64(j)] - shift)


@lean_kernel
def differentiate_loss(
    outputs: Floats,
    num_actions: int,
    actions: Longs,
    old_log_probabilities: Floats,
    advantages: Floats,
    targets: Floats,
    clip: f32,
    entropy_weight: f32,
    value_weight: f32,
    scratch: Floats,
) -> None:
    """Replace the outputs (N, M) of a network by the gradient of the loss of PPO with respect to them.

    The loss is the mean over rows of: value_weight * (value - target)**2, minus the smaller of ratio * advantage and
    clipped ratio * advantage, minus entropy_weight * entropy.

    scratch  (3, M); M is at least STRIPES
    """
    rows, width = outputs.shape
    weights, products, sums = scratch[0], scratch[1], scratch[2]
    each = ONE / f32(rows)
    for n in range(rows):
        row, action, advantage = outputs[n], actions[n], advantages[n]
        largest = weigh(row, num_actions, weights)
        total = total_of(weights, num_actions, sums)
        scale, shift = ONE / total, largest + log(total)
        multiply_by_logs(row, num_actions, weights, shift, products)
        entropy = -total_of(products, num_actions, sums) * scale
        ratio = exp(row[action] - shift - old_log_probabilities[n])
        is_clipped = (ratio > ONE + clip and advantage > ZERO) or (ratio < ONE - clip and advantage < ZERO)
        gain = ZERO if is_clipped else ratio * advantage * each
        differentiate_logits(row, num_actions, weights, scale, shift, gain, entropy_weight * each, entropy)
        row[action] -= gain
        row[num_actions] = f32(2) * value_weight * each * (row[num_actions] - targets[n])
        for j in range(num_actions + 1, width):
            row[j] = ZERO


__all__ = ["ProximalPolicy", "differentiate_loss"]
