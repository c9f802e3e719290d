"""Statistics of an engine in use: calibration of forecasts, mastery, sessions, returns and satisfaction.

All functions take plain arrays. The independent unit is the student: a mean is that of the means of the students, and
intervals are Student's t over students, see `alsim.evaluation.statistics.mean`. Undefined values are NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.estimates import PairedDifference, Statistic, estimate, half_width, or_none
from alsim.evaluation.statistics import wilson
from alsim.evaluation.student_t import two_sided_p
from alsim.types import Bools, Doubles, Longs

BINS = 10
"""Default number of bins of forecasts, of equal width."""
LEAST_CHANCE = 1e-9
"""Distance from 0 and 1 at which a forecast is clipped for the log loss, which is otherwise infinite."""
DAY, WEEK = 86_400.0, 604_800.0
"""Seconds."""


@dataclass(frozen=True)
class Bin:
    """Answers whose forecasts lie in [low, high); the last bin includes 1."""

    low: float
    high: float
    answers: int
    chance: float
    """Mean forecast; NaN without answers."""
    correct: Statistic
    """Share of correct answers, by student."""

    def to_dict(self) -> dict[str, Any]:
        """Return the bin as JSON values."""
        values = {"low": self.low, "high": self.high, "answers": self.answers, "chance": or_none(self.chance)}
        return {**values, "correct": self.correct.to_dict()}


@dataclass(frozen=True)
class Calibration:
    """Agreement of forecasts with answers."""

    answers: int
    bias: Statistic
    """Mean of forecast - answer, by student: positive if the forecasts are too high."""
    brier: Statistic
    """Mean of (forecast - answer)^2, by student."""
    log_loss: Statistic
    """Mean of -log of the forecast of what happened, by student, nats."""
    ece: float
    """Expected calibration error: mean of |mean forecast - share correct| over the bins, weighted by answers."""
    ece_if_calibrated: float
    """Approximate expectation of this number for calibrated forecasts: it is never 0 in a finite sample."""
    bins: list[Bin]

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON values."""
        return {
            "answers": self.answers,
            "bias": self.bias.to_dict(),
            "brier": self.brier.to_dict(),
            "log_loss": self.log_loss.to_dict(),
            "ece": or_none(self.ece),
            "ece_if_calibrated": or_none(self.ece_if_calibrated),
            "bins": [one.to_dict() for one in self.bins],
        }


def calibration(chance: ArrayLike, correct: ArrayLike, students: ArrayLike, bins: int = BINS) -> Calibration:
    """Compare forecasts with answers.

        bias = mean of p - y     Brier = mean of (p - y)^2     log loss = mean of -y log p - (1 - y) log(1 - p)
        ECE = sum over bins of n_b / n |mean p - mean y|

    chance    (n,) probabilities p of a correct answer that were forecast before it
    correct   (n,) answers y: 1 correct, 0 wrong, between for partial credit
    students  (n,) integers, the student of each answer
    bins      number of bins of equal width, at least 1

    The expectation of ECE for calibrated forecasts is computed from a normal approximation of the sum of p - y in each
    bin, sqrt(2 / pi sum p (1 - p)): these are martingale differences if each forecast is calibrated given the past.
    Raises AlsimError for invalid arguments.
    Sources: Brier (1950), Monthly Weather Review 78, 1-3; Naeini, Cooper & Hauskrecht (2015), AAAI, for ECE; Bröcker &
    Smith (2007), Weather and Forecasting 22, 651-661, for its expectation.
    """
    p, y, unit = _answers(chance, correct, students)
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise AlsimError(f"bins must be an integer of at least 1; got {bins!r:.100}; 10 is usual")
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, p - y, bins))
    noise = np.sqrt(2 / np.pi * np.bincount(place, p * (1 - p), bins))
    clipped = np.clip(p, LEAST_CHANCE, 1 - LEAST_CHANCE)
    total = len(p)
    return Calibration(
        answers=total,
        bias=estimate(p - y, unit),
        brier=estimate((p - y) ** 2, unit),
        log_loss=estimate(-y * np.log(clipped) - (1 - y) * np.log1p(-clipped), unit),
        ece=float(gap.sum() / total) if total else math.nan,
        ece_if_calibrated=float(noise.sum() / total) if total else math.nan,
        bins=[
            Bin(
                low=b / bins,
                high=(b + 1) / bins,
                answers=int(count[b]),
                chance=float(p[place == b].mean()) if count[b] else math.nan,
                correct=estimate(y[place == b], unit[place == b]),
            )
            for b in range(bins)
        ],
    )


@dataclass(frozen=True)
class Observed:
    """A statistic of the students for whom it can be observed yet, and the number of the others."""

    statistic: Statistic
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        """Return the statistic with the number of students left out, as JSON values."""
        return {**self.statistic.to_dict(), "left_out": self.left_out}


def return_rate(first_end: ArrayLike, second_start: ArrayLike, days: float, log_end: float) -> Observed:
    """Compute the share of students who come back within some days after their first session.

    first_end     (n,) end of the first session, seconds
    second_start  (n,) start of the second session, seconds; NaN without one
    days          days after the end of the first session
    log_end       end of the log, seconds

    Students whose first session ended fewer days before the end of the log are left out, also those who are back: they
    alone would be observed. Returns the share with Wilson's interval.
    """
    end, second = np.asarray(first_end, np.float64), np.asarray(second_start, np.float64)
    observed = end + days * DAY <= log_end
    back = (second[observed] - end[observed]) <= days * DAY  # a comparison with NaN is False
    return Observed(share(back), int((~observed).sum()))


def share(flags: Bools) -> Statistic:
    """Return the share of true flags with Wilson's interval; NaN without flags."""
    return wilson(int(flags.sum()), len(flags)) if len(flags) else estimate(np.zeros(0))


def session_lengths(
    student: ArrayLike, start: ArrayLike, end: ArrayLike, interactions: ArrayLike, gap: float, log_end: float
) -> tuple[Observed, Observed]:
    """Compute the length of a session in minutes, and in interactions, by student.

    student       (S,) integers, the student of each session
    start, end    (S,) time of its first and its last event, seconds
    interactions  (S,) number of answers and contents
    gap           time without an event after which a session has ended, seconds
    log_end       end of the log, seconds

    Sessions that may not have ended yet are left out. The minutes from the first to the last event do not include the
    time after the last event.
    """
    unit, last = np.asarray(student, np.int64), np.asarray(end, np.float64)
    ended = last + gap <= log_end
    minutes = (last - np.asarray(start, np.float64)) / 60
    left_out = int((~ended).sum())
    counts = np.asarray(interactions, np.float64)
    return (
        Observed(estimate(minutes[ended], unit[ended]), left_out),
        Observed(estimate(counts[ended], unit[ended]), left_out),
    )


def difference(one: Statistic, other: Statistic) -> PairedDifference:
    """Return the difference of two means of independent groups of students, with a conservative interval.

    The standard error is that of Welch, and the quantile is that of Student's t with n - 1 degrees of freedom, n being
    the size of the smaller group. The number of units is n. NaN for fewer than two students in a group.
    Source: Welch (1947), Biometrika 34, 28-35; Cochran (1964) for the bound of the degrees of freedom.
    """
    gap, n = one.mean - other.mean, min(one.n, other.n)
    if n < 2:
        return PairedDifference(gap, math.nan, (math.nan, math.nan), n)
    se = math.hypot(one.se, other.se)
    half = half_width(n) * se
    p = two_sided_p(gap / se, n - 1) if se else float(gap == 0)
    return PairedDifference(gap, se, (gap - half, gap + half), n, 0, p)


def _answers(chance: ArrayLike, correct: ArrayLike, students: ArrayLike) -> tuple[Doubles, Doubles, Longs]:
    """Return forecasts, answers and students as arrays. Raises AlsimError."""
    p, y, unit = np.asarray(chance, np.float64), np.asarray(correct, np.float64), np.asarray(students)
    if p.ndim != 1 or p.shape != y.shape or p.shape != unit.shape:
        raise AlsimError(
            f"chance, correct and students must have one value per answer; got the shapes {p.shape}, {y.shape} and "
            f"{unit.shape}"
        )
    if unit.dtype.kind not in "iu" and len(unit):
        raise AlsimError(f"students must be integers; got {unit.dtype}; number the students")
    if (invalid := ~((p >= 0) & (p <= 1))).any():
        raise AlsimError(f"chance must be probabilities in [0, 1]; got {p[invalid][0]}; leave such answers out")
    if (invalid := ~((y >= 0) & (y <= 1))).any():
        raise AlsimError(f"correct must be in [0, 1]; got {y[invalid][0]}; leave such answers out")
    return p, y, unit.astype(np.int64)


__all__ = [
    "BINS",
    "Bin",
    "Calibration",
    "Observed",
    "calibration",
    "difference",
    "return_rate",
    "session_lengths",
    "share",
]
