"""Exp3: exponential weights for rewards of an adversary.

Source: Auer, Cesa-Bianchi, Freund & Schapire (2002), The nonstochastic multiarmed bandit problem, SIAM Journal on
Computing 32(1).
"""

from __future__ import annotations

import numpy as np

from alsim.policies.bandits import softmax
from alsim.policies.bandits.arrays import allowed_rows
from alsim.types import Bools, Doubles, Longs


def probabilities(log_weights: Doubles, gamma: float = 0.1, allowed: Bools | None = None) -> Doubles:
    """Compute the probability of each arm, (N, K): (1 - gamma) w / sum(w) + gamma / K over the K allowed arms."""
    which = allowed_rows(allowed, log_weights.shape)
    weights = softmax.of_values(log_weights, which)
    uniform = which / np.maximum(which.sum(axis=1, keepdims=True), 1)
    return np.asarray((1 - gamma) * weights + gamma * uniform)


def learn(
    log_weights: Doubles, rows: Longs, arms: Longs, rewards: Doubles, propensities: Doubles, gamma: float = 0.1
) -> None:
    """Add M rewards to the logarithms of the weights, in place: gamma / K * reward / propensity for the chosen arm.

    rows          (M,) row of the state of each reward; rows may repeat
    arms          (M,)
    rewards       (M,) in [0, 1]
    propensities  (M,) probability with which each arm was chosen
    """
    np.add.at(log_weights, (rows, arms), gamma / log_weights.shape[1] * (rewards / propensities))


__all__ = ["learn", "probabilities"]
