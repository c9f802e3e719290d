"""Errors of estimates against true values: bias, spread, coverage, and the ranking of several targets."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from alsim.evaluation.estimates import Statistic, deviation_of, estimate, mean_of, or_none
from alsim.evaluation.ranks import ranks
from alsim.evaluation.statistics import wilson
from alsim.types import Bools, Doubles, short_repr


class Estimates(NamedTuple):
    """Estimates of the value of one target by one estimator from R logs; NaN where it was undefined."""

    value: Doubles
    """(R,)."""
    se: Doubles
    """Standard error that the estimator reported, (R,)."""
    low: Doubles
    """Lower end of its interval, (R,); NaN without an interval."""
    high: Doubles
    """Upper end of its interval, (R,)."""


@short_repr
class Score(NamedTuple):
    """Errors of an estimator over R repeated logs, in the unit of the rewards; NaN where a number is undefined."""

    mean: float
    """Mean of the estimates."""
    bias: float
    """Mean of the estimates minus the true value."""
    bias_se: float
    """Standard error of the bias: of the mean of the estimates, and of the true value."""
    sd: float
    """Standard deviation of the estimates over the logs: their true standard error."""
    mean_se: float
    """Mean of the standard errors that the estimator reported."""
    rmse: float
    """Root of the mean squared error."""
    mean_absolute_error: float
    """Mean of the absolute errors."""
    coverage: Statistic | None
    """Share of the intervals that contain the true value, with Wilson's interval; None without intervals."""
    logs: int
    """Number of logs with an estimate."""
    undefined: int
    """Number of logs without one."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; undefined numbers are None."""
        numbers = {name: or_none(float(getattr(self, name))) for name in self._fields[:7]}
        coverage = None if self.coverage is None else self.coverage.to_dict()
        return {**numbers, "coverage": coverage, "logs": self.logs, "undefined": self.undefined}


@short_repr
class Ranking(NamedTuple):
    """Quality of an estimator's ranking of K targets, over the logs in which all its estimates are defined."""

    correlation: Statistic
    """Spearman's rank correlation of estimated and true values: its mean over logs."""
    regret: tuple[Statistic, ...]
    """Regret@k for k = 1, ..., K - 1: its mean over logs, in the unit of the rewards."""
    logs: int
    """Number of these logs."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "correlation": self.correlation.to_dict(),
            "regret": {str(k): found.to_dict() for k, found in enumerate(self.regret, 1)},
            "logs": self.logs,
        }


def score(found: Estimates, truth: float, truth_se: float = 0.0) -> Score:
    """Compute the errors of the estimates from R independent logs.

        bias = mean of the estimates - truth,  its standard error: sqrt(sd^2 / R + truth_se^2)

    found     estimates, NaN where the estimator was undefined: these logs are left out
    truth     true value of the target
    truth_se  its standard error, if it is an estimate from rollouts

    An interval [low, high] contains the truth if low <= truth <= high. The error of the truth makes coverage look
    smaller than it is, unless it is small compared with the standard errors of the estimates. Returns a Score.
    """
    defined = ~np.isnan(found.value)
    value, count = found.value[defined], int(defined.sum())
    if count == 0:
        nan = math.nan
        return Score(nan, nan, nan, nan, nan, nan, nan, None, 0, len(defined))
    errors = value - truth
    sd = deviation_of(value) if count > 1 else math.nan
    return Score(
        mean=mean_of(value),
        bias=mean_of(errors),
        bias_se=math.sqrt(sd**2 / count + truth_se**2),
        sd=sd,
        mean_se=mean_of(found.se[defined]),
        rmse=math.sqrt(float((errors**2).mean())),
        mean_absolute_error=float(np.abs(errors).mean()),
        coverage=_coverage(found.low[defined], found.high[defined], truth),
        logs=count,
        undefined=len(defined) - count,
    )


def _coverage(low: Doubles, high: Doubles, truth: float) -> Statistic | None:
    """Return the share of the intervals that contain the truth; None if no interval is defined."""
    has_interval = ~np.isnan(low)
    if not has_interval.any():
        return None
    contains: Bools = (low <= truth) & (truth <= high) & has_interval
    return wilson(int(contains.sum()), int(has_interval.sum()))


def rank(values: Doubles, truths: Doubles) -> Ranking | None:
    """Compute how well an estimator ranks K targets from R logs; None if K < 2, or without a complete log.

    values  (K, R) estimates, NaN where undefined
    truths  (K,) true values

    Returns a Ranking. Logs with an undefined estimate are left out.
    """
    complete = values[:, ~np.isnan(values).any(axis=0)]
    count = complete.shape[1]
    if len(truths) < 2 or count == 0:
        return None
    correlations = np.array([spearman(column, truths) for column in complete.T])
    regrets = np.array([[regret(column, truths, k) for k in range(1, len(truths))] for column in complete.T])
    return Ranking(estimate(correlations), tuple(estimate(column) for column in regrets.T), count)


def spearman(x: Doubles, y: Doubles) -> float:
    """Return Spearman's rank correlation of x (K,) and y (K,); NaN if one of them is constant.

    It is the correlation of their ranks; equal values have the mean of their ranks.
    Source: Spearman (1904), American Journal of Psychology 15, 72-101.
    """
    a, b = (ranks(values[np.newaxis])[0] - (len(values) + 1) / 2 for values in (x, y))
    norm = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / norm if norm > 0 else math.nan


def regret(values: Doubles, truths: Doubles, k: int) -> float:
    """Return regret@k: the true value of the best target, minus the best one among k that the estimates rank highest.

    values  (K,) estimates; of equal ones, that with the lower true value counts as higher
    truths  (K,) true values
    k       number of targets that are tried, from 1 to K

    Source: Kiyohara et al. (2024), ICLR, "Towards assessing and benchmarking risk-return tradeoff of off-policy
    evaluation".
    """
    order = np.lexsort((truths, -values))
    return float(truths.max() - truths[order[:k]].max())


__all__ = ["Estimates", "Ranking", "Score", "rank", "regret", "score", "spearman"]
