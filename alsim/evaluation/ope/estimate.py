"""Estimates of the value of a policy from logs of others, with standard errors and intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from alsim.errors import AlsimError
from alsim.evaluation.estimates import t_interval
from alsim.types import Doubles, Longs

Family = Literal["importance", "marginalised", "window", "direct"]
"""Kind of an estimator.

importance    weights of whole histories: `ips`, `pdis`, `dr`, `wdr` and their relatives
marginalised  weights of clusters of observations, step by step: `mis`
window        weights of the last few actions: `window`
direct        a model of the values, without weights: `dm`, `fqe`
"""


@dataclass(frozen=True)
class Estimate:
    """Estimated value of a policy: its expected return, or its expected reward for bandits.

    value   the estimate, in the unit of the rewards
    se      its standard error, by the delta method, from independent learners (or classes)
    ci      its confidence interval (low, high) by Student's t; None where a standard error says nothing about the error
    ess     effective sample size, in episodes: (sum of the weights)**2 / sum of their squares (Kish 1965)
    family  kind of the estimator
    terms   (n,) contribution of each episode: their mean is `value`, up to rounding, and their spread gives `se`. For
            `ips`, `tis`, `pdis` and `dr`, they are independent and unbiased, as the bounds `hoeffding` and `bernstein`
            require
    """

    value: float
    se: float
    ci: tuple[float, float] | None
    ess: float
    family: Family
    terms: Doubles = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return value, se, ci, ess and family as JSON values."""
        ci = None if self.ci is None else [*self.ci]
        return {"value": self.value, "se": self.se, "ci": ci, "ess": self.ess, "family": self.family}


def estimate_of(
    value: float,
    terms: Doubles,
    counts: Doubles,
    units: Longs | None,
    confidence: float,
    *,
    ess: float,
    family: Family,
    has_interval: bool = True,
) -> Estimate:
    """Return an estimate from the contributions of episodes.

    terms   (n,) contribution of each episode, whose mean is the value
    counts  (n,) how often each episode counts
    units   (n,) independent unit of each episode, in [0, U), U >= 2; None: each episode is one
    """
    total = counts.sum()
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        deviations = terms - value
        if units is None:
            num_units = float(total)
            squares = float((counts * deviations**2).sum())
        else:
            sums = np.bincount(units, counts * deviations)
            num_units, squares = float(len(sums)), float((sums**2).sum())
        se = float(np.sqrt(squares * num_units / (num_units - 1))) / float(total)
    if not (np.isfinite(value) and np.isfinite(se)):
        raise AlsimError("the estimate or its standard error overflows: clip the weights, or use another unit")
    ci = t_interval(value, se, int(num_units), confidence) if has_interval else None
    return Estimate(value, se, ci, ess, family, terms)


def effective_size(weights: Doubles, counts: Doubles) -> float:
    """Return the effective sample size of weights (n,) of episodes that count several times (n,); 0 if all are 0."""
    present = counts > 0
    largest = float(weights[present].max(initial=0.0))
    if largest == 0:
        return 0.0
    scaled, counted = weights[present] / largest, counts[present]
    return float((counted * scaled).sum() ** 2 / (counted * scaled**2).sum())


__all__ = ["Estimate", "Family", "effective_size", "estimate_of"]
