"""Means and shares with standard errors and confidence intervals."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Confidence level of the intervals."""
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Half-width of a normal interval at this level, in standard errors."""

Statistic = dict[str, Any]
"""A dict with the keys mean, se (its standard error), ci (its confidence interval [low, high]) and n."""


def statistic(values: NDArray[Any]) -> Statistic:
    """Return mean, standard error, normal 95 % confidence interval and n of independent values (n,), n >= 2.

    The moments are those of the distances from the first value, so that the standard error of equal values is 0.
    """
    distances = values.astype(np.float64) - values[0]
    mean, se = mean_of(values), float(distances.std(ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "se": se, "ci": [mean - Z * se, mean + Z * se], "n": len(values)}


def mean_of(values: NDArray[Any]) -> float:
    """Return the mean of values (n,), n >= 1; the mean of equal values is this value."""
    first = np.float64(values[0])
    return float(first + (values - first).mean())


def share(flags: NDArray[np.bool_]) -> Statistic:
    """Return the share of true flags, standard error, Wilson 95 % interval and n of independent flags (n,), n >= 1.

    Unlike the normal interval, the Wilson interval has approximately its nominal coverage near 0 and 1.

    Source: Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    n, mean = len(flags), float(flags.mean())
    middle, half = mean + Z**2 / (2 * n), Z * np.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
    ci = [max(0.0, float((middle - half) / (1 + Z**2 / n))), min(1.0, float((middle + half) / (1 + Z**2 / n)))]
    return {"mean": mean, "se": float(np.sqrt(mean * (1 - mean) / n)), "ci": ci, "n": n}
