"""LinUCB with one regression per arm: the largest upper confidence bound of a linear reward.

Source: Li, Chu, Langford & Schapire (2010), A contextual-bandit approach to personalized news article recommendation.
"""

from __future__ import annotations

import numpy as np

from alsim.policies.bandits.arrays import allowed_rows, shared_by_best
from alsim.policies.bandits.ridge import Ridge, estimates
from alsim.types import Bools, Doubles


def scores(state: Ridge, contexts: Doubles, alpha: float = 1.0) -> Doubles:
    """Compute x'w + alpha sqrt(x'A^-1 x) of each arm, (N, K), for contexts (N, d)."""
    mean, variance = estimates(state, contexts)
    return np.asarray(mean + alpha * np.sqrt(variance))


def probabilities(state: Ridge, contexts: Doubles, alpha: float = 1.0, allowed: Bools | None = None) -> Doubles:
    """Compute the probability of each arm, (N, K): uniform over the allowed arms of the largest bound."""
    bounds = scores(state, contexts, alpha)
    return shared_by_best(bounds, allowed_rows(allowed, bounds.shape))


__all__ = ["probabilities", "scores"]
