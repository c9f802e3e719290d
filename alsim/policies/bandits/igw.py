"""Inverse-gap weighting (SquareCB) over the mean rewards of arms.

Source: Abe & Long (1999), Associative reinforcement learning using linear probabilistic concepts; Foster & Rakhlin
(2020), Beyond UCB: optimal and efficient contextual bandits with regression oracles.
"""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import kernel
from alsim.policies.bandits.arrays import allowed_rows
from alsim.policies.bandits.means import Means, means_of
from alsim.types import Bools, Doubles


@kernel
def _inverse_gaps(values: Doubles, gamma: float, allowed: Bools, out: Doubles) -> None:
    for n in range(allowed.shape[0]):
        s = n if values.shape[0] > 1 else 0
        best, count, rest = -1, 0, 1.0
        for k in range(values.shape[1]):
            if allowed[n, k]:
                count += 1
                if best < 0 or values[s, k] > values[s, best]:
                    best = k
        for k in range(values.shape[1]):
            if allowed[n, k] and k != best:
                out[n, k] = 1 / (count + gamma * (values[s, best] - values[s, k]))
                rest -= out[n, k]
        if best >= 0:
            out[n, best] = rest


def of_values(values: Doubles, gamma: float, allowed: Bools | None = None) -> Doubles:
    """Compute the probability of each arm from estimated rewards, (N, K); 0 where no arm is allowed.

        p(k) = 1 / (K + gamma * (largest value - value of k))        for all arms but the best, which has the rest

    K is the number of allowed arms. The first of several best arms has the rest.
    """
    which = allowed_rows(allowed, values.shape)
    out = np.zeros(which.shape)
    _inverse_gaps(np.ascontiguousarray(values), float(gamma), which, out)
    return out


def probabilities(state: Means, gamma: float = 20.0, allowed: Bools | None = None) -> Doubles:
    """Compute the probability of each arm from its mean reward, (N, K); the mean without a reward is 0."""
    return of_values(means_of(state), gamma, allowed)


__all__ = ["of_values", "probabilities"]
