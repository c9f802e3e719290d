"""Recalibration of probabilities by Platt scaling, of all learners together or of each group, on held-out learners."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.fairness.inputs import read_grouping, read_unit_interval
from alsim.evaluation.statistics_input import read_learners
from alsim.models.logistic import logistic
from alsim.types import Doubles, Longs

FOLDS = 2
"""Number of folds of learners: the map of a fold is fitted to the others."""
LEAST = 1e-6
"""Distance from 0 and 1 at which probabilities are clipped for their logits."""
PRIOR_PRECISION = 1.0
"""Precision of the normal prior of both coefficients, centred at the identity map, so that the fit is always finite."""
LEAST_LEARNERS = 3
"""Smallest number of learners, so that both folds have some."""
IDENTITY = (0.0, 1.0)
"""Intercept and slope of the map that changes nothing."""
MAX_STEPS, TOLERANCE = 100, 1e-10


def platt_scaling(
    probability: ArrayLike, outcome: ArrayLike, groups: ArrayLike | None = None, learners: ArrayLike | None = None
) -> Doubles:
    """Recalibrate probabilities by Platt scaling, fitted to other learners than those it is applied to.

        logit q = u + v logit p,   (u, v) maximise  sum y log q + (1 - y) log(1 - q) - (u^2 + (v - 1)^2) / 2

    Every second pair of learners, in ascending order, forms a fold, and the map of a fold is fitted to the learners of
    the other one. An outcome may be a share: its likelihood is then a quasi-likelihood.

    probability  (R,) probabilities p
    outcome      (R,) outcomes y in [0, 1]
    groups       (R,) group of each row: each has a map; None: one map for all
    learners     (R,) integers, the learner of each row; None: each row is one

    Returns the recalibrated probabilities q, (R,). Raises AlsimError for invalid arguments.
    Sources: Platt (1999), Advances in Large Margin Classifiers, 61-74; Papke & Wooldridge (1996), Journal of Applied
    Econometrics 11, 619-632, for shares.
    """
    p = read_unit_interval(probability, "probability")
    y = read_unit_interval(outcome, "outcome", len(p))
    units = read_learners(learners, p)
    codes = np.zeros(len(p), np.int64) if groups is None else read_grouping(groups, learners, len(p)).codes
    return scaled(p, y, codes, np.arange(len(p)) if units is None else units)


def scaled(p: Doubles, y: Doubles, codes: Longs, units: Longs) -> Doubles:
    """Return recalibrated probabilities, with one map for each code, see `platt_scaling`."""
    place = np.unique(units, return_inverse=True)[1].ravel()
    few = min(len(np.unique(place[codes == code])) for code in np.unique(codes))
    if few < LEAST_LEARNERS:
        raise AlsimError(
            f"recalibration needs at least {LEAST_LEARNERS} learners, in each group if by group; got {few}: collect "
            "more"
        )
    x = np.log(np.clip(p, LEAST, 1 - LEAST)) - np.log1p(-np.clip(p, LEAST, 1 - LEAST))
    out = np.empty(len(p))
    for code in np.unique(codes):
        own = codes == code
        # Pairs of learners, balanced within each group: single ones would be the folds of a model that was fitted here.
        fold = np.unique(place[own], return_inverse=True)[1].ravel() // 2 % FOLDS
        rows = np.flatnonzero(own)
        for k in range(FOLDS):
            train, test = rows[fold != k], rows[fold == k]
            u, v = _fit(x[train], y[train])
            out[test] = logistic(u + v * x[test])
    return out


def _fit(x: Doubles, y: Doubles) -> tuple[float, float]:
    """Return intercept and slope of the penalised regression of outcomes on logits, by Newton's method with halving."""
    design, beta = np.stack([np.ones(len(x)), x]), np.array(IDENTITY)
    value = _objective(beta, design, y)
    for _ in range(MAX_STEPS):
        q = logistic(beta @ design)
        gradient = design @ (y - q) - PRIOR_PRECISION * (beta - IDENTITY)
        information = (design * (q * (1 - q))) @ design.T + PRIOR_PRECISION * np.eye(2)
        step = np.linalg.solve(information, gradient)
        while (new := _objective(beta + step, design, y)) < value and np.abs(step).max() > TOLERANCE:
            step /= 2
        if np.abs(step).max() <= TOLERANCE:
            break
        beta, value = beta + step, new
    return float(beta[0]), float(beta[1])


def _objective(beta: Doubles, design: Doubles, y: Doubles) -> float:
    """Return the penalised log-likelihood of intercept and slope, which is concave."""
    x = beta @ design
    likelihood = y * x - np.logaddexp(0.0, x)
    return float(likelihood.sum() - PRIOR_PRECISION / 2 * ((beta - IDENTITY) ** 2).sum())


__all__ = ["platt_scaling", "scaled"]
