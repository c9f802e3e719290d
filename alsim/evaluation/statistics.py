"""Statistics about learners: means, paired differences, shares and resampling, with intervals; multiple tests.

The unit of each statistic is the learner (or the class, where learners form classes): values of one learner are not
independent. Undefined values are NaN; they are left out and counted. NumPy suffices for all functions but `bootstrap`,
whose random numbers are those of the simulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.resampling import Groups, replicates, result_of
from alsim.evaluation.statistics_input import (
    read_confidence,
    read_count,
    read_learners,
    read_probabilities,
    read_values,
)
from alsim.evaluation.student_t import t_quantile, two_sided_p
from alsim.types import Bools, Doubles, Longs

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
        return {"mean": _or_none(self.mean), "se": _or_none(self.se), "ci": ci, "n": self.n}


@dataclass(frozen=True)
class PairedDifference(Statistic):
    """Mean of paired differences with the p-value of the paired t test.

    p  probability of a difference at least this far from 0, if the expected difference is 0; two-sided; NaN for fewer
       than two units
    """

    p: float = math.nan

    def to_dict(self) -> StatisticJSON:
        """Return the keys mean, se, ci, n and p as JSON values; undefined numbers are None."""
        return super().to_dict() | {"p": _or_none(self.p)}


# ── public functions ─────────────────────────────────────────────────────────────────────────────


def mean(values: ArrayLike, learners: ArrayLike | None = None, *, confidence: float = CONFIDENCE) -> Statistic:
    """Compute the mean of independent values, or of the means per learner, with the interval of Student's t.

        mean ± t(n - 1) s / sqrt(n)

    values      (K,), K >= 1; NaN is undefined and left out
    learners    (K,) integers, the learner of each value, or its class if learners form classes; each counts the same.
                None: each value is independent
    confidence  level of the interval, in (0, 1)

    Returns a Statistic. Raises AlsimError for invalid arguments.
    Source: Student (1908), Biometrika 6, 1-25.
    """
    numbers = read_values(values, "values")
    return estimate(numbers, read_learners(learners, numbers), read_confidence(confidence))


def paired_difference(
    a: ArrayLike, b: ArrayLike, learners: ArrayLike | None = None, *, confidence: float = CONFIDENCE
) -> PairedDifference:
    """Compute the mean of a - b over pairs of values of the same learner, with the paired t test.

    Two policies meet the same learners with the same random numbers (clause S11.2), so their values form pairs.

    a, b        (K,) each, K >= 1; a pair with NaN is undefined and left out
    learners    (K,) integers, the learner of each pair, or its class if learners form classes; each counts the same.
                None: the pairs are independent
    confidence  level of the interval, in (0, 1)

    Returns a PairedDifference. If all differences are equal, its standard error is 0, and p is 1 if they are 0, else 0.
    Raises AlsimError for invalid arguments.
    Source: Student (1908), Biometrika 6, 1-25.
    """
    first, second = read_values(a, "a"), read_values(b, "b")
    if first.shape != second.shape:
        raise AlsimError(
            f"a and b must have the same length; got {len(first)} and {len(second)}: pass the values of the same "
            "learners in the same order"
        )
    return paired(first - second, read_learners(learners, first), read_confidence(confidence))


def holm(p: ArrayLike) -> Doubles:
    """Adjust p-values for multiple tests by Holm's step-down method.

        adjusted p of the i-th smallest of M = max over j <= i of  min(1, (M - j + 1) p_(j))

    Rejecting the hypotheses with an adjusted p of at most alpha makes the probability of any false rejection at most
    alpha, also if the tests depend on each other.

    p  (M,) p-values in [0, 1], M >= 1

    Returns the adjusted p-values (M,), in the order of p. Raises AlsimError for other values: NaN is refused, since the
    number of tests decides about the result.
    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    given = read_probabilities(p)
    order = np.argsort(given, kind="stable")
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.arange(len(given), 0, -1) * given[order]))
    return adjusted


def wilson(k: int, n: int, confidence: float = CONFIDENCE) -> Statistic:
    """Compute the share k / n of independent events, with Wilson's interval.

        (s + z^2 / 2n ± z sqrt(s (1 - s) / n + z^2 / 4n^2)) / (1 + z^2 / n),  s = k / n

    Unlike the normal interval, Wilson's has approximately its nominal coverage near 0 and 1.

    k           number of events, an integer from 0 to n
    n           number of independent trials, an integer of at least 1
    confidence  level of the interval, in (0, 1)

    Returns a Statistic. The standard error sqrt(s (1 - s) / n) is NaN for n = 1. Raises AlsimError for invalid
    arguments. Shares of dependent events, such as several episodes of one learner, need `mean` with `learners`.
    Source: Wilson (1927), Journal of the American Statistical Association 22, 209-212.
    """
    trials = read_count(n, "n", 1, 2**53, "pass the number of trials")
    events = read_count(k, "k", 0, trials, f"pass the number of events among the {trials} trials")
    z, s = normal_half_width(read_confidence(confidence)), events / trials
    middle, half = s + z**2 / (2 * trials), z * math.sqrt(s * (1 - s) / trials + z**2 / (4 * trials**2))
    ends = (middle - half) / (1 + z**2 / trials), (middle + half) / (1 + z**2 / trials)
    # Rounding may move an end beyond the share, where they are equal: at 0 and 1.
    ci = (0.0 if events == 0 else max(0.0, ends[0]), 1.0 if events == trials else min(1.0, ends[1]))
    return Statistic(s, math.sqrt(s * (1 - s) / trials) if trials > 1 else math.nan, ci, trials)


def bootstrap(
    values: ArrayLike,
    learners: ArrayLike | None = None,
    *,
    statistic: Literal["mean"] | Callable[[Doubles], float] = "mean",
    draws: int = 2000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Statistic:
    """Compute a statistic of all values, with a percentile interval from resampled learners.

    Each draw takes as many learners as there are, with replacement, with all values of each. The statistic is that of
    the values of all drawn learners: under "mean", a learner with more values counts more.

    values      (K,), K >= 1; NaN is undefined and left out
    learners    (K,) integers, the learner of each value, or its class if learners form classes; None: each value is
                independent
    statistic   "mean", or a function of values (K',) that returns a finite number, such as np.median
    draws       number of draws, at least 2 / (1 - confidence)
    seed        integer in [0, 2**64)
    confidence  level of the interval, in (0, 1)

    Returns a Statistic, the same for the same arguments: `mean` is the statistic of the values, `se` the standard
    deviation over the draws, and `ci` their quantiles. `se` and `ci` are NaN for fewer than two learners. Raises
    AlsimError for invalid arguments, and for a statistic that is undefined for a draw.
    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13; Davison & Hinkley (1997), Bootstrap
    Methods and their Application, section 3.8, for the resampling of groups.
    """
    function = _read_statistic(statistic)
    numbers, level = read_values(values, "values"), read_confidence(confidence)
    units = read_learners(learners, numbers)
    least = math.ceil(2 / (1 - level) - 1e-9)
    cure = f"at least {least:,} draws give the two ends of an interval at this confidence"
    count = read_count(draws, "draws", least, 2**32 - 1, cure)
    key = read_count(seed, "seed", 0, 2**64 - 1, "pass another seed")
    defined, kept = defined_only(numbers, units)
    undefined = len(numbers) - len(defined)
    if len(defined) == 0:
        return Statistic(math.nan, math.nan, (math.nan, math.nan), 0, undefined)
    found = mean_of(defined) if function is None else result_of(function, defined)
    index = np.arange(len(defined)) if kept is None else np.unique(kept, return_inverse=True)[1]
    groups = Groups(defined, index, int(index.max()) + 1)
    if groups.num_units < 2:
        return Statistic(found, math.nan, (math.nan, math.nan), 1, undefined)
    drawn = np.concatenate([*replicates(groups, function, count, key)])
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2))
    return Statistic(found, deviation_of(drawn), (float(low), float(high)), groups.num_units, undefined)


# ── functions on valid arguments, for the package ────────────────────────────────────────────────


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
        t = found.mean / found.se if found.se else math.copysign(math.inf, found.mean) if found.mean else 0.0
        p = two_sided_p(t, found.n - 1)
    return PairedDifference(found.mean, found.se, found.ci, found.n, found.undefined, p)


def share(flags: Bools, units: Longs | None = None) -> Statistic:
    """Return the share of true flags (K,), K >= 1: with Wilson's interval, or by unit if there are units."""
    return wilson(int(flags.sum()), len(flags)) if units is None else estimate(flags.astype(np.float64), units)


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


def _read_statistic(statistic: object) -> Callable[[Doubles], float] | None:
    """Return the function of a statistic; None for the mean. Raises AlsimError for others."""
    if isinstance(statistic, str):
        if statistic != "mean":
            raise AlsimError(f"statistic must be 'mean' or a function; got {statistic!r}: pass a function of an array")
        return None
    if not callable(statistic):
        raise InputTypeError(
            f"statistic must be 'mean' or a function; got {statistic!r:.100}: pass a function of an array"
        )
    return statistic


def _or_none(number: float) -> float | None:
    """Return a number as a JSON value: None for NaN."""
    return None if math.isnan(number) else number


__all__ = [
    "PairedDifference",
    "Statistic",
    "StatisticJSON",
    "bootstrap",
    "holm",
    "mean",
    "paired_difference",
    "wilson",
]
