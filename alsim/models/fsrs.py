"""Memory state of the Free Spaced Repetition Scheduler, version 6 (FSRS-6): stability and difficulty after reviews."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.models.base import ModelError
from alsim.models.requirements import numbers, require_all, require_broadcast
from alsim.numerics.doubles import exp_each, log_each
from alsim.types import Doubles

WEIGHTS = (
    *(0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542),
)
"""The 21 published weights w0 to w20, fitted to many users of Anki."""

LEAST_STABILITY = 0.001
"""Lower bound of stability, days."""
DIFFICULTIES = 1.0, 10.0
"""Bounds of difficulty."""
AGAIN, HARD, GOOD, EASY = 1, 2, 3, 4
"""Ratings: forgotten, and recalled with difficulty, after hesitation, and at once."""


def retrievability(stability: ArrayLike, days: ArrayLike, weights: ArrayLike = WEIGHTS) -> Doubles:
    """Return the probability of recall some time after a review.

        R = (1 + f t / S)^(-w20),  f = 0.9^(-1 / w20) - 1

    stability  S, days, > 0: after this time R is 0.9
    days       t, time since the last review, days, >= 0
    weights    (21,) w0 to w20

    The arguments are broadcast. Returns R in (0, 1], float64. Raises ModelError for values outside these ranges.
    Source: Open Spaced Repetition (2025), The algorithm, FSRS-6.
    """
    w = checked_weights(weights)
    s, t = _stabilities(numbers("stability", stability)), _days(numbers("days", days))
    require_broadcast(stability=s, days=t)
    return _retrievability(s, t, w)


def interval(stability: ArrayLike, retention: ArrayLike, weights: ArrayLike = WEIGHTS) -> Doubles:
    """Return the time after which the probability of recall has fallen to a desired retention.

        t = S / f (r^(-1 / w20) - 1),  f = 0.9^(-1 / w20) - 1

    stability  S, days, > 0
    retention  r, in (0, 1)
    weights    (21,) w0 to w20

    The arguments are broadcast. Returns t, days, float64, not rounded. Raises ModelError for values outside these
    ranges. Source: as for `retrievability`.
    """
    w, r = checked_weights(weights), numbers("retention", retention)
    require_all((r > 0) & (r < 1), r, "retention must be in (0, 1)", "0.9 is usual")
    s = _stabilities(numbers("stability", stability))
    require_broadcast(stability=s, retention=r)
    return np.asarray(s / _factor(w) * (power(r, -1 / w[20]) - 1))


def review(
    stability: ArrayLike, difficulty: ArrayLike, days: ArrayLike, rating: ArrayLike, weights: ArrayLike = WEIGHTS
) -> tuple[Doubles, Doubles]:
    """Return stability and difficulty after a review.

        first review    S = w[G-1]
        recalled        S (1 + e^w8 (11 - D) S^(-w9) (e^(w10 (1 - R)) - 1) [w15 if G = 2] [w16 if G = 4])
        forgotten       min(w11 D^(-w12) ((S + 1)^w13 - 1) e^(w14 (1 - R)), S / e^(w17 w18))
        the same day    S e^(w17 (G - 3 + w18)) S^(-w19), where the factor is at least 1 for G >= 2
        difficulty      D0(G) = w4 - e^(w5 (G - 1)) + 1 after a first review
                        w7 D0(4) + (1 - w7) (D - w6 (G - 3) (10 - D) / 9) after a later one

    stability   S before the review, days, > 0; NaN before the first review
    difficulty  D before the review, in [1, 10]; NaN before the first review
    days        t, time since the last review, days, >= 0; of a first review, it is not read. R is that of t, and a
                review after less than 1 day is one of the same day
    rating      G: 1 forgotten, 2 hard, 3 good, 4 easy
    weights     (21,) w0 to w20; 19 weights of FSRS-5 followed by 0 and 0.5 give FSRS-5

    The arguments are broadcast. Returns S, at least 0.001 days, and D in [1, 10], float64. Raises ModelError for values
    outside these ranges. Source: as for `retrievability`; py-fsrs 6.3.2.
    """
    w = checked_weights(weights)
    grade = numbers("rating", rating)
    require_all(
        np.isin(grade, (AGAIN, HARD, GOOD, EASY)), grade, "rating must be 1, 2, 3 or 4", "1 is forgotten, 3 good"
    )
    s, d, t = numbers("stability", stability), numbers("difficulty", difficulty), numbers("days", days)
    require_broadcast(stability=s, difficulty=d, days=t, rating=grade)
    s, d, t, grade = np.broadcast_arrays(s, d, t, grade)
    first = np.isnan(s) & np.isnan(d)
    s, t = _stabilities(np.where(first, 1.0, s)), _days(np.where(first, 0.0, t))
    d = np.where(first, 1.0, d)
    low, high = DIFFICULTIES
    require_all(
        (d >= low) & (d <= high), d, "difficulty must be in [1, 10], or NaN with a stability of NaN", "check both"
    )
    later = np.where(t < 1, _same_day(s, grade, w), _later_day(s, d, _retrievability(s, t, w), grade, w))
    stability_after = np.where(first, w[grade.astype(np.int64) - 1], later)
    difficulty_after = np.where(first, _first_difficulty(grade, w), _difficulty(d, grade, w))
    return np.maximum(stability_after, LEAST_STABILITY), np.clip(difficulty_after, *DIFFICULTIES)


def checked_weights(weights: ArrayLike) -> Doubles:
    """Return weights as an array (21,). Raises ModelError for another number of weights, and for invalid ones."""
    try:
        w = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise ModelError(
            f"weights of FSRS must be 21 numbers; got {weights!r:.100}: use alsim.models.fsrs.WEIGHTS"
        ) from None
    if w.shape != (len(WEIGHTS),):
        raise ModelError(
            f"weights of FSRS must be {len(WEIGHTS)} numbers; got shape {w.shape}: append 0 and 0.5 to 19 weights of "
            "FSRS-5"
        )
    if not np.isfinite(w).all():
        raise ModelError(f"weights of FSRS must be finite; w{int(np.argmin(np.isfinite(w)))} is not: fit them again")
    positive = np.array([0, 1, 2, 3, 20])
    if (w[positive] <= 0).any():
        k = int(positive[np.argmax(w[positive] <= 0)])
        raise ModelError(
            f"w{k} of the weights of FSRS must be above 0; got {w[k]:g}: the published one is {WEIGHTS[k]}"
        )
    return w


def power(base: ArrayLike, exponent: ArrayLike) -> Doubles:
    """Return base^exponent for a base above 0, elementwise, with the same bits in any batch."""
    return exp_each(np.asarray(exponent, np.float64) * log_each(base))


def _retrievability(s: Doubles, t: Doubles, w: Doubles) -> Doubles:
    """Return the probability of recall after t days."""
    return power(1 + _factor(w) * t / s, -w[20])


def _factor(w: Doubles) -> Doubles:
    """Return f, with which the probability of recall after S days is 0.9."""
    return power(0.9, -1 / w[20]) - 1


def _later_day(s: Doubles, d: Doubles, r: Doubles, grade: Doubles, w: Doubles) -> Doubles:
    """Return the stability after a review on a later day, which found the probability of recall r."""
    lost = 1 - r
    bonus = np.where(grade == HARD, w[15], np.where(grade == EASY, w[16], 1.0))
    recalled = s * (1 + exp_each(w[8]) * (11 - d) * power(s, -w[9]) * (exp_each(w[10] * lost) - 1) * bonus)
    forgotten = w[11] * power(d, -w[12]) * (power(s + 1, w[13]) - 1) * exp_each(w[14] * lost)
    return np.where(grade == AGAIN, np.minimum(forgotten, s / exp_each(w[17] * w[18])), recalled)


def _same_day(s: Doubles, grade: Doubles, w: Doubles) -> Doubles:
    """Return the stability after a review on the day of the last one."""
    factor = exp_each(w[17] * (grade - GOOD + w[18])) * power(s, -w[19])
    return np.asarray(s * np.where(grade >= HARD, np.maximum(factor, 1.0), factor))


def _first_difficulty(grade: ArrayLike, w: Doubles) -> Doubles:
    """Return the difficulty after a first review, not held in its bounds."""
    return np.asarray(w[4] - exp_each(w[5] * (np.asarray(grade) - 1)) + 1)


def _difficulty(d: Doubles, grade: Doubles, w: Doubles) -> Doubles:
    """Return the difficulty after a later review, not held in its bounds."""
    changed = d - w[6] * (grade - GOOD) * (10 - d) / 9
    return np.asarray(w[7] * _first_difficulty(float(EASY), w) + (1 - w[7]) * changed)


def _stabilities(s: Doubles) -> Doubles:
    """Return stabilities. Raises ModelError unless they are finite and above 0."""
    require_all(
        np.isfinite(s) & (s > 0),
        s,
        "stability must be a number of days above 0",
        "NaN, with a difficulty of NaN, is a first review",
    )
    return s


def _days(t: Doubles) -> Doubles:
    """Return times since the last review. Raises ModelError unless they are finite and not negative."""
    require_all(
        ~(t < 0), t, "days since the last review must be at least 0", "times run backwards, sort the reviews by time"
    )
    require_all(np.isfinite(t), t, "days since the last review must be finite", "leave out reviews without a time")
    return t


__all__ = ["WEIGHTS", "checked_weights", "interval", "retrievability", "review"]
