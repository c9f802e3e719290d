"""Measures of a fitted model against the truth, on plain arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from alsim.evaluation.estimates import CONFIDENCE, Statistic, estimate, normal_half_width, or_none
from alsim.evaluation.statistics import share
from alsim.models.scores import auc_difference, score, score_errors
from alsim.types import Bools, Codes, Doubles, Ints, Longs, short_repr


@short_repr
class Estimates(NamedTuple):
    """Estimates of n true values in one log.

    names     what is estimated: items, skills or students
    truth     (n,) true values
    estimate  (n,) estimates
    se        (n,) stated standard errors; NaN for an estimate without one
    """

    names: Sequence[str]
    truth: Doubles
    estimate: Doubles
    se: Doubles


@short_repr
@dataclass(frozen=True)
class Errors:
    """Errors of estimates of a parameter, over all logs.

    estimates   number of estimates
    bias        mean of estimate - truth; the independent unit is the log
    rmse        root of the mean squared error
    stated_se   root of the mean squared stated standard error, of the estimates that have one; NaN without any
    coverage    share of the intervals of 95 %, estimate ± 1.96 stated standard errors, that contain the truth; the unit
                is the log. NaN without standard errors
    without_se  number of estimates without a standard error
    """

    estimates: int
    bias: Statistic
    rmse: float
    stated_se: float
    coverage: Statistic
    without_se: int

    def to_dict(self) -> dict[str, Any]:
        """Return the errors as JSON values; None for undefined numbers."""
        return {
            "estimates": self.estimates,
            "bias": self.bias.to_dict(),
            "rmse": or_none(self.rmse),
            "stated_se": or_none(self.stated_se),
            "coverage": None if math.isnan(self.coverage.mean) else self.coverage.to_dict(),
            "without_se": self.without_se,
        }


def errors_of(logs: Sequence[Estimates]) -> Errors:
    """Compute bias, root-mean-square error and coverage of the estimates of one or more logs.

        bias = mean of e,  RMSE = sqrt(mean of e^2),  coverage = mean of |e| <= 1.96 se,  e = estimate - truth

    Estimates of one log share their learners, so that their errors depend on each other: the independent unit is the
    log, and with one log the errors of bias and coverage are undefined.
    """
    error = np.concatenate([one.estimate - one.truth for one in logs])
    se = np.concatenate([one.se for one in logs])
    log = np.repeat(np.arange(len(logs)), [len(one.truth) for one in logs])
    stated = np.isfinite(se)
    covered = covers(error[stated], se[stated])
    return Errors(
        estimates=len(error),
        bias=estimate(error, log),
        rmse=root_mean_square(error),
        stated_se=root_mean_square(se[stated]),
        coverage=estimate(covered.astype(np.float64), log[stated]),
        without_se=int((~stated).sum()),
    )


def covers(error: Doubles, se: Doubles) -> Bools:
    """Return whether each interval of 95 %, ± 1.96 standard errors, contains the truth."""
    return np.asarray(np.abs(error) <= normal_half_width(CONFIDENCE) * se)


def root_mean_square(values: Doubles) -> float:
    """Return the root of the mean square; NaN without values."""
    return float(np.sqrt(np.mean(values**2))) if len(values) else math.nan


@short_repr
@dataclass(frozen=True)
class AbilityErrors:
    """Errors of the estimated abilities of held-out learners, logits.

    learners     number of learners with an answer
    bias         mean of estimate - truth
    rmse         root of the mean squared error
    stated_se    root of the mean squared stated standard error
    coverage     share of the intervals of 95 %, estimate ± 1.96 stated standard errors, that contain the truth
    correlation  of estimates and true abilities
    """

    learners: int
    bias: Statistic
    rmse: float
    stated_se: float
    coverage: Statistic
    correlation: float

    def to_dict(self) -> dict[str, Any]:
        """Return the errors as JSON values; None for undefined numbers."""
        return {
            "learners": self.learners,
            "bias": self.bias.to_dict(),
            "rmse": or_none(self.rmse),
            "stated_se": or_none(self.stated_se),
            "coverage": self.coverage.to_dict(),
            "correlation": or_none(self.correlation),
        }


def ability_errors(logs: Sequence[Estimates]) -> AbilityErrors:
    """Compute the errors of estimated abilities, with the learner as independent unit."""
    truth, found, se = (np.concatenate(columns) for columns in zip(*(one[1:] for one in logs), strict=True))
    error = found - truth
    varies = len(error) > 1 and truth.std() > 0 and found.std() > 0
    return AbilityErrors(
        learners=len(error),
        bias=estimate(error),
        rmse=root_mean_square(error),
        stated_se=root_mean_square(se),
        coverage=share(covers(error, se)),
        correlation=float(np.corrcoef(truth, found)[0, 1]) if varies else math.nan,
    )


class Answers(NamedTuple):
    """R answers with forecasts.

    correct   (R,) 0 or 1
    forecast  (R,) forecast of the model
    chance    (R,) true chance
    student   (R,) number of the student
    """

    correct: Codes
    forecast: Doubles
    chance: Doubles
    student: Ints


def auc_of(correct: Codes, forecast: Doubles, student: Ints) -> Statistic:
    """Compute the AUC of forecasts with its standard error, the student being the independent unit."""
    errors = score_errors(correct, forecast, student)
    return normal_statistic(score(correct, forecast).auc, errors.auc, errors.students)


def between_auc(correct: Codes, forecast: Doubles, student: Ints) -> Statistic:
    """Compute the AUC over pairs of answers of different students, with its standard error.

    Pairs of one student are left out. An answer raises or lowers the later forecasts of its student, so that these
    pairs are in the wrong order more often than not: of coin flips, their AUC is below .50 for an honest model. The
    standard error is that of the AUC over all pairs, which differs from it by a term of the order 1 / students.
    """
    right = correct == 1
    counts = [np.bincount(student[flags], minlength=int(student.max()) + 1) for flags in (right, ~right)]
    pairs = counts[0] * counts[1]
    order = np.argsort(student, kind="stable")
    ends = np.cumsum(counts[0] + counts[1])
    within = sum(
        score(correct[rows], forecast[rows]).auc * count
        for rows, count in zip(np.split(order, ends[:-1]), pairs, strict=True)
        if count
    )
    errors, all_pairs = score_errors(correct, forecast, student), int(right.sum()) * int((~right).sum())
    left = all_pairs - int(pairs.sum())
    value = (score(correct, forecast).auc * all_pairs - within) / left if left else math.nan
    return normal_statistic(float(value), errors.auc, errors.students)


def excess_of(answers: Answers) -> Statistic:
    """Compute the AUC of forecasts minus that of the true chances, of the same answers."""
    return normal_statistic(*auc_difference(answers.correct, answers.forecast, answers.chance, answers.student))


def normal_statistic(value: float, se: float, n: int) -> Statistic:
    """Return an estimate with a normal interval."""
    half = normal_half_width(CONFIDENCE) * se
    return Statistic(value, se, (value - half, value + half), n)


def mean_over_logs(logs: Sequence[Statistic]) -> Statistic:
    """Return the mean of estimates of independent logs; its standard error is computed from those of the estimates."""
    value = sum(one.mean for one in logs) / len(logs)
    se = math.sqrt(sum(one.se**2 for one in logs)) / len(logs)
    return normal_statistic(value, se, sum(one.n for one in logs))


def within_correlation(x: Doubles, y: Doubles, group: Longs, student: Longs) -> Statistic:
    """Compute the correlation of two variables after their mean in each group is removed.

        r = sum x' y' / sqrt(sum x'^2 sum y'^2),  x' = x - mean of x in the group

    x, y     (R,) variables
    group    (R,) numbers of the groups, from 0
    student  (R,) numbers of the students, who are the independent units

    Returns a Statistic with a normal interval, whose standard error is that of the linearised correlation, summed by
    student; NaN if a variable does not vary within groups.
    Source: Serfling (1980), Approximation Theorems of Mathematical Statistics, section 6.6.3, for the linearisation.
    """
    a, b = centred(x, group), centred(y, group)
    scale_a, scale_b = math.sqrt(float(a @ a)), math.sqrt(float(b @ b))
    units = len(np.unique(student))
    if min(scale_a, scale_b) < 1e-9 * math.sqrt(len(a)):
        return Statistic(math.nan, math.nan, (math.nan, math.nan), units)
    a, b = a / scale_a, b / scale_b
    r = float(a @ b)
    sums = np.bincount(student, a * b - r * (a**2 + b**2) / 2)
    se = math.sqrt(units / (units - 1) * float(sums @ sums)) if units > 1 else math.nan
    return normal_statistic(r, se, units)


def centred(values: Doubles, group: Longs) -> Doubles:
    """Return values (R,) minus the mean of their group."""
    count = np.bincount(group)
    return np.asarray(values - (np.bincount(group, values) / np.maximum(count, 1))[group])


__all__ = [
    "AbilityErrors",
    "Answers",
    "Errors",
    "Estimates",
    "ability_errors",
    "auc_of",
    "between_auc",
    "centred",
    "covers",
    "errors_of",
    "excess_of",
    "mean_over_logs",
    "normal_statistic",
    "root_mean_square",
    "within_correlation",
]
