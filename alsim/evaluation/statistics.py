"""Means and shares with standard errors and confidence intervals."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Confidence level of the intervals."""
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Half-width of a normal interval at this level, in standard errors."""

NEWTON_STEPS = 50
"""Largest number of Newton steps for a quantile; 10 suffice for an interval of 95 %."""

Statistic = dict[str, Any]
"""A dict with the keys mean, se (its standard error), ci (its confidence interval [low, high]) and n."""


def statistic(values: NDArray[Any]) -> Statistic:
    """Return mean, standard error, 95 % interval by Student's t, and n of independent values (n,), n >= 2.

    The moments are those of the distances from the first value, so that the standard error of equal values is 0.
    """
    distances = values.astype(np.float64) - values[0]
    mean, se = mean_of(values), float(distances.std(ddof=1) / np.sqrt(len(values)))
    half = half_width(len(values)) * se
    return {"mean": mean, "se": se, "ci": [mean - half, mean + half], "n": len(values)}


def mean_of(values: NDArray[Any]) -> float:
    """Return the mean of values (n,), n >= 1; the mean of equal values is this value."""
    first = np.float64(values[0])
    return float(first + (values - first).mean())


def estimate(values: NDArray[Any], units: NDArray[Any] | None = None) -> Statistic:
    """Return a Statistic of values (n,); `mean`, `se` and `ci` are None where there are too few.

    units  independent unit of each value, (n,) integers: the statistic is that of their means; None: each value is one
    """
    values = values if units is None else unit_means(values, units)
    if len(values) > 1:
        return statistic(values)
    return {"mean": mean_of(values) if len(values) else None, "se": None, "ci": None, "n": len(values)}


def unit_means(values: NDArray[Any], units: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of the values of each of U units, (U,), in ascending order of the units.

    values, units  (n,) each; a unit is an integer
    """
    _, index, count = np.unique(units, return_inverse=True, return_counts=True)
    first = np.float64(values[0]) if len(values) else np.float64(0)  # the mean of equal values is this value
    return np.asarray(first + np.bincount(index, values - first, minlength=len(count)) / np.maximum(count, 1))


def share(flags: NDArray[np.bool_]) -> Statistic:
    """Return the share of true flags, standard error, Wilson 95 % interval and n of independent flags (n,), n >= 1.

    Unlike the normal interval, the Wilson interval has approximately its nominal coverage near 0 and 1.

    Source: Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    n, mean = len(flags), float(flags.mean())
    middle, half = mean + Z**2 / (2 * n), Z * np.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
    ci = [max(0.0, float((middle - half) / (1 + Z**2 / n))), min(1.0, float((middle + half) / (1 + Z**2 / n)))]
    return {"mean": mean, "se": float(np.sqrt(mean * (1 - mean) / n)), "ci": ci, "n": n}


@cache
def half_width(n: int) -> float:
    """Return half the width of a 95 % interval for a mean of n independent units, n >= 2, in standard errors.

    The standard error is itself an estimate, so the quantile is that of Student's t with n - 1 degrees of freedom: 12.7
    for 2 units, 2.8 for 5, 2.0 for 50.
    """
    return t_quantile((1 + CONFIDENCE) / 2, n - 1)


def t_quantile(probability: float, df: int) -> float:
    """Return the quantile of Student's t distribution.

    With t = sqrt(df) tan(x), the distribution function is 1/2 + C times the integral of cos(u)**(df - 1) from 0 to x.

    probability  in [0.5, 1)
    df           degrees of freedom, >= 1

    Returns the quantile; for probabilities up to 0.9999 and df up to 1e7, its relative error is below 1e-6.
    Source: Abramowitz & Stegun (1964), Handbook of Mathematical Functions, section 26.7.
    """
    log_c = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(math.pi) / 2
    nodes, weights = leggauss(64)
    angle = step = 0.0
    for _ in range(NEWTON_STEPS):  # the function is concave, so the steps approach the quantile from below
        below = angle / 2 * float(weights @ np.cos(angle / 2 * (1 + nodes)) ** (df - 1))
        step = ((probability - 0.5) / math.exp(log_c) - below) / math.cos(angle) ** (df - 1)
        angle += step
        if abs(step) <= 1e-12 * angle:
            break
    return math.sqrt(df) * math.tan(angle)
