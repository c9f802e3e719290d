"""Linear Thompson sampling with an independent Gaussian posterior per arm, and exact propensities.

Source: Agrawal & Goyal (2013), Thompson sampling for contextual bandits with linear payoffs.
"""

from __future__ import annotations

import numpy as np

from alsim.errors import AlsimError
from alsim.policies.bandits.arrays import allowed_rows
from alsim.policies.bandits.largest import gaussian_largest
from alsim.policies.bandits.ridge import Ridge, estimates
from alsim.types import Bools, Doubles


def posterior(state: Ridge, contexts: Doubles, alpha: float = 1.0) -> tuple[Doubles, Doubles]:
    """Compute mean and standard deviation of the reward of each arm, (N, K): x'w and alpha sqrt(x'A^-1 x)."""
    mean, variance = estimates(state, contexts)
    return mean, np.asarray(alpha * np.sqrt(variance))


def probabilities(state: Ridge, contexts: Doubles, alpha: float = 1.0, allowed: Bools | None = None) -> Doubles:
    """Compute the probability that each arm has the largest draw from its posterior, (N, K), by quadrature.

    Raises AlsimError if a mean is not finite, or a standard deviation not positive and finite: for NaN in rewards or
    contexts, for a context of zeros, or for alpha = 0.
    """
    mean, sd = posterior(state, contexts, alpha)
    if not (sd > 0).all():
        raise AlsimError(
            f"the standard deviations of lints must be positive; got {sd[~(sd > 0)][0]:g}; use alpha > 0, finite "
            "contexts, and a constant feature"
        )
    if not (np.isfinite(mean) & np.isfinite(sd)).all():
        raise AlsimError("the posteriors of lints must be finite; use finite rewards, contexts and alpha")
    out = np.zeros(mean.shape)
    gaussian_largest(mean, sd, allowed_rows(allowed, mean.shape), out)
    return out


__all__ = ["posterior", "probabilities"]
