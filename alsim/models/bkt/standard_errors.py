"""Standard errors of the parameters, from the observed information."""

from __future__ import annotations

import numpy as np

from alsim.models.bkt.likelihood import Likelihood
from alsim.types import Bools, Doubles, Longs

RELATIVE_STEP = 1e-4
"""Step of numerical differentiation, as a share of the distance to 0 or 1.

The truncation error is about 1e-8 and the rounding error about 1e-10.
"""

SINGULAR = 1e-9
"""Least eigenvalue of the information on logits at which the parameters are identified.

It is a share of the larger of two values: the largest eigenvalue, and the most that as many chains can say about
p_init.
"""

MAX_FREE_PARAMETERS = 500
"""No standard errors are computed for a skill that has more free parameters, for example one with many items.

Each parameter costs two E-steps, and the memory grows with the square of their number.
"""


def at_bounds(likelihood: Likelihood, theta: Doubles) -> Bools:
    """Return whether each probability (P,) is not fixed and equals a bound, 0 and 1 included."""
    values = theta[: likelihood.num_probabilities]
    lower, upper = likelihood.lower[: len(values)], likelihood.upper[: len(values)]
    return np.asarray((upper > lower) & ((values == lower) | (values == upper)))


def standard_errors(likelihood: Likelihood, theta: Doubles) -> Doubles:
    """Return the standard error (P,) of each probability, from the inverse of each skill's information.

    The score is exact: the derivative of the log-likelihood equals that of its expectation (Fisher's identity). It is
    differentiated numerically. The standard error is NaN for a parameter that is fixed, at a bound or not identified,
    and for all parameters of a skill that has more than MAX_FREE_PARAMETERS. Fixed parameters, parameters at bounds
    and students' offsets are treated as known.

    Source: Oakes (1999), Direct calculation of the information matrix via the EM algorithm.
    """
    size = likelihood.num_probabilities
    free = (likelihood.upper > likelihood.lower)[:size] & ~at_bounds(likelihood, theta)
    by_skill = np.flatnonzero(free)[np.argsort(likelihood.skill[free], kind="stable")]
    places = np.split(by_skill, np.searchsorted(likelihood.skill[by_skill], np.arange(1, likelihood.num_skills)))
    places = [part if len(part) <= MAX_FREE_PARAMETERS else part[:0] for part in places]
    columns = [np.zeros((len(part), len(part))) for part in places]
    for j in range(max(map(len, places), default=0)):
        skills = np.array([k for k, part in enumerate(places) if len(part) > j])
        slopes = _slopes(likelihood, theta, skills, np.array([places[k][j] for k in skills]))
        for k in skills:
            columns[k][:, j] = slopes[places[k]]
    errors = np.full(size, np.nan)
    for part, slope, skill_weight in zip(places, columns, likelihood.skill_weight, strict=True):
        errors[part] = _root_diagonal_inverse(-slope, theta[part], skill_weight)
    return errors


def _slopes(likelihood: Likelihood, theta: Doubles, skills: Longs, places: Longs) -> Doubles:
    """Return the derivative of the score (P,) of each skill by one of its parameters.

    places  index in theta of that parameter, for each of `skills`
    """
    width = np.zeros(len(theta))
    width[places] = RELATIVE_STEP * np.minimum(theta[places], 1 - theta[places])
    difference = _score(likelihood, theta + width, skills) - _score(likelihood, theta - width, skills)
    by_skill = np.full(likelihood.num_skills, np.inf)
    by_skill[skills] = 2 * width[places]
    return np.asarray(difference / by_skill[likelihood.skill])


def _score(likelihood: Likelihood, theta: Doubles, skills: Longs) -> Doubles:
    """Return the derivative of the objective by each probability (P,); 0 for probabilities of 0 or 1."""
    expected = likelihood.expected(theta, skills)
    size = likelihood.num_probabilities
    p, inside = theta[:size], (theta[:size] > 0) & (theta[:size] < 1)
    events, trials = expected.events.copy(), expected.trials
    if likelihood.student_sd:  # the derivative by the logit of p_init is the surplus over each student's expectation
        known_at_first = np.bincount(
            likelihood.chain_skill, likelihood.chains.weight * likelihood.chain_init(theta), likelihood.num_skills
        )
        init = slice(0, likelihood.num_skills)
        events[init] += trials[init] * p[init] - known_at_first
    surplus = events + likelihood.alpha - 1 - (trials + likelihood.alpha + likelihood.beta - 2) * p
    return np.divide(surplus, p * (1 - p), out=np.zeros(size), where=inside)


def _root_diagonal_inverse(information: Doubles, theta: Doubles, skill_weight: float) -> Doubles:
    """Return the square roots of the diagonal of the inverse, or NaN if the information is singular.

    The information is scaled to logits first. Otherwise a small probability would look unidentified.
    """
    if len(theta) == 0:
        return np.zeros(0)
    scale = theta * (1 - theta)
    scaled = (information + information.T) / 2 * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(scaled)
    if values[0] <= SINGULAR * max(values[-1], skill_weight / 4):
        return np.full(len(theta), np.nan)
    return np.asarray(scale * np.sqrt((vectors**2 / values).sum(axis=1)))
