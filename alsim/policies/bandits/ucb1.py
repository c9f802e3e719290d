"""UCB1: the arm with the largest upper confidence bound.

Source: Auer, Cesa-Bianchi & Fischer (2002), Finite-time analysis of the multiarmed bandit problem.
"""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import kernel
from alsim.numerics.doubles import log
from alsim.policies.bandits.arrays import allowed_rows, shared_by_best
from alsim.policies.bandits.means import Means
from alsim.types import Bools, Doubles


@kernel
def _bounds(counts: Doubles, sums: Doubles, alpha: float, out: Doubles) -> None:
    for n in range(counts.shape[0]):
        total = 0.0
        for k in range(counts.shape[1]):
            total += counts[n, k]
        twice = 2 * log(max(total, 1.0))
        for k in range(counts.shape[1]):
            count = counts[n, k]
            out[n, k] = sums[n, k] / count + alpha * np.sqrt(twice / count) if count > 0 else np.inf


def scores(state: Means, alpha: float = 1.0) -> Doubles:
    """Compute the upper confidence bound of each arm, (N, K); infinity for an arm without a reward.

    mean + alpha * sqrt(2 log(t) / count)        t rewards of all arms
    """
    out = np.empty(state.counts.shape)
    _bounds(np.ascontiguousarray(state.counts), np.ascontiguousarray(state.sums), float(alpha), out)
    return out


def probabilities(state: Means, alpha: float = 1.0, allowed: Bools | None = None) -> Doubles:
    """Compute the probability of each arm, (N, K): uniform over the allowed arms of the largest bound."""
    bounds = scores(state, alpha)
    return shared_by_best(bounds, allowed_rows(allowed, bounds.shape))


__all__ = ["probabilities", "scores"]
