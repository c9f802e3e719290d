"""Recalibration of probabilities by Platt scaling, of all learners together or of each group, on held-out learners."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.fairness.inputs import Grouping, read_grouping, read_unit_interval
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
    if groups is not None:
        found = read_grouping(groups, learners, len(p))
        if few := too_few(found):
            raise AlsimError(f"recalibration by group {few}: merge the group with another one, or collect more")
        return scaled(p, y, found.codes, found.units)
    units = np.arange(len(p)) if units is None else units
    if (number := len(np.unique(units))) < LEAST_LEARNERS:
        raise AlsimError(f"recalibration needs at least {LEAST_LEARNERS} learners; got {number}: collect more")
    return scaled(p, y, np.zeros(len(p), np.int64), units)


def too_few(groups: Grouping) -> str:
    """Return a clause about the smallest group if it has too few learners for a map, or else an empty text."""
    g = int(groups.members.argmin())
    if groups.members[g] >= LEAST_LEARNERS:
        return ""
    return f"needs at least {LEAST_LEARNERS} learners in each group; got {groups.members[g]} in {groups.names[g]!r:.60}"


def notes_of(groups: Grouping) -> list[str]:
    """Return the note about a recalibration that `versions_of` leaves out."""
    return [f"there is no recalibration, which {few}"] if (few := too_few(groups)) else []


def versions_of(p: Doubles, y: Doubles, groups: Grouping) -> tuple[Doubles, ...]:
    """Return probabilities (R,) as they are, by one map, and by a map per group; the first only if a group is small."""
    if too_few(groups):
        return (p,)
    return p, scaled(p, y, np.zeros_like(groups.codes), groups.units), scaled(p, y, groups.codes, groups.units)


def scaled(p: Doubles, y: Doubles, codes: Longs, units: Longs) -> Doubles:
    """Return recalibrated probabilities, with one map for each code, see `platt_scaling`."""
    place = np.unique(units, return_inverse=True)[1].ravel()
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


__all__ = ["notes_of", "platt_scaling", "scaled", "versions_of"]
