"""Half-life and probability of recall of a skill, from the numbers of earlier answers and the time since the last."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.models.base import ModelError
from alsim.models.requirements import numbers, require_all, require_broadcast
from alsim.numerics.doubles import exp_each
from alsim.types import Doubles, describe

LN_2 = 0.6931471805599453

WEIGHTS = (0.25, -0.15, -0.1)
"""Default weights of correct answers, of wrong answers, and of the intercept: a half-life of 1 day before any
practice. They are assumptions, not estimates."""

HALF_LIVES = 15 / (24 * 60), 274.0
"""Bounds of a half-life, days: 15 minutes and 9 months."""

RECALLS = 0.0001, 0.9999
"""Bounds of the probability of recall in a fit and in forecasts, those of the implementation of the authors."""


def half_life(right: ArrayLike, wrong: ArrayLike, weights: ArrayLike = WEIGHTS) -> Doubles:
    """Return the half-life of the memory of a skill.

        h = 2^(theta_right sqrt(1 + right) + theta_wrong sqrt(1 + wrong) + theta_0), held in [15 minutes, 274 days]

    right, wrong  numbers of earlier correct and wrong answers, >= 0; a content counts as a correct answer, and may
                  count as a part of one
    weights       (..., 3) theta_right, theta_wrong and theta_0

    The arguments are broadcast. Returns h, days, float64. Raises ModelError for values outside these ranges.
    Source: Settles & Meeder (2016), A trainable spaced repetition model for language learning, ACL.
    """
    r, w = numbers("right", right, booleans=True), numbers("wrong", wrong, booleans=True)
    for name, values in (("right", r), ("wrong", w)):
        require_all(
            np.isfinite(values) & (values >= 0), values, f"{name} must be a number of answers from 0", "count them"
        )
    theta = checked_weights(weights)
    require_broadcast(right=r, wrong=w, weights=theta[..., 0])
    return held_half_life(theta[..., 0] * np.sqrt(1 + r) + theta[..., 1] * np.sqrt(1 + w) + theta[..., 2])


def recall(days: ArrayLike, half_life: ArrayLike) -> Doubles:
    """Return the probability of recall some time after the last practice.

        p = 2^(-t / h)

    days       t, time since the last practice, days, >= 0
    half_life  h, days, > 0

    The arguments are broadcast. Returns p in (0, 1], float64. Raises ModelError for values outside these ranges.
    Source: as for `half_life`.
    """
    t, h = numbers("days", days), numbers("half_life", half_life)
    require_broadcast(days=t, half_life=h)
    require_all(~(t < 0), t, "days since the last practice must be at least 0", "times run backwards, sort them")
    require_all(np.isfinite(t), t, "days since the last practice must be finite", "leave out answers without a time")
    require_all(np.isfinite(h) & (h > 0), h, "half_life must be a number of days above 0", "half_life() returns some")
    return exp_each(-LN_2 * t / h)


def held_recall(recall: Doubles) -> Doubles:
    """Return recall p as low + (high - low) p, which is in RECALLS: a forecast is never certain.

    The authors clip p instead. The difference is at most 0.0001, and this function has derivatives, which a fit needs.
    """
    low, high = RECALLS
    return np.asarray(low + (high - low) * recall)


def held_half_life(log2_days: Doubles) -> Doubles:
    """Return 2^x days, held in the bounds of a half-life."""
    return np.clip(exp_each(LN_2 * log2_days), *HALF_LIVES)


def checked_weights(weights: ArrayLike) -> Doubles:
    """Return weights as an array (..., 3). Raises ModelError for another shape, and for numbers that are not finite."""
    try:
        theta = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        theta = np.empty(0)
    if theta.shape[-1:] != (3,) or not np.isfinite(theta).all():
        raise ModelError(
            f"weights of a half-life must be three finite numbers, (..., 3); got {describe(weights)}: use "
            "alsim.models.hlr.WEIGHTS"
        )
    return theta


__all__ = [
    "HALF_LIVES",
    "LN_2",
    "RECALLS",
    "WEIGHTS",
    "checked_weights",
    "half_life",
    "held_half_life",
    "held_recall",
    "recall",
]
