"""Rates of groups with intervals, and the gaps between groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from alsim.evaluation.estimates import (
    CONFIDENCE,
    Statistic,
    half_width,
    normal_half_width,
    or_none,
    t_interval,
    wilson_ends,
)
from alsim.evaluation.fairness.inputs import Grouping
from alsim.evaluation.statistics import holm
from alsim.evaluation.student_t import two_sided_p
from alsim.types import Bools, Doubles


@dataclass(frozen=True)
class Rate:
    """Rate, or mean, of a group.

    mean      the rate, over rows; NaN without rows
    se        its standard error, robust to several rows per unit; NaN for fewer than two units
    units     number of independent units with rows
    rows      number of rows
    is_share  whether it is a share of rows
    is_clustered  whether a unit may have several rows
    """

    mean: float
    se: float
    units: int
    rows: int
    is_share: bool
    is_clustered: bool

    @property
    def effective(self) -> float:
        """Number of independent rows with the same standard error of a share; the units, if all rows are equal."""
        if not self.is_clustered:
            return float(self.rows)
        return self.mean * (1 - self.mean) / self.se**2 if self.se > 0 else float(self.units)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval: Wilson's for a share, and Student's t for a mean; NaN if it is undefined."""
        if self.rows == 0 or math.isnan(self.se):
            return math.nan, math.nan
        if not self.is_share:
            return t_interval(self.mean, self.se, self.units, confidence)
        z = half_width(self.units, confidence) if self.is_clustered else normal_half_width(confidence)
        return wilson_ends(self.mean, self.effective, z)

    def statistic(self, confidence: float) -> Statistic:
        """Return the rate as a Statistic, whose n is the number of independent units."""
        return Statistic(self.mean, self.se, self.interval(confidence), self.units)


@dataclass(frozen=True)
class Gap:
    """Difference between the groups with the highest and the lowest rate.

    difference  highest - lowest rate, at least 0; NaN for fewer than two groups with a rate
    ratio       lowest / highest rate; NaN if the highest is 0, or if rates may be negative
    ci          interval of the difference, simultaneous for all pairs of groups
    p           probability of so large a test statistic of any pair, if all groups have the same rate
    highest, lowest  names of these groups; empty without them
    p_adjusted  p after Holm's correction for several gaps
    flagged     whether p_adjusted is at most 1 - confidence
    """

    difference: float
    ratio: float
    ci: tuple[float, float]
    p: float
    highest: str
    lowest: str
    p_adjusted: float = math.nan
    flagged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; undefined numbers are None."""
        return {
            "difference": or_none(self.difference),
            "ratio": or_none(self.ratio),
            "ci": None if math.isnan(self.ci[0]) else [*self.ci],
            "p": or_none(self.p),
            "p_adjusted": or_none(self.p_adjusted),
            "highest": self.highest,
            "lowest": self.lowest,
            "flagged": self.flagged,
        }


def rates(values: Doubles, rows: Bools, groups: Grouping, *, is_share: bool) -> list[Rate]:
    """Return the mean of values over some rows of each group, with cluster-robust standard errors.

        r = sum_u a_u / sum_u n_u,   se^2 = m / (m - 1) sum_u (a_u - r n_u)^2 / (sum_u n_u)^2

    a_u and n_u are the sum of the values and the number of rows of unit u, of m units with rows.

    values    (R,)
    rows      (R,) true for the rows that count
    is_share  whether the values are 0 and 1

    Source: Cochran (1977), Sampling Techniques, section 6.3, for the ratio of two sums.
    """
    size, g = len(groups), groups.codes[rows]
    count, total = np.bincount(g, minlength=size), np.bincount(g, values[rows], size)
    mean = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    units = int(groups.units.max()) + 1
    unit, owner = groups.units[rows], np.zeros(units, np.int64)
    owner[unit] = g
    n = np.bincount(unit, minlength=units)
    a = np.bincount(unit, values[rows], units)
    has = n > 0
    residual = np.where(has, a - mean[owner] * n, 0.0)
    m = np.bincount(owner[has], minlength=size)
    squares = np.bincount(owner, residual**2, size).astype(np.float64)
    if is_share and not groups.is_clustered:  # the variance of a share, as in Wilson's interval
        squares = squares * (m - 1) / np.maximum(m, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.where(m > 1, np.sqrt(m / (m - 1) * squares) / count, np.nan)
    floor = 1e-12 * np.maximum(np.abs(mean), 1e-300)
    se = np.where(se < floor, 0.0, se)  # rounding noise of equal values
    return [
        Rate(float(mean[k]), float(se[k]), int(m[k]), int(count[k]), is_share, groups.is_clustered) for k in range(size)
    ]


def interval_of(one: Rate, other: Rate, confidence: float) -> tuple[float, float]:
    """Return the interval of one - other: Newcombe's for shares, and Welch's for means.

        shares:  d - sqrt((r1 - l1)^2 + (u2 - r2)^2)  to  d + sqrt((u1 - r1)^2 + (r2 - l2)^2)

    l and u are the ends of the intervals of both. The degrees of freedom of means are n - 1 of the smaller group, which
    is conservative.
    Source: Newcombe (1998), Statistics in Medicine 17, 873-890, method 10; Welch (1947), Biometrika 34, 28-35.
    """
    gap = one.mean - other.mean
    if one.is_share:
        (low, high), (low_other, high_other) = one.interval(confidence), other.interval(confidence)
        below = math.hypot(one.mean - low, high_other - other.mean)
        return gap - below, gap + math.hypot(high - one.mean, other.mean - low_other)
    n = min(one.units, other.units)
    return t_interval(gap, math.hypot(one.se, other.se), n, confidence) if n > 1 else (math.nan, math.nan)


def p_of(one: Rate, other: Rate) -> float:
    """Return the two-sided p-value of equal rates; NaN if a group has fewer than two units.

    Shares have the chi-squared test with the factor (N - 1) / N, where N is the sum of the effective sizes. Means have
    Welch's test. The quantiles are those of Student's t with n - 1 degrees of freedom, n being the units of the smaller
    group, except for shares of independent rows, which have those of the normal distribution.
    Source: Campbell (2007), Statistics in Medicine 26, 3661-3675.
    """
    n, gap = min(one.units, other.units), one.mean - other.mean
    if n < 2 or math.isnan(gap):
        return math.nan
    if not one.is_share:
        se = math.hypot(one.se, other.se)
        return two_sided_p(gap / se, n - 1) if se else _separated(gap, one.units, other.units)
    total = one.effective + other.effective
    pooled = (one.mean * one.effective + other.mean * other.effective) / total
    variance = pooled * (1 - pooled) * (1 / one.effective + 1 / other.effective)
    if variance <= 0 or total <= 1:
        return 1.0
    z = gap / math.sqrt(variance) * math.sqrt((total - 1) / total)
    return two_sided_p(z, n - 1) if one.is_clustered else math.erfc(abs(z) / math.sqrt(2))


def _separated(gap: float, n: int, m: int) -> float:
    """Return the p-value of two samples without variance: that of the permutation test; 1 if they are equal."""
    return min(1.0, 2 / math.comb(n + m, n)) if gap else 1.0


def gap_of(found: Sequence[Rate], names: Sequence[str], confidence: float = CONFIDENCE) -> Gap:
    """Return the gap between groups, of which those without a rate are left out."""
    defined = [k for k, rate in enumerate(found) if not math.isnan(rate.mean)]
    if len(defined) < 2:
        return Gap(math.nan, math.nan, (math.nan, math.nan), math.nan, "", "")
    high, low = max(defined, key=lambda k: found[k].mean), min(defined, key=lambda k: found[k].mean)
    if high == low:  # all rates are equal
        high, low = defined[0], defined[1]
    pairs = list(combinations(defined, 2))
    level = 1 - (1 - confidence) / len(pairs)
    tested = [p for p in (p_of(found[a], found[b]) for a, b in pairs) if not math.isnan(p)]
    top, bottom = found[high].mean, found[low].mean
    return Gap(
        difference=top - bottom,
        ratio=bottom / top if top > 0 and bottom >= 0 else math.nan,
        ci=interval_of(found[high], found[low], level),
        p=min(1.0, len(pairs) * min(tested)) if tested else math.nan,
        highest=names[high],
        lowest=names[low],
    )


def adjusted(gaps: Mapping[str, Gap], confidence: float = CONFIDENCE) -> dict[str, Gap]:
    """Return gaps with p-values that are adjusted as one family by Holm's method, and flags."""
    tested = [name for name, gap in gaps.items() if not math.isnan(gap.p)]
    new = dict(zip(tested, holm([gaps[name].p for name in tested]).tolist(), strict=True)) if tested else {}
    return {
        name: replace(gap, p_adjusted=new[name], flagged=new[name] <= 1 - confidence) if name in new else gap
        for name, gap in gaps.items()
    }


__all__ = ["Gap", "Rate", "adjusted", "gap_of", "interval_of", "p_of", "rates"]
