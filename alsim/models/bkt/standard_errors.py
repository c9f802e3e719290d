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
"""Parameters are identified if the smallest eigenvalue of their information on the logit scale exceeds a threshold.

The threshold is this share of the larger of two values: the largest eigenvalue, and the largest information about
p_init that the chains could have.
"""

MAX_FREE_PARAMETERS = 500
"""Largest number of free parameters of a skill for which standard errors are computed.

A skill has more if it has many items and parameters that differ by item. Each parameter costs two E-steps, and memory
grows with the square of their number.
"""


def at_bounds(likelihood: Likelihood, theta: Doubles) -> Bools:
    """Return whether each probability (P,) is fitted and equals a bound, 0 and 1 included."""
    values = theta[: likelihood.num_probabilities]
    lower, upper = likelihood.lower[: len(values)], likelihood.upper[: len(values)]
    return np.asarray((upper > lower) & ((values == lower) | (values == upper)))


def standard_errors(likelihood: Likelihood, theta: Doubles) -> Doubles:
    """Return the standard error (P,) of each probability, from the inverse of each skill's information.

    likelihood  the chains, bounds and priors
    theta       (P,) parameters at the maximum

    The score is exact: the derivative of the log-likelihood equals the expected derivative of the log-likelihood of
    responses and states (Fisher's identity). Its own derivatives are computed numerically.

    The standard error is NaN for a parameter that is fixed, at a bound or not identified. It is NaN for all parameters
    of a skill that has more than MAX_FREE_PARAMETERS. Fixed parameters, parameters at bounds and students' offsets are
    treated as known.

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


def identified(likelihood: Likelihood, theta: Doubles, errors: Doubles | None, converged: Bools) -> Bools:
    """Return whether the responses and the priors determine the parameters of each skill (K,).

    theta      (P,) parameters at the maximum
    errors     (P,) result of `standard_errors`; None if they were not computed
    converged  (K,) whether the fit of the skill converged

    A skill is not identified if its information is singular. It is not either if no student has two responses to it,
    since these depend on p_init (1 - p_slip) + (1 - p_init) p_guess only.
    """
    size, skill = likelihood.num_probabilities, likelihood.skill
    fitted = (likelihood.upper > likelihood.lower)[:size]
    is_open = fitted & (likelihood.alpha == 1) & (likelihood.beta == 1)
    transitions = np.zeros(size, np.bool_)
    transitions[np.concatenate([likelihood.of_group["p_learn"], likelihood.of_group["p_forget"]])] = True

    def count(parameters: Bools) -> Longs:
        return np.bincount(skill[parameters], minlength=likelihood.num_skills)

    longest = np.zeros(likelihood.num_skills, np.int64)
    np.maximum.at(longest, likelihood.chain_skill, np.diff(likelihood.chains.begin))
    single = (longest == 1) & ((count(is_open) > 1) | (count(is_open & transitions) > 0))
    if errors is None:
        return np.asarray(~single)
    inner = fitted & ~at_bounds(likelihood, theta)
    without_error = count(inner & np.isnan(errors))
    singular = (without_error > 0) & (count(inner) <= MAX_FREE_PARAMETERS) & converged
    return np.asarray(~(single | singular))


def _slopes(likelihood: Likelihood, theta: Doubles, skills: Longs, places: Longs) -> Doubles:
    """Return the derivative (P,) of the score of each skill with respect to one of its parameters.

    theta   (P,) parameters
    skills  numbers of the skills
    places  index in theta of that parameter, for each of `skills`
    """
    width = np.zeros(len(theta))
    width[places] = RELATIVE_STEP * np.minimum(theta[places], 1 - theta[places])
    difference = _score(likelihood, theta + width, skills) - _score(likelihood, theta - width, skills)
    by_skill = np.full(likelihood.num_skills, np.inf)
    by_skill[skills] = 2 * width[places]
    return np.asarray(difference / by_skill[likelihood.skill])


def _score(likelihood: Likelihood, theta: Doubles, skills: Longs) -> Doubles:
    """Return the derivative (P,) of the objective with respect to each probability; 0 for probabilities of 0 or 1."""
    expected = likelihood.expected(theta, skills)
    size = likelihood.num_probabilities
    p, inside = theta[:size], (theta[:size] > 0) & (theta[:size] < 1)
    events, trials = expected.events.copy(), expected.trials
    if likelihood.student_sd:  # each chain has another p_init, so `trials` times the skill's p_init is not their sum
        known_at_first = np.bincount(
            likelihood.chain_skill, likelihood.chains.weight * likelihood.chain_init(theta), likelihood.num_skills
        )
        init = slice(0, likelihood.num_skills)
        events[init] += trials[init] * p[init] - known_at_first
    surplus = events + likelihood.alpha - 1 - (trials + likelihood.alpha + likelihood.beta - 2) * p
    return np.divide(surplus, p * (1 - p), out=np.zeros(size), where=inside)


def _root_diagonal_inverse(information: Doubles, theta: Doubles, skill_weight: float) -> Doubles:
    """Return the square roots of the diagonal of the inverse information, or NaN if it is singular.

    information   (F, F) observed information of F free parameters
    theta         (F,) these parameters
    skill_weight  sum of the weights of the skill's chains

    The information is first transformed to the logit scale. Otherwise a small probability would seem not identified.
    """
    if len(theta) == 0:
        return np.zeros(0)
    scale = theta * (1 - theta)
    scaled = (information + information.T) / 2 * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(scaled)
    if values[0] <= SINGULAR * max(values[-1], skill_weight / 4):
        return np.full(len(theta), np.nan)
    return np.asarray(scale * np.sqrt((vectors**2 / values).sum(axis=1)))
