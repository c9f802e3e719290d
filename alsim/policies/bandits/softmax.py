"""Softmax (Boltzmann exploration) over the mean rewards of arms.

Source: Luce (1959), Individual choice behavior; Sutton & Barto (2018), Reinforcement learning, section 2.8.
"""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import kernel
from alsim.numerics.doubles import exp
from alsim.policies.bandits.arrays import allowed_rows
from alsim.policies.bandits.means import Means, means_of
from alsim.types import Bools, Doubles


@kernel
def _softmax(values: Doubles, allowed: Bools, out: Doubles) -> None:
    """Write exp(value) over the sum of the allowed arms; a state of one row broadcasts."""
    for n in range(allowed.shape[0]):
        s = n if values.shape[0] > 1 else 0
        largest, total = -np.inf, 0.0
        for k in range(values.shape[1]):
            if allowed[n, k]:
                largest = max(largest, values[s, k])
        for k in range(values.shape[1]):
            if allowed[n, k]:
                out[n, k] = exp(values[s, k] - largest)
                total += out[n, k]
        for k in range(values.shape[1]):
            if allowed[n, k]:
                out[n, k] /= total


def of_values(values: Doubles, allowed: Bools | None = None) -> Doubles:
    """Compute exp(value) divided by the sum over the allowed arms, (N, K); 0 where no arm is allowed."""
    which = allowed_rows(allowed, values.shape)
    out = np.zeros(which.shape)
    _softmax(np.ascontiguousarray(values), which, out)
    return out


def probabilities(state: Means, temperature: float = 0.1, allowed: Bools | None = None) -> Doubles:
    """Compute the probability of each arm, (N, K), proportional to exp(mean reward / temperature)."""
    return of_values(means_of(state) / temperature, allowed)


__all__ = ["of_values", "probabilities"]
