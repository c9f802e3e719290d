"""Standard errors of the parameters, from the observed information."""

from __future__ import annotations

import numpy as np

from alsim.models.bkt.em import Likelihood
from alsim.types import Bools, Doubles, Longs

STEP = 1e-4
"""Of numerical differentiation, as a share of the distance to 0 or 1: errors of 1e-8 in theory, 1e-10 by rounding."""

SINGULAR = 1e-9
"""Information on logits whose least eigenvalue is this share of the largest, or of what as many chains could tell of
p_init, does not tell the parameters apart."""

MOST = 500
"""Of a skill with more free parameters than this, as with many items, the information is not computed: each costs two
E-steps, and their square in memory."""


def at_bounds(likelihood: Likelihood, theta: Doubles) -> Bools:
    """Tell of each probability (P,) whether it stands at a bound, 0 and 1 included, and is not fixed."""
    values = theta[: likelihood.num_probabilities]
    lower, upper = likelihood.lower[: len(values)], likelihood.upper[: len(values)]
    return np.asarray((upper > lower) & ((values == lower) | (values == upper)))


def standard_errors(likelihood: Likelihood, theta: Doubles) -> Doubles:
    """Return the standard error (P,) of each probability: the inverse information, of each skill by itself.

    The score is exact: the derivative of the log-likelihood is that of its expectation (Fisher's identity). It is
    differentiated numerically. NaN for a parameter that is fixed, stands at a bound, or cannot be told from others,
    and for those of a skill that has more than MOST; the rest are as if those were known. So are the students' offsets.

    Source: Oakes (1999), Direct calculation of the information matrix via the EM algorithm.
    """
    size = likelihood.num_probabilities
    free = (likelihood.upper > likelihood.lower)[:size] & ~at_bounds(likelihood, theta)
    by_skill = np.flatnonzero(free)[np.argsort(likelihood.skill[free], kind="stable")]
    places = np.split(by_skill, np.searchsorted(likelihood.skill[by_skill], np.arange(1, likelihood.num_skills)))
    places = [own if len(own) <= MOST else own[:0] for own in places]
    columns = [np.zeros((len(own), len(own))) for own in places]
    for j in range(max(map(len, places), default=0)):
        skills = np.array([k for k, own in enumerate(places) if len(own) > j])
        slopes = _slopes(likelihood, theta, skills, np.array([places[k][j] for k in skills]))
        for k in skills:
            columns[k][:, j] = slopes[places[k]]
    errors = np.full(size, np.nan)
    for own, slope, seen in zip(places, columns, likelihood.seen, strict=True):
        errors[own] = _inverted(-slope, theta[own], seen)
    return errors


def _slopes(likelihood: Likelihood, theta: Doubles, skills: Longs, places: Longs) -> Doubles:
    """Return how the score (P,) changes with one parameter of each of these skills, each with its own skill's."""
    width = np.zeros(len(theta))
    width[places] = STEP * np.minimum(theta[places], 1 - theta[places])
    difference = _score(likelihood, theta + width, skills) - _score(likelihood, theta - width, skills)
    by_skill = np.full(likelihood.num_skills, np.inf)
    by_skill[skills] = 2 * width[places]
    return np.asarray(difference / by_skill[likelihood.skill])


def _score(likelihood: Likelihood, theta: Doubles, skills: Longs) -> Doubles:
    """Return the derivative of what is maximised by each probability (P,); 0 for those at 0 or 1."""
    found = likelihood.expected(theta, skills)
    size = likelihood.num_probabilities
    p, inside = theta[:size], (theta[:size] > 0) & (theta[:size] < 1)
    happened, chances = found.happened.copy(), found.chances
    if likelihood.student_sd:  # d log-likelihood / d logit is the surplus over what was expected of each student
        expected = np.bincount(
            likelihood.chain_skill, likelihood.chains.weight * likelihood.chance_of_known(theta), likelihood.num_skills
        )
        own = slice(0, likelihood.num_skills)
        happened[own] += chances[own] * p[own] - expected
    surplus = happened + likelihood.alpha - 1 - (chances + likelihood.alpha + likelihood.beta - 2) * p
    return np.divide(surplus, p * (1 - p), out=np.zeros(size), where=inside)


def _inverted(information: Doubles, theta: Doubles, seen: float) -> Doubles:
    """Return the square roots of the diagonal of the inverse; NaN where there is none.

    Scaled to logits first, so that a small probability is not taken for one that nothing tells.
    """
    if len(theta) == 0:
        return np.zeros(0)
    scale = theta * (1 - theta)
    scaled = (information + information.T) / 2 * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(scaled)
    if values[0] <= SINGULAR * max(values[-1], seen / 4):
        return np.full(len(theta), np.nan)
    return np.asarray(scale * np.sqrt((vectors**2 / values).sum(axis=1)))
