"""Statistics about learners: means, paired differences, shares and resampling, with intervals; multiple tests.

The unit of each statistic is the learner (or the class, where learners form classes): values of one learner are not
independent. Undefined values are NaN; they are left out and counted. NumPy suffices for all functions but `bootstrap`,
whose random numbers are those of the simulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.endings import Incidence, cumulative_incidence, restricted_mean_time
from alsim.evaluation.estimates import (
    CONFIDENCE,
    PairedDifference,
    Statistic,
    StatisticJSON,
    defined_only,
    deviation_of,
    estimate,
    mean_of,
    normal_half_width,
    paired,
    reduction,
    wilson_ends,
)
from alsim.evaluation.resampling import Groups, replicates, result_of
from alsim.evaluation.runs import (
    iqm,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    run_interval,
)
from alsim.evaluation.statistics_input import (
    read_confidence,
    read_count,
    read_draws,
    read_learners,
    read_pairs,
    read_probabilities,
    read_seed,
    read_values,
)
from alsim.types import Bools, Doubles, Longs

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

    Returns a PairedDifference. If all n differences are equal, its standard error is 0, and p is that of the sign test:
    2**(1 - n), and 1 if they are 0. Raises AlsimError for invalid arguments.
    Source: Student (1908), Biometrika 6, 1-25.
    """
    first, second = read_pairs(a, b)
    return paired(first - second, read_learners(learners, first), read_confidence(confidence))


def variance_reduction(a: ArrayLike, b: ArrayLike, learners: ArrayLike | None = None) -> float:
    """Compute how many times more learners two independent samples would need for the standard error of the pairs.

        (Var(a) + Var(b)) / Var(a - b),  for equal variances 1 / (1 - correlation)

    Variances are over independent units with both values, with n - 1.

    a, b      (K,) each, K >= 1; a pair with NaN is undefined and left out
    learners  (K,) integers, the learner of each pair, or its class if learners form classes; values are averaged by
              learner first. None: the pairs are independent

    Returns the factor, 1 for uncorrelated values; NaN with fewer than two units, and if the difference does not vary.
    Raises AlsimError for invalid arguments.
    Source: Law (2015), Simulation Modeling and Analysis, section 11.2, for common random numbers.
    """
    first, second = read_pairs(a, b)
    return reduction(first, second, read_learners(learners, first))


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
    return holm_steps(read_probabilities(p))


def holm_steps(p: Doubles) -> Doubles:
    """Return the p-values (..., M) of `holm` for p-values (..., M), each row by itself."""
    order = np.argsort(p, axis=-1, kind="stable")
    steps = np.arange(p.shape[-1], 0, -1) * np.take_along_axis(p, order, axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(1.0, np.maximum.accumulate(steps, axis=-1)), axis=-1)
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
    return Statistic(s, math.sqrt(s * (1 - s) / trials) if trials > 1 else math.nan, wilson_ends(s, trials, z), trials)


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
    count, key = read_draws(draws, level), read_seed(seed)
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


def share(flags: Bools, units: Longs | None = None) -> Statistic:
    """Return the share of true flags (K,), K >= 1: with Wilson's interval, or by unit if there are units."""
    return wilson(int(flags.sum()), len(flags)) if units is None else estimate(flags.astype(np.float64), units)


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


__all__ = [
    "Incidence",
    "PairedDifference",
    "Statistic",
    "StatisticJSON",
    "bootstrap",
    "cumulative_incidence",
    "holm",
    "iqm",
    "mean",
    "optimality_gap",
    "paired_difference",
    "performance_profile",
    "probability_of_improvement",
    "restricted_mean_time",
    "run_interval",
    "variance_reduction",
    "wilson",
]
