"""Estimates with standard errors and intervals, and their computation from valid arguments.

The module is for the package: `alsim.evaluation.statistics` has the public functions, which check their arguments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.evaluation.student_t import t_quantile, two_sided_p
from alsim.types import Doubles, Longs

CONFIDENCE = 0.95
"""Default confidence level of the intervals."""
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Half-width of a normal interval at this level, in standard errors."""

StatisticJSON = dict[str, Any]
"""A statistic as JSON: a dict with the keys mean, se, ci ([low, high]) and n; None for undefined numbers."""


@dataclass(frozen=True)
class Statistic:
    """Estimate with its standard error, confidence interval, and number of independent units.

    mean       the estimate; NaN without a defined value
    se         its standard error, in the unit of the values; NaN for fewer than two units
    ci         its confidence interval (low, high); NaN where it is undefined
    n          number of independent units: learners, classes, or values
    undefined  number of values (or pairs of values) that are NaN and were left out
    """

    mean: float
    se: float
    ci: tuple[float, float]
    n: int
    undefined: int = 0

    def to_dict(self) -> StatisticJSON:
        """Return the keys mean, se, ci and n as JSON values; undefined numbers are None."""
        ci = None if math.isnan(self.ci[0]) else [*self.ci]
        return {"mean": or_none(self.mean), "se": or_none(self.se), "ci": ci, "n": self.n}


@dataclass(frozen=True)
class PairedDifference(Statistic):
    """Mean of paired differences with the p-value of the paired t test.

    p  probability of a difference at least this far from 0, if the expected difference is 0; two-sided; NaN for fewer
       than two units. If all differences are equal, it is that of the sign test, 2**(1 - n), and 1 if they are 0
    """

    p: float = math.nan

    def to_dict(self) -> StatisticJSON:
        """Return the keys mean, se, ci, n and p as JSON values; undefined numbers are None."""
        return super().to_dict() | {"p": or_none(self.p)}


def estimate(values: NDArray[Any], units: Longs | None = None, confidence: float = CONFIDENCE) -> Statistic:
    """Return the Statistic of values (K,), K >= 0, see `mean`.

    units  independent unit of each value, (K,) integers: the statistic is that of their means; None: each value is one
    """
    defined, kept = defined_only(values.astype(np.float64), units)
    means = defined if kept is None else unit_means(defined, kept)
    n, undefined = len(means), len(values) - len(defined)
    center = mean_of(means) if n else math.nan
    if n < 2:
        return Statistic(center, math.nan, (math.nan, math.nan), n, undefined)
    se = float(deviation_of(means) / np.sqrt(n))
    return Statistic(center, se, t_interval(center, se, n, confidence), n, undefined)


def paired(differences: Doubles, units: Longs | None = None, confidence: float = CONFIDENCE) -> PairedDifference:
    """Return the PairedDifference of differences (K,), K >= 0, see `paired_difference` and `estimate`."""
    found = estimate(differences, units, confidence)
    p = math.nan
    if found.n > 1:
        p = two_sided_p(found.mean / found.se, found.n - 1) if found.se else _sign_test(found.mean, found.n)
    return PairedDifference(found.mean, found.se, found.ci, found.n, found.undefined, p)


def _sign_test(difference: float, n: int) -> float:
    """Return the p-value of n equal differences, for which the t test is undefined: 1 if they are 0.

    Without an effect, both signs of a difference are equally probable. All n are the same with probability 2**(1 - n).
    """
    return 2.0 ** (1 - n) if difference else 1.0


def reduction(a: Doubles, b: Doubles, units: Longs | None = None) -> float:
    """Return (Var(a) + Var(b)) / Var(a - b) of pairs (K,), K >= 0, see `variance_reduction` and `estimate`."""
    both = ~np.isnan(a - b)
    columns = [values[both] for values in (a, b, a - b)]
    if units is not None:
        columns = [unit_means(values, units[both]) for values in columns]
    if len(columns[0]) < 2:
        return math.nan
    one, other, between = (deviation_of(values) ** 2 for values in columns)
    return (one + other) / between if between > 0 else math.nan


def defined_only(values: Doubles, units: Longs | None) -> tuple[Doubles, Longs | None]:
    """Return the values that are not NaN, and their units."""
    defined = ~np.isnan(values)
    if defined.all():
        return values, units
    return values[defined], None if units is None else units[defined]


def mean_of(values: NDArray[Any]) -> float:
    """Return the mean of values (n,), n >= 1; the mean of equal values is this value."""
    first = np.float64(values[0])
    return float(first + (values - first).mean())


def deviation_of(values: Doubles) -> float:
    """Return the standard deviation with n - 1 of values (n,), n >= 2; that of equal values is 0."""
    return float((values - values[0]).std(ddof=1))


def unit_means(values: NDArray[Any], units: NDArray[Any]) -> Doubles:
    """Return the mean of the values of each of U units, (U,), in ascending order of the units.

    values, units  (n,) each; a unit is an integer
    """
    _, index, count = np.unique(units, return_inverse=True, return_counts=True)
    first = np.float64(values[0]) if len(values) else np.float64(0)  # the mean of equal values is this value
    return np.asarray(first + np.bincount(index, values - first, minlength=len(count)) / np.maximum(count, 1))


def t_interval(center: float, se: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval of Student's t of an estimate from n independent units, n >= 2, with standard error `se`."""
    half = half_width(n, confidence) * se
    return center - half, center + half


@cache
def half_width(n: int, confidence: float = CONFIDENCE) -> float:
    """Return half the width of an interval for a mean of n independent units, n >= 2, in standard errors.

    The standard error is itself an estimate, so the quantile is that of Student's t with n - 1 degrees of freedom: at
    95 %, 12.7 for 2 units, 2.8 for 5, 2.0 for 50.
    """
    return t_quantile((1 + confidence) / 2, n - 1)


def normal_half_width(confidence: float) -> float:
    """Return half the width of a normal interval, in standard errors."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson_ends(share: float, n: float, z: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of n trials, at z standard errors, see `wilson`; n need not be an integer."""
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    # Rounding may move an end beyond the share, where they are equal: at 0 and 1.
    return 0.0 if share == 0 else max(0.0, low), 1.0 if share == 1 else min(1.0, high)


def or_none(number: float) -> float | None:
    """Return a number as a JSON value: None for NaN."""
    return None if math.isnan(number) else number


__all__ = [
    "CONFIDENCE",
    "PairedDifference",
    "Statistic",
    "StatisticJSON",
    "Z",
    "defined_only",
    "deviation_of",
    "estimate",
    "half_width",
    "mean_of",
    "normal_half_width",
    "or_none",
    "paired",
    "reduction",
    "t_interval",
    "unit_means",
    "wilson_ends",
]
