"""Bounds of statistical checks: exact inequalities, so that a check rarely fails by chance for any number of lanes."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.types import Doubles

FALSE_ALARM = 1e-6
"""Maximum probability that a statistical check fails by chance."""
TESTS = 5
"""Maximum number of tests in one check; each test is two-sided."""
RARE = math.log(2 * TESTS / FALSE_ALARM)
"""A check fails if it observes an event with a probability below exp(-RARE)."""
QUANTILE_LEVELS = (0.1, 0.5, 0.9)
FLOAT32 = 1e-5
"""Tolerance for float32 arithmetic, far below the effects that are tested."""


class Moments(NamedTuple):
    """Mean and central moments of a distribution, or of that of each value, and two tail scales, see `mean_bound`.

    fourth           fourth central moment
    scale            tail scale of a value
    scale_of_square  tail scale of the squared distance from the mean
    """

    mean: Any
    variance: Any
    fourth: Any
    scale: float
    scale_of_square: float


def check_moments(values: Doubles, expected: Moments, tolerance: float) -> tuple[bool, str]:
    """Return whether mean and variance of a sample agree with a distribution, and a text with both.

    tolerance  error that each value may have
    """
    n = len(values)
    center, variance = float(np.mean(expected.mean)), float(np.mean(expected.variance))
    distances = values - expected.mean
    found, spread = float(distances.mean()), float((distances**2).mean())
    variance_of_square = float(np.mean(np.maximum(expected.fourth - np.square(expected.variance), 0.0)))
    bound = mean_bound(variance, expected.scale, n) + tolerance
    slack = tolerance * (2 * math.sqrt(variance) + tolerance)
    spread_bound = mean_bound(variance_of_square, expected.scale_of_square, n) + slack
    return (
        abs(found) <= bound and abs(spread - variance) <= spread_bound,
        f"{n:,} values, mean {center + found:.4f}, variance {spread:.4f}",
    )


def mean_bound(variance: float, scale: float, n: int) -> float:
    """Return the largest plausible distance of the mean of n independent values from its expectation.

        sqrt(2 variance RARE / n) + scale RARE / n

    variance  variance of a value
    scale     tail scale of a value: 0 if it is normal; 2 v for the square of a normal value of variance v (Laurent
              and Massart); a third of the largest distance from the expectation if that is bounded (Bernstein)
    Source: Boucheron, Lugosi & Massart (2013), Concentration Inequalities, section 2.4.
    """
    return math.sqrt(2 * variance * RARE / n) + scale * RARE / n


def check_shares(values: Doubles, quantiles: Any, tolerance: Any) -> tuple[bool, str]:
    """Return whether the shares of values below the quantiles agree with QUANTILE_LEVELS, and a text with them.

    quantiles   one per level: a number, or an array with one entry per value
    tolerance   error that each value may have: a number, or an array with one entry per value

    The probability of a value below a quantile is at most the level, and that of a value up to the quantile is at
    least the level. This also holds for distributions with atoms.
    """
    ok, measured = True, []
    for level, quantile in zip(QUANTILE_LEVELS, quantiles, strict=True):
        below, up_to = float((values < quantile - tolerance).mean()), float((values <= quantile + tolerance).mean())
        ok &= not (below > level and is_rare(below, level, len(values)))
        ok &= not (up_to < level and is_rare(up_to, level, len(values)))
        measured.append(f"{100 * up_to:.1f}")
    levels = ", ".join(f"{100 * level:.0f}" for level in QUANTILE_LEVELS)
    return ok, f"{', '.join(measured)} % up to its {levels} % quantiles"


def is_rare(share: float, p: float, n: int) -> bool:
    """Return whether a share at least this far from p, on this side, has a probability below exp(-RARE).

    share   relative frequency among n independent events of mean probability p

    Source: Hoeffding (1963), theorem 1: the probability is at most exp(-n KL(share, p)).
    """

    def term(x: float, y: float) -> float:
        return 0.0 if x == 0 else math.inf if y <= 0 else x * math.log(x / y)

    return n * (term(share, p) + term(1 - share, 1 - p)) > RARE


def beta_quantiles(a: float, b: float, points: int = 20_001) -> list[float]:
    """Return the quantiles of Beta(a, b) at QUANTILE_LEVELS, by the trapezoidal rule.

    a, b    parameters of the distribution, > 0
    points  number of points of the trapezoidal rule

    The probability below each quantile differs from its level by less than 1e-6. As a function of
    y = log(x / (1 - x)), the density is log-concave, with tails of rates a (left) and b (right), so it has no
    singularities even for small a and b. The points are dense near the mode and sparse in the tails.
    """
    a, b = max(a, 1e-300), max(b, 1e-300)
    width = math.sqrt(1 / a + 1 / b)
    step_scale = min(1.0, width)
    limit = math.asinh(40 * (width + 1 / a + 1 / b) / step_scale)
    u = np.linspace(-limit, limit, points)
    y = math.log(a) - math.log(b) + step_scale * np.sinh(u)
    log_density = -a * np.logaddexp(0, -y) - b * np.logaddexp(0, y)
    weight = np.exp(log_density - log_density.max()) * np.cosh(u)
    below = np.concatenate([[0.0], np.cumsum(weight[1:] + weight[:-1])])
    quantiles = np.interp(QUANTILE_LEVELS, below / below[-1], y)
    return [float(x) for x in np.exp(-np.logaddexp(0, -quantiles))]


def time_distributions(bank: Bank, minimum: float) -> Doubles:
    """Return the columns of `time_distribution` for each question, (Q, 8)."""
    columns = (bank.questions.response_time_mean, bank.questions.response_time_std)
    pairs, indices = np.unique(np.stack(columns, axis=1).astype(np.float64), axis=0, return_inverse=True)
    rows = [time_distribution(mean, std, minimum) for mean, std in pairs.tolist()]
    return np.array(rows)[indices.reshape(-1)]


def time_distribution(mean: float, std: float, minimum: float) -> list[float]:
    """Return properties of the response time max(minimum, N(mean, std)), in seconds.

    Returns the s.d. of the normal, the float32 tolerance of a time, the mean, the smallest and largest
    probability of the atom at the minimum within this tolerance, and the quantiles at QUANTILE_LEVELS.
    """
    normal, tolerance = NormalDist(), FLOAT32 * (abs(mean) + std + minimum)

    def standardise(seconds: float) -> float:
        """Return the distance from the mean in s.d., limited to ±40; it is defined also for an s.d. of 0."""
        return min(40.0, max(-40.0, (seconds - mean) / max(std, tolerance / 40, 1e-300)))

    cut = standardise(minimum)
    below = normal.cdf(cut)
    expectation = minimum * below + mean * (1 - below) + std * normal.pdf(cut)
    if std == 0:
        expectation = max(minimum, mean)
    atom = [normal.cdf(standardise(minimum - tolerance)), normal.cdf(standardise(minimum + tolerance))]
    quantiles = [max(minimum, mean + std * normal.inv_cdf(p)) for p in QUANTILE_LEVELS]
    return [std, tolerance, expectation, *atom, *quantiles]
